"""A store of all of Mozilla's roots: what comes back of each, as cryptography reads it; on every interpreter
and from every file system; sizes and times."""

import hashlib
import json
import pathlib
import subprocess
import sys
import time

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtensionOID

from certstore import anchors, layout, packed, packing, pem, subjects, writer
from certstore.asn1 import encode
from certstore.certificate import Certificate
from certstore.der import Der
from certstore.store import ANCHOR, CertStore
from plugins.interpreters import BUILDS, command

# One of Mozilla's roots has a serial number of 0.
pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number", "ignore:Attribute's length must be")

UNIT = pathlib.Path(__file__).resolve().parent.parent / "unit"
MOZILLA = pem.decode(pathlib.Path(certifi.where()).read_bytes())
BLOB = anchors.build(MOZILLA, 1700000000)
PKI = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def extension(certificate, oid):
    try:
        return certificate.extensions.get_extension_for_oid(oid)
    except x509.ExtensionNotFound:
        return None


def check_laid_out(original, der):
    """That cryptography sees in a laid-out anchor what it sees in the CA's own certificate."""
    theirs = x509.load_der_x509_certificate(original)
    seen = x509.load_der_x509_certificate(der)
    assert seen.version is x509.Version.v3 and seen.serial_number == 1
    assert seen.subject.public_bytes() == seen.issuer.public_bytes() == theirs.subject.public_bytes()
    assert seen.public_key_algorithm_oid == theirs.public_key_algorithm_oid
    assert seen.public_key().public_bytes(*PKI) == theirs.public_key().public_bytes(*PKI)
    assert (seen.not_valid_before_utc, seen.not_valid_after_utc) == (
        theirs.not_valid_before_utc,
        theirs.not_valid_after_utc,
    )
    assert seen.signature == b"" and seen.signature_algorithm_oid.dotted_string == "1.2.840.10045.4.3.2"
    kept = [ExtensionOID.BASIC_CONSTRAINTS]
    if extension(theirs, ExtensionOID.KEY_USAGE):
        kept.append(ExtensionOID.KEY_USAGE)
    assert [each.oid for each in seen.extensions] == kept and all(each.critical for each in seen.extensions)
    for oid in kept:
        assert extension(seen, oid).value == extension(theirs, oid).value


def test_every_root_is_packed_and_comes_back():
    store = CertStore(BLOB)
    store.verify()
    assert len(store) == len(MOZILLA) > 100
    assert all(store.is_packed(number) and store.kind(number) == ANCHOR for number in store.numbers())
    for der in MOZILLA:
        known = Certificate(der)
        number = store.find(known.ski)
        while bytes(Certificate(store.certificate(number)).subject) != bytes(known.subject):
            number = store.find(known.ski, number)
        laid_out = bytes(store.certificate(number))
        check_laid_out(der, laid_out)
        theirs = x509.load_der_x509_certificate(der)
        told = extension(theirs, ExtensionOID.SUBJECT_KEY_IDENTIFIER)
        ski = told.value if told else x509.SubjectKeyIdentifier.from_public_key(theirs.public_key())
        assert store.ski(number) == ski.digest
        assert store.find_subject(subjects.subject_hash(known.subject)) >= 0
        # The DER of the name and the key, bit for bit, also where cryptography would write them otherwise.
        again = Certificate(laid_out)
        assert bytes(again.subject) == bytes(again.issuer) == bytes(known.subject)
        assert bytes(again.public_key_info) == bytes(known.public_key_info)


def test_of_mozillas_roots_two_have_a_path_length():
    store = CertStore(BLOB)
    lengths = [Certificate(store.certificate(number)).path_length for number in store.numbers()]
    assert len([length for length in lengths if length is not None]) == 2


def test_a_store_takes_two_fifths_of_the_certificates():
    store = CertStore(BLOB)
    assert len(BLOB) < 0.4 * sum(map(len, MOZILLA))
    # What a device needs to hand one out.
    assert store.largest <= 1024


def test_every_root_is_laid_out_over_its_record_in_a_buffer_of_just_its_size(tmp_path):
    memory = CertStore(BLOB)
    path = tmp_path / "roots.bin"
    path.write_bytes(BLOB)
    file = CertStore(str(path))
    into = bytearray(file.largest)
    full = 0
    for number in range(len(file)):
        expected = memory.certificate(number)
        assert file.certificate(number, into) == expected == file.certificate(number)
        assert memory.certificate(number, into) == expected
        record = memory.record(number)
        size = writer.buffer_size(record)
        assert file.certificate(number, bytearray(max(size, 1))) == expected
        with pytest.raises(ValueError, match=f"{file.largest} bytes"):
            file.certificate(number, bytearray(size - 1))
        full += size == file.largest
    assert full >= 1
    file.close()


def test_a_store_is_built_again_from_what_it_lays_out():
    store = CertStore(BLOB)
    pairs = [(store.ski(number), bytes(store.certificate(number))) for number in store.numbers()]
    assert anchors.build(reversed(pairs), store.build_time) == BLOB
    assert anchors.build(pairs + MOZILLA, store.build_time) == BLOB
    assert anchors.build(reversed(MOZILLA), store.build_time) == BLOB


READER = """
import binascii, hashlib, os
from certstore.store import CertStore
from stores import Mounted

def digest(source):
    store = CertStore(source)
    store.verify()
    found = hashlib.sha256()
    into = bytearray(store.largest)
    for number in store.numbers():
        for der in (store.certificate(number), store.certificate(number, into)):
            found.update(store.ski(number))
            found.update(der)
        assert store.find(store.ski(number)) <= number
    print(binascii.hexlify(found.digest()).decode())

with open(PATH, "rb") as file:
    blob = file.read()
for source in (blob, bytearray(blob), memoryview(blob), PATH):
    digest(source)
for kind in ("VfsRom", "VfsLfs2", "VfsFat"):
    with Mounted(kind, blob) as path:
        digest(path)
"""


@pytest.mark.parametrize("build", BUILDS)
def test_the_reader_does_not_care_where_the_store_lies(build, tmp_path):
    path = tmp_path / "roots.bin"
    path.write_bytes(BLOB)
    script = tmp_path / "reader.py"
    script.write_text(f"PATH = {str(path)!r}\n{READER}")
    words, env = command(build, script, paths=[UNIT])
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120)
    expected = hashlib.sha256()
    store = CertStore(BLOB)
    for number in store.numbers():
        expected.update((store.ski(number) + bytes(store.certificate(number))) * 2)
    assert done.stdout.split() == [expected.hexdigest()] * 7, done.stderr


def roots(count):
    """Certificates of this many CAs, from one of Mozilla's with another name, key and SKI each."""
    der = next(der for der in MOZILLA if len(Certificate(der).public_key_info) == 120)
    known = Certificate(der)
    name, key, ski = bytes(known.subject), bytes(known.public_key_info), known.ski
    for number in range(count):
        tail = hashlib.sha256(b"%d" % number).digest()
        text = b"CA %06d of a large store" % number
        cn = encode(0x30, encode(0x31, encode(0x30, b"\6\3\x55\4\3", encode(0x0C, text))))
        changed = der.replace(key, key[:-32] + tail).replace(ski, tail[:20])
        yield longer(changed, name, cn)


def longer(der, name, other):
    """The certificate with another name: its two outer headers are made again."""
    walk = Der(der)
    walk.expect(0x30)
    walk.enter()
    walk.expect(0x30)
    tbs = walk.content().replace(name, other)
    return encode(0x30, encode(0x30, tbs), der[walk.stop :])


def test_a_store_of_ten_thousand_and_its_time():
    """Building takes as long per certificate for many as for few; a look-up stays a few reads."""

    def build(count):
        ders = list(roots(count))
        started = time.process_time()
        blob = anchors.build(ders, 0)
        return ders, blob, time.process_time() - started

    few_s = min(build(500)[2] for _ in range(3))
    ders, blob, many_s = build(10000)
    print(f"10,000 anchors: {many_s:.1f} s, {len(blob)} bytes")
    # 20 times as many; a quadratic step would make it 400 times as long.
    assert many_s < 60 * few_s
    store = CertStore(blob)
    started = time.process_time()
    store.verify()
    print(f"verified in {time.process_time() - started:.1f} s")
    assert len(store) == 10000
    for der in ders[::97]:
        known = Certificate(der)
        number = store.find(known.ski)
        assert number == store.find_subject(subjects.subject_hash(known.subject))
        assert bytes(Certificate(store.certificate(number)).subject) == bytes(known.subject)


def test_what_no_builder_may_change():
    """The numbers that are in stores and not in this code alone."""
    told = [getattr(layout, name) for name in ("ANCHOR", "EXACT", "PACKED", "NOTHING", "REMOVED", "VERSION")]
    assert told == [1, 2, 3, 4, 128, 1]
    assert (packed.HEAD, packed.FRAME_SIZE, packed.FIRST_RUN, packed.FIRST_WORD) == (19, 11, 32, 128)


def test_the_vector_is_what_its_generator_makes(tmp_path):
    vectors = UNIT.parent / "vectors"
    words = [vectors / "make_store.py", tmp_path]
    subprocess.run([sys.executable, *map(str, words)], check=True, timeout=60)
    made = sorted(path.name for path in (tmp_path / "stores").iterdir())
    assert made == sorted(path.name for path in (vectors / "stores").iterdir())
    for name in made:
        assert (tmp_path / "stores" / name).read_bytes() == (vectors / "stores" / name).read_bytes(), name
    # With every form of key, every frame and every word of the dictionary in it.
    store = CertStore((vectors / "stores" / "v1.bin").read_bytes())
    tokens, forms = set(), set()
    for number in store.numbers():
        if store.is_packed(number):
            record = bytes(store.record(number))[layout.RECORD_HEAD : -layout.RECORD_CHECK]
            forms.add(record[0])
            tokens |= set(tokens_of(record))
    expected = {*range(len(packed.FRAMES) // packed.FRAME_SIZE)}
    expected |= {packed.FIRST_WORD + word for word in range(len(packed.LENGTHS))}
    assert forms == {*range(len(packed.FORMS) + 1)}
    assert {token for token in tokens if not 0x20 <= token < 0x80} == expected
    assert json.loads((vectors / "stores" / "v1.json").read_text())["build_time"] == store.build_time


def tokens_of(record):
    form = record[0]
    size = 2 + (record[-2] | record[-1] << 8) if form == 0 else packed.FORMS[form - 1][1]
    at = packed.HEAD
    while at < len(record) - size:
        token = record[at]
        yield token
        at += 2 if token < packed.FIRST_RUN else 1 + max(0, token - 0x1F) if token < packed.FIRST_WORD else 1


def test_what_packing_saves_of_each_root():
    saved = [len(der) - len(packing.pack(Certificate(der))) for der in MOZILLA]
    assert min(saved) > 200

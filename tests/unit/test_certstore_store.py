"""certstore.store: look-ups from every kind of source, and that damage never shows as another anchor."""

import binascii
import hashlib
import io
import json
import sys

from certstore import anchors, layers, layout, subjects
from certstore.anchors import kind_of
from certstore.certificate import Certificate
from certstore.errors import CorruptStore, NotFound, SecureSocketError, StoreError
from certstore.identities import Stored
from certstore.layout import ANCHOR, EXACT, HEADER_LENGTH, NOTHING, PACKED
from certstore.store import CertStore
from certstore.writer import Entries, Writer, record
from stores import (
    File,
    Mounted,
    StreamStore,
    ca,
    extents,
    file_systems,
    little,
    resealed,
    sealed,
    set_header,
)
from support import (
    ON_MICROPYTHON,
    Skip,
    certificate_der,
    common_name,
    extension,
    facts,
    made,
    only_on_micropython,
    raises,
    vector,
)

BUILT = 1700000000
STEMS = (
    "rsa_root",
    "ec_root",
    "ec384_path0",
    "ed25519",
    "no_ski",
    "ski8",
    "ski32",
    "twin_a",
    "twin_b",
    "cross_self",
    "cross_signed",
    "same_name",
    "long_name",
    "leaf",
    "version1",
)
DERS = {stem: certificate_der(stem) for stem in STEMS}
# A root that is kept whole, and what was removed from a store below.
DERS["limited"] = ca(b"limited", ski=b"L" * 20, more=(extension(30, b"\x30\0"),))
REMOVED = (b"R" * 20, b"HASH")
IDENTITY = Stored("device", [certificate_der("ec_root")], vector("keys/ec_pkcs8.der"))
BLOB = anchors.build(DERS.values(), BUILT, (IDENTITY,), (REMOVED,))
# cross_self and cross_signed, of one name and key, are one anchor.
COUNT = len(DERS)


class Known:
    """What a store should give for a certificate."""

    def __init__(self, der):
        certificate = Certificate(der)
        self.ski = certificate.ski
        self.subject = certificate.subject
        self.hash4 = subjects.subject_hash(certificate.subject)
        self.kind = kind_of(certificate)
        self.is_packed = self.kind == ANCHOR and b"\x55\x1d\x1e" not in der
        self.der = expected_der(der) if self.is_packed else der


def expected_der(der):
    """The laid-out form, by a store of nothing else."""
    return bytes(CertStore(anchors.build([der], 0)).certificate(0))


KNOWN = [Known(DERS[stem]) for stem in DERS if stem != "cross_signed"]
LAID_OUT = {known.der: known for known in KNOWN}


def walk(find, key):
    """The numbers of all that is found, as a caller looks them up."""
    found = []
    number = find(key)
    while number >= 0:
        found.append(number)
        number = find(key, number)
    return found


def by_ski(opened, ski):
    """All certificates with this SKI."""
    return [bytes(opened.certificate(number)) for number in walk(opened.find, ski)]


def by_subject(opened, subject):
    """All certificates with this subject."""
    ders = [bytes(opened.certificate(n)) for n in walk(opened.find_subject, subjects.subject_hash(subject))]
    return [der for der in ders if subjects.same_name(Certificate(der).subject, subject)]


def check_lookups(opened):
    for known in KNOWN:
        same_ski = [other.der for other in KNOWN if other.ski == known.ski]
        assert sorted(by_ski(opened, known.ski)) == sorted(same_ski)
        same_subject = [other.der for other in KNOWN if subjects.same_name(other.subject, known.subject)]
        assert sorted(by_subject(opened, known.subject)) == sorted(same_subject)
    some = KNOWN[0].ski
    for ski in (b"", bytes(20), b"\xff" * 20, b"\xff" * 65, some[:19], some + b"\0", some + bytes(60)):
        assert opened.find(ski) == opened.find_ski(ski, 0, len(ski)) == -1, ski
    for hash4 in (bytes(4), b"\xff" * 4):
        assert opened.find_subject(hash4) == -1
    # A number beyond any, or before all.
    assert opened.find(some, len(opened)) == opened.find_subject(KNOWN[0].hash4, len(opened)) == -1
    assert opened.find(memoryview(some), -1) == opened.find(bytearray(some)) >= 0
    # What was removed is found by nobody who does not ask for it.
    assert opened.find(REMOVED[0]) == opened.find_subject(REMOVED[1]) == -1
    hiding = opened.find_ski(REMOVED[0], 0, len(REMOVED[0]))
    assert hiding >= 0 and opened.is_removed(hiding) and layers.hides_ski(opened, REMOVED[0], 0, 20)
    assert not layers.hides_ski(opened, some, 0, 20)
    for function in (opened.certificate, opened.kind):
        raises(NotFound, "not-found", function, hiding)


def check(opened):
    assert len(opened) == COUNT
    assert (opened.build_time, opened.size) == (BUILT, len(BLOB))
    assert opened.digest == BLOB[44:76]
    assert not opened.verified
    check_lookups(opened)
    opened.verify()
    assert opened.verified
    check_lookups(opened)
    numbers = list(opened.numbers())
    assert len(numbers) == COUNT - 1 and not any(opened.is_removed(number) for number in numbers)
    skis = [opened.ski(number) for number in numbers]
    assert skis == sorted(skis)
    seen = []
    for number in numbers:
        der = bytes(opened.certificate(number))
        known = LAID_OUT[der]
        assert opened.ski(number) == known.ski and opened.kind(number) == known.kind
        assert opened.is_packed(number) == known.is_packed
        # In a buffer of just as many bytes as the header says, and in a larger one that was used before.
        for into in (bytearray(opened.largest), bytearray(b"\xff" * (opened.largest + 999))):
            assert opened.certificate(number, into) == der
        seen.append(der)
    assert sorted(seen) == sorted(LAID_OUT)
    for number in (-1, len(opened), 65536):
        for function in (opened.certificate, opened.ski, opened.kind, opened.is_packed, opened.entry):
            raises(NotFound, "not-found", function, number)
    assert opened.identity_count == 1
    identity = opened.identity(0)
    assert (identity.label, identity.chain, identity.key) == ("device", IDENTITY.chain, IDENTITY.key)


def test_memory():
    for source in (BLOB, bytearray(BLOB), memoryview(BLOB)):
        check(CertStore(source))


def test_every_file_system():
    for each in file_systems(BLOB):
        with each as path:
            opened = CertStore(path)
            check(opened)
            opened.close()


def test_the_certificates_are_those_of_the_vectors():
    # The only test here that does not compare the store with itself.
    opened = CertStore(BLOB)
    known = facts()
    for stem, der in DERS.items():
        original = Certificate(der)
        number = opened.find(original.ski)
        while True:
            seen = Certificate(opened.certificate(number))
            if bytes(seen.subject) == bytes(original.subject):
                break
            number = opened.find(original.ski, number)
        if stem in ("leaf", "version1", "limited"):
            assert bytes(seen.der) == der
        else:
            assert bytes(seen.der) != der and bytes(seen.issuer) == bytes(original.subject)
        for field in ("not_before", "not_after", "path_length", "key_usage", "is_ca"):
            assert getattr(seen, field) == getattr(original, field), (stem, field)
        assert bytes(seen.public_key_info) == bytes(original.public_key_info)
        if stem in known:
            assert seen.pin().hex() == known[stem]["pin"] and opened.ski(number).hex() == known[stem]["ski"]


def test_a_store_of_version_1_is_read_for_ever():
    blob = vector("stores/v1.bin")
    expected = json.loads(vector("stores/v1.json"))
    for make in (CertStore, StreamStore):
        opened = make(blob)
        opened.verify()
        assert (opened.build_time, len(opened)) == (expected["build_time"], len(expected["entries"]))
        for number, entry in enumerate(expected["entries"]):
            ski = bytes.fromhex(entry["ski"])
            assert opened.ski(number) == ski
            if "kind" not in entry:
                assert opened.is_removed(number) and layers.hides_ski(opened, ski, 0, len(ski))
                continue
            der = opened.certificate(number)
            assert hashlib.sha256(der).digest().hex() == entry["sha256"], number
            assert (opened.kind(number), opened.is_packed(number)) == (entry["kind"], entry["packed"])
            assert number in walk(opened.find, ski)
            assert number in walk(opened.find_subject, subjects.subject_hash(Certificate(der).subject))
        identity = opened.identity(0)
        told = expected["identity"]
        assert (opened.identity_count, identity.label) == (1, told["label"])
        assert identity.chain == [certificate_der(told["certificate"])]
        assert identity.key == vector("keys/%s.der" % told["key"])


def test_a_store_of_version_1_is_built_again_byte_by_byte():
    expected = json.loads(vector("stores/v1.json"))
    ders = [certificate_der(stem) for stem in expected["certificates"]]
    ders += [vector("stores/%s.der" % stem) for stem in expected["own"]]
    removed = [[bytes.fromhex(part) for part in pair] for pair in expected["removed"]]
    told = expected["identity"]
    identity = Stored(
        told["label"], [certificate_der(told["certificate"])], vector("keys/%s.der" % told["key"])
    )
    assert anchors.build(ders, expected["build_time"], [identity], removed) == vector("stores/v1.bin")


def test_a_buffer_of_the_largest_is_enough_for_all_and_one_byte_less_is_not():
    for source in (CertStore(BLOB), StreamStore(BLOB)):
        largest = []
        for number in source.numbers():
            source.certificate(number, bytearray(source.largest))
            try:
                source.certificate(number, bytearray(source.largest - 1))
            except ValueError:
                largest.append(number)
        assert len(largest) == 1, largest
    for der in (DERS["limited"], DERS["leaf"], DERS["ec_root"]):
        alone = StreamStore(anchors.build([der], 0))
        size = alone.largest
        into = bytearray(size)
        view = alone.certificate(0, into)
        # A packed anchor fills it; of a whole one kind and checksum come before and behind.
        assert len(view) == (size - 5 if der != DERS["ec_root"] else size)
        into[-6] ^= 1
        assert view != alone.certificate(0)
        for small in (size - 1, 20, 0):
            try:
                alone.certificate(0, bytearray(small))
                raise AssertionError("a buffer too small")
            except ValueError:
                pass


def test_mapped_files_are_read_in_place():
    only_on_micropython("ROMFS is MicroPython's")
    mounted = Mounted("VfsRom", BLOB)
    with mounted as path:
        opened = CertStore(path)
        number = opened.find(b"L" * 20)
        view = opened.certificate(number)
        before = bytes(view)
        mounted.image[bytes(mounted.image).find(before)] ^= 1
        assert view != before


def test_memory_is_read_in_place():
    source = bytearray(BLOB)
    opened = CertStore(source)
    whole = opened.find(b"L" * 20)
    view = opened.certificate(whole)
    before = bytes(view)
    source[opened.extent(whole)[0] + 40] ^= 1
    assert view != before
    raises(CorruptStore, "store-record", opened.certificate, whole)
    raises(CorruptStore, "store-check", opened.verify)
    assert not opened.verified


def test_verification_is_forgotten_when_it_fails_later():
    source = bytearray(BLOB)
    opened = CertStore(source)
    opened.verify()
    source[-1] ^= 1
    raises(CorruptStore, "store-check", opened.verify)
    assert not opened.verified


def test_duplicate_skis_are_walked():
    opened = CertStore(BLOB)
    ski = Certificate(DERS["twin_a"]).ski
    number = opened.find(ski)
    assert opened.find(ski, number - 1) == number
    assert opened.find(ski, number) == number + 1
    assert opened.find(ski, number + 1) == -1
    assert len(by_ski(opened, ski)) == 2


def test_duplicate_subjects_are_walked_in_the_order_of_their_numbers():
    ders = [ca(b"same", ski=bytes((i * 37 & 255,)) * 20) for i in range(40)]
    opened = CertStore(anchors.build(ders, 0))
    hash4 = subjects.subject_hash(Certificate(ders[0]).subject)
    walked = walk(opened.find_subject, hash4)
    assert walked == list(range(40)) == [number for number in opened.numbers()]
    for number in range(40):
        assert opened.find_subject(hash4, number - 1) == number


def test_removed_entries_lie_among_certificates_and_are_passed_over():
    ski = b"S" * 20
    ders = [ca(name, ski=ski) for name in (b"one", b"two")]
    hash4 = subjects.subject_hash(Certificate(ders[0]).subject)
    opened = CertStore(anchors.build(ders, 0, (), ((ski, hash4),)))
    opened.verify()
    assert len(opened) == 3 and len(list(opened.numbers())) == 2
    assert len(by_ski(opened, ski)) == 2 and layers.hides_ski(opened, ski, 0, 20)
    assert len(by_subject(opened, Certificate(ders[0]).subject)) == 1
    for each in (opened, StreamStore(anchors.build([], 0, (), ((ski, hash4),)))):
        number = each.find_ski(ski, 0, len(ski), len(each) - 2)
        assert each.is_removed(number) and each.record(number)[0] == NOTHING
        assert each.ski(number) == ski


def test_skis_that_are_prefixes_of_each_other():
    skis = [b"\1" * size for size in (1, 19, 20, 21, 40)] + [b"\1" * 19 + b"\0", b"\1" + b"\0" * 63]
    ders = [made(extensions=(extension(14, bytes((4, len(ski))) + ski),)) for ski in skis]
    opened = CertStore(anchors.build(ders, 0))
    opened.verify()
    for ski, der in zip(skis, ders):
        assert by_ski(opened, ski) == [der]
    for ski in (b"", b"\1\0", b"\1" * 18, b"\1" * 22, b"\1" * 20 + b"\0", b"\1" + b"\0" * 64):
        assert opened.find(ski) == -1


def test_empty_store():
    opened = CertStore(anchors.build([], 5))
    assert len(opened) == 0 and opened.size == HEADER_LENGTH and opened.build_time == 5
    assert list(opened.numbers()) == [] and opened.largest == 0
    opened.verify()
    assert opened.find(bytes(20)) == opened.find_subject(bytes(4)) == -1
    raises(NotFound, "not-found", opened.certificate, 0)


def test_build_time_after_2106():
    assert CertStore(anchors.build([], 2**33 + 1)).build_time == 2**33 + 1


def test_header():
    blob = BLOB
    rows = (
        (b"", CorruptStore, "store-magic"),
        (b"\x89SKI\n\x1a\n" + blob[8:], CorruptStore, "store-magic"),
        (blob[:9], CorruptStore, "store-truncated"),
        (blob[:95], CorruptStore, "store-truncated"),
        (blob[:-1], CorruptStore, "store-truncated"),
        (blob + b"\0", CorruptStore, "store-truncated"),
        (blob[:10] + b"\x15" + blob[11:], CorruptStore, "store-header"),
        # Damage of the version is damage; only a header that holds tells of a newer version.
        (blob[:8] + b"\2" + blob[9:], CorruptStore, "store-header"),
        (set_header(blob, 8, b"\2"), StoreError, "store-version"),
        (set_header(blob, 8, b"\xff"), StoreError, "store-version"),
        (set_header(blob, 8, b"\0"), CorruptStore, "store-header"),
        # A later header may be longer or shorter, and everything else in it another.
        (
            set_header(set_header(blob, 8, b"\2\x60"), 8, b"\2\x70" + b"\xff" * 80, 112),
            StoreError,
            "store-version",
        ),
        (set_header(blob, 8, b"\2\x20", 32), StoreError, "store-version"),
        # This version's is neither.
        (set_header(blob, 9, b"\x20", 32), CorruptStore, "store-header"),
        (set_header(blob, 9, b"\x64", 100), CorruptStore, "store-header"),
        # The width of an SKI.
        (set_header(blob, 10, b"\x13"), CorruptStore, "store-header"),
        (set_header(blob, 10, b"\x41"), CorruptStore, "store-header"),
        # The total, which is not the file's.
        (set_header(blob, 12, b"\0"), CorruptStore, "store-truncated"),
        # More entries than there is room for before the identities.
        (set_header(blob, 16, b"\xff"), CorruptStore, "store-header"),
        (set_header(blob, 16, b"\0\0\1\0"), CorruptStore, "store-header"),
        (set_header(blob, 16, b"\xff\xff\xff\xff"), CorruptStore, "store-header"),
        # A largest certificate beyond what any record could make.
        (set_header(blob, 20, b"\xff\xff\xff\xff"), CorruptStore, "store-header"),
        (set_header(blob, 20, b"\0\0\1"), CorruptStore, "store-header"),
        # Identities in the indexes, or outside.
        (set_header(blob, 24, b"\x60\0\0\0"), CorruptStore, "store-header"),
        (set_header(blob, 24, b"\xff\xff\xff\xff"), CorruptStore, "store-header"),
        (set_header(blob, 24, (len(blob) + 1).to_bytes(4, "little")), CorruptStore, "store-header"),
        (set_header(blob, 28, b"\1"), CorruptStore, "store-header"),
        (set_header(blob, 35, b"\1"), CorruptStore, "store-header"),
        (set_header(blob, 76, b"\1"), CorruptStore, "store-header"),
        (set_header(blob, 91, b"\1"), CorruptStore, "store-header"),
    )
    for index, (data, kind, code) in enumerate(rows):
        raises(kind, code, CertStore, data)
        raises(kind, code, StreamStore, data)
        if index < 8:
            with File(data) as path:
                raises(kind, code, CertStore, path)
    CertStore(set_header(blob, 8, b"\1"))


def test_layout():
    # Headers whose only fault is the one named.
    empty = anchors.build([], 0)
    for width in (20, 64):
        CertStore(set_header(empty, 10, bytes((width,))))
    for width in (0, 19, 65, 255):
        raises(CorruptStore, "store-header", CertStore, set_header(empty, 10, bytes((width,))))
    for largest, fits in ((96 + 8192, True), (96 + 8193, False)):
        changed = set_header(empty, 20, largest.to_bytes(4, "little"))
        if fits:
            CertStore(changed).verify()
        else:
            raises(CorruptStore, "store-header", CertStore, changed)
    raises(CorruptStore, "store-header", CertStore, set_header(empty, 16, b"\1"))
    if not ON_MICROPYTHON:
        # Too large for a heap that is like a device's.
        def with_room(size, count):
            fields = (size, count, 0, size)
            header = set_header(empty, 12, b"".join([field.to_bytes(4, "little") for field in fields]))
            return header + bytes(size - len(header))

        assert len(CertStore(with_room(96 + 65535 * 30, 65535))) == 65535
        raises(CorruptStore, "store-header", CertStore, with_room(96 + 65535 * 30 - 1, 65535))
        raises(CorruptStore, "store-header", CertStore, with_room(96 + 65536 * 30, 65536))
        assert CertStore(with_room(0xFFFFFF, 0)).size == 0xFFFFFF
        raises(CorruptStore, "store-header", CertStore, with_room(0x1000000, 0))


def test_no_file():
    error = raises(StoreError, "store-missing", CertStore, "no-such-folder/roots.bin")
    assert "no-such-folder/roots.bin" in error.found and error.errno == 2
    raises(StoreError, "store-file", CertStore, "/tmp")


def test_a_file_that_shrinks():
    ski = max(known.ski for known in KNOWN)
    last = CertStore(BLOB).find(ski)
    for size in (HEADER_LENGTH, HEADER_LENGTH + 10, len(BLOB) // 2):
        opened = StreamStore(BLOB)
        opened._file.stream = io.BytesIO(BLOB[:size])
        raises(CorruptStore, "store-truncated", opened.verify)
        raises(CorruptStore, "store-truncated", opened.certificate, last)
        raises(CorruptStore, "store-truncated", opened.identity, 0)
        if size < HEADER_LENGTH + COUNT:
            raises(CorruptStore, "store-truncated", opened.find, ski)
            raises(CorruptStore, "store-truncated", opened.find_subject, KNOWN[0].hash4)


def test_a_file_that_fails():
    opened = StreamStore(BLOB)
    ski = KNOWN[0].ski
    number = opened.find(ski)

    def fail(*_):
        raise OSError(5)

    opened._file.readinto = fail
    calls = (
        (opened.find, ski),
        (opened.find_subject, KNOWN[0].hash4),
        (opened.certificate, number),
        (opened.ski, number),
        (opened.kind, number),
        (opened.identity, 0),
        (opened.verify,),
    )
    for function, *arguments in calls:
        raises(StoreError, "store-file", function, *arguments)


def test_unknown_kinds_of_records_are_newer():
    place = extents(BLOB)[0]
    number = 0
    for kind in (0, 5, 6, 0x10, 255):
        changed = bytearray(BLOB)
        changed[place[2]] = kind
        opened = CertStore(resealed(changed, place))
        for function in (opened.certificate, opened.kind, opened.is_packed, opened.record):
            raises(StoreError, "store-version", function, number)
        raises(StoreError, "store-version", opened.verify)
        # The others are readable.
        opened.certificate(1)


def test_a_removed_entry_holds_nothing_and_nothing_else_does():
    for kind, flag in ((NOTHING, 0), (PACKED, 0x80), (ANCHOR, 0x80), (EXACT, 0x80)):
        place = extents(BLOB)[0]
        changed = bytearray(BLOB)
        changed[place[2]] = kind
        changed[place[0] + layout.AT_LENGTH] |= flag
        opened = CertStore(resealed(changed, place))
        raises(CorruptStore, "store-record", opened.certificate, 0)
        raises(CorruptStore, "store-record", opened.record, 0)
        raises(CorruptStore, "store-record", opened.verify)


def test_forms_and_words_that_are_not_known_are_newer():
    place = extents(anchors.build([DERS["ec_root"]], 0))[0]
    for at, value in ((1, 7), (1, 255), (20, 0xFF)):
        changed = bytearray(anchors.build([DERS["ec_root"]], 0))
        changed[place[2] + at] = value
        for make in (CertStore, StreamStore):
            opened = make(resealed(changed, place))
            raises(StoreError, "store-version", opened.certificate, 0)
            raises(StoreError, "store-version", opened.certificate, 0, bytearray(opened.largest))
            raises(StoreError, "store-version", opened.verify)
            # What it is can still be told.
            assert opened.kind(0) == ANCHOR and opened.is_packed(0)


def small():
    """A small store with everything in it: [certificates], blob."""
    ders = [
        ca(b"packed", ski=b"P" * 20),
        ca(b"whole", ski=b"W" * 8, more=(extension(30, b"\x30\0"),)),
        made(name=common_name(b"exact"), extensions=(extension(14, b"\4\1e"),)),
    ]
    identity = Stored("d", [made()], b"\x30\x08\2\1\0" + b"\x30\0\4\1k")
    return ders, anchors.build(ders, 1, (identity,), ((b"R" * 20, b"HASH"),)), identity


def lookups(opened, queries, identity, right):
    """Every look-up in a damaged store: each gives what it should, nothing, or a typed error."""
    results = [0, 0, 0]

    def count(wanted, function, *arguments):
        try:
            found = function(*arguments)
        except SecureSocketError:
            results[2] += 1
            return
        if found is None:
            results[1] += 1
        else:
            assert found == wanted, "another certificate"
            results[0] += 1

    def by(find, key):
        number = find(key)
        return None if number < 0 else bytes(opened.certificate(number))

    for known in queries:
        count(known.der, by, opened.find, known.ski)
        # The name is not compared: the store must not give another's.
        count(known.der, by, opened.find_subject, known.hash4)
    count(0, by, opened.find, b"R" * 20)
    count(0, by, opened.find_subject, b"HASH")

    def first_identity():
        if not opened.identity_count:
            return None
        found = opened.identity(0)
        return found.label, found.chain, found.key

    count(identity, first_identity)
    for number in range(len(opened)):
        try:
            der = bytes(opened.certificate(number))
            kind = opened.kind(number)
        except SecureSocketError:
            continue
        assert (opened.ski(number), kind, der) in right
    if results != [2 * len(queries) + 1, 2, 0]:
        # What a caller does before it reports a miss.
        try:
            opened.verify()
            raise AssertionError("a damaged store verifies")
        except SecureSocketError:
            pass
    return results


def test_damage_shows_the_right_certificate_or_none_or_an_error():
    ders, blob, stored = small()
    queries = [Known(der) for der in ders]
    right = [(known.ski, known.kind, known.der) for known in queries]
    identity = (stored.label, stored.chain, stored.key)
    total = [0, 0, 0]

    def add(data):
        for make in (CertStore, StreamStore):
            try:
                opened = make(data)
            except SecureSocketError:
                continue
            results = lookups(opened, queries, identity, right)
            for i in range(3):
                total[i] += results[i]

    add(blob)
    assert total == [14, 4, 0]
    changed = bytearray(blob)
    for at in range(0, len(blob), 7 if ON_MICROPYTHON else 1):
        for bit in range(8):
            changed[at] ^= 1 << bit
            add(changed)
            changed[at] ^= 1 << bit
        old = changed[at]
        for value in (0x00, 0xFF):
            changed[at] = value
            if value != old:
                add(changed)
        changed[at] = old
    assert total[0] and total[1] and total[2], total
    for size in range(len(blob)):
        for make in (CertStore, StreamStore):
            try:
                make(blob[:size])
                raise AssertionError("a store cut short")
            except CorruptStore:
                pass


def answers(opened):
    """What a store answers to all that a caller can ask; in the place of an answer the code of a typed error.
    Other errors pass."""
    found = []

    def ask(function, *arguments):
        try:
            answer = function(*arguments)
        except SecureSocketError as error:
            answer = error.code.encode()
        if isinstance(answer, memoryview):
            answer = bytes(answer)
        found.append(answer)
        return answer

    ask(opened.verify)
    ask(list, opened.numbers())
    ask(list, opened.by_subject())
    for number in range(min(len(opened), 6)):
        fresh = ask(opened.certificate, number)
        into = ask(opened.certificate, number, bytearray(opened.largest))
        assert into in (fresh, b"store-header"), (fresh, into)
        if fresh[:1] == b"\x30":
            ask(parse, fresh)
        for name in ("ski", "kind", "is_packed", "is_removed", "entry", "record"):
            ask(getattr(opened, name), number)
    for ski in (b"P" * 20, b"W" * 8, b"e", b"R" * 20, b""):
        ask(opened.find, ski)
        ask(layers.hides_ski, opened, ski, 0, len(ski))
    for hash4 in (b"HASH", bytes(4)):
        ask(opened.find_subject, hash4)
    for number in range(min(opened.identity_count, 3)):
        identity = ask(opened.identity, number)
        found[-1] = getattr(identity, "chain", identity)
    return found


def check_whole(opened):
    """That all of a store that verifies can be found and read."""
    for number in opened.numbers():
        opened.certificate(number)
        assert number in walk(opened.find, opened.ski(number)), "not found by its SKI"
        assert number in walk(opened.find_subject, opened.entry(number)[:4]), "not found by its subject"
    for number in range(opened.identity_count):
        opened.identity(number)


def parse(der):
    return kind_of(Certificate(der))


def changes(blob, places, step):
    """The blob with each of these bytes changed in some ways."""
    changed = bytearray(blob)
    for at in range(places[0], places[1], step):
        old = changed[at]
        for value in {0, 1, 0x7F, 0x80, 0xFF, old ^ 1, old ^ 0x40, old + 1 & 255}:
            if value != old:
                changed[at] = value
                yield changed
        changed[at] = old


def test_damage_that_was_sealed_again_gives_certificates_or_typed_errors():
    # By an attacker, or by a builder's fault: every checksum holds.
    _, blob, _ = small()
    step = 5 if ON_MICROPYTHON else 1
    codes = (b"not-found", b"store-version", b"store-header", b"store-index", b"store-record", b"der-tag")
    outcomes = [0] * len(codes)

    def count(data):
        try:
            found = answers(CertStore(data))
        except SecureSocketError as error:
            raises(type(error), error.code, StreamStore, data)
            found = [error.code.encode()]
        else:
            if found[0] is None:
                check_whole(CertStore(data))
            # The reader must not care where the store lies; but only a file's must fit into the buffer.
            for memory, file in zip(found, answers(StreamStore(data))):
                assert file in (memory, b"store-header")
        for answer in found:
            if isinstance(answer, bytes) and answer in codes:
                outcomes[codes.index(answer)] += 1

    for place in extents(blob):
        for changed in changes(blob, place[2:], step):
            count(resealed(changed, place))
        for changed in changes(blob, place[:2], step):
            count(resealed(changed, place))
    for changed in changes(blob, (HEADER_LENGTH, len(blob)), step):
        count(sealed(changed))
    for changed in changes(blob, (8, 44), 1):
        count(set_header(changed, 8, changed[8:9]))
    assert min(outcomes) > 20, outcomes


def test_damage_of_the_identity_that_was_sealed_again():
    _, blob, _ = small()
    start = little(blob, layout.AT_IDENTITIES, 4)
    for changed in changes(blob, (start, len(blob) - 4), 3 if ON_MICROPYTHON else 1):
        check_sum = binascii.crc32(changed[start : len(blob) - 4]).to_bytes(4, "little")
        data = sealed(bytes(changed[:-4]) + check_sum)
        for make in (CertStore, StreamStore):
            opened = make(data)
            try:
                repr(opened.identity(0))
            except SecureSocketError:
                pass
            try:
                opened.verify()
            except SecureSocketError:
                pass


def test_lookups_allocate_nothing():
    only_on_micropython("gc.mem_alloc is MicroPython's")
    import gc

    hits = [(known.ski, known.hash4) for known in KNOWN]
    misses = [(bytes(20), bytes(4)), (b"\xff" * 20, b"\xff" * 4), (b"\x80" * 8, b"\x80" * 4), REMOVED]

    def look_up(opened, queries):
        for ski, hash4 in queries:
            number = opened.find(ski)
            if number >= 0:
                opened.find(ski, number)
            number = opened.find_subject(hash4)
            if number >= 0:
                opened.find_subject(hash4, number)
            layers.hides_ski(opened, ski, 0, len(ski))

    for each in file_systems(BLOB):
        # What lies below littlefs and FAT here is written in Python.
        if isinstance(each, Mounted) and each.kind != "VfsRom":
            continue
        with each as path:
            for source in (BLOB, path):
                opened = CertStore(source)
                for queries in (hits, misses):
                    look_up(opened, queries)
                    gc.collect()
                    gc.disable()
                    before = gc.mem_alloc()
                    look_up(opened, queries)
                    used = gc.mem_alloc() - before
                    gc.enable()
                    assert used == 0, (source, used)
                opened.close()


def many(count):
    """A store of this many certificates that nobody parses."""
    rows = []
    for number in range(count):
        ski = binascii.unhexlify("%040x" % (number * 0x9E3779B1 & 0x3FFFFFFF))
        rows.append(record(ski[-4:], ski, EXACT, b"%d" % number))
    parts = []
    header = Writer(Entries([]), Entries(rows), 0).write(parts.append)
    return header + b"".join(parts)


class Probing(CertStore):
    def __init__(self, source):
        self.probes = 0
        super().__init__(source)

    def _compare_ski(self, *arguments):
        self.probes += 1
        return super()._compare_ski(*arguments)


def test_a_lookup_among_117_reads_at_most_8_entries():
    opened = Probing(many(117))
    most = 0
    for number in opened.numbers():
        ski = opened.ski(number)
        for wanted in (ski, ski[:-1] + bytes((ski[-1] ^ 1,))):
            opened.probes = 0
            found = opened.find(wanted)
            assert found == (number if wanted == ski else -1)
            most = max(most, opened.probes)
    assert most == 8, most


def test_an_open_file_was_read_for_its_header_only():
    for count in (0, 117):
        opened = StreamStore(many(count))
        assert opened.got <= layout.HEADER_LENGTH + 10 and opened.calls == 2
        before = opened.got
        opened.find(b"\x80" * 20)
        entry = layout.MIN_SKI_WIDTH + layout.ENTRY_EXTRA
        assert opened.got - before <= 8 * entry


def test_an_open_store_holds_few_bytes():
    only_on_micropython("gc.mem_alloc is MicroPython's")
    import gc

    if sys.maxsize > 2**31:
        raise Skip("measured where pointers have 4 bytes, as on devices")

    def held(source):
        gc.collect()
        before = gc.mem_alloc()
        opened = CertStore(source)
        gc.collect()
        return gc.mem_alloc() - before, opened

    with File(BLOB) as path:
        held(path)[1].close()
        used, opened = held(path)
        assert used <= 300, used
        opened.close()
    assert held(BLOB)[0] <= 300


def test_no_big_int_for_a_good_record():
    # On 32-bit boards an int of 2**30 or more lives on the heap.
    assert layout.GOOD_CRC < 2**30
    for data in (b"", b"x", BLOB):
        assert binascii.crc32(data + binascii.crc32(data).to_bytes(4, "little")) == layout.GOOD_CRC


def test_closing_closes_the_file():
    opened = StreamStore(BLOB)
    stream = opened._file.stream
    opened.close()
    opened.close()
    try:
        stream.read(1)
        raise AssertionError("still open")
    except (ValueError, OSError):
        pass
    with File(BLOB) as path:
        # A store that does not open leaves no file open.
        with open(path, "r+b") as file:
            file.write(b"x")
        raises(CorruptStore, "store-magic", CertStore, path)

"""certstore.store: look-ups, both kinds of source, and that damage never shows as another anchor."""

import binascii
import hashlib
import os

from certstore import anchors, names, store
from certstore.certificate import Certificate
from certstore.errors import CorruptStore, NotFound, SecureSocketError, StoreError
from certstore.store import CertStore
from support import ON_MICROPYTHON, Skip, certificate_der, extension, facts, made, only_on_micropython, raises

STEMS = (
    "rsa_root",
    "ec_root",
    "ec384_path0",
    "no_ski",
    "ski8",
    "ski32",
    "twin_a",
    "twin_b",
    "cross_self",
    "cross_signed",
    "same_name",
    "leaf",
    "version1",
)
DERS = {stem: certificate_der(stem) for stem in STEMS}
KNOWN = [Certificate(der) for der in DERS.values()]
BLOB = anchors.build(DERS.values(), 1700000000)


class File:
    """A temporary file with these bytes; its path is what `with` gives."""

    def __init__(self, data):
        # Several interpreters run this at the same time.
        self.path = "/tmp/certstore-%s.tmp" % binascii.hexlify(os.urandom(8)).decode()
        self.data = data

    def __enter__(self):
        with open(self.path, "wb") as file:
            file.write(self.data)
        return self.path

    def __exit__(self, *_):
        os.remove(self.path)


def by_ski(opened, ski):
    """All certificates with this SKI, as a caller looks them up."""
    number = opened.find(ski)
    found = []
    while number >= 0:
        found.append(bytes(opened.certificate(number)))
        number = opened.at_ski(number + 1, ski)
    return found


def by_subject(opened, subject):
    """All certificates with this subject, as a caller looks them up."""
    hash4 = names.subject_hash(subject)
    position = opened.find_subject(hash4)
    found = []
    while position >= 0:
        number = opened.at_subject(position, hash4)
        if number < 0:
            break
        der = bytes(opened.certificate(number))
        if names.same_name(Certificate(der).subject, subject):
            found.append(der)
        position += 1
    return found


def check_lookups(opened):
    for known in KNOWN:
        same_ski = [other.der for other in KNOWN if other.ski == known.ski]
        assert sorted(by_ski(opened, known.ski)) == sorted(same_ski)
        same_subject = [other.der for other in KNOWN if names.same_name(other.subject, known.subject)]
        assert sorted(by_subject(opened, known.subject)) == sorted(same_subject)
    for ski in (b"", bytes(20), b"\xff" * 20, b"\xff" * 65, KNOWN[0].ski[:19], KNOWN[0].ski + b"\0"):
        assert opened.find(ski) == -1, ski
    for hash4 in (bytes(4), b"\xff" * 4):
        assert opened.find_subject(hash4) == -1
    assert opened.at_ski(-1, KNOWN[0].ski) == opened.at_ski(len(opened), KNOWN[0].ski) == -1
    # What lies before the subject index is no entry of it.
    before = BLOB[int.from_bytes(BLOB[24:28], "little") - store.SUBJECT_ENTRY :][:4]
    assert opened.at_subject(-1, before) == -1
    assert opened.at_subject(-1, bytes(4)) == opened.at_subject(len(opened), bytes(4)) == -1


def check(opened):
    assert len(opened) == len(STEMS)
    assert (opened.version, opened.build_time, opened.size) == (1, 1700000000, len(BLOB))
    assert not opened.verified
    check_lookups(opened)
    opened.verify()
    assert opened.verified
    check_lookups(opened)
    skis = [opened.ski(number) for number in range(len(opened))]
    assert skis == sorted(skis)
    kinds = [opened.kind(number) for number in range(len(opened))]
    exact = [number for number in range(len(opened)) if kinds[number] == store.EXACT]
    assert sorted([bytes(opened.certificate(n)) for n in exact]) == sorted([DERS["leaf"], DERS["version1"]])
    for number in (-1, len(opened), 65536):
        raises(NotFound, "not-found", opened.certificate, number)
        raises(NotFound, "not-found", opened.ski, number)


def test_memory():
    for source in (BLOB, bytearray(BLOB), memoryview(BLOB)):
        check(CertStore(source))


def test_file():
    with File(BLOB) as path:
        opened = CertStore(path)
        check(opened)
        into = bytearray(opened.largest)
        number = opened.find(KNOWN[0].ski)
        view = opened.certificate(number, into)
        assert view == KNOWN[0].der
        into[bytes(into).find(bytes(view))] ^= 1
        assert view != KNOWN[0].der
        try:
            opened.certificate(number, bytearray(20))
            raise AssertionError("a buffer too small")
        except ValueError:
            pass
        opened.close()


def romfs(name, data):
    """A ROMFS image that holds one file."""

    def number(value):
        out = bytes((value & 127,))
        while value > 127:
            value >>= 7
            out = bytes((value & 127 | 128,)) + out
        return out

    def record(kind, payload):
        return number(kind) + number(len(payload)) + payload

    file = record(5, number(len(name)) + name + record(2, data))
    return b"\xd2\xcd\x31" + number(len(file)) + file


def test_mapped_file():
    only_on_micropython("ROMFS is MicroPython's")
    import vfs

    if not hasattr(vfs, "VfsRom"):
        raise Skip("this build has no ROMFS")
    image = bytearray(romfs(b"roots.bin", BLOB))
    vfs.mount(vfs.VfsRom(memoryview(image)), "/certstore-test")
    try:
        opened = CertStore("/certstore-test/roots.bin")
        check(opened)
        # Read where it lies: what changes in the image changes in the view.
        view = opened.certificate(0)
        before = bytes(view)
        image[bytes(image).find(before)] ^= 1
        assert view != before
    finally:
        vfs.umount("/certstore-test")


def test_memory_is_read_in_place():
    source = bytearray(BLOB)
    opened = CertStore(source)
    view = opened.certificate(3)
    before = bytes(view)
    source[opened._offset + 40] ^= 1
    assert view != before
    raises(CorruptStore, "store-record", opened.certificate, 3)
    raises(CorruptStore, "store-check", opened.verify)
    assert not opened.verified


def test_duplicate_skis_are_walked():
    opened = CertStore(BLOB)
    ski = Certificate(DERS["twin_a"]).ski
    number = opened.find(ski)
    assert opened.at_ski(number, ski) == number and opened.at_ski(number + 1, ski) == number + 1
    assert opened.at_ski(number - 1, ski) == opened.at_ski(number + 2, ski) == -1
    assert sorted(by_ski(opened, ski)) == sorted([DERS["twin_a"], DERS["twin_b"]])


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
    assert len(opened) == 0 and opened.size == store.HEADER_LENGTH and opened.build_time == 5
    opened.verify()
    assert opened.find(bytes(20)) == opened.find_subject(bytes(4)) == -1
    raises(NotFound, "not-found", opened.certificate, 0)


def test_build_time_after_2106():
    assert CertStore(anchors.build([], 2**33 + 1)).build_time == 2**33 + 1


def resealed(blob, at, value, length=store.HEADER_LENGTH):
    """The blob with header bytes changed, and a header checksum that holds all the same."""
    header = bytearray(blob[: length - 4])
    header[at : at + len(value)] = value
    return bytes(header) + binascii.crc32(header).to_bytes(4, "little") + blob[length:]


def test_header():
    rows = (
        (b"", CorruptStore, "store-magic"),
        (b"\x89SKI\n\x1a\n" + BLOB[8:], CorruptStore, "store-magic"),
        (BLOB[:9], CorruptStore, "store-truncated"),
        (BLOB[:95], CorruptStore, "store-truncated"),
        (BLOB[:-1], CorruptStore, "store-truncated"),
        (BLOB + b"\0", CorruptStore, "store-truncated"),
        (BLOB[:10] + b"\x15" + BLOB[11:], CorruptStore, "store-header"),
        # Damage of the version is damage; only a header that holds tells of a newer version.
        (BLOB[:8] + b"\2" + BLOB[9:], CorruptStore, "store-header"),
        (resealed(BLOB, 8, b"\2"), StoreError, "store-version"),
        (resealed(BLOB, 8, b"\0"), CorruptStore, "store-header"),
        # A later header may be longer or shorter, and everything else in it another.
        (
            resealed(resealed(BLOB, 8, b"\2\x60"), 8, b"\2\x70" + b"\xff" * 80, 112),
            StoreError,
            "store-version",
        ),
        (resealed(BLOB, 8, b"\2\x20", 32), StoreError, "store-version"),
        (resealed(BLOB, 10, b"\x13"), CorruptStore, "store-header"),
        (resealed(BLOB, 10, b"\x41"), CorruptStore, "store-header"),
        (resealed(BLOB, 11, b"\1"), CorruptStore, "store-header"),
        (resealed(BLOB, 16, b"\xff"), CorruptStore, "store-header"),
        (resealed(BLOB, 16, b"\0\0\1\0"), CorruptStore, "store-header"),
        (resealed(BLOB, 20, b"\0"), CorruptStore, "store-header"),
        (resealed(BLOB, 24, b"\0"), CorruptStore, "store-header"),
        (resealed(BLOB, 28, b"\0"), CorruptStore, "store-header"),
        (resealed(BLOB, 32, b"\xff\xff\xff\xff"), CorruptStore, "store-header"),
        (resealed(BLOB, 76, b"\1"), CorruptStore, "store-header"),
        (resealed(BLOB, 91, b"\1"), CorruptStore, "store-header"),
    )
    for data, kind, code in rows:
        raises(kind, code, CertStore, data)
        with File(data) as path:
            raises(kind, code, CertStore, path)
    CertStore(resealed(BLOB, 8, b"\1"))


def test_layout():
    # Headers whose only fault is the one named.
    empty = anchors.build([], 0)
    for width in (20, 64):
        CertStore(resealed(empty, 10, bytes((width,))))
    for width in (0, 19, 65, 255):
        raises(CorruptStore, "store-header", CertStore, resealed(empty, 10, bytes((width,))))

    def laid_out(count):
        fields = (count, 96, 96 + count * 28, 96 + count * 34)
        return resealed(empty, 16, b"".join([field.to_bytes(4, "little") for field in fields]))

    CertStore(laid_out(0))
    raises(CorruptStore, "store-header", CertStore, laid_out(1))
    if not ON_MICROPYTHON:
        # Too large for a heap that is like a device's.
        for count, fits in ((65535, True), (65536, False)):
            size = 96 + count * 34
            blob = resealed(laid_out(count), 12, size.to_bytes(4, "little")) + bytes(count * 34)
            if fits:
                assert len(CertStore(blob)) == count
            else:
                raises(CorruptStore, "store-header", CertStore, blob)


def test_no_file():
    error = raises(StoreError, "store-missing", CertStore, "no-such-folder/roots.bin")
    assert "no-such-folder/roots.bin" in error.found and error.errno == 2


def test_a_file_that_shrinks():
    if ON_MICROPYTHON:
        raise Skip("MicroPython's files cannot be cut")
    with File(BLOB) as path:
        opened = CertStore(path)
        with open(path, "r+b") as file:
            file.truncate(len(BLOB) // 2)
        raises(CorruptStore, "store-truncated", opened.verify)
        raises(CorruptStore, "store-truncated", opened.certificate, len(opened) - 1)
        opened.close()


def digested(content):
    """A whole blob around changed content: digest and header checksum hold."""
    return resealed(BLOB[: store.HEADER_LENGTH] + content, 44, hashlib.sha256(content).digest())


def content_with(at, value):
    content = bytearray(BLOB[store.HEADER_LENGTH :])
    content[at : at + len(value)] = value
    return bytes(content)


def test_verify_sees_what_the_digest_cannot():
    # Stores that were built wrong, or by someone who can compute a digest.
    width = 32
    entry = width + store.SKI_ENTRY_EXTRA
    subjects = len(STEMS) * entry
    records = subjects + len(STEMS) * store.SUBJECT_ENTRY
    content = BLOB[store.HEADER_LENGTH :]
    first, second = content[:entry], content[entry : 2 * entry]
    # The first SKI has 32 bytes; this entry tells 31, and one more of content.
    more = int.from_bytes(content[width + 1 : width + 4], "little") + 1
    shorter = b"\0\x1f" + more.to_bytes(3, "little")
    pair = content[subjects : subjects + 6], content[subjects + 6 : subjects + 12]
    rows = (
        (content_with(0, second + first), "store-index", "records out of order"),
        (content_with(0, second), "store-index", "one record twice"),
        (content_with(width - 1, b"\xff"), "store-index", "an SKI that is not the record's"),
        (content_with(width - 1, shorter), "store-index", "an SKI cut short, its last byte in the content"),
        (content_with(width, b"\x13"), "store-record", "an SKI of another length"),
        (content_with(width, b"\x21"), "store-index", "an SKI longer than the width"),
        (content_with(width + 1, CertStore(BLOB).largest.to_bytes(3, "little")), "store-index", "too long"),
        (content_with(width + 1, b"\xff\xff\xff"), "store-index", "a record too long"),
        (content_with(width + 4, b"\xff\xff\xff\xff"), "store-index", "a record outside"),
        (content_with(width + 4, bytes(4)), "store-index", "a record in the header"),
        (content_with(subjects, pair[1] + pair[0]), "store-index", "subject index out of order"),
        (content_with(subjects, pair[1]), "store-index", "one subject twice"),
        (content_with(subjects, b"\0"), "store-index", "a hash that is not the record's"),
        (content_with(subjects + 4, b"\xff\xff"), "store-index", "a number outside"),
        (content_with(records, b"\2"), "store-record", "another kind"),
        (content_with(records + 60, b"\0\0"), "store-record", "another certificate"),
    )
    for changed, code, why in rows:
        assert changed != content, why
        opened = CertStore(digested(changed))
        raises(CorruptStore, code, opened.verify)
        assert not opened.verified
    raises(CorruptStore, "store-check", CertStore(BLOB[: store.HEADER_LENGTH] + rows[0][0]).verify)
    CertStore(digested(content)).verify()
    longer = resealed(digested(content + bytes(4)), 12, (len(BLOB) + 4).to_bytes(4, "little"))
    raises(CorruptStore, "store-header", CertStore(longer).verify)
    wrong = resealed(BLOB, 32, (CertStore(BLOB).largest + 1).to_bytes(4, "little"))
    raises(CorruptStore, "store-header", CertStore(wrong).verify)


def test_verify_sees_records_out_of_order():
    entries = []
    for stem in ("ec_root", "rsa_root", "twin_a"):
        known = Certificate(DERS[stem])
        hash4 = names.subject_hash(known.subject)
        entries.append((known.ski + bytes(44), 20, known.der, store.ANCHOR, hash4))
    entries.sort()
    CertStore(anchors._blob(entries, 0)).verify()
    entries.reverse()
    error = raises(CorruptStore, "store-index", CertStore(anchors._blob(entries, 0)).verify)
    assert error.found == "SKI entry 1"


def test_unknown_kinds_of_records_are_newer():
    records = len(BLOB)
    opened = CertStore(BLOB)
    opened._locate(len(opened) - 1)
    start = opened._offset
    for at, value in ((0, 0), (0, 3), (2, 1), (3, 1)):
        record = bytearray(BLOB[start : records - 4])
        record[at] = value
        record = bytes(record) + binascii.crc32(record).to_bytes(4, "little")
        changed = CertStore(digested(BLOB[store.HEADER_LENGTH : start] + record))
        raises(StoreError, "store-version", changed.certificate, len(opened) - 1)
        raises(StoreError, "store-version", changed.verify)


def lookups(data, queries):
    """Every look-up in a damaged store: each finds its certificate, nothing, or a typed error."""
    results = [0, 0, 0]
    try:
        opened = CertStore(data)
    except SecureSocketError:
        return results
    for known, hash4 in queries:
        for number, find in ((0, opened.find), (1, opened.find_subject)):
            try:
                number = find(hash4 if number else known.ski)
                if number >= 0 and find == opened.find_subject:
                    number = opened.at_subject(number, hash4)
                found = None if number < 0 else bytes(opened.certificate(number))
            except SecureSocketError:
                results[2] += 1
                continue
            if found is None:
                results[1] += 1
            else:
                assert found == known.der, "another certificate"
                results[0] += 1
    if results[0] < 2 * len(queries):
        # What a caller does before it reports a miss.
        try:
            opened.verify()
            raise AssertionError("a damaged store verifies")
        except SecureSocketError:
            pass
    return results


def test_damage():
    small = anchors.build([DERS[stem] for stem in ("ec_root", "ski8", "leaf")], 1)
    queries = [(Certificate(DERS[stem]), 0) for stem in ("ec_root", "ski8", "leaf")]
    queries = [(known, names.subject_hash(known.subject)) for known, _ in queries]
    assert lookups(small, queries) == [6, 0, 0]
    total = [0, 0, 0]

    def add(data):
        results = lookups(data, queries)
        for i in range(3):
            total[i] += results[i]

    changed = bytearray(small)
    for at in range(0, len(small), 5 if ON_MICROPYTHON else 1):
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
    for size in range(len(small)):
        assert lookups(small[:size], queries) == [0, 0, 0]


def test_lookups_allocate_nothing():
    only_on_micropython("gc.mem_alloc is MicroPython's")
    import gc

    hits = [(known.ski, names.subject_hash(known.subject)) for known in KNOWN]
    misses = [(bytes(20), bytes(4)), (b"\xff" * 20, b"\xff" * 4), (b"\x80" * 8, b"\x80" * 4)]

    def look_up(opened, queries):
        for ski, hash4 in queries:
            opened.at_ski(opened.find(ski), ski)
            opened.at_subject(opened.find_subject(hash4), hash4)

    with File(BLOB) as path:
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


def test_no_big_int_for_a_good_record():
    # On 32-bit boards an int of 2**30 or more lives on the heap.
    good = 0x2144DF1C
    assert good < 2**30
    for data in (b"", b"x", BLOB):
        assert binascii.crc32(data + binascii.crc32(data).to_bytes(4, "little")) == good


def test_facts_and_store_agree():
    known = facts()
    opened = CertStore(BLOB)
    for stem in STEMS:
        assert DERS[stem] in by_ski(opened, bytes.fromhex(known[stem]["ski"]))

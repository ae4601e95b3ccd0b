"""certstore.verify: what a digest cannot see of stores that were built wrong, or by who can compute one."""

from certstore import anchors, layout
from certstore.errors import CorruptStore
from certstore.identities import Stored
from certstore.layout import HEADER_LENGTH
from certstore.store import CertStore
from certstore.writer import Entries, Writer
from stores import StreamStore, extents, little, resealed, sealed, set_header
from support import certificate_der, raises, vector

STEMS = ("rsa_root", "ec_root", "ski8", "ski32", "twin_a", "twin_b", "leaf")
IDENTITY = Stored("device", [certificate_der("ec_root")], vector("keys/ec_pkcs8.der"))
BLOB = anchors.build(
    [certificate_der(stem) for stem in STEMS], 1700000000, (IDENTITY,), ((b"R" * 20, b"HASH"),)
)
COUNT = len(STEMS) + 1
WIDTH = 32
ENTRY = WIDTH + layout.ENTRY_EXTRA
SUBJECTS = HEADER_LENGTH + COUNT * ENTRY
RECORDS = SUBJECTS + 2 * COUNT
IDENTITIES = little(BLOB, layout.AT_IDENTITIES, 4)


def with_bytes(at, value):
    return sealed(BLOB[:at] + value + BLOB[at + len(value) :])


def entry(number):
    return BLOB[HEADER_LENGTH + number * ENTRY :][:ENTRY]


def refused(data, code, why):
    for make in (CertStore, StreamStore):
        opened = make(data)
        try:
            raises(CorruptStore, code, opened.verify)
        except AssertionError as error:
            raise AssertionError(why + ": " + str(error))
        assert not opened.verified


def test_a_good_store_verifies():
    for data in (BLOB, sealed(BLOB), resealed(BLOB, extents(BLOB)[2])):
        assert data == BLOB
        for make in (CertStore, StreamStore):
            opened = make(data)
            opened.verify()
            assert opened.verified


def test_every_changed_byte_behind_the_header_is_seen():
    changed = bytearray(BLOB)
    for at in range(HEADER_LENGTH, len(BLOB), 13):
        changed[at] ^= 0x10
        raises(CorruptStore, "store-check", CertStore(changed).verify)
        changed[at] ^= 0x10


def test_what_the_digest_cannot_see():
    offset = HEADER_LENGTH + WIDTH + layout.ENTRY_HEAD
    at_length = HEADER_LENGTH + layout.AT_LENGTH
    size = BLOB[at_length]
    subjects = [BLOB[SUBJECTS + 2 * i :][:2] for i in range(COUNT)]
    rows = (
        (HEADER_LENGTH, entry(1) + entry(0), "store-index", "two entries changed places"),
        (HEADER_LENGTH, entry(1)[:-3] + entry(0)[-3:], "store-record", "the entry of another"),
        (HEADER_LENGTH + 5, bytes((entry(0)[5] ^ 1,)), "store-record", "an SKI that is not the record's"),
        (HEADER_LENGTH, b"\xa5", "store-record", "a hash that is not the record's"),
        (at_length, bytes((size - 1,)), None, "an SKI of another length"),
        (at_length, bytes((size | layout.REMOVED,)), "store-record", "an entry that hides, with a record"),
        (at_length, b"\x21", "store-index", "an SKI longer than the width"),
        (offset, b"\xff\xff\xff", "store-index", "a record outside"),
        (offset, (HEADER_LENGTH).to_bytes(3, "little"), "store-index", "a record in the SKI index"),
        (offset, (RECORDS - 1).to_bytes(3, "little"), "store-index", "a record in the subject index"),
        (offset, (RECORDS + 1).to_bytes(3, "little"), "store-record", "a record that begins late"),
        (offset + ENTRY, RECORDS.to_bytes(3, "little"), "store-index", "a record of no bytes"),
        (offset + ENTRY, (RECORDS + 4).to_bytes(3, "little"), "store-index", "a record of four bytes"),
        (offset + ENTRY, (RECORDS + 5).to_bytes(3, "little"), "store-record", "a record of five bytes"),
        (offset + ENTRY, IDENTITIES.to_bytes(3, "little"), None, "descending offsets"),
        (
            offset + (COUNT - 1) * ENTRY,
            (IDENTITIES - 4).to_bytes(3, "little"),
            None,
            "the last one too short",
        ),
        (SUBJECTS, subjects[1] + subjects[0], "store-index", "the subject index out of order"),
        (SUBJECTS, subjects[1], "store-index", "one subject twice"),
        (SUBJECTS, COUNT.to_bytes(2, "little"), "store-index", "a number outside"),
        (SUBJECTS + 2 * COUNT - 2, b"\xff\xff", "store-index", "a number far outside"),
        (RECORDS, bytes((BLOB[RECORDS] ^ 3,)), "store-record", "another kind"),
        (RECORDS + 30, b"\0\0\0", "store-record", "another certificate"),
        (IDENTITIES + 20, b"\0\0\0", "store-record", "another identity"),
    )
    for at, value, code, why in rows:
        data = with_bytes(at, value)
        assert data != BLOB, why
        if code is None:
            for make in (CertStore, StreamStore):
                try:
                    make(data).verify()
                    raise AssertionError(why)
                except CorruptStore as error:
                    assert error.code in ("store-record", "store-index", "store-header"), why
        else:
            refused(data, code, why)


def test_gaps_and_what_lies_behind():
    last = extents(BLOB)[-1]
    rows = (
        (BLOB[:RECORDS] + b"\0" + BLOB[RECORDS:], 1, "a gap before the records"),
        (BLOB[:IDENTITIES] + b"\0" + BLOB[IDENTITIES:], 1, "a gap before the identities"),
        (BLOB + b"\0", 0, "a byte behind the identities"),
    )
    for data, moved, why in rows:
        data = set_header(data, layout.AT_TOTAL, len(data).to_bytes(4, "little"))
        data = set_header(data, layout.AT_IDENTITIES, (IDENTITIES + moved).to_bytes(4, "little"))
        if why == "a gap before the records":
            # Every offset is right again.
            changed = bytearray(data)
            for begin, _, start, _ in extents(BLOB):
                changed[begin + ENTRY - 3 : begin + ENTRY] = (start + 1).to_bytes(3, "little")
            data = bytes(changed)
        for make in (CertStore, StreamStore):
            opened = make(sealed(data))
            try:
                opened.verify()
                raise AssertionError(why)
            except CorruptStore as error:
                assert error.code in ("store-index", "store-record"), why
    assert last[3] == IDENTITIES


def test_a_header_that_tells_another_count():
    for count in (COUNT - 1, COUNT + 1, 0):
        data = set_header(BLOB, layout.AT_COUNT, count.to_bytes(4, "little"))
        for make in (CertStore, StreamStore):
            try:
                make(data).verify()
                raise AssertionError(count)
            except CorruptStore as error:
                assert error.code in ("store-index", "store-record")


def test_a_header_that_tells_a_largest_too_small():
    largest = CertStore(BLOB).largest
    for less in (1, 100, largest):
        data = set_header(BLOB, layout.AT_LARGEST, (largest - less).to_bytes(4, "little"))
        for make in (CertStore, StreamStore):
            opened = make(data)
            error = raises(CorruptStore, "store-header", opened.verify)
            assert "%d bytes" % (largest - less) in error.found
            # It is the store's fault, not that of a caller who believed it.
            for number in opened.numbers():
                try:
                    opened.certificate(number, bytearray(opened.largest))
                except CorruptStore as error:
                    assert error.code == "store-header"
                assert bytes(opened.certificate(number)) == bytes(CertStore(BLOB).certificate(number))


def test_a_largest_too_small_is_seen_of_whole_certificates_too():
    blob = anchors.build([certificate_der("leaf")], 0)
    largest = CertStore(blob).largest
    refused(set_header(blob, layout.AT_LARGEST, (largest - 1).to_bytes(4, "little")), "store-header", "whole")


def test_a_header_that_tells_other_identities():
    for count in (0, 2, 255):
        data = set_header(BLOB, layout.AT_IDENTITY_COUNT, bytes((count,)))
        for make in (CertStore, StreamStore):
            try:
                make(data).verify()
                raise AssertionError(count)
            except CorruptStore as error:
                assert error.code in ("store-index", "store-record")


def test_records_out_of_order():
    rows = anchors.entries([certificate_der(stem) for stem in ("ec_root", "rsa_root", "twin_a")])

    class Backwards(Entries):
        def __init__(self, rows):
            super().__init__(rows)
            self._rows.reverse()
            self._by_hash.sort(key=lambda number: self._rows[number][0][:4])

    for source, fits in ((Entries, True), (Backwards, False)):
        parts = []
        # A Writer trusts that its sources are in order.
        header = Writer(Entries([]), source(list(rows)), 0).write(parts.append)
        opened = CertStore(header + b"".join(parts))
        if fits:
            opened.verify()
        else:
            assert raises(CorruptStore, "store-index", opened.verify).found == "SKI entry 1"

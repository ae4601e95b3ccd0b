"""certstore.writer: blobs of two sources are those that are built at once; limits."""

from certstore import anchors, layout
from certstore.errors import StoreError
from certstore.identities import Stored
from certstore.layout import EXACT, NOTHING
from certstore.store import CertStore
from certstore.writer import Entries, Writer, buffer_size, record
from stores import StreamStore, ca, extension
from support import ON_MICROPYTHON, Skip, certificate_der, raises, vector

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
    "same_name",
    "leaf",
    "version1",
)
DERS = [certificate_der(stem) for stem in STEMS] + [
    ca(b"whole", ski=b"W" * 20, more=(extension(30, b"\x30\0"),))
]
HIDDEN = ((b"R" * 20, b"HASH"), (b"\1\2\3", b"\0\0\0\0"))
IDENTITY = Stored("device", [certificate_der("ec_root")], vector("keys/ec_pkcs8.der"))


def written(writer):
    parts = []
    header = writer.write(lambda data: parts.append(bytes(data)))
    return header + b"".join(parts)


def source(kind, certificates, removed=()):
    """The same entries as a source of a Writer: in memory, in a store, in a store that is read as a file."""
    if kind is Entries:
        rows = anchors.entries(certificates) + [record(hash4, ski, NOTHING) for ski, hash4 in removed]
        return Entries(rows)
    return kind(anchors.build(certificates, 5, (), removed))


def test_two_sources_make_what_is_built_at_once():
    expected = anchors.build(DERS, 7, (IDENTITY,), HIDDEN)
    made = [IDENTITY.record()]
    for first_kind in (Entries, CertStore, StreamStore):
        for second_kind in (Entries, CertStore, StreamStore):
            for split in (0, 1, 6, len(DERS)):
                for hidden in ((HIDDEN, ()), ((), HIDDEN), (HIDDEN[:1], HIDDEN)):
                    first = source(first_kind, DERS[:split], hidden[0])
                    second = source(second_kind, DERS[split:], hidden[1])
                    writer = Writer(first, second, 7, made)
                    assert writer.count == len(DERS) + 2
                    assert writer.added == writer.count - len(first)
                    assert written(writer) == expected
                    # A journal writes it twice.
                    assert written(writer) == expected


def test_what_both_have_goes_in_once():
    expected = anchors.build(DERS, 7)
    every = range(len(DERS))
    for first, second in (
        (DERS, DERS),
        (DERS[:8], DERS[4:]),
        (DERS[4:], DERS[:8]),
        (DERS[::2] + DERS[1::4], DERS),
    ):
        writer = Writer(source(CertStore, first), source(Entries, second), 7)
        assert written(writer) == expected and writer.count == len(every)
        assert writer.added == len(DERS) - len(first)


def test_certificates_of_one_checksum_are_told_apart():
    # The bits of CRC-32's polynomial change no checksum.
    content = b"two certificates"
    changed = bytearray(content)
    for at, bits in enumerate(b"\x41\x06\x71\xdb\x01"):
        changed[at] ^= bits
    first, second = [record(b"HASH", b"s" * 20, EXACT, bytes(each)) for each in (content, changed)]
    assert first[0] == second[0] and first[1] != second[1] and first[1][-4:] == second[1][-4:]
    for rows in ([first, second], [second, first], [first, second, second]):
        opened = CertStore(written(Writer(Entries([]), Entries(rows), 0)))
        opened.verify()
        assert len(opened) == 2
        assert sorted(bytes(opened.record(number)) for number in (0, 1)) == sorted((first[1], second[1]))


def test_what_is_not_kept_does_not_go_in():
    ski = CertStore(anchors.build(DERS[6:7], 0)).ski(0)
    kept = [der for der in DERS if CertStore(anchors.build([der], 0)).ski(0) != ski]
    assert len(kept) == len(DERS) - 2
    first = source(CertStore, DERS)
    writer = Writer(first, Entries([]), 7, (), lambda entry: entry[layout.ENTRY_HEAD :] != ski)
    assert (writer.count, writer.added) == (len(kept), 0)
    assert written(writer) == anchors.build(kept, 7)
    # It can come back from the second source.
    writer = Writer(first, source(Entries, DERS[6:7]), 7, (), lambda entry: entry[layout.ENTRY_HEAD :] != ski)
    assert (writer.count, writer.added) == (len(kept) + 1, 1)
    assert written(writer) == anchors.build(kept + DERS[6:7], 7)


def test_nothing_makes_an_empty_store():
    writer = Writer(Entries([]), Entries([]), 3)
    assert written(writer) == anchors.build([], 3) and (writer.count, writer.added) == (0, 0)


def test_what_is_written_in_pieces_is_in_order():
    sizes = []
    writer = Writer(Entries([]), source(Entries, DERS), 7)
    writer.write(lambda data: sizes.append(len(data)))
    # Nothing is held: a piece is an entry, a number or a record.
    assert max(sizes) < 2000 and len(sizes) == 3 * len(DERS)


def fakes(count, size=0):
    """A source of entries that nobody parses."""
    rows = []
    for number in range(count):
        rows.append(
            record(b"HASH", (number * 2654435761 & 0xFFFFFFFF).to_bytes(20, "big"), EXACT, bytes(size))
        )
    return rows


def too_large_for_a_device():
    if ON_MICROPYTHON:
        raise Skip("a heap like a device's does not hold so many")


def test_65535_certificates_and_no_more():
    too_large_for_a_device()
    rows = fakes(65535)
    opened = CertStore(written(Writer(Entries([]), Entries(list(rows)), 0)))
    opened.verify()
    assert len(opened) == 65535
    more = rows + [record(b"HASH", b"one more", EXACT)]
    error = raises(StoreError, "store-full", Writer, Entries([]), Entries(more), 0)
    assert error.found == "65536"
    raises(StoreError, "store-full", Writer, opened, Entries(more), 0)
    # Those that were there count once.
    assert Writer(opened, Entries(rows), 0).count == 65535
    twice = Entries(rows + rows)
    assert len(twice) == 131070 and Writer(Entries([]), twice, 0).count == 65535
    raises(StoreError, "store-full", Writer, Entries([]), Entries(fakes(70000)), 0)


def test_16_mb_and_no_more():
    too_large_for_a_device()
    # Header, one entry of each index, kind and checksum.
    around = 96 + 28 + 2 + 5
    for more, fits in ((0, True), (1, False)):
        rows = [record(b"HASH", bytes(20), EXACT, bytes(0xFFFFFF - around + more))]
        writer = Writer(Entries([]), Entries(rows), 0)
        if fits:
            blob = written(writer)
            assert len(blob) == 0xFFFFFF and len(CertStore(blob)) == 1
        else:
            error = raises(StoreError, "store-size", writer.write, len)
            assert error.found == "16777216 bytes"


def test_255_identities_and_no_more():
    identities = [Stored("%d" % i, [b"\x30\0"], b"\x30\6\2\1\0\x30\1\0") for i in range(256)]
    for count, fits in ((255, True), (256, False)):
        made = [identity.record() for identity in identities[:count]]
        if fits:
            opened = CertStore(written(Writer(Entries([]), Entries([]), 0, made)))
            opened.verify()
            assert opened.identity_count == 255 and opened.identity(254).label == "254"
        else:
            raises(StoreError, "store-full", Writer, Entries([]), Entries([]), 0, made)


def test_certificates_of_64_kb_and_no_more():
    for more, fits in ((0, True), (1, False)):
        # An extension that nobody knows, and its headers.
        der = ca(ski=b"a" * 20, more=(b"",))
        size = 0xFFFF - len(der) - 200
        while len(der) < 0xFFFF + more:
            der = ca(ski=b"a" * 20, more=(extension(99, bytes(size)),))
            size += 0xFFFF + more - len(der)
        assert len(der) == 0xFFFF + more
        # It is packed: what is large about it is dropped.
        if fits:
            assert CertStore(anchors.build([der], 0)).is_packed(0)
        else:
            error = raises(StoreError, "store-size", anchors.build, [der], 0)
            assert error.found == "a certificate of 65536 bytes"


def test_what_a_buffer_needs():
    for der in DERS:
        opened = StreamStore(anchors.build([der], 0))
        made = bytes(opened.record(0))
        assert buffer_size(made) == opened.largest
        size = len(opened.certificate(0))
        assert opened.largest == (max(size, len(made)) if opened.is_packed(0) else size + 5)
    assert buffer_size(record(b"HASH", b"ski", NOTHING)[1]) == 5


def test_an_ski_of_64_bytes_and_none_longer():
    entry, _ = record(b"HASH", bytes(64), EXACT)
    assert len(entry) == 69
    error = raises(StoreError, "store-ski", record, b"HASH", bytes(65), EXACT)
    assert error.found == "65 bytes"

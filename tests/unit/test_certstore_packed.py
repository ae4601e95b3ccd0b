"""certstore.packed: laying out, in a buffer of its own and over the record, and what no builder makes."""

import hashlib

from certstore import packed
from certstore.anchors import kind_of
from certstore.asn1 import encode
from certstore.certificate import Certificate
from certstore.errors import CorruptStore, FormatError, SecureSocketError, StoreError
from certstore.layout import MAX_LAID_OUT, RECORD_CHECK
from certstore.packing import pack
from certstore.words import FRAMES, LENGTHS, STARTS, TEXT
from stores import attribute, ca, path_length
from support import ON_MICROPYTHON, certificate_der, common_name, raises

NAMES = (
    common_name(b"x"),
    encode(0x30, attribute(6, 0x13, b"US"), attribute(10, 0x13, b"Google Trust ServicesCo., Ltd.")),
    encode(0x30, attribute(3, 0x0C, b"n" * 700)),
    b"\x30\0",
)


def test_the_dictionary_is_part_of_the_format():
    # Stores are built with it and read without its source: a change needs another version of the format.
    digest = hashlib.sha256(FRAMES + TEXT + STARTS + LENGTHS).digest().hex()
    assert digest == "1ea1e783faefe33d01443dcb7271e7d1d74a0f630daa01228de6d34f72e48f40"
    assert (len(FRAMES), len(TEXT), len(STARTS), len(LENGTHS)) == (154, 708, 174, 87)


def test_the_forms_of_keys_are_part_of_the_format():
    digest = hashlib.sha256()
    for before, size, after in packed.FORMS:
        digest.update(before + size.to_bytes(2, "big") + after)
    assert digest.digest().hex() == "1ebb498a26e5dd8ba36b912ef3768fb36a508659dae426defdf3659ae4a805ac"


def test_words_lie_in_the_text():
    assert len(STARTS) == 2 * len(LENGTHS) and len(LENGTHS) <= 128
    assert len(FRAMES) % packed.FRAME_SIZE == 0 and len(FRAMES) // packed.FRAME_SIZE <= packed.FIRST_RUN
    seen = set()
    for index, size in enumerate(LENGTHS):
        start = STARTS[2 * index] << 8 | STARTS[2 * index + 1]
        word = TEXT[start : start + size]
        assert len(word) == size > 2
        seen.add(word)
    assert len(seen) == len(LENGTHS)


HEAD = bytes.fromhex("04ff06" + "20200229123456" + "20491231235959")
POINT = bytes(range(64))
# A frame for CN as a UTF8String of 2 bytes, and those bytes: 15 bytes of a Name with its header as a run.
RECORD = HEAD + b"\x0f\0" + b"\x21\x30\x0d" + b"\1\2" + b"\x21hi" + POINT
LAID_OUT = (
    bytes.fromhex(
        "3081e4"
        "3081d2"
        "a003020102"
        "020101"
        "300a06082a8648ce3d040302"
        "300d310b300906035504030c026869"
        "301e170d3230303232393132333435365a170d3439313233313233353935395a"
        "300d310b300906035504030c026869"
        "3059301306072a8648ce3d020106082a8648ce3d03010703420004"
    )
    + POINT
    + bytes.fromhex(
        "a3233021"
        "300f0603551d130101ff040530030101ff"
        "300e0603551d0f0101ff040403020106"
        "300a06082a8648ce3d040302"
        "030100"
    )
)


def test_a_record_and_its_certificate_byte_by_byte():
    assert bytes(packed.lay_out(RECORD, 0, len(RECORD))) == LAID_OUT
    assert packed.laid_out_size(RECORD, 0, len(RECORD)) == len(LAID_OUT)
    assert pack(Certificate(LAID_OUT)) == RECORD


def in_place(content, more=0):
    """Laid out as from a file: over the record, which lies at the end of a buffer of just enough bytes."""
    size = max(packed.laid_out_size(content, 0, len(content)), len(content) + RECORD_CHECK) + more
    buffer = memoryview(bytearray(b"\xa5" * size))
    stop = size - RECORD_CHECK
    buffer[stop - len(content) : stop] = content
    return bytes(packed.lay_out(buffer, stop - len(content), stop, buffer))


def anchors():
    """Packed contents, of every form of key and of names short and long."""
    found = [
        pack(Certificate(certificate_der(stem)))
        for stem in ("rsa_root", "ec384_path0", "ed25519", "odd_name")
    ]
    for name in NAMES:
        for before, size, after in packed.FORMS:
            found.append(pack(Certificate(ca(name=name, key=before + b"\x80" * size + after))))
        found.append(
            pack(Certificate(ca(name=name, key=encode(0x30, b"\5\0"), usage=None, basic=path_length(9))))
        )
    found.append(pack(Certificate(ca(name=encode(0x30, b"\xfe" * 2044), key=encode(0x30, b"\xfd" * 2044)))))
    return found


def test_into_another_buffer_and_over_the_record():
    for content in anchors():
        fresh = packed.lay_out(content, 0, len(content))
        size = len(fresh)
        assert size == packed.laid_out_size(content, 0, len(content))
        assert len(content) < size < MAX_LAID_OUT
        fresh = bytes(fresh)
        for more in (0, 1, 500):
            assert in_place(content, more) == fresh
            into = memoryview(bytearray(b"\x5a" * (size + more)))
            assert bytes(packed.lay_out(b"junk" + content + b"junk", 4, 4 + len(content), into)) == fresh
            # What lies behind is left alone.
            assert bytes(into[size:]) == b"\x5a" * more
        try:
            packed.lay_out(content, 0, len(content), memoryview(bytearray(size - 1)))
            raise AssertionError("a buffer too small")
        except ValueError as error:
            assert "%d bytes" % size in str(error)


def test_every_key_usage_and_path_length():
    for usage in range(256):
        content = bytes((4, 255, usage)) + RECORD[3:]
        seen = Certificate(packed.lay_out(content, 0, len(content)))
        expected = 0
        for bit in range(8):
            expected |= (usage >> (7 - bit) & 1) << bit
        assert seen.key_usage == (expected if usage else None), usage
    for length in range(256):
        content = bytes((4, length)) + RECORD[2:]
        if 128 <= length <= 254:
            raises(CorruptStore, "store-record", packed.lay_out, content, 0, len(content))
            raises(CorruptStore, "store-record", packed.laid_out_size, content, 0, len(content))
        else:
            seen = Certificate(packed.lay_out(content, 0, len(content)))
            assert seen.path_length == (None if length == 255 else length)


def with_name(tokens, size):
    return HEAD + size.to_bytes(2, "little") + tokens + POINT


# why, tokens, length of the name they are for, error
TOKENS = (
    ("an empty name", b"", 0, None),
    ("no tokens", b"", 1, CorruptStore),
    ("a byte too few", b"\x21\x30\x00", 3, CorruptStore),
    ("a byte too many", b"\x21\x30\x00", 1, CorruptStore),
    ("the longest run", b"\x7f" + b"r" * 96, 96, None),
    ("runs far beyond the name", (b"\x7f" + b"r" * 96) * 9, 1, CorruptStore),
    ("words far beyond the name", b"\xa9" * 99, 1, CorruptStore),
    ("frames far beyond the name", b"\0\0" * 99, 1, CorruptStore),
    ("a run into the key", b"\x7f" + b"r" * 95, 96, CorruptStore),
    ("a word too long", b"\x80", 10, CorruptStore),
    ("the first word", b"\x80", 11, None),
    ("the last word", b"\xd6", 16, None),
    ("a word that is not known", b"\xd7", 16, StoreError),
    ("the last that there could be", b"\xff", 16, StoreError),
    ("the last frame", b"\x0d\0", 11, None),
    ("a frame that is not known", b"\x0e\0", 11, CorruptStore),
    ("the last that there could be", b"\x1f\0", 11, CorruptStore),
    ("a frame of the longest value", b"\0\x76", 11, None),
    ("a frame of a longer value", b"\0\x77", 11, CorruptStore),
    ("a frame of the longest of all", b"\0\xff", 11, CorruptStore),
    ("a frame without a length", b"\0", 11, CorruptStore),
    ("a frame too long", b"\0\0", 10, CorruptStore),
    ("a name longer than any", b"\x80", 0xFFFF, CorruptStore),
)


def test_tokens_of_names():
    for why, tokens, size, error in TOKENS:
        content = with_name(tokens, size)
        for lay_out in (lambda record: bytes(packed.lay_out(record, 0, len(record))), in_place):
            if error is None:
                assert POINT in lay_out(content), why
            else:
                raises(error, "store-record" if error is CorruptStore else "store-version", lay_out, content)


def test_forms_that_are_not_known_are_newer():
    for form in (len(packed.FORMS) + 1, 128, 255):
        content = bytes((form,)) + RECORD[1:]
        error = raises(StoreError, "store-version", packed.lay_out, content, 0, len(content))
        assert error.found == "a key of form %d" % form


def test_records_too_short():
    for whole in (0, 4):
        content = bytes((whole,)) + RECORD[1:]
        for size in range(2, len(content)):
            # Its checksum, and what a buffer has before and behind.
            record = b"\3" + content[:size] + b"\xff\xff\xff\xff"
            raises(CorruptStore, "store-record", packed.lay_out, record, 1, 1 + size)
            if size < 19 + 64:
                raises(CorruptStore, "store-record", packed.laid_out_size, record, 1, 1 + size)


def test_whole_keys_that_reach_outside():
    content = b"\0" + RECORD[1:19] + RECORD[19:27] + b"KEY"
    for size, fits in (
        (0, False),
        (3, True),
        (4, False),
        (11, False),
        (12, False),
        (30, False),
        (0xFFFF, False),
    ):
        record = content + size.to_bytes(2, "little")
        if fits:
            assert bytes(packed.lay_out(record, 0, len(record))).find(b"KEY") > 0
        else:
            raises(CorruptStore, "store-record", packed.lay_out, record, 0, len(record))


def test_tokens_longer_than_the_name_are_laid_out_alike_everywhere():
    # Runs of one byte, which no builder makes: the record begins early in its buffer.
    for size in (3, 40, 90, 200, 1000, 2048):
        name = encode(0x30, bytes((i & 127 for i in range(size))))
        content = with_name(b"".join([bytes((packed.FIRST_RUN, byte)) for byte in name]), len(name))
        expected = bytes(packed.lay_out(content, 0, len(content)))
        assert bytes(Certificate(expected).subject) == bytes(Certificate(expected).issuer) == name
        assert in_place(content) == expected, size


def test_the_largest_that_is_laid_out():
    def content(size):
        return b"\0" + with_name(b"", 0)[1:19] + b"\1" * size + size.to_bytes(2, "little")

    rest = packed.laid_out_size(content(1000), 0, 1021) - 1000
    last = content(MAX_LAID_OUT - rest)
    assert len(packed.lay_out(last, 0, len(last))) == MAX_LAID_OUT
    more = content(MAX_LAID_OUT - rest + 1)
    raises(CorruptStore, "store-record", packed.lay_out, more, 0, len(more))
    raises(CorruptStore, "store-record", packed.laid_out_size, more, 0, len(more))


def test_damage_gives_a_certificate_or_a_typed_error():
    laid_out = errors = 0
    contents = [
        RECORD,
        pack(Certificate(certificate_der("odd_name"))),
        pack(Certificate(certificate_der("ed25519"))),
    ]
    for content in contents:
        changed = bytearray(content)
        for at in range(0, len(content), 3 if ON_MICROPYTHON else 1):
            old = changed[at]
            for value in (
                (0, 1, 0x1F, 0x20, 0x7F, 0x80, 0xFF, old ^ 1, old ^ 0x80) if ON_MICROPYTHON else range(256)
            ):
                changed[at] = value
                try:
                    fresh = bytes(packed.lay_out(changed, 0, len(changed)))
                except SecureSocketError as error:
                    errors += 1
                    raises(type(error), error.code, in_place, bytes(changed))
                    continue
                laid_out += 1
                assert in_place(bytes(changed)) == fresh
                try:
                    kind_of(Certificate(fresh))
                except FormatError:
                    pass
            changed[at] = old
    assert laid_out > 100 and errors > 50


def test_times_with_letters_are_refused_when_they_are_read():
    content = RECORD[:3] + b"\x20\xab" + RECORD[5:]
    seen = Certificate(packed.lay_out(content, 0, len(content)))
    raises(FormatError, "der-value", getattr, seen, "not_before")

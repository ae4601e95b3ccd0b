"""certstore.der: each rule of the cursor from both sides, and hostile input."""

from certstore import asn1
from certstore.der import Der
from certstore.errors import FormatError
from support import ON_MICROPYTHON, attack, certificate_der, only_on_micropython, raises

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, SEQUENCE = 0x01, 0x02, 0x03, 0x04, 0x05, 0x30


def unhex(text):
    return bytes.fromhex(text.replace(" ", ""))


def walk(data):
    """All elements of one level as (tag, content)."""
    cursor = Der(memoryview(data))
    found = []
    while cursor.next():
        found.append((cursor.tag, bytes(cursor.content())))
    return found


# (DER in hex, code of the error or None, why)
LENGTHS = (
    ("0400", None, "empty content"),
    ("047f" + "00" * 127, None, "longest short form"),
    ("048180" + "00" * 128, None, "shortest long form"),
    ("04817f" + "00" * 127, "der-length", "long form of what fits the short one"),
    ("0481ff" + "00" * 255, None, "longest length of one byte"),
    ("04820100" + "00" * 256, None, "shortest length of two bytes"),
    ("048200ff" + "00" * 255, "der-length", "leading zero in the length"),
    ("0483010000" + "00" * 65536, None, "shortest length of three bytes"),
    ("048400000001" + "00", "der-length", "four length bytes"),
    ("048401000000", "der-length", "four length bytes, the first not 0"),
    ("0480" + "0000", "der-length", "indefinite"),
    ("0480", "der-length", "indefinite, nothing behind"),
    ("04ff", "der-length", "reserved first length byte"),
    ("04", "der-truncated", "no length"),
    ("0401", "der-truncated", "no content"),
    ("048101", "der-length", "long form of 1"),
    ("0482", "der-truncated", "length cut off"),
    ("048201", "der-truncated", "length cut off in the middle"),
    ("0483ffffff", "der-truncated", "longer than the buffer"),
    ("1e00", None, "highest low tag number"),
    ("1f00", "der-tag", "high tag number"),
    ("bf8f00", "der-tag", "high tag number in the context class"),
)


def test_lengths_and_tags():
    for text, code, why in LENGTHS:
        data = unhex(text)
        if code is None:
            assert len(walk(data)) == 1, why
            assert walk(data + data) == walk(data) * 2, why
        else:
            error = raises(FormatError, code, walk, data)
            assert "byte 0" in str(error), why
            assert "byte 2" in str(raises(FormatError, code, walk, b"\x05\x00" + data)), why


def test_bounds_are_those_given():
    data = unhex("0000 0401aa 0401bb 0000")
    cursor = Der(data, 2, 5)
    assert cursor.next() and cursor.content() == b"\xaa" and cursor.element() == unhex("0401aa")
    assert cursor.done() and not cursor.next()
    raises(FormatError, "der-truncated", Der(data, 2, 4).next)
    raises(FormatError, "der-truncated", Der, data, 0, len(data) + 1)


def test_one_cursor_walks_a_tree():
    data = unhex("3008 3003 0201 05 0101ff") + b"!"
    cursor = Der(memoryview(data), 0, len(data) - 1)
    cursor.expect(SEQUENCE)
    outer = cursor.enter()
    cursor.expect(SEQUENCE)
    inner = cursor.enter()
    cursor.expect(INTEGER)
    assert cursor.small() == 5 and cursor.done()
    cursor.leave(inner)
    assert not cursor.optional(INTEGER)
    assert cursor.optional(BOOLEAN) and cursor.boolean()
    assert not cursor.optional(BOOLEAN)
    cursor.leave(outer)
    cursor.finish()


def test_an_element_cannot_reach_beyond_its_parent():
    cursor = Der(unhex("3002 0401 aa"))
    cursor.expect(SEQUENCE)
    cursor.enter()
    raises(FormatError, "der-truncated", cursor.next)


def test_expectations():
    cursor = Der(b"\x04\x00\x04\x00")
    error = raises(FormatError, "der-tag", cursor.expect, SEQUENCE)
    assert error.found == "tag 0x04 at byte 0" and error.expected == "tag 0x30"
    raises(FormatError, "der-trailing", cursor.finish)
    cursor.expect()
    assert cursor.tag == OCTET_STRING
    raises(FormatError, "der-truncated", cursor.enter, 1)
    raises(FormatError, "der-truncated", cursor.expect)
    raises(FormatError, "der-truncated", cursor.expect, NULL)
    cursor = Der(b"\x30\x02\x05\x00")
    cursor.next()
    outer = cursor.enter()
    raises(FormatError, "der-trailing", cursor.leave, outer)


def small(text):
    cursor = Der(unhex(text))
    cursor.next()
    return cursor.small()


def test_small_integers():
    rows = (("020100", 0), ("02017f", 127), ("02020080", 128), ("02027fff", 32767), ("02037fffff", 8388607))
    for text, value in rows:
        assert small(text) == value
    for text in ("0200", "020180", "0202007f", "02020000", "0203800000", "020400800000"):
        raises(FormatError, "der-value", small, text)


def test_booleans():
    def boolean(text):
        cursor = Der(unhex(text))
        cursor.next()
        return cursor.boolean()

    assert boolean("0101ff") is True and boolean("010100") is False
    for text in ("010101", "0100", "0102ffff"):
        raises(FormatError, "der-value", boolean, text)


def test_object_identifiers():
    rows = (
        ("550403", "2.5.4.3"),
        ("2a864886f70d010101", "1.2.840.113549.1.1.1"),
        ("00", "0.0"),
        ("27", "0.39"),
        ("28", "1.0"),
        ("50", "2.0"),
        ("883703", "2.999.3"),
        ("55" + "ff" * 9 + "7f", "2.5.%d" % (2**70 - 1)),
    )
    for text, dotted in rows:
        assert asn1.dotted(unhex(text)) == dotted
        assert asn1.dotted(memoryview(unhex(text))) == dotted
    for text in ("", "80", "5580", "558001", "5504ff"):
        raises(FormatError, "der-value", asn1.dotted, unhex(text))


def test_encode_is_read_back():
    for size in (0, 1, 127, 128, 255, 256, 65535, 65536):
        content = bytes(size)
        encoded = asn1.encode(OCTET_STRING, content)
        assert walk(encoded) == [(OCTET_STRING, content)]
    assert asn1.encode(SEQUENCE, b"\x05\x00", memoryview(b"\x05\x00")) == unhex("3004 0500 0500")


def read_tree(data):
    """Walks into everything constructed; deep enough for a certificate, no deeper than the stack."""
    cursor = Der(memoryview(data))

    def level(depth):
        while cursor.next():
            if cursor.tag & 0x20 and depth < 12:
                outer = cursor.enter()
                level(depth + 1)
                cursor.leave(outer)

    level(0)
    cursor.finish()


def test_hostile_input():
    data = certificate_der("leaf")
    read_tree(data)
    values, errors = attack(read_tree, data, stride=3 if ON_MICROPYTHON else 1)
    assert values and errors


def test_stepping_allocates_nothing():
    only_on_micropython("gc.mem_alloc is MicroPython's")
    import gc

    cursor = Der(memoryview(certificate_der("leaf")))
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    cursor.next()
    cursor.enter()
    cursor.next()
    outer = cursor.enter()
    while cursor.next():
        pass
    cursor.leave(outer)
    cursor.expect(SEQUENCE)
    cursor.optional(BIT_STRING)
    cursor.finish()
    used = gc.mem_alloc() - before
    gc.enable()
    assert used == 0, used

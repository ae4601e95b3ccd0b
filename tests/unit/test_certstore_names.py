"""certstore.names: RFC 4514 text, what is never printed, and equality as mbedTLS has it."""

import hashlib

from certstore import hosts, names, subjects
from certstore.asn1 import encode
from certstore.errors import FormatError
from support import ON_MICROPYTHON, attack, certificate_der, facts, raises

UTF8, PRINTABLE, TELETEX, IA5, UNIVERSAL, BMP = 0x0C, 0x13, 0x14, 0x16, 0x1C, 0x1E
CN, ORG, OU, C = b"\x55\x04\x03", b"\x55\x04\x0a", b"\x55\x04\x0b", b"\x55\x04\x06"


def attribute(kind, tag, value):
    return encode(0x30, encode(0x06, kind), encode(tag, value))


def name(*rdns):
    """A Name of RDNs, each a tuple (type, tag, value) or a list of them."""
    sets = []
    for rdn in rdns:
        group = rdn if isinstance(rdn, list) else [rdn]
        sets.append(encode(0x31, *[attribute(*row) for row in group]))
    return encode(0x30, *sets)


def text(tag, value, limit=names.LIMIT):
    """The text of a common name's value."""
    shown = names.format_name(name((CN, tag, value)), limit)
    assert shown.startswith("CN=")
    return shown[3:]


def test_order_and_short_names():
    dn = name((C, PRINTABLE, b"XX"), (ORG, UTF8, b"Org"), [(CN, UTF8, b"a"), (OU, UTF8, b"b")])
    assert names.format_name(dn) == "CN=a+OU=b,O=Org,C=XX"
    assert names.format_name(memoryview(dn)) == "CN=a+OU=b,O=Org,C=XX"
    assert names.format_name(name()) == ""
    rows = (
        ("550403", "CN"),
        ("55040a", "O"),
        ("55040b", "OU"),
        ("550406", "C"),
        ("550407", "L"),
        ("550408", "ST"),
        ("550409", "STREET"),
        ("550405", "serialNumber"),
        ("0992268993f22c640119", "DC"),
        ("0992268993f22c640101", "UID"),
        ("2a864886f70d010901", "emailAddress"),
    )
    for oid, short in rows:
        assert names.format_name(name((bytes.fromhex(oid), IA5, b"v"))) == short + "=v"


def test_unknown_types_and_values():
    assert names.format_name(name((b"\x55\x04\x04", UTF8, b"Doe"))) == "2.5.4.4=#0C03446F65"
    assert text(0x03, b"\0\x80") == "#03020080"
    assert text(0x30, b"\x05\0") == "#30020500"
    # 42 characters of room show no more, however long the value is.
    assert text(0x03, bytes(60000), 42) == "#0382EA60" + "0" * 27 + "..."


# (type, bytes of the value, text)
VALUES = (
    (UTF8, b"plain text", "plain text"),
    (UTF8, b'a,b+c"d\\e<f>g;h', 'a\\,b\\+c\\"d\\\\e\\<f\\>g\\;h'),
    (UTF8, b"#hash # x", "\\#hash # x"),
    (UTF8, b" both ", "\\ both\\ "),
    (UTF8, b"  ", "\\ \\ "),
    (UTF8, b" ", "\\ "),
    (UTF8, b"\\ ", "\\\\\\ "),
    (UTF8, b"", ""),
    (UTF8, b"a=b", "a=b"),
    (UTF8, "Lučić Ω 日本 😀".encode(), "Lučić Ω 日本 😀"),
    (UTF8, b"a\0b\x1b[2J\x07\x7f", "a\\00b\\1B[2J\\07\\7F"),
    (UTF8, "\x85\x9b\xad".encode(), "\\u{85}\\u{9B}\\u{AD}"),
    (
        UTF8,
        "\u202ea\u202c\u2066b\u2069\u200e\u061c".encode(),
        "\\u{202E}a\\u{202C}\\u{2066}b\\u{2069}\\u{200E}\\u{61C}",
    ),
    (UTF8, "a\u200bb\u200d\ufeff\u2060".encode(), "a\\u{200B}b\\u{200D}\\u{FEFF}\\u{2060}"),
    (UTF8, "\u2028\u2029\U000e0041".encode(), "\\u{2028}\\u{2029}\\u{E0041}"),
    # No UTF-8: lone continuation, cut sequence, overlong, surrogate, above U+10FFFF, never a lead.
    (UTF8, b"\x80", "\\80"),
    (UTF8, b"\xc3", "\\C3"),
    (UTF8, b"\xc3(", "\\C3("),
    (UTF8, b"\xe2\x82", "\\E2\\82"),
    (UTF8, b"\xc0\xaf", "\\C0\\AF"),
    (UTF8, b"\xe0\x80\xaf", "\\E0\\80\\AF"),
    (UTF8, b"\xf0\x80\x80\xaf", "\\F0\\80\\80\\AF"),
    (UTF8, b"\xed\xa0\x80", "\\u{D800}"),
    (UTF8, b"\xf4\x90\x80\x80", "\\F4\\90\\80\\80"),
    (UTF8, b"\xf4\x8f\xbf\xbd", "\U0010fffd"),
    (UTF8, b"\xff\xfe", "\\FF\\FE"),
    (PRINTABLE, b"Plain-1", "Plain-1"),
    (PRINTABLE, b"caf\xe9", "caf\\E9"),
    (IA5, b"a@b\xff", "a@b\\FF"),
    (TELETEX, b"caf\xe9", "café"),
    (TELETEX, b"\x9b1m", "\\u{9B}1m"),
    (BMP, b"\0A\x03\xa9", "AΩ"),
    (BMP, b"\x20\x2e\0A\xd8\x3d", "\\u{202E}A\\u{D83D}"),
    (BMP, b"\0A\0", "A\\00"),
    (UNIVERSAL, b"\0\0\0A\0\x01\xf6\0", "A😀"),
    (UNIVERSAL, b"\xff\xff\xff\xff\0\0\0A", "\\FF\\FF\\FF\\FFA"),
)


def test_values():
    for tag, value, expected in VALUES:
        assert text(tag, value) == expected, (tag, value, text(tag, value))


def test_nothing_unsafe_is_ever_printed():
    unsafe = set(range(0x20)) | set(range(0x7F, 0xA0)) | {0xAD, 0x61C, 0x200B, 0x200E, 0x200F, 0x2028, 0xFEFF}
    unsafe |= set(range(0x202A, 0x202F)) | set(range(0x2066, 0x206A)) | {0xD800, 0xDFFF, 0xE0041}
    for point in unsafe:
        wide = point.to_bytes(4, "big")
        shown = text(UNIVERSAL, wide)
        assert shown == ("\\%02X" % point if point < 0x80 else "\\u{%X}" % point), shown
        if point < 0x10000:
            assert text(BMP, wide[2:]) == shown
        assert names.escape(chr(point)) == shown


def test_limits():
    for tag, value in ((UTF8, b"x" * 60000), (BMP, b"\x20\x2e" * 250), (TELETEX, b"\x80" * 500)):
        assert len(text(tag, value)) == names.LIMIT - 3
        assert text(tag, value).endswith("...")
        assert len(names.common_name(name((CN, tag, value)))) == names.LIMIT
        assert len(names.escape(value)) == names.LIMIT
    assert text(UTF8, b"x" * 125) == "x" * 125
    assert text(UTF8, b"x" * 126) == "x" * 122 + "..."
    assert names.escape("x" * 128) == "x" * 128
    assert names.escape("x" * 129) == "x" * 125 + "..."
    assert names.escape("abcdef", 5) == "ab..."
    many = name(*[(CN, UTF8, b"%d" % i) for i in range(300)])
    shown = names.format_name(many)
    assert shown.startswith("CN=299,CN=298,") and len(shown) == names.LIMIT
    assert names.format_name(name(*[(CN, UTF8, b"")] * 32)) == ",".join(["CN="] * 32)


def test_escape_takes_text_and_bytes():
    assert names.escape("a\x1b\\b") == names.escape(b"a\x1b\\b") == "a\\1B\\b"
    assert names.escape(memoryview(b"\xff\xc3\xa9")) == "\\FFé"


def test_common_name():
    dn = name((CN, UTF8, b"first"), (ORG, UTF8, b"o"), [(OU, UTF8, b"u"), (CN, BMP, b"\0l\x20\x2e")])
    assert names.common_name(dn) == "l\\u{202E}"
    assert names.common_name(name((ORG, UTF8, b"o"))) is None
    assert [bytes(value) for value in hosts.common_names(dn)] == [b"first", b"\0l\x20\x2e"]


BASE = name((C, PRINTABLE, b"XX"), (CN, UTF8, b"Root"))
# (a name, whether it equals BASE, why)
EQUALITY = (
    (name((C, PRINTABLE, b"XX"), (CN, UTF8, b"Root")), True, "same bytes"),
    (name((C, UTF8, b"xx"), (CN, PRINTABLE, b"rOOT")), True, "Printable and UTF8 are one, case aside"),
    (name((C, PRINTABLE, b"XX"), (CN, IA5, b"Root")), False, "IA5String is another type"),
    (name((C, PRINTABLE, b"XX"), (CN, TELETEX, b"Root")), False, "so is TeletexString"),
    (name((C, PRINTABLE, b"XX"), (CN, UTF8, b"Roo")), False, "shorter"),
    (name((C, PRINTABLE, b"XX"), (CN, UTF8, b"Root ")), False, "mbedTLS keeps white space"),
    (name((C, PRINTABLE, b"XX"), (ORG, UTF8, b"Root")), False, "another attribute"),
    (name((CN, UTF8, b"Root"), (C, PRINTABLE, b"XX")), False, "another order"),
    (name([(C, PRINTABLE, b"XX"), (CN, UTF8, b"Root")]), False, "one RDN of two"),
    (name((CN, UTF8, b"Root")), False, "one less"),
    (name((C, PRINTABLE, b"XX"), (CN, UTF8, b"Root"), (OU, UTF8, b"")), False, "one more"),
)


def test_same_name_and_its_hash():
    for other, expected, why in EQUALITY:
        assert subjects.same_name(BASE, other) is expected, why
        assert subjects.same_name(memoryview(other), memoryview(BASE)) is expected, why
        assert (subjects.subject_hash(BASE) == subjects.subject_hash(other)) is expected, why
    # Only letters have case, and only in the folded types.
    assert not subjects.same_name(name((CN, UTF8, b"@[")), name((CN, UTF8, b"`{")))
    assert not subjects.same_name(name((CN, UTF8, "É".encode())), name((CN, UTF8, "é".encode())))
    assert subjects.same_name(name((CN, IA5, b"a")), name((CN, IA5, b"a")))
    assert not subjects.same_name(name((CN, IA5, b"a")), name((CN, IA5, b"A")))
    assert subjects.subject_hash(name((CN, IA5, b"a"))) != subjects.subject_hash(name((CN, IA5, b"A")))
    assert subjects.same_name(name(), name()) and not subjects.same_name(name(), BASE)


def test_hash_is_what_the_format_says():
    normal = b"\0\x06\x03" + C + b"\x0c\0\0\0\x02xx" + b"\0\x06\x03" + CN + b"\x0c\0\0\0\x04root"
    assert subjects.subject_hash(BASE) == hashlib.sha256(normal).digest()[:4]
    dn = name([(OU, IA5, b"A"), (CN, PRINTABLE, b"B")])
    normal = b"\0\x06\x03" + OU + b"\x16\0\0\0\x01A" + b"\1\x06\x03" + CN + b"\x0c\0\0\0\x01b"
    assert subjects.subject_hash(dn) == hashlib.sha256(normal).digest()[:4]


def test_no_name():
    rows = (
        (b"", "der-truncated"),
        (b"\x31\0", "der-tag"),
        (b"\x30\0\0", "der-trailing"),
        (encode(0x30, encode(0x30)), "der-tag"),
        (encode(0x30, encode(0x31)), "der-truncated"),
        (encode(0x30, encode(0x31, encode(0x30, encode(0x06, CN)))), "der-truncated"),
        (encode(0x30, encode(0x31, encode(0x30, encode(0x06, CN), b"\x05\0\x05\0"))), "der-trailing"),
    )
    for data, code in rows:
        for function in (names.format_name, names.common_name, subjects.subject_hash):
            raises(FormatError, code, function, data)
        raises(FormatError, code, subjects.same_name, BASE if data else b"\x30\0", data or b"")


def everything(data):
    subjects.same_name(data, BASE)
    subjects.subject_hash(data)
    names.common_name(data)
    return names.format_name(data)


def test_hostile_input():
    def check(shown):
        assert len(shown) <= names.LIMIT
        for character in shown:
            assert ord(character) >= 32 and not 0x202A <= ord(character) <= 0x202E

    known = facts()
    for stem in ("odd_name", "bidi_name"):
        dn = bytes.fromhex(known[stem]["subject"])
        values, errors = attack(everything, dn, stride=3 if ON_MICROPYTHON else 1, on_value=check)
        assert values and errors


def test_names_of_certificates():
    from certstore.certificate import Certificate

    expected = (
        ("rsa_root", "CN=RSA Root,O=Test\\, Inc.,C=XX"),
        ("bidi_name", "CN=user\\u{202E}gro.elpmaxe\\u{202C} \\u{200B}hidden\\1B[2J\\07"),
        ("long_name", "CN=" + "x" * 122 + "..."),
    )
    for stem, shown in expected:
        assert names.format_name(Certificate(certificate_der(stem)).subject) == shown

"""certstore.packing: what is packed and what is kept whole, and that what is packed comes back."""

from certstore import packed, packing
from certstore.asn1 import encode
from certstore.certificate import Certificate
from certstore.der import Der
from certstore.packing import pack
from certstore.words import FRAMES, LENGTHS, STARTS, TEXT
from stores import CA_TRUE, CONSTRAINTS, CRITICAL, attribute, ca, integer, path_length
from support import EC_KEY, ON_MICROPYTHON, UNTIL_2049, UTC, certificate_der, common_name, extension, made

# The certificates of trust anchors among the vectors.
ANCHORS = (
    "rsa_root",
    "ec_root",
    "ec384_path0",
    "intermediate",
    "no_ski",
    "ski8",
    "ski32",
    "twin_a",
    "cross_signed",
    "odd_name",
    "bidi_name",
    "long_name",
    "forever",
    "ed25519",
)
STRIDE = 5 if ON_MICROPYTHON else 1


def laid_out(content):
    return bytes(packed.lay_out(content, 0, len(content)))


def check_same(original, made_der):
    """That a laid-out certificate has what verification uses of the original, and nothing else."""
    known = Certificate(original)
    seen = Certificate(made_der)
    assert seen.version == 3 and seen.serial == b"\1"
    assert bytes(seen.subject) == bytes(seen.issuer) == bytes(known.subject)
    assert bytes(seen.public_key_info) == bytes(known.public_key_info)
    for field in ("not_before", "not_after", "path_length", "key_usage", "is_ca", "may_issue"):
        assert getattr(seen, field) == getattr(known, field), field
    assert seen.may_issue
    expected = [(b"\x55\x1d\x13", True)]
    if known.key_usage is not None:
        expected.append((b"\x55\x1d\x0f", True))
    assert seen.extensions() == expected
    # ecdsa-with-SHA256 twice, and a BIT STRING of no bits.
    walk = Der(made_der)
    walk.expect(0x30)
    walk.enter()
    walk.expect(0x30)
    walk.expect(0x30)
    assert walk.content() == b"\6\x08\x2a\x86\x48\xce\x3d\4\3\2"
    walk.expect(3)
    assert walk.content() == b"\0" and seen.signature_hash == "sha256"


def check_packed(der, form=None):
    """That this anchor is packed and comes back; returns its packed content."""
    content = pack(Certificate(der))
    assert content is not None
    if form is not None:
        assert content[0] == form, content[0]
    check_same(der, laid_out(content))
    return content


def test_packed_anchors_come_back():
    for stem in ANCHORS:
        der = certificate_der(stem)
        content = check_packed(der)
        if len(Certificate(der).subject) < 200:
            # What is packed is at most what it is packed from; a root of 2048 bits loses its signature.
            assert len(content) < len(der) - 100, stem


def test_a_laid_out_certificate_packs_to_what_it_was_laid_out_from():
    for stem in ANCHORS:
        content = pack(Certificate(certificate_der(stem)))
        assert pack(Certificate(laid_out(content))) == content


def test_what_cannot_issue_is_not_packed():
    for stem in ("leaf", "version1", "self_signed_device", "ca_no_sign", "all_usages"):
        assert pack(Certificate(certificate_der(stem))) is None, stem


def other(number, critical=b""):
    return extension(number, b"\x30\0", critical)


# why, certificate, whether it is packed
KINDS = (
    ("CA:TRUE with keyCertSign and cRLSign", ca(), True),
    ("with keyCertSign only", ca(usage=b"\3\2\2\4"), True),
    ("with digitalSignature too", ca(usage=b"\3\2\1\x86"), True),
    ("with encipherOnly, the last of eight bits", ca(usage=b"\3\2\0\5"), True),
    ("every bit of the first byte", ca(usage=b"\3\2\0\xff"), True),
    ("with decipherOnly, the ninth", ca(usage=b"\3\3\7\4\x80"), False),
    ("a second byte without a bit", ca(usage=b"\3\3\7\4\0"), True),
    ("unused bits not told", ca(usage=b"\3\2\0\6"), True),
    ("without key usage", ca(usage=None), True),
    ("key usage that signs no certificates", ca(usage=b"\3\2\1\2"), False),
    ("key usage without a bit", ca(usage=b"\3\1\0"), False),
    ("CA:FALSE", ca(basic=extension(19, b"\x30\0", CRITICAL)), False),
    ("without basicConstraints", ca(basic=None), False),
    ("basicConstraints not critical", ca(basic=extension(19, CA_TRUE)), True),
    ("key usage not critical", ca(usage=None, more=(extension(15, b"\3\2\1\6"),)), True),
    ("pathLen 0", ca(basic=path_length(0)), True),
    ("pathLen 1", ca(basic=path_length(1)), True),
    ("pathLen 127", ca(basic=path_length(127)), True),
    ("pathLen 128", ca(basic=path_length(128)), False),
    ("pathLen 255", ca(basic=path_length(255)), False),
    ("pathLen 8388607", ca(basic=path_length(8388607)), False),
    ("pathLen and no key usage", ca(basic=path_length(3), usage=None), True),
    ("nameConstraints", ca(more=(other(30),)), False),
    ("nameConstraints, critical", ca(more=(other(30, CRITICAL),)), False),
    ("extKeyUsage", ca(more=(other(37),)), False),
    ("extKeyUsage, critical", ca(more=(other(37, CRITICAL),)), False),
    ("policyConstraints, critical", ca(more=(other(36, CRITICAL),)), False),
    ("an SKI, critical", ca(more=(extension(14, b"\4\1a", CRITICAL),)), False),
    ("an AKI and an SKI", ca(ski=b"a" * 20, more=(extension(35, b"\x30\0"),)), True),
    ("an unknown extension", ca(more=(encode(0x30, b"\6\3\x2a\3\4", b"\4\1x"),)), True),
    ("an unknown extension, critical", ca(more=(encode(0x30, b"\6\3\x2a\3\4", CRITICAL, b"\4\1x"),)), False),
    ("one whose name begins as that of basicConstraints", ca(more=(other(19),), basic=None), False),
    (
        "a longer name than keyUsage's, critical",
        ca(more=(encode(0x30, b"\6\4\x55\x1d\x0f\1", CRITICAL, b"\4\1x"),)),
        False,
    ),
    ("another issuer", certificate_der("cross_signed"), True),
    ("version 1", made(version=b""), False),
)


def test_what_is_packed_and_what_is_kept_whole():
    for why, der, is_packed in KINDS:
        content = pack(Certificate(der))
        assert (content is not None) == is_packed, why
        if is_packed:
            check_same(der, laid_out(content))


def rsa(modulus, exponent=b"\2\3\1\0\1"):
    key = encode(0x30, encode(2, modulus), exponent)
    algorithm = encode(0x30, b"\6\x09\x2a\x86\x48\x86\xf7\x0d\1\1\1\5\0")
    return encode(0x30, algorithm, encode(3, b"\0", key))


def ec(curve, point):
    return encode(
        0x30, encode(0x30, b"\6\7\x2a\x86\x48\xce\x3d\2\1", encode(6, curve)), encode(3, b"\0", point)
    )


P256 = b"\x2a\x86\x48\xce\x3d\3\1\7"
P384 = b"\x2b\x81\4\0\x22"
P521 = b"\x2b\x81\4\0\x23"
_PSS = b"\6\x09\x2a\x86\x48\x86\xf7\x0d\1\1\x0a"


def part(size, first=0x80):
    return bytes((first,)) + bytes((7 * i & 255 for i in range(size - 1)))


# why, SubjectPublicKeyInfo, form
KEYS = (
    ("RSA 2048", rsa(b"\0" + part(256)), 1),
    ("RSA 2048, all ones", rsa(b"\0" + b"\xff" * 256), 1),
    ("RSA 3072", rsa(b"\0" + part(384)), 2),
    ("RSA 4096", rsa(b"\0" + part(512)), 3),
    ("P-256", ec(P256, b"\4" + part(64, 0)), 4),
    ("P-384", ec(P384, b"\4" + part(96, 0)), 5),
    ("P-521", ec(P521, b"\4" + part(132, 0)), 6),
    ("RSA 2048 with exponent 3", rsa(b"\0" + part(256), b"\2\1\3"), 0),
    ("RSA 2048 with an exponent of the same size", rsa(b"\0" + part(256), b"\2\3\1\0\3"), 0),
    ("RSA 2048 with a larger exponent", rsa(b"\0" + part(256), b"\2\5\1\0\0\0\1"), 0),
    ("RSA 2047", rsa(part(256, 0x7F)), 0),
    ("RSA 2047 with a zero that DER forbids", rsa(b"\0" + part(256, 0x7F)), 0),
    ("RSA 2040 and another zero", rsa(b"\0\0" + part(255)), 0),
    ("RSA 1024", rsa(b"\0" + part(128)), 0),
    ("RSA 2056", rsa(b"\0" + part(257)), 0),
    ("RSA 8192", rsa(b"\0" + part(1024)), 0),
    ("RSASSA-PSS", encode(0x30, encode(0x30, _PSS), encode(3, b"\0", encode(0x30, part(270)))), 0),
    ("P-256 compressed", ec(P256, b"\2" + part(32)), 0),
    ("P-256 hybrid", ec(P256, b"\6" + part(64)), 0),
    ("P-256, one byte short", ec(P256, b"\4" + part(63)), 0),
    ("P-384 with the size of P-256", ec(P384, b"\4" + part(64)), 0),
    ("another curve of the size of P-384", ec(b"\x2b\x81\4\0\x24", b"\4" + part(96)), 0),
    ("Ed25519", encode(0x30, encode(0x30, b"\6\3\x2b\x65\x70"), encode(3, b"\0", part(32))), 0),
    ("an empty key", encode(0x30), 0),
)


def test_forms_of_keys():
    rest = len(pack(Certificate(ca()))) - 64
    for why, info, form in KEYS:
        content = check_packed(ca(key=info), form)
        key = info + len(info).to_bytes(2, "little")
        if form:
            before, size, _ = packed.FORMS[form - 1]
            key = info[len(before) : len(before) + size]
        assert content.endswith(key) and len(content) == rest + len(key), why


def test_every_form_is_what_stands_around_a_key():
    for index, (before, size, after) in enumerate(packed.FORMS):
        info = before + part(size) + after
        walk = Der(info)
        walk.expect(0x30)
        walk.finish()
        check_packed(ca(key=info), index + 1)


def sized(size):
    """An element of exactly this size, 300 to 65000."""
    return encode(0x30, bytes(size - 4))


def test_limits_of_names_and_keys():
    rows = ((2048, 2048, True), (2049, 300, False), (300, 2049, False), (2048, 300, True), (300, 2048, True))
    for name, key, is_packed in rows:
        # Of zeros: the constructor of a Certificate looks at no part of them.
        der = ca(name=sized(name), key=sized(key))
        content = pack(Certificate(der))
        assert (content is not None) == is_packed, (name, key)
        if is_packed:
            check_same(der, laid_out(content))


def names_to_pack():
    """[(why, DER Name)]"""
    rows = [("empty", b"\x30\0"), ("an empty value", common_name(b"")), ("an empty RDN", b"\x30\2\x31\0")]
    for size in (1, 95, 96, 97, 117, 118, 119, 127, 128, 129, 192, 193, 255, 256, 1500):
        rows.append(("%d bytes" % size, encode(0x30, attribute(3, 0x0C, b"q" * size))))
        rows.append(
            (
                "%d bytes behind C" % size,
                encode(0x30, attribute(6, 0x13, b"XX") + attribute(10, 0x13, b"q" * size)),
            )
        )
    first, second = attribute(3, 0x0C, b"one"), attribute(10, 0x13, b"Two Corp")
    rows += [
        ("an RDN of two attributes", encode(0x30, encode(0x31, content_of(first), content_of(second)))),
        ("two RDNs", encode(0x30, first, second)),
        (
            "every byte",
            encode(0x30, attribute(3, 0x0C, bytes(range(100))), attribute(3, 0x0C, bytes(range(100, 256)))),
        ),
        ("UTF-8", common_name("Főtanúsítvány Ωμέγα 根".encode())),
        ("BMPString", encode(0x30, attribute(3, 0x1E, b"\0a\0b"))),
        ("dc=example,dc=test", encode(0x30, dc(b"test"), dc(b"example"))),
        (
            "an e-mail address",
            encode(
                0x30,
                encode(
                    0x31, encode(0x30, b"\6\x09\x2a\x86\x48\x86\xf7\x0d\1\x09\1", encode(0x16, b"a@b.test"))
                ),
            ),
        ),
        ("STREET, which has no frame", encode(0x30, attribute(9, 0x13, b"1 High Street"))),
        ("an unknown attribute of 2.5.4", encode(0x30, attribute(0x62, 0x13, b"x"))),
        ("a frame in a value", common_name(attribute(3, 0x0C, b"inner"))),
        ("a frame at the end of a value", common_name(attribute(3, 0x0C, b""))),
        ("the start of a frame at the end", common_name(attribute(3, 0x0C, b"abc")[:10])),
        ("a frame that reaches beyond the name", encode(0x30, attribute(3, 0x0C, b"abc")[:-1])),
        ("nonsense", encode(0x30, bytes(range(256)))),
        (
            "a frame of lengths that no DER has",
            encode(0x30, b"\x31\x80\x30\x7e\6\3\x55\4\3\x0c\x77" + b"v" * 119),
        ),
        ("all words at once", encode(0x30, attribute(3, 0x0C, TEXT))),
    ]
    return rows


def dc(value):
    return encode(0x31, encode(0x30, b"\6\x0a\x09\x92\x26\x89\x93\xf2\x2c\x64\1\x19", encode(0x16, value)))


def content_of(element):
    walk = Der(element)
    walk.expect()
    return walk.content()


def test_names_come_back():
    for why, name in names_to_pack():
        assert check_packed(ca(name=name)) is not None, why


def test_frames_of_every_kind():
    for row in range(0, len(FRAMES), packed.FRAME_SIZE):
        frame = FRAMES[row : row + packed.FRAME_SIZE]
        rdn = attribute(frame[8], frame[9], b"quux")
        walk = Der(rdn)
        walk.expect(0x31)
        content = check_packed(ca(name=encode(0x30, rdn)))
        # The SEQUENCE's header as a run; the frame and the length; the value as a run.
        expected = b"\x21\x30" + bytes((len(rdn),)) + bytes((row // packed.FRAME_SIZE, 4)) + b"\x23quux"
        assert content[19 : 19 + len(expected)] == expected


def test_a_value_has_a_frame_up_to_118_bytes():
    # Beyond, the lengths around it have two bytes, or would with a frame.
    for size, has_frame in ((0, True), (117, True), (118, True), (119, False), (120, False), (128, False)):
        name = encode(0x30, attribute(3, 0x0C, b"q" * size))
        content = check_packed(ca(name=name))
        runs = 2 if size <= 96 else 3
        plain = len(name) + (runs if has_frame and size else 1)
        size_of_name = len(content) - 19 - 64
        assert (size_of_name < plain) == has_frame, (size, size_of_name)


def word(index):
    start = STARTS[2 * index] << 8 | STARTS[2 * index + 1]
    return TEXT[start : start + LENGTHS[index]]


def test_words_at_every_position():
    for index in range(0, len(LENGTHS)):
        text = word(index)
        for before in range(0, 13, 3 if ON_MICROPYTHON else 1):
            for after in (0, 1):
                value = b"~" * before + text + b"~" * after
                check_packed(ca(name=encode(0x30, attribute(10, 0x13, value))))
        # Cut short at either side, doubled, and across the end of the value.
        for value in (text[1:], text[:-1], text + text, text[1:] + text[:-1]):
            check_packed(ca(name=encode(0x30, attribute(10, 0x13, value), attribute(3, 0x0C, value))))


def test_a_word_is_one_byte():
    text = b"Certification Authority"
    with_word = check_packed(ca(name=encode(0x30, attribute(3, 0x0C, b"~" + text + b"~"))))
    without = check_packed(ca(name=encode(0x30, attribute(3, 0x0C, b"~~"))))
    assert len(with_word) == len(without) + 2


class Noise:
    """Bytes that repeat from run to run."""

    def __init__(self, seed):
        self.state = seed

    def below(self, limit):
        self.state = (self.state * 8121 + 28411) % 134456
        return self.state * limit // 134456

    def name(self):
        parts = []
        for _ in range(self.below(12)):
            which = self.below(5)
            if which == 0:
                parts.append(word(self.below(len(LENGTHS))))
            elif which == 1:
                row = packed.FRAME_SIZE * self.below(len(FRAMES) // packed.FRAME_SIZE)
                parts.append(FRAMES[row : row + self.below(packed.FRAME_SIZE + 1)])
            elif which == 2:
                row = packed.FRAME_SIZE * self.below(len(FRAMES) // packed.FRAME_SIZE)
                parts.append(attribute(FRAMES[row + 8], FRAMES[row + 9], b"z" * self.below(125)))
            elif which == 3:
                parts.append(attribute(3, 0x0C, word(self.below(len(LENGTHS))) + b" 1"))
            else:
                parts.append(bytes([self.below(256) for _ in range(self.below(120))]))
        return encode(0x30, *parts)


def test_names_of_noise_come_back():
    noise = Noise(1)
    for _ in range(20 if ON_MICROPYTHON else 1000):
        check_packed(ca(name=noise.name()))


def utc(text):
    return encode(0x17, text)


def generalized(text):
    return encode(0x18, text)


# why, both times, those of what is laid out (or None for the same)
TIMES = (
    ("two digits", UTC + UNTIL_2049, None),
    ("the first of two digits", utc(b"500101000000Z") + utc(b"500101000001Z"), None),
    ("the last of two digits", utc(b"991231235959Z") + utc(b"491231235959Z"), None),
    ("from one century to the next", utc(b"991231235959Z") + utc(b"000101000000Z"), None),
    ("the last before", generalized(b"19491231235959Z") + UNTIL_2049, None),
    ("the first after", UTC + generalized(b"20500101000000Z"), None),
    ("both outside", generalized(b"19491231235959Z") + generalized(b"20500101000000Z"), None),
    ("for ever", UTC + generalized(b"99991231235959Z"), None),
    ("from the beginning", generalized(b"00010101000000Z") + UNTIL_2049, None),
    ("a leap day", utc(b"000229235959Z") + generalized(b"24000229120000Z"), None),
    (
        "four digits where RFC 5280 wants two",
        generalized(b"20200101000000Z") + UNTIL_2049,
        utc(b"200101000000Z") + UNTIL_2049,
    ),
    (
        "the last seconds after in two digits",
        UNTIL_2049 + generalized(b"20491231235959Z"),
        UNTIL_2049 + UNTIL_2049,
    ),
    ("backwards", UNTIL_2049 + UTC, None),
)


def test_times():
    for why, times, expected in TIMES:
        content = check_packed(ca(times=times))
        seen = Certificate(laid_out(content))
        validity = bytes(seen.validity_and_subject)
        assert validity.startswith(encode(0x30, expected or times)), why


def test_what_does_not_come_back_is_not_packed():
    # A fault of the packer makes a store larger, not wrong.
    def times(_):
        return b"\x20\x20\1\1\0\0\0"

    def name(given):
        rest = given[96:-1] + b"?"
        return b"\x7f" + given[:96] + bytes((packed.FIRST_RUN + len(rest) - 1,)) + rest

    faults = (
        ("_pack_time", times),
        ("_pack_name", name),
        ("_pack_key", lambda info: (4, bytes(64))),
        ("_reversed", lambda usage: usage),
    )
    der = ca(name=common_name(b"n" * 100), basic=path_length(0))
    check_packed(der)
    for function, fault in faults:
        right = getattr(packing, function)
        setattr(packing, function, fault)
        try:
            assert pack(Certificate(der)) is None, function
        finally:
            setattr(packing, function, right)
    check_packed(der)


def test_integers_of_this_test():
    assert [integer(n) for n in (0, 127, 128, 256)] == [b"\2\1\0", b"\2\1\x7f", b"\2\2\0\x80", b"\2\2\1\0"]
    assert Certificate(ca(basic=CONSTRAINTS)).path_length is None
    assert Certificate(ca(key=EC_KEY)).may_issue

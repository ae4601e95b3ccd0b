"""certstore.certificate: every field against what `cryptography` read, and hostile input."""

import hashlib

from certstore import details, fields
from certstore.asn1 import encode
from certstore.certificate import Certificate
from certstore.der import Der
from certstore.errors import FormatError
from support import (
    ON_MICROPYTHON,
    SIGNATURE,
    UTC,
    VERSION_3,
    attack,
    certificate_der,
    common_name,
    extension,
    facts,
    made,
    raises,
)

PLAIN = (
    "version",
    "not_before",
    "not_after",
    "key_type",
    "key_bits",
    "curve",
    "is_ca",
    "path_length",
    "key_usage",
    "dns_names",
    "ip_addresses",
    "signature_hash",
)
BYTES = ("ski", "aki", "issuer", "subject")


def everything(data):
    """Every field, so that nothing is left unread."""
    seen = Certificate(data)
    fields = [getattr(seen, field) for field in PLAIN + BYTES]
    fields += [seen.serial, seen.public_key, seen.public_key_info, seen.may_issue, seen.names]
    fields += [seen.matches_host("example.com"), seen.matches_host("192.0.2.7")]
    fields += [seen.fingerprint(), seen.pin()]
    return fields


def test_fields_are_those_that_cryptography_reads():
    known = facts()
    assert len(known) > 20
    for stem, expected in known.items():
        data = certificate_der(stem)
        for source in (data, memoryview(data), bytearray(data)):
            seen = Certificate(source)
            for field in PLAIN:
                assert getattr(seen, field) == expected[field], (stem, field, getattr(seen, field))
            for field in BYTES:
                value = getattr(seen, field)
                wanted = expected[field]
                assert value == (None if wanted is None else bytes.fromhex(wanted)), (stem, field)
            assert seen.der is source
            assert int.from_bytes(seen.serial, "big") == int(expected["serial"], 16), stem
            assert seen.fingerprint() == bytes.fromhex(expected["fingerprint"]), stem
            assert seen.pin() == bytes.fromhex(expected["pin"]), stem


def test_validity_and_subject_are_read_apart():
    for stem, expected in facts().items():
        kept = bytes(Certificate(certificate_der(stem)).validity_and_subject)
        subject, first, last = fields.read_validity_and_subject(kept)
        assert subject == bytes.fromhex(expected["subject"]), stem
        assert (first, last) == (expected["not_before"], expected["not_after"]), stem
    raises(FormatError, "der-trailing", fields.read_validity_and_subject, kept + b"\0")
    raises(FormatError, "der-truncated", fields.read_validity_and_subject, kept[:-1])


def test_key_identifier_without_the_extension():
    seen = Certificate(certificate_der("no_ski"))
    assert seen.ski == hashlib.sha1(seen.public_key).digest()
    assert Certificate(certificate_der("ski8")).ski == bytes(range(1, 9))
    assert len(Certificate(certificate_der("ski32")).ski) == 32


def test_who_may_issue():
    expected = (
        ("rsa_root", True, None),
        ("ec384_path0", True, 0),
        ("intermediate", True, 1),
        ("no_ski", True, None),
        ("ca_no_sign", False, None),
        ("leaf", False, None),
        ("leaf_cn", False, None),
        ("version1", False, None),
        ("self_signed_device", False, None),
    )
    for stem, may_issue, path_length in expected:
        seen = Certificate(certificate_der(stem))
        assert seen.may_issue is may_issue, stem
        assert seen.path_length == path_length, stem


def test_key_usage():
    usage = Certificate(certificate_der("all_usages")).key_usage
    assert usage == 0x1FF & ~details.CRL_SIGN
    assert (
        usage & details.DECIPHER_ONLY and usage & details.DIGITAL_SIGNATURE and usage & details.KEY_CERT_SIGN
    )
    assert Certificate(certificate_der("leaf")).key_usage == details.DIGITAL_SIGNATURE


def test_hosts():
    rows = (
        ("leaf", "example.com", True),
        ("leaf", "EXAMPLE.com", True),
        ("leaf", "www.example.com", True),
        ("leaf", "a.www.example.com", False),
        ("leaf", "example.org", False),
        ("leaf", "leaf", False),
        ("leaf", "192.0.2.7", True),
        ("leaf", "192.0.2.8", False),
        ("leaf", "2001:db8::7", True),
        ("leaf", "2001:DB8:0::7", True),
        ("leaf", "2001:db8::8", False),
        ("leaf", "", False),
        ("leaf_cn", "a.device.test", True),
        ("leaf_cn", "device.test", False),
        ("self_signed_device", "device.test", True),
        ("self_signed_device", "device", False),
    )
    for stem, host, expected in rows:
        assert Certificate(certificate_der(stem)).matches_host(host) is expected, (stem, host)
    leaf = Certificate(certificate_der("leaf"))
    assert leaf.names == ["example.com", "*.example.com", "xn--bcher-kva.example", "192.0.2.7", "2001:db8::7"]
    assert Certificate(certificate_der("leaf_cn")).names == ["*.device.test"]


def test_structure():
    ca = extension(19, b"\x30\3\1\1\xff", b"\1\1\xff")
    assert Certificate(made(extensions=(ca,))).is_ca
    assert Certificate(made()).version == 3 and not Certificate(made()).is_ca
    assert Certificate(made(version=b"")).version == 1
    assert Certificate(made(version=encode(0xA0, b"\2\1\1"), after_key=encode(0x81, b"\0"))).version == 2
    rows = (
        (made(trailing=b"\0"), "der-trailing", "bytes behind the certificate"),
        (made(version=encode(0xA0, b"\2\1\3")), "certificate", "version 4"),
        (made(version=encode(0xA0, b"\2\1\0")), "certificate", "version 1 written out"),
        (made(version=VERSION_3 * 2), "der-tag", "two versions"),
        (made(version=b"", extensions=(ca,)), "der-trailing", "extensions in version 1"),
        (made(version=b"", after_key=encode(0x81, b"\0")), "der-trailing", "an identifier in version 1"),
        (made(version=encode(0xA0, b"\2\1\1"), extensions=(ca,)), "der-trailing", "extensions in version 2"),
        (made(signature=b""), "der-truncated", "no signature"),
        (made(signature=SIGNATURE * 2), "der-trailing", "two signatures"),
        (made(after_key=b"\5\0"), "der-trailing", "an unknown field"),
        (b"", "der-truncated", "nothing"),
    )
    for data, code, why in rows:
        raises(FormatError, code, Certificate, data)


def test_extensions_are_checked_when_the_first_is_asked_for():
    ca = extension(19, b"\x30\3\1\1\xff", b"\1\1\xff")
    rows = (
        ((ca, ca), "certificate", "one extension twice"),
        ((extension(19, b"", b"\1\1\1"),), "der-value", "critical is 1"),
        ((ca, b"\5\0"), "der-tag", "no extension"),
        ((extension(14, b"\4\0") + b"\x30",), "der-truncated", "half an extension"),
    )
    for extensions, code, why in rows:
        seen = Certificate(made(extensions=extensions))
        assert seen.version == 3, why
        for ask in (lambda: seen.ski, lambda: seen.aki, lambda: seen.is_ca, lambda: seen.key_usage):  # noqa: B023
            raises(FormatError, code, ask)


def test_times():
    def not_before(tag, text):
        return Certificate(made(times=encode(tag, text) + UTC)).not_before

    rows = (
        (0x17, b"700101000000Z", 0),
        (0x17, b"691231235959Z", -1),
        (0x17, b"500101000000Z", -631152000),
        (0x17, b"491231235959Z", 2524607999),
        (0x17, b"000101000000Z", 946684800),
        (0x17, b"000229120000Z", 951825600),
        (0x17, b"380119031408Z", 2147483648),
        (0x18, b"20500101000000Z", 2524608000),
        (0x18, b"19700101000000Z", 0),
        (0x18, b"21000301000000Z", 4107542400),
        (0x18, b"20000229235959Z", 951868799),
        (0x18, b"99991231235959Z", 253402300799),
    )
    for tag, text, expected in rows:
        assert not_before(tag, text) == expected, text
    bad = (
        (0x17, b"7001010000Z"),
        (0x17, b"700101000000"),
        (0x17, b"700101000000+"),
        (0x17, b"700101000000+0000"),
        (0x17, b"700001000000Z"),
        (0x17, b"701301000000Z"),
        (0x17, b"700100000000Z"),
        (0x17, b"700132000000Z"),
        (0x17, b"700431000000Z"),
        (0x17, b"690229000000Z"),
        (0x17, b"700101240000Z"),
        (0x17, b"700101006000Z"),
        (0x17, b"700101000060Z"),
        (0x17, b"70010100000 Z"),
        (0x17, b"7001010000-1Z"),
        (0x17, b"19700101000000Z"),
        (0x18, b"700101000000Z"),
        (0x18, b"19700101000000.0Z"),
        (0x18, b"21000229000000Z"),
    )
    for tag, text in bad:
        raises(FormatError, "der-value", not_before, tag, text)
    raises(FormatError, "der-tag", not_before, 0x0C, b"700101000000Z")
    three = Certificate(made(times=UTC * 3))
    raises(FormatError, "der-trailing", getattr, three, "not_after")
    raises(FormatError, "der-truncated", getattr, Certificate(made(times=UTC)), "not_before")


def test_fields_that_are_damaged():
    def field(name, *extensions):
        return getattr(Certificate(made(extensions=extensions)), name)

    rows = (
        ("is_ca", extension(19, b""), "der-truncated"),
        ("is_ca", extension(19, b"\x30\3\1\1\1"), "der-value"),
        ("is_ca", extension(19, b"\x30\6\1\1\xff\2\1\xff"), "der-value"),
        ("is_ca", extension(19, b"\x30\0\0"), "der-trailing"),
        ("path_length", extension(19, b"\x30\5\2\1\0\5\0"), "der-trailing"),
        ("key_usage", extension(15, b"\3\0"), "certificate"),
        ("key_usage", extension(15, b"\3\2\x08\0"), "certificate"),
        ("key_usage", extension(15, b"\3\1\1"), "certificate"),
        ("key_usage", extension(15, b"\3\4\0\0\0\0"), "certificate"),
        ("ski", extension(14, b"\4\1"), "der-truncated"),
        ("ski", extension(14, b"\4\1aa"), "der-trailing"),
        ("ski", extension(14, b"\5\0"), "der-tag"),
        ("aki", extension(35, b"\4\0"), "der-tag"),
        ("dns_names", extension(17, b"\x30\2\x82\1"), "der-truncated"),
        ("names", extension(17, b"\x31\0"), "der-tag"),
    )
    for name, damaged, code in rows:
        raises(FormatError, code, field, name, damaged)
    assert field("key_usage", extension(15, b"\3\1\0")) == 0
    assert field("key_usage", extension(15, b"\3\2\2\x07")) == 0x20
    assert field("ski", extension(14, b"\4\0")) == hashlib.sha1(b"\4" + b"k" * 64).digest()
    assert field("aki", extension(35, b"\x30\0")) is None
    assert field("path_length", extension(19, b"\x30\6\1\1\xff\2\1\x7f")) == 127


def test_an_empty_alternative_name_hides_the_common_name():
    without = Certificate(made())
    assert without.matches_host("x.test") and without.names == ["x.test"]
    present = Certificate(made(extensions=(extension(17, b"\x30\0"),)))
    assert not present.matches_host("x.test") and present.names == []


def test_ip_addresses_match_as_addresses_only():
    san = extension(
        17, encode(0x30, encode(0x82, b"192.0.2.7"), encode(0x82, b"*.0.2.7"), encode(0x87, b"\1\2\3"))
    )
    seen = Certificate(made(extensions=(san,)))
    assert not seen.matches_host("192.0.2.7")
    assert seen.ip_addresses == ["#010203"]
    wildcard = Certificate(made(name=common_name(b"*.0.2.7")))
    assert wildcard.matches_host("x.0.2.7") and not wildcard.matches_host("192.0.2.7")
    assert Certificate(made(name=common_name(b"192.0.2.7"))).matches_host("192.0.2.7")
    hidden = extension(17, encode(0x30, encode(0x82, b"a\x1b[2J\xff")))
    assert Certificate(made(extensions=(hidden,))).names == ["a\\1B[2J\\FF"]


def rsa_key(modulus):
    numbers = encode(0x30, encode(0x02, modulus), b"\2\3\1\0\1")
    algorithm = encode(0x30, encode(0x06, b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"), b"\5\0")
    return encode(0x30, algorithm, encode(0x03, b"\0" + numbers))


def test_key_sizes():
    rows = ((b"\0\x80" + bytes(127), 1024), (b"\x7f" + bytes(127), 1023), (b"\1", 1), (b"\1\0", 9))
    for modulus, bits in rows:
        seen = Certificate(made(key=rsa_key(modulus)))
        assert (seen.key_type, seen.key_bits, seen.curve) == ("RSA", bits, None)
    for modulus in (b"", b"\0", b"\x80", b"\0\x7f", b"\0\0\x80"):
        broken = Certificate(made(key=rsa_key(modulus)))
        raises(FormatError, "der-value", getattr, broken, "key_bits")

    def ec_key(parameters, point):
        algorithm = encode(0x30, encode(0x06, b"\x2a\x86\x48\xce\x3d\x02\x01"), parameters)
        return Certificate(made(key=encode(0x30, algorithm, encode(0x03, b"\0" + point))))

    unknown = encode(0x06, b"\x2a\x03")
    other = ec_key(unknown, b"\4" + bytes(80))
    assert (other.curve, other.key_bits) == ("1.2.3", 320)
    assert ec_key(encode(0x30), b"\2" + bytes(32)).curve == "explicit"
    assert ec_key(encode(0x30), b"\2" + bytes(32)).key_bits == 256
    assert ec_key(unknown, b"").key_bits == 0
    odd = Certificate(made(key=encode(0x30, encode(0x30, unknown), encode(0x03, b"\1x"))))
    assert odd.key_type == "1.2.3" and odd.key_bits is None
    raises(FormatError, "certificate", getattr, odd, "public_key")


def test_nothing_is_copied():
    data = bytearray(certificate_der("leaf"))
    seen = Certificate(data)
    walk = Der(data)
    walk.next()
    issuer = bytes(seen.issuer)
    at = bytes(data).find(issuer)
    data[at + len(issuer) - 1] ^= 1
    assert seen.issuer != issuer and seen.der is data


def test_hostile_input():
    total = [0, 0]
    for stem in ("leaf", "ec384_path0", "odd_name", "version1", "rsa_root"):
        values, errors = attack(everything, certificate_der(stem), stride=8 if ON_MICROPYTHON else 1)
        total[0] += values
        total[1] += errors
    assert total[0] > 100 and total[1] > 100, total

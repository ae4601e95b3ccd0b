"""Public keys: the subjectPublicKeyInfo of a certificate (RFC 5280 4.1.2.7, RFC 3279, RFC 5480)."""

from .asn1 import dotted
from .compat import const
from .der import Der
from .errors import FormatError

_INTEGER = const(0x02)
_OID = const(0x06)
_SEQUENCE = const(0x30)

RSA_OID = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
EC_OID = b"\x2a\x86\x48\xce\x3d\x02\x01"

# OID of a named curve, its name (SEC 2, RFC 5639), bits of its field.
_CURVES = (
    (b"\x2a\x86\x48\xce\x3d\x03\x01\x07", "secp256r1", 256),
    (b"\x2b\x81\x04\x00\x22", "secp384r1", 384),
    (b"\x2b\x81\x04\x00\x23", "secp521r1", 521),
    (b"\x2b\x81\x04\x00\x0a", "secp256k1", 256),
    (b"\x2b\x81\x04\x00\x21", "secp224r1", 224),
    (b"\x2a\x86\x48\xce\x3d\x03\x01\x01", "secp192r1", 192),
    (b"\x2b\x24\x03\x03\x02\x08\x01\x01\x07", "brainpoolP256r1", 256),
    (b"\x2b\x24\x03\x03\x02\x08\x01\x01\x0b", "brainpoolP384r1", 384),
    (b"\x2b\x24\x03\x03\x02\x08\x01\x01\x0d", "brainpoolP512r1", 512),
)


def key_type(info):
    """The kind of key, "RSA" or "EC", else its dotted OID. info: DER, as in all functions here."""
    oid = _algorithm(info).content()
    if oid == RSA_OID:
        return "RSA"
    return "EC" if oid == EC_OID else dotted(oid)


def curve(info):
    """An EC key's curve: its name, its dotted OID, or "explicit"; None for other keys."""
    walk = _algorithm(info)
    if walk.content() != EC_OID:
        return None
    return curve_name(walk.content()) if walk.optional(_OID) else "explicit"


def curve_name(oid):
    """The name of a curve, or its dotted OID."""
    for known, name, _ in _CURVES:
        if oid == known:
            return name
    return dotted(oid)


def key_bits(certificate):
    """Bits of an RSA modulus or of an EC curve's field, of a Certificate's key; None for other keys."""
    info = certificate.public_key_info
    kind = key_type(info)
    if kind == "RSA":
        modulus = rsa_numbers(certificate.public_key)[0]
        bits = 8 * len(modulus)
        first = modulus[0]
        while first < 128:
            bits -= 1
            first <<= 1
        return bits
    if kind != "EC":
        return None
    named = curve(info)
    for _, name, bits in _CURVES:
        if name == named:
            return bits
    # Of a curve unknown here, the coordinates tell the field's size to the byte.
    key = certificate.public_key
    if len(key) == 0:
        return 0
    return 8 * (len(key) - 1 if key[0] in (2, 3) else (len(key) - 1) // 2)


def rsa_numbers(public_key):
    """Modulus and public exponent of a PKCS#1 RSAPublicKey (RFC 8017 A.1.1): big-endian, no leading zero."""
    walk = Der(public_key)
    walk.only(_SEQUENCE)
    modulus = positive(walk)
    exponent = positive(walk)
    walk.finish()
    return modulus, exponent


def positive(walk):
    """Step to an INTEGER above 0; its content without the zero that keeps it positive."""
    walk.expect(_INTEGER)
    buf = walk.buf
    start = walk.start
    signed = start < walk.stop and buf[start] == 0
    if signed:
        start += 1
    # A leading zero stands only before a byte that would make the number negative (X.690 8.3.2).
    if start == walk.stop or buf[start] == 0 or (buf[start] > 127) != signed:
        raise FormatError("der-value", "byte %d" % walk.at, "an INTEGER above 0")
    return buf[start : walk.stop]


def _algorithm(info):
    # A cursor on the algorithm's OID, before its parameters.
    walk = Der(info)
    walk.only(_SEQUENCE)
    walk.expect(_SEQUENCE)
    walk.enter()
    walk.expect(_OID)
    return walk

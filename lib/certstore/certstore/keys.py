"""Private keys to the one form per kind that mbedTLS parses safely: PKCS#1 for RSA, SEC 1 for EC.

mbedTLS tries PKCS#8 last and fails when one context parses such a key twice, so PKCS#8 is opened
here. No error carries a byte of a key. Keys are checked for their structure, not for their sense.
`pkcs8` is the way back.
"""

from . import pem
from .asn1 import dotted, encode
from .compat import const
from .der import Der
from .errors import BadPassword, FormatError
from .spki import EC_OID, RSA_OID, curve_name, positive, rsa_numbers

RSA = "RSA"
EC = "EC"

_INTEGER = const(0x02)
_BIT_STRING = const(0x03)
_OCTET_STRING = const(0x04)
_NULL = const(0x05)
_OID = const(0x06)
_SEQUENCE = const(0x30)

# [0] and [1] of ECPrivateKey are explicit, those of OneAsymmetricKey are not.
_PARAMETERS = const(0xA0)
_PUBLIC_POINT = const(0xA1)
_ATTRIBUTES = const(0xA0)
_PUBLIC_KEY = const(0x81)

# Labels of PEM blocks that hold a private key; others, as EC PARAMETERS, are stepped over.
_ENCRYPTED_LABEL = "ENCRYPTED PRIVATE KEY"
_LABELS = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", _ENCRYPTED_LABEL)


def private_key(data, password=None, max_iterations=None):
    """Normalise one private key: (kind, DER), kind "RSA" with PKCS#1 or "EC" with SEC 1.

    data: str or bytes-like, PEM or DER of PKCS#1 (RFC 8017 A.1.2), SEC 1 (RFC 5915), PKCS#8 v1
    and v2 (RFC 5958), or PKCS#8 encrypted as `pbes2` tells. The SEC 1 form always names its curve.
    Of PEM text with several blocks the first private key counts.
    password, max_iterations: as for `pbes2.decrypt`, for a key that is encrypted.
    Raises FormatError "pem-...", "key"; "key-encrypted" without a password, "key-plain" with one for a
    key that is not encrypted; "key-kdf", "iterations", "der-..." for the outside of an encrypted key,
    and BadPassword for its inside, be it no key, damaged, or neither RSA nor EC.
    """
    label = None
    if pem.is_pem(data):
        label, data = _from_pem(data, password)
    elif isinstance(data, str):
        raise FormatError("key")
    data = memoryview(data)
    if label == _ENCRYPTED_LABEL or is_encrypted(data):
        if password is None:
            raise FormatError("key-encrypted")
        return _decrypted(data, password, max_iterations)
    # Errors of the cursor tell tags and offsets, and a damaged key's tag may be a byte of its
    # secret: only "not a key" leaves this module.
    key = None
    try:
        key = _normalise(data)
    except FormatError as error:
        if error.code == "key":
            raise
    if key is None:
        raise FormatError("key")
    if password is not None:
        raise FormatError("key-plain")
    return key


def is_encrypted(der):
    """Whether this has the shape of an EncryptedPrivateKeyInfo: an algorithm and a string (RFC 5958 3)."""
    try:
        walk = Der(der)
        walk.expect(_SEQUENCE)
        walk.finish()
        walk.enter()
        walk.expect(_SEQUENCE)
        walk.expect(_OCTET_STRING)
        return walk.done()
    except FormatError:
        return False


def matches(kind, der, certificate):
    """Whether the key belongs to the certificate: True, False, or None if it cannot be told.

    kind, der: as `private_key` returned them. It cannot be told from a SEC 1 key that does not
    carry its public point, or has a curve's parameters spelled out.
    """
    if kind != certificate.key_type:
        return False
    walk = Der(memoryview(der))
    walk.expect(_SEQUENCE)
    walk.enter()
    walk.expect(_INTEGER)
    if kind == RSA:
        modulus, exponent = rsa_numbers(certificate.public_key)
        return positive(walk) == modulus and positive(walk) == exponent
    walk.expect(_OCTET_STRING)
    walk.expect(_PARAMETERS)
    outer = walk.enter()
    walk.expect()
    if walk.tag != _OID or certificate.curve == "explicit":
        return None
    if curve_name(walk.content()) != certificate.curve:
        return False
    walk.leave(outer)
    if not walk.optional(_PUBLIC_POINT):
        return None
    walk.enter()
    walk.expect(_BIT_STRING)
    return _same_point(walk.content()[1:], certificate.public_key)


def _from_pem(data, password):
    try:
        return pem.first(data, _LABELS)
    except FormatError as error:
        if error.code != "key-encrypted" or password is None:
            raise
    raise FormatError("key-kdf", "the encryption of RFC 1421, inside PEM", "PKCS#8")


def _decrypted(data, password, max_iterations):
    from . import pbes2

    plain = pbes2.decrypt(data, password, max_iterations)
    key = None
    try:
        key = _normalise(memoryview(plain))
    except FormatError:
        pass
    finally:
        pbes2.wipe(plain)
    if key is None:
        raise BadPassword("password")
    return key


def _normalise(data):
    walk = Der(data)
    walk.expect(_SEQUENCE)
    walk.finish()
    walk.enter()
    walk.expect(_INTEGER)
    walk.small()
    walk.expect()
    if walk.tag == _INTEGER:
        return RSA, _pkcs1(data)
    if walk.tag == _OCTET_STRING:
        return EC, _sec1(data, None, None)
    if walk.tag == _SEQUENCE:
        return _pkcs8(data)
    raise FormatError("key")


def _pkcs8(data):
    walk = Der(data)
    walk.expect(_SEQUENCE)
    walk.enter()
    _version(walk, 0, 1)
    walk.expect(_SEQUENCE)
    outer = walk.enter()
    walk.expect(_OID)
    algorithm = walk.content()
    if algorithm == RSA_OID:
        parameters = None
        walk.optional(_NULL)
    elif algorithm == EC_OID:
        walk.expect()
        parameters = walk.element()
        if walk.tag == _OID:
            dotted(walk.content())
    else:
        raise FormatError("key", "a key for %s" % dotted(algorithm), "RSA or EC")
    walk.leave(outer)
    walk.expect(_OCTET_STRING)
    inner = walk.content()
    walk.optional(_ATTRIBUTES)
    point = walk.content() if walk.optional(_PUBLIC_KEY) else None
    walk.finish()
    if parameters is None:
        return RSA, _pkcs1(inner)
    return EC, _sec1(inner, parameters, point)


def _pkcs1(data):
    # Version 0, then n, e, d, p, q, dP, dQ, qInv. Keys of more than two primes are not for mbedTLS.
    walk = Der(data)
    walk.expect(_SEQUENCE)
    walk.finish()
    walk.enter()
    _version(walk, 0, 0)
    for _ in range(8):
        positive(walk)
    walk.finish()
    return bytes(data)


def _sec1(data, parameters, point):
    # parameters: the curve that PKCS#8 names around the key; point: the BIT STRING's content there.
    walk = Der(data)
    walk.expect(_SEQUENCE)
    walk.finish()
    walk.enter()
    _version(walk, 1, 1)
    walk.expect(_OCTET_STRING)
    secret = walk.element()
    whole = True
    if walk.optional(_PARAMETERS):
        outer = walk.enter()
        walk.expect()
        if parameters is not None and walk.element() != parameters:
            raise FormatError("key", "two curves")
        parameters = walk.element()
        if walk.tag == _OID:
            dotted(walk.content())
        walk.leave(outer)
    elif parameters is not None:
        whole = False
    else:
        raise FormatError("key", "an EC key that names no curve")
    if walk.optional(_PUBLIC_POINT):
        outer = walk.enter()
        walk.expect(_BIT_STRING)
        point = walk.content()
        walk.leave(outer)
    elif point is not None:
        whole = False
    walk.finish()
    if whole:
        return bytes(data)
    parts = [b"\x02\x01\x01", secret, encode(_PARAMETERS, parameters)]
    if point is not None:
        parts.append(encode(_PUBLIC_POINT, encode(_BIT_STRING, point)))
    return encode(_SEQUENCE, *parts)


def _version(walk, lowest, highest):
    walk.expect(_INTEGER)
    if not lowest <= walk.small() <= highest:
        raise FormatError("key")


def _same_point(a, b):
    # Points on one curve (SEC 1 2.3.3): 04 x y, or 02 or 03, the parity of y, and x.
    if a == b:
        return True
    if len(a) == len(b):
        return False
    if len(a) > len(b):
        a, b = b, a
    size = len(a) - 1
    if size < 1 or len(b) != 1 + 2 * size or a[0] not in (2, 3) or b[0] != 4:
        return None
    return a[1:] == b[1 : 1 + size] and a[0] == 2 + (b[2 * size] & 1)

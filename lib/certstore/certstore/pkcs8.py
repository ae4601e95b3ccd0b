"""PKCS#1 and SEC 1 keys to PKCS#8 (RFC 5958), as `openssl pkcs8 -topk8 -nocrypt` writes it.

The way back is `keys.private_key`.
"""

from .asn1 import encode
from .compat import const
from .der import Der
from .errors import FormatError
from .spki import EC_OID, RSA_OID

_INTEGER = const(0x02)
_OCTET_STRING = const(0x04)
_NULL = const(0x05)
_OID = const(0x06)
_SEQUENCE = const(0x30)
_PARAMETERS = const(0xA0)
_PUBLIC_POINT = const(0xA1)

_VERSION = b"\2\1\0"


def wrap(kind, der):
    """The PrivateKeyInfo DER of a key as `keys.private_key` returned it: "RSA", PKCS#1 or "EC", SEC 1.

    An EC key's curve moves from inside to the algorithm (RFC 5915 3, RFC 5480 2.1.1); a public point
    that it does not carry is not computed. Raises FormatError "key", with nothing of the key in it.
    """
    inner = algorithm = None
    # As in `keys`: what a cursor says of a damaged key could be a byte of its secret.
    try:
        walk = Der(memoryview(der))
        walk.expect(_SEQUENCE)
        walk.finish()
        walk.enter()
        walk.expect(_INTEGER)
        version = walk.small()
        if kind == "RSA" and version == 0:
            walk.expect(_INTEGER)
            inner = der
            algorithm = encode(_OID, RSA_OID) + encode(_NULL)
        elif kind == "EC" and version == 1:
            inner, curve = _without_curve(walk)
            algorithm = encode(_OID, EC_OID) + curve
    except FormatError:
        inner = None
    if inner is None:
        raise FormatError("key", expected="PKCS#1 of an RSA key, or SEC 1 of an EC key that names its curve")
    return encode(_SEQUENCE, _VERSION, encode(_SEQUENCE, algorithm), encode(_OCTET_STRING, inner))


def _without_curve(walk):
    # The key without its parameters, and these.
    walk.expect(_OCTET_STRING)
    secret = walk.element()
    walk.expect(_PARAMETERS)
    curve = bytes(walk.content())
    point = walk.element() if walk.optional(_PUBLIC_POINT) else b""
    walk.finish()
    return encode(_SEQUENCE, b"\2\1\1", secret, point), curve

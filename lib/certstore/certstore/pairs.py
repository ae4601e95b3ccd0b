"""Whether the numbers of a private key belong together: what tells a damaged key from a whole one.

AES-CBC has no authentication, and changed bytes of a secret leave the DER around it as it was. RSA:
n = pq, and each of d, dP, dQ, qInv by its congruence (RFC 8017 3.2). EC: the secret times the base
point is the key's public point, on P-256, P-384 and P-521; it cannot be told on other curves, and of
a key without its point. Not in constant time: it runs once, when a key is opened.
"""

from .compat import const
from .der import Der
from .spki import curve_name, positive

_INTEGER = const(0x02)
_BIT_STRING = const(0x03)
_OCTET_STRING = const(0x04)
_OID = const(0x06)
_SEQUENCE = const(0x30)
_PARAMETERS = const(0xA0)
_PUBLIC_POINT = const(0xA1)

# Name, bytes of the field, then its prime and the base point in hex (SP 800-186 3.2.1); a = -3 in all.
_CURVES = (
    (
        "secp256r1",
        32,
        "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    ),
    (
        "secp384r1",
        48,
        "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff",
        "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7",
        "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
    ),
    (
        "secp521r1",
        66,
        "1ff" + 128 * "f",
        "c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3d"
        "baa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66",
        "11839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e6"
        "62c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650",
    ),
)


def belong(kind, der):
    """Whether a key's numbers belong together: False, or True, which it also is where it cannot be told.

    kind, der: "RSA" and PKCS#1, or "EC" and SEC 1, of a structure that `keys` has checked.
    """
    walk = Der(memoryview(der))
    walk.expect(_SEQUENCE)
    walk.enter()
    walk.expect(_INTEGER)
    return _rsa(walk) if kind == "RSA" else _ec(walk)


def _rsa(walk):
    n, e, d, p, q, dp, dq, qinv = [int.from_bytes(positive(walk), "big") for _ in range(8)]
    if p == 1 or q == 1 or p * q != n:
        return False
    if e * dp % (p - 1) != 1 or e * dq % (q - 1) != 1:
        return False
    # All but qInv are smaller than their moduli (RFC 8017 3.2).
    return d % (p - 1) == dp and d % (q - 1) == dq and d < n and q * qinv % p == 1 and qinv < p


def _ec(walk):
    walk.expect(_OCTET_STRING)
    secret = walk.content()
    walk.expect(_PARAMETERS)
    outer = walk.enter()
    walk.expect()
    name = curve_name(walk.content()) if walk.tag == _OID else None
    walk.leave(outer)
    if not walk.optional(_PUBLIC_POINT):
        return True
    walk.enter()
    walk.expect(_BIT_STRING)
    point = walk.content()[1:]
    for known, size, *numbers in _CURVES:
        if known == name:
            x, y, z, prime = _times(secret, *[int(number, 16) for number in numbers])
            return z != 0 and _is_at(point, size, x, y, z, prime)
    return True


def _times(secret, prime, x, y):
    # secret * (x, y) in Jacobian coordinates: x = X/Z^2, y = Y/Z^3, and Z = 0 at infinity. The doubling
    # and the addition of an affine point are "dbl-2001-b" and the textbook's, for a = -3.
    ax, ay, az = 0, 1, 0
    for byte in secret:
        for bit in (128, 64, 32, 16, 8, 4, 2, 1):
            if az:
                delta = az * az % prime
                gamma = ay * ay % prime
                beta = ax * gamma % prime
                alpha = 3 * (ax - delta) * (ax + delta) % prime
                az = 2 * ay * az % prime
                ax = (alpha * alpha - 8 * beta) % prime
                ay = (alpha * (4 * beta - ax) - 8 * gamma * gamma) % prime
            if byte & bit:
                if not az:
                    ax, ay, az = x, y, 1
                    continue
                square = az * az % prime
                h = (x * square - ax) % prime
                r = (y * square % prime * az - ay) % prime
                hh = h * h % prime
                hhh = h * hh % prime
                v = ax * hh % prime
                az = az * h % prime
                ax = (r * r - hhh - 2 * v) % prime
                ay = (r * (v - ax) - ay * hhh) % prime
    return ax, ay, az, prime


def _is_at(point, size, x, y, z, prime):
    # point: 04 x y, or 02 or 03, the parity of y, and x (SEC 1 2.3.3). Z is not inverted, x and y are scaled.
    square = z * z % prime
    cube = square * z % prime
    if len(point) < 1 + size or int.from_bytes(point[1 : 1 + size], "big") * square % prime != x:
        return False
    if len(point) == 1 + 2 * size and point[0] == 4:
        return int.from_bytes(point[1 + size :], "big") * cube % prime == y
    return len(point) == 1 + size and pow(cube, prime - 2, prime) * y % prime & 1 == point[0] - 2

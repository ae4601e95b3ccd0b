"""certstore.pairs: keys whose numbers belong together, and one changed number of each kind."""

from certstore import keys, pairs
from certstore.der import Der, encode
from support import ON_MICROPYTHON, vector

EC = ("ec_sec1.der", "ec_sec1_packed.der", "ec384_sec1.pem")

# RFC 6979 A.2.7: a key on P-521 that is not ours, its secret shorter than the field.
P521_SECRET = (
    "00FAD06DAA62BA3B25D2FB40133DA757205DE67F5BB0018FEE8C86E1B68C7E75CAA896EB32F1F47C70855836A6D16FCC"
    "1466F6D8FBEC67DB89EC0C08B0E996B83538"
)
P521_POINT = (
    "04"
    "01894550D0785932E00EAA23B694F213F8C3121F86DC97A04E5A7167DB4E5BCD371123D46E45DB6B5D5370A7F20FB633"
    "155D38FFA16D2BD761DCAC474B9A2F5023A4"
    "00493101C962CD4D2FDDF782285E64584139C2F91B47F87FF82354D6630F746A28A0DB25741B5B34A828008B22ACC23F"
    "924FAAFBD4D33F81EA66956DFEAA2BFDFCF5"
)


def unhex(text):
    return bytes([int(text[i : i + 2], 16) for i in range(0, len(text), 2)])


def sec1(curve, secret, point):
    curve = encode(0xA0, encode(0x06, unhex(curve)))
    point = b"" if point is None else encode(0xA1, encode(0x03, b"\0", point))
    return encode(0x30, b"\2\1\1", encode(0x04, secret), curve, point)


def parts(file):
    """Offsets of the secret and of the point of a SEC 1 key."""
    der = keys.private_key(vector("keys/" + file))[1]
    walk = Der(der)
    walk.expect(0x30)
    walk.enter()
    walk.expect(0x02)
    walk.expect(0x04)
    secret = (walk.start, walk.stop)
    walk.expect(0xA0)
    walk.expect(0xA1)
    walk.enter()
    walk.expect(0x03)
    return der, secret, (walk.start + 1, walk.stop)


def test_whole_keys():
    for file in EC + ("rsa_pkcs1.der",):
        for _ in range(2):
            assert pairs.belong(*keys.private_key(vector("keys/" + file))) is True, file


def test_every_byte_of_an_ec_key():
    stride = 5 if ON_MICROPYTHON else 1
    for file in EC:
        der, secret, point = parts(file)
        for first, last in (secret, point):
            for at in range(first, last, stride):
                changed = bytearray(der)
                changed[at] ^= 1 if at % 2 else 0x80
                assert pairs.belong("EC", changed) is False, (file, at)


def test_p521():
    good = sec1("2b81040023", unhex(P521_SECRET), unhex(P521_POINT))
    assert pairs.belong("EC", good) is True
    for at in (20, 70, 200):
        changed = bytearray(good)
        changed[at] ^= 4
        assert pairs.belong("EC", changed) is False


def test_secrets_at_the_edges():
    # n - 1 gives the base point's negative, n itself and 0 the point at infinity (SP 800-186 3.2.1.3).
    x = unhex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296")
    y = unhex("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")
    prime = int("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff", 16)
    order = int("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
    minus_y = (prime - int.from_bytes(y, "big")).to_bytes(32, "big")
    base, minus = b"\4" + x + y, b"\4" + x + minus_y
    rows = (
        (1, base, True),
        (1, minus, False),
        (order - 1, minus, True),
        (order - 1, base, False),
        (order, base, False),
        (order, b"\4" + bytes(64), False),
        (0, base, False),
        (0, b"\4" + bytes(64), False),
        (1, b"\2" + x if y[31] % 2 == 0 else b"\3" + x, True),
        (1, b"\3" + x if y[31] % 2 == 0 else b"\2" + x, False),
        (1, b"\5" + x, False),
        (1, b"\0", False),
        (1, b"", False),
        (1, base + b"\0", False),
        (1, base[:-1], False),
        (1, b"\3" + x + y, False),
        (2, base, False),
    )
    for secret, point, expected in rows:
        der = sec1("2a8648ce3d030107", secret.to_bytes(32, "big"), point)
        assert pairs.belong("EC", der) is expected, (secret, point)


def test_what_cannot_be_told():
    secret, point = b"\1" * 32, b"\4" + b"\1" * 64
    assert pairs.belong("EC", sec1("2a8648ce3d030107", secret, None)) is True
    assert pairs.belong("EC", sec1("2a8648ce3d030107", secret, point)) is False
    # secp256k1, which is none of the three.
    assert pairs.belong("EC", sec1("2b8104000a", secret, point)) is True


def test_every_number_of_an_rsa_key():
    der = vector("keys/rsa_pkcs1.der")
    walk = Der(der)
    walk.expect(0x30)
    walk.enter()
    walk.expect(0x02)
    numbers = 0
    while walk.next():
        numbers += 1
        for at in (walk.start + 1, (walk.start + walk.stop) // 2, walk.stop - 1):
            changed = bytearray(der)
            changed[at] ^= 2
            assert pairs.belong("RSA", changed) is False, (numbers, at)
    assert numbers == 8


def test_rsa_numbers_that_divide_by_nothing():
    # n = 55 = 11 * 5, e = 3; then d and qInv above their moduli, and primes of 1 and 2.
    def key(*numbers):
        parts = [encode(2, bytes([number])) for number in (0,) + numbers]
        return encode(0x30, *parts)

    assert pairs.belong("RSA", key(55, 3, 27, 11, 5, 7, 3, 9)) is True
    assert pairs.belong("RSA", key(55, 3, 67, 11, 5, 7, 3, 9)) is False
    assert pairs.belong("RSA", key(55, 3, 27, 11, 5, 7, 3, 20)) is False
    assert pairs.belong("RSA", key(55, 3, 27, 55, 1, 7, 3, 9)) is False
    assert pairs.belong("RSA", key(55, 3, 27, 1, 55, 7, 3, 9)) is False
    assert pairs.belong("RSA", key(10, 3, 3, 5, 2, 3, 1, 3)) is False

"""certstore.pkcs8: PKCS#1 and SEC 1 to PKCS#8, the bytes that openssl writes, and back."""

from certstore import keys, pkcs8
from certstore.asn1 import encode
from certstore.errors import FormatError
from support import ON_MICROPYTHON, attack, raises, vector

# (file, kind, the same key in PKCS#8, or None where only the way back can tell)
ROWS = (
    ("rsa_pkcs1.der", "RSA", "rsa_pkcs8.der"),
    ("ec_sec1.der", "EC", "ec_pkcs8.der"),
    ("ec384_sec1.pem", "EC", None),
    ("ec_sec1_packed.der", "EC", None),
)


def test_the_bytes_are_openssls():
    for file, kind, wrapped in ROWS:
        key = keys.private_key(vector("keys/" + file))
        assert key[0] == kind
        for form in (bytes, bytearray, memoryview):
            found = pkcs8.wrap(kind, form(key[1]))
            assert isinstance(found, bytes) and found[:1] == b"\x30"
            assert wrapped is None or found == vector("keys/" + wrapped), file


def test_there_and_back():
    for file in (
        "rsa_pkcs8.der",
        "ec_pkcs8.der",
        "ec_pkcs8_v2.der",
        "ec_parameters.pem",
        "ec_sec1_packed.der",
    ):
        key = keys.private_key(vector("keys/" + file))
        assert keys.private_key(pkcs8.wrap(*key)) == key, file


def test_a_key_without_its_point():
    bare = keys.private_key(vector("keys/ec_pkcs8_bare.der"))
    assert pkcs8.wrap(*bare) == vector("keys/ec_pkcs8_bare.der")


def test_what_is_refused():
    rsa, ec = vector("keys/rsa_pkcs1.der"), vector("keys/ec_sec1.der")
    rows = (
        ("RSA", ec),
        ("EC", rsa),
        ("EC", vector("keys/ec_sec1_no_curve.der")),
        ("EC", vector("keys/ec_pkcs8.der")),
        ("RSA", vector("keys/rsa_pkcs8.der")),
        ("EC", encode(0x30, b"\2\1\2", ec[5:])),
        ("RSA", rsa.replace(b"\2\1\0", b"\2\1\1", 1)),
        ("Ed25519", ec),
        ("", b""),
        ("RSA", b""),
        ("EC", ec + b"\0"),
        ("RSA", rsa + b"\0"),
        ("RSA", rsa[:-1]),
    )
    for kind, der in rows:
        error = raises(FormatError, "key", pkcs8.wrap, kind, der)
        assert error.found is None


def test_hostile_input():
    def wrap(data):
        try:
            return pkcs8.wrap("EC", data)
        except FormatError as error:
            # One shape for everything that is damaged.
            assert error.code == "key" and error.found is None
            raise

    good, errors = attack(wrap, vector("keys/ec_sec1.der"))
    assert good and errors
    good, errors = attack(
        lambda data: pkcs8.wrap("RSA", data), vector("keys/rsa_pkcs1.der"), stride=8 if ON_MICROPYTHON else 1
    )
    assert good and errors

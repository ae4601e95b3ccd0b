"""certstore.keys: every form to PKCS#1 or SEC 1, and that no error tells anything of a key."""

from certstore import keys, pbes2, pem
from certstore.asn1 import encode
from certstore.certificate import Certificate
from certstore.errors import BadPassword, FormatError, SecureSocketError
from support import ON_MICROPYTHON, attack, certificate_der, facts, only_on_micropython, raises, vector

RSA_DER = vector("keys/rsa_pkcs1.der")
EC_DER = vector("keys/ec_sec1.der")

# (file, kind, the file in DER that it must become, or None if only its parts are given)
GOOD = (
    ("rsa_pkcs1.der", "RSA", "rsa_pkcs1.der"),
    ("rsa_pkcs8.der", "RSA", "rsa_pkcs1.der"),
    ("rsa_pkcs8.pem", "RSA", "rsa_pkcs1.der"),
    ("ec_sec1.der", "EC", "ec_sec1.der"),
    ("ec_pkcs8.der", "EC", "ec_sec1.der"),
    ("ec_pkcs8_v2.der", "EC", "ec_sec1.der"),
    ("ec_parameters.pem", "EC", "ec_sec1.der"),
    ("ec384_sec1.pem", "EC", None),
    ("ec_pkcs8_bare.der", "EC", None),
    ("ec_sec1_packed.der", "EC", "ec_sec1_packed.der"),
)


def test_every_form_becomes_one():
    for file, kind, expected in GOOD:
        data = vector("keys/" + file)
        forms = [data, memoryview(data), bytearray(data)]
        if file.endswith(".pem"):
            forms.append(data.decode())
        for form in forms:
            found = keys.private_key(form)
            assert found[0] == kind, file
            assert isinstance(found[1], bytes)
            # What is normal already stays as it is.
            assert keys.private_key(found[1]) == found, file
            if expected is not None:
                assert found[1] == vector("keys/" + expected), file


def test_sec1_always_names_its_curve():
    _, der = keys.private_key(vector("keys/ec_pkcs8_bare.der"))
    curve = b"\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
    # The key without its point, with parameters: what remains of the full key before [1].
    assert der[2:] == EC_DER[2 : EC_DER.find(curve) + len(curve)]
    error = raises(FormatError, "key", keys.private_key, vector("keys/ec_sec1_no_curve.der"))
    assert error.found == "an EC key that names no curve"


# (file, kind, the file that the decrypted key must become; password)
LOCKED = (
    ("encrypted_aes256.der", "EC", "ec_sec1.der", "password"),
    ("encrypted_aes128.pem", "EC", "ec384_sec1.pem", "password"),
    ("encrypted_rsa.pem", "RSA", "rsa_pkcs1.der", "password"),
    ("encrypted_empty.der", "EC", "ec_sec1.der", ""),
    ("encrypted_pkcs8.der", "EC", "ec_sec1.der", "password"),
    ("encrypted_pkcs8.pem", "EC", "ec_sec1.der", "password"),
)


def test_encrypted_keys_with_their_password():
    for file, kind, plain, password in LOCKED:
        data = vector("keys/" + file)
        forms = [data, memoryview(data), bytearray(data)]
        if file.endswith(".pem"):
            forms.append(data.decode())
        expected = keys.private_key(vector("keys/" + plain))
        for form in forms:
            found = keys.private_key(form, bytearray(password.encode()))
            assert found == expected and found[0] == kind and isinstance(found[1], bytes), file
        assert keys.private_key(data, password) == expected
        assert keys.private_key(data, password=password, max_iterations=2048) == expected
        owner = facts("keys")[file]
        assert keys.matches(*expected, Certificate(certificate_der(owner))) is True


def test_encrypted_keys_with_another_password():
    for file, _, _, password in LOCKED:
        for wrong in ("", "password", "passwore"):
            if wrong != password:
                error = raises(BadPassword, "password", keys.private_key, vector("keys/" + file), wrong)
                assert (error.found, error.expected) == (None, None)
                assert error.sentence == "wrong password, or the key is damaged"


def test_a_decrypted_key_is_overwritten():
    # What is between the cipher and the result; the result itself is bytes, which mbedTLS demands.
    opened = []

    def decrypt(*arguments):
        opened.append(known(*arguments))
        return opened[-1]

    known = pbes2.decrypt
    pbes2.decrypt = decrypt
    try:
        for file in ("encrypted_aes256.der", "encrypted_rsa.pem"):
            keys.private_key(vector("keys/" + file), "password")
        raises(BadPassword, "password", keys.private_key, vector("keys/encrypted_ed25519.der"), "password")
    finally:
        pbes2.decrypt = known
    assert len(opened) == 3
    for plain in opened:
        assert isinstance(plain, bytearray) and len(plain) > 40 and not any(plain)


def test_a_password_that_is_not_needed():
    for file, _, _ in GOOD:
        raises(FormatError, "key-plain", keys.private_key, vector("keys/" + file), "password")
        # An empty one is one too.
        raises(FormatError, "key-plain", keys.private_key, vector("keys/" + file), b"")
    # What is no key at all is that first.
    for data in (b"", RSA_DER[:-1], certificate_der("leaf")):
        raises(FormatError, "key", keys.private_key, data, "password")


def test_encryptions_that_are_not_read():
    for name in ("sha1", "sha512", "aes192", "des3", "pbes1", "scrypt"):
        data = vector("keys/encrypted_%s.der" % name)
        for form in (data, pem.encode(data, "ENCRYPTED PRIVATE KEY")):
            raises(FormatError, "key-encrypted", keys.private_key, form)
            error = raises(FormatError, "key-kdf", keys.private_key, form, "password")
            assert "openssl pkcs8 -topk8" in error.remedy
    error = raises(FormatError, "key-kdf", keys.private_key, vector("keys/encrypted_sec1.pem"), "password")
    assert "RFC 1421" in error.found and error.expected == "PKCS#8"


def test_an_encrypted_key_of_another_kind_is_one_error():
    # Opened, it is Ed25519: what was inside is not told.
    data = vector("keys/encrypted_ed25519.der")
    error = raises(BadPassword, "password", keys.private_key, data, "password")
    assert str(error) == str(BadPassword("password"))


def test_a_label_of_an_encrypted_key_around_another():
    plain, locked = vector("keys/ec_pkcs8.der"), vector("keys/encrypted_aes256.der")
    wrong = pem.encode(plain, "ENCRYPTED PRIVATE KEY")
    raises(FormatError, "key-encrypted", keys.private_key, wrong)
    raises(FormatError, "der-tag", keys.private_key, wrong, "password")
    # The label without that word is not believed either.
    other = pem.encode(locked, "PRIVATE KEY")
    raises(FormatError, "key-encrypted", keys.private_key, other)
    assert keys.private_key(other, "password") == ("EC", EC_DER)


def test_iterations_are_limited():
    data = vector("keys/encrypted_pkcs8.der")
    error = raises(FormatError, "iterations", keys.private_key, data, "password", 2047)
    assert error.found == "2048" and error.expected == "1 to 2047" and "max_iterations=2048" in error.remedy
    assert keys.private_key(data, "password", 2048) == ("EC", EC_DER)


def test_is_encrypted():
    for file, expected in (
        ("encrypted_aes256.der", True),
        ("encrypted_pbes1.der", True),
        ("ec_pkcs8.der", False),
        ("ec_sec1.der", False),
        ("rsa_pkcs1.der", False),
    ):
        data = vector("keys/" + file)
        for form in (data, bytearray(data), memoryview(data)):
            assert keys.is_encrypted(form) is expected, file
        assert keys.is_encrypted(data[:-1]) is False and keys.is_encrypted(data + b"\0") is False
    assert keys.is_encrypted(b"\x30\x04\x30\0\4\0") is True
    assert keys.is_encrypted(b"\x30\x06\x30\0\4\0\5\0") is False
    assert keys.is_encrypted(b"") is False and keys.is_encrypted(certificate_der("leaf")) is False


def test_damage_to_an_encrypted_key_is_an_error_or_changes_a_number_alone():
    # CBC has no authentication. What it lets pass has the form of the key; what it belongs to, the
    # certificate tells, and a store's record check that nothing was changed.
    certificate = Certificate(certificate_der("ec_root"))
    secrets = []

    def check(found):
        kind, der = found
        assert kind == "EC" and len(der) == len(EC_DER)
        if der != EC_DER and keys.matches(kind, der, certificate) is not False:
            # The secret, which nothing else in the key repeats.
            secrets.append(der)

    data = vector("keys/encrypted_aes256.der")
    good, errors = attack(
        lambda damaged: keys.private_key(damaged, "password"),
        data,
        stride=3 if ON_MICROPYTHON else 1,
        on_value=check,
    )
    assert errors > 4 * good, (good, errors)
    assert 0 < len(secrets) <= good


def test_an_encrypted_rsa_key_cut_short():
    der = pem.decode(vector("keys/encrypted_rsa.pem"), "ENCRYPTED PRIVATE KEY")[0]
    assert keys.private_key(der, "password") == ("RSA", RSA_DER)
    for size in range(0, len(der), 97):
        raises(FormatError, "key", keys.private_key, der[:size], "password")


def test_the_point_outside_is_kept():
    # PKCS#8 v2 around a key that names its curve and leaves its point outside.
    algorithm = vector("keys/ec_pkcs8.der")[6:27]
    _, inner = keys.private_key(vector("keys/ec_pkcs8_bare.der"))
    point = Certificate(certificate_der("ec_root")).public_key
    outer = encode(0x30, b"\2\1\1", algorithm, encode(4, inner), encode(0x81, b"\0", point))
    assert keys.private_key(outer) == ("EC", EC_DER)


def test_what_is_refused():
    rows = (
        ("encrypted_pkcs8.der", "key-encrypted"),
        ("encrypted_pkcs8.pem", "key-encrypted"),
        ("encrypted_sec1.pem", "key-encrypted"),
        ("ed25519_pkcs8.der", "key"),
        ("ec_sec1_no_curve.der", "key"),
    )
    for file, code in rows:
        raises(FormatError, code, keys.private_key, vector("keys/" + file))
    error = raises(FormatError, "key", keys.private_key, vector("keys/ed25519_pkcs8.der"))
    assert error.found == "a key for 1.3.101.112" and error.expected == "RSA or EC"
    raises(FormatError, "key", keys.private_key, RSA_DER.replace(b"\2\1\0", b"\2\1\1", 1))
    error = raises(FormatError, "pem-none", keys.private_key, pem.encode(certificate_der("leaf")))
    assert (error.found, error.expected) == ("CERTIFICATE", "PRIVATE KEY")
    raises(FormatError, "key", keys.private_key, certificate_der("leaf"))
    for data in (b"", "", "no key", b"\x30\0", RSA_DER + b"\0", EC_DER + b"\0", RSA_DER[:-1]):
        raises(FormatError, "key", keys.private_key, data)


def test_first_key_of_a_bundle():
    certificate = pem.encode(certificate_der("leaf"))
    text = certificate + vector("keys/ec_parameters.pem").decode() + vector("keys/rsa_pkcs8.pem").decode()
    assert keys.private_key(text) == ("EC", EC_DER)
    locked = certificate + vector("keys/encrypted_rsa.pem").decode()
    assert keys.private_key(locked + text, "password") == ("RSA", RSA_DER)
    raises(FormatError, "key-encrypted", keys.private_key, locked + text)
    raises(FormatError, "key-plain", keys.private_key, text + locked, "password")


def test_two_curves_are_refused():
    # PKCS#8 that names P-256 around a key that names P-384.
    _, inner = keys.private_key(vector("keys/ec384_sec1.pem"))
    algorithm = vector("keys/ec_pkcs8.der")[6:27]
    assert algorithm[:2] == b"\x30\x13"
    error = raises(FormatError, "key", keys.private_key, encode(0x30, b"\2\1\0", algorithm, encode(4, inner)))
    assert error.found == "two curves"


def test_matches():
    owners = facts("keys")
    stems = ("rsa_root", "ec_root", "ec384_path0", "twin_a", "ed25519")
    known = {stem: Certificate(certificate_der(stem)) for stem in stems}
    checked = 0
    for file, kind, _ in GOOD:
        kind, der = keys.private_key(vector("keys/" + file))
        for stem in stems:
            expected = stem == owners[file]
            if file == "ec_pkcs8_bare.der" and stem in ("ec_root", "twin_a"):
                expected = None
            assert keys.matches(kind, der, known[stem]) is expected, (file, stem)
            checked += expected is True
    assert checked == len(GOOD) - 1


def test_another_exponent_is_another_key():
    certificate = Certificate(certificate_der("rsa_root"))
    changed = RSA_DER.replace(b"\2\3\1\0\1", b"\2\3\1\0\3")
    assert changed != RSA_DER
    assert keys.matches("RSA", changed, certificate) is False


def test_a_point_and_its_packed_form():
    root = Certificate(certificate_der("ec_root"))
    packed = vector("keys/ec_sec1_packed.der")
    at = len(packed) - 33
    assert packed[at] in (2, 3) and keys.matches("EC", packed, root) is True
    for first, last, expected in ((packed[at] ^ 1, packed[-1], False), (packed[at], packed[-1] ^ 1, False)):
        other = packed[:at] + bytes((first,)) + packed[at + 1 : -1] + bytes((last,))
        assert keys.matches("EC", other, root) is expected
    assert keys.matches("EC", packed[:at] + b"\5" + packed[at + 1 :], root) is None


def test_errors_tell_nothing_of_the_key():
    # One shape for everything that is damaged: no offset, no tag, no byte of the input.
    plain = str(FormatError("key"))
    seen = set()

    def damaged(data):
        try:
            return keys.private_key(data)
        except SecureSocketError as error:
            seen.add((error.code, error.found))
            raise

    attack(damaged, EC_DER)
    attack(damaged, vector("keys/ec_pkcs8.der"))
    assert ("key", None) in seen
    for code, found in seen:
        assert code in ("key", "key-encrypted"), code
        fixed = (None, "two curves", "an EC key that names no curve")
        assert found in fixed or found.startswith("a key for "), found
    assert "found" not in plain


def test_hostile_input():
    certificates = {"RSA": "rsa_root", "EC": "ec_root"}

    def check(found):
        kind, der = found
        if kind in certificates:
            keys.matches(kind, der, Certificate(certificate_der(certificates[kind])))

    for file in (
        "ec_pkcs8_v2.der",
        "ec_sec1_packed.der",
        "ec_pkcs8.der",
        "ec_parameters.pem",
        "encrypted_pkcs8.der",
    ):
        values, errors = attack(keys.private_key, vector("keys/" + file), on_value=check)
        assert errors, file
    values, errors = attack(
        keys.private_key, vector("keys/rsa_pkcs8.der"), stride=8 if ON_MICROPYTHON else 1, on_value=check
    )
    assert values and errors


def test_mbedtls_takes_the_result():
    only_on_micropython("the tls module is MicroPython's")
    import tls

    for file, _, _ in GOOD:
        owner = facts("keys")[file]
        if owner is None:
            continue
        _, der = keys.private_key(vector("keys/" + file))
        context = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
        for _ in range(2):
            context.load_cert_chain(certificate_der(owner), der)

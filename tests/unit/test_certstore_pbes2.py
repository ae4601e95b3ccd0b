"""certstore.pbes2: what openssl writes, what is refused, and that nothing secret stays in our buffers."""

import hashlib

from certstore import pbes2
from certstore.asn1 import encode
from certstore.compat import ON_DEVICE
from certstore.errors import BadPassword, FormatError
from support import ON_MICROPYTHON, Skip, attack, only_on_micropython, raises, vector

PLAIN = vector("keys/ec_pkcs8.der")
LOCKED = vector("keys/encrypted_aes256.der")

# RFC 7914 11 (the first 32 bytes), then RFC 6070's rows with SHA-256, as several libraries test them.
DERIVED = (
    (b"passwd", b"salt", 1, 32, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"),
    (b"Password", b"NaCl", 80000, 32, "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"),
    (b"password", b"salt", 1, 32, "120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b"),
    (b"password", b"salt", 2, 32, "ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43"),
    (b"password", b"salt", 4096, 32, "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a"),
    (b"pass\0word", b"sa\0lt", 4096, 16, "89b69d0516f829893c696226650a8687"),
)


def naive(password, salt, iterations, size):
    """RFC 8018 5.2 and RFC 2104 as they are written."""

    def hmac(text):
        key = hashlib.sha256(password).digest() if len(password) > 64 else password
        key += bytes(64 - len(key))
        inner = hashlib.sha256(bytes([byte ^ 0x36 for byte in key]) + text).digest()
        return hashlib.sha256(bytes([byte ^ 0x5C for byte in key]) + inner).digest()

    digest = hmac(salt + b"\0\0\0\1")
    total = list(digest)
    for _ in range(iterations - 1):
        digest = hmac(digest)
        total = [a ^ b for a, b in zip(total, digest)]
    return bytes(total[:size])


def with_our_loop(function):
    """Call with the loop that runs on a device, on CPython too."""
    known = pbes2.pbkdf2_hmac
    pbes2.pbkdf2_hmac = None
    try:
        function()
    finally:
        pbes2.pbkdf2_hmac = known


def test_known_derivations():
    def check():
        for password, salt, count, size, expected in DERIVED:
            found = pbes2.derive(password, salt, count, size)
            assert isinstance(found, bytearray) and bytes(found).hex() == expected, (password, count)

    check()
    with_our_loop(check)


def test_the_loop_is_the_definition():
    # Around the number of digests that are summed at once, and around the block of the hash.
    def check():
        for count in (1, 2, 3, 15, 16, 17, 18, 31, 32, 33, 34, 50):
            for size in (16, 32):
                assert pbes2.derive(b"pw", b"s" * 8, count, size) == naive(b"pw", b"s" * 8, count, size)
        for length in (0, 1, 31, 32, 63, 64, 65, 127, 128, 129, 1000):
            password = bytes([i * 7 & 255 for i in range(length)])
            for salt in (b"s", b"s" * 64, b"s" * 300):
                assert pbes2.derive(password, salt, 3, 32) == naive(password, salt, 3, 32), length

    check()
    with_our_loop(check)


def test_the_loop_is_hashlibs():
    if ON_MICROPYTHON:
        raise Skip("MicroPython's hashlib derives no keys")

    def check():
        for count in (1, 7, 100, 2048, 10000):
            for password in (b"", b"password", b"p" * 64, b"p" * 65):
                expected = hashlib.pbkdf2_hmac("sha256", password, b"\1" * 16, count, 32)
                assert pbes2.derive(password, b"\1" * 16, count, 32) == expected

    with_our_loop(check)


def test_what_openssl_wrote_is_read():
    rows = (
        ("encrypted_aes256.der", b"password"),
        ("encrypted_empty.der", b""),
        ("encrypted_pkcs8.der", b"password"),
    )
    for file, password in rows:
        data = vector("keys/" + file)
        for form in (data, bytearray(data), memoryview(data)):
            plain = pbes2.decrypt(form, password)
            assert isinstance(plain, bytearray) and plain == PLAIN, file


def test_passwords_are_text_or_bytes():
    for password in ("password", b"password", bytearray(b"password"), memoryview(b"xpasswordx")[1:-1]):
        assert pbes2.decrypt(LOCKED, password) == PLAIN
    text = "Pässwörd ✓"
    locked = pbes2.encrypt(PLAIN, text, 2)
    assert pbes2.decrypt(locked, text.encode()) == PLAIN
    for other in (5, None, 8.5):
        try:
            pbes2.decrypt(LOCKED, other)
        except TypeError:
            continue
        raise AssertionError(other)


def test_text_that_utf8_cannot_encode():
    if ON_MICROPYTHON:
        raise Skip("MicroPython's str is UTF-8 already")
    error = raises(BadPassword, "password", pbes2.decrypt, LOCKED, "secret\udcff")
    assert error.__context__ is None and "secret" not in repr(error)


def test_the_callers_password_is_left_alone():
    password = bytearray(b"password")
    assert pbes2.decrypt(LOCKED, password) == PLAIN
    assert password == b"password"


def test_the_bytes_are_openssls():
    # Salt and IV where openssl's file has them: the rest must come out as it wrote it.
    assert LOCKED[33:35] == b"\4\x08" and LOCKED[73:75] == b"\4\x10"
    salt, iv = LOCKED[35:43], LOCKED[75:91]
    assert pbes2.seal(PLAIN, "password", salt, iv, 5, 256) == LOCKED
    assert pbes2.seal(PLAIN, "password", salt, iv, 5, 128) != LOCKED


def test_what_is_written_is_read():
    rsa = vector("keys/rsa_pkcs8.der")
    for plain in (PLAIN, rsa, bytearray(PLAIN), memoryview(PLAIN)):
        for bits in (128, 256):
            for count in (1, 127, 128, 255, 256, 1000):
                locked = pbes2.encrypt(plain, b"pw", count, bits)
                assert isinstance(locked, bytes)
                assert pbes2.decrypt(locked, b"pw") == plain
    assert pbes2.encrypt(PLAIN, b"pw", 1) != pbes2.encrypt(PLAIN, b"pw", 1)


def test_padding_of_every_length():
    # An attribute after the key makes it as long as one likes.
    for extra in range(17):
        plain = encode(0x30, PLAIN[3:], encode(0xA0, bytes(extra)))
        locked = pbes2.encrypt(plain, b"pw", 1)
        assert pbes2.decrypt(locked, b"pw") == plain, extra


def test_default_iterations():
    locked = pbes2.encrypt(PLAIN, b"pw")
    count = b"\2\x02\x27\x10" if ON_DEVICE else b"\2\x03\x09\x27\xc0"
    assert locked[51 : 51 + len(count)] == count
    assert pbes2.decrypt(locked, b"pw") == PLAIN


def test_what_is_not_encrypted():
    for data in (b"", b"no key", PLAIN[:-1], PLAIN + b"\0", LOCKED, vector("keys/ec_sec1.der")):
        raises(FormatError, "key", pbes2.encrypt, data, b"pw", 1)
    for bits in (0, 64, 192, 512):
        try:
            pbes2.encrypt(PLAIN, b"pw", 1, bits)
        except ValueError:
            continue
        raise AssertionError(bits)


def oid(text):
    """The OBJECT IDENTIFIER of hex content."""
    return encode(0x06, bytes([int(text[i : i + 2], 16) for i in range(0, len(text), 2)]))


PBES2, PBKDF2 = oid("2a864886f70d01050d"), oid("2a864886f70d01050c")
NULL = b"\5\0"
SHA256 = encode(0x30, oid("2a864886f70d0209"), NULL)
AES128, AES256 = oid("608648016503040102"), oid("60864801650304012a")
BLOCKS = encode(0x04, bytes(32))


def locked(
    scheme=PBES2,
    derivation=PBKDF2,
    salt=b"\4\x08saltsalt",
    count=b"\2\1\5",
    length=b"",
    prf=SHA256,
    after_prf=b"",
    cipher=AES256,
    iv=b"\4\x10" + bytes(16),
    after_iv=b"",
    data=BLOCKS,
    after=b"",
):
    derivation = encode(0x30, derivation, encode(0x30, salt, count, length, prf, after_prf))
    parameters = encode(0x30, derivation, encode(0x30, cipher, iv, after_iv))
    return encode(0x30, encode(0x30, scheme, parameters), data, after)


# What is changed, the error's code, what it found.
OUTSIDE = (
    ({"scheme": oid("2a864886f70d010503")}, "key-kdf", "encryption 1.2.840.113549.1.5.3"),
    ({"derivation": oid("2b06010401da47040b")}, "key-kdf", "key derivation 1.3.6.1.4.1.11591.4.11"),
    ({"prf": b""}, "key-kdf", "HMAC-SHA-1"),
    ({"prf": encode(0x30, oid("2a864886f70d020b"), NULL)}, "key-kdf", "HMAC 1.2.840.113549.2.11"),
    ({"prf": NULL}, "der-tag", None),
    ({"prf": encode(0x30, oid("2a864886f70d0209"), b"\5\1\0")}, "der-value", None),
    ({"prf": encode(0x30, oid("2a864886f70d0209"), NULL, NULL)}, "der-trailing", None),
    ({"after_prf": NULL}, "der-trailing", None),
    ({"length": b"\2\1\x10"}, "key-kdf", "a derived key of 16 bytes"),
    ({"cipher": AES128, "length": b"\2\1\x20"}, "key-kdf", "a derived key of 32 bytes"),
    ({"cipher": oid("608648016503040116")}, "key-kdf", "cipher 2.16.840.1.101.3.4.1.22"),
    ({"cipher": oid("2a864886f70d0307")}, "key-kdf", "cipher 1.2.840.113549.3.7"),
    ({"salt": b"\4\0"}, "der-value", None),
    ({"salt": encode(0x30, PBKDF2)}, "der-tag", None),
    ({"iv": b"\4\x0f" + bytes(15)}, "der-value", None),
    ({"iv": b"\4\x11" + bytes(17)}, "der-value", None),
    ({"iv": b""}, "der-truncated", None),
    ({"after_iv": NULL}, "der-trailing", None),
    ({"data": b"\4\0"}, "der-value", None),
    ({"data": encode(0x04, bytes(31))}, "der-value", None),
    ({"data": encode(0x04, bytes(33))}, "der-value", None),
    ({"data": encode(0x03, bytes(32))}, "der-tag", None),
    ({"after": NULL}, "der-trailing", None),
    ({"count": b"\2\1\0"}, "iterations", "0"),
    ({"count": b"\2\x03\x0f\x42\x41"}, "iterations", "1000001"),
    ({"count": b"\2\x03\x7f\xff\xff"}, "iterations", "8388607"),
    ({"count": b"\2\x04\x00\x80\x00\x00"}, "iterations", "more than 8388607"),
    ({"count": b"\2\x06\x01\0\0\0\0\0"}, "iterations", "more than 8388607"),
    ({"count": encode(0x02, b"\x7f" * 300)}, "iterations", "more than 8388607"),
    ({"count": b"\2\1\x80"}, "der-value", None),
    ({"count": b"\2\x05\xff\0\0\0\0"}, "der-value", None),
    ({"count": b"\2\x04\0\0\0\5"}, "der-value", None),
    ({"count": b"\2\x02\0\5"}, "der-value", None),
    ({"count": b"\2\0"}, "der-value", None),
)


def test_the_outside_is_a_format_error():
    for changes, code, found in OUTSIDE:
        error = raises(FormatError, code, pbes2.decrypt, locked(**changes), b"pw")
        assert found is None or error.found == found, (changes, error)
    # Nothing of that is wrong with the form that is changed, nor with these; only its content is nothing.
    raises(BadPassword, "password", pbes2.decrypt, locked(), b"pw")
    raises(BadPassword, "password", pbes2.decrypt, locked(length=b"\2\1\x20"), b"pw")
    raises(BadPassword, "password", pbes2.decrypt, locked(cipher=AES128, length=b"\2\1\x10"), b"pw")
    without_null = encode(0x30, oid("2a864886f70d0209"))
    raises(BadPassword, "password", pbes2.decrypt, locked(prf=without_null), b"pw")
    for size in (1, 64, 300):
        raises(BadPassword, "password", pbes2.decrypt, locked(salt=encode(0x04, bytes(size))), b"pw")


def test_other_encryptions_of_openssl_name_the_command_that_converts():
    for name in ("sha1", "sha512", "aes192", "des3", "pbes1", "scrypt"):
        data = vector("keys/encrypted_%s.der" % name)
        error = raises(FormatError, "key-kdf", pbes2.decrypt, data, "password")
        assert "PBES2" in error.expected and "openssl pkcs8 -topk8" in error.remedy


def test_iterations_unasked():
    count = b"\2\x03\x01\x86\xa1"
    data = locked(count=count)
    if ON_DEVICE:
        error = raises(FormatError, "iterations", pbes2.decrypt, data, b"pw")
        assert error.found == "100001" and error.expected == "1 to 100000"
        assert "max_iterations=100001" in error.remedy
        raises(BadPassword, "password", pbes2.decrypt, locked(count=b"\2\x03\x01\x86\xa0"), b"pw")
    raises(BadPassword, "password", pbes2.decrypt, data, b"pw", 100001)
    raises(FormatError, "iterations", pbes2.decrypt, data, b"pw", 100000)


def test_iterations_at_most():
    data = locked(count=b"\2\x03\x0f\x42\x40")
    raises(BadPassword, "password", pbes2.decrypt, data, b"pw", 1000000)
    error = raises(
        FormatError, "iterations", pbes2.decrypt, locked(count=b"\2\x03\x0f\x42\x41"), b"pw", 1000000
    )
    assert "openssl pkcs8 -topk8" in error.remedy
    for limit in (0, -1, 1000001):
        raises(FormatError, "iterations", pbes2.decrypt, LOCKED, b"password", limit)
    for count in (0, -1, 1000001, 1 << 40):
        raises(FormatError, "iterations", pbes2.encrypt, PLAIN, b"pw", count)


def test_wrong_passwords():
    for password in ("", "passwort", "Password", "password ", "\0password", b"x" * 100):
        error = raises(BadPassword, "password", pbes2.decrypt, LOCKED, password)
        assert error.found is None and error.expected is None
        if not ON_MICROPYTHON:
            assert error.__context__ is None


def sealed(plain):
    """Any bytes encrypted, their padding included."""
    salt, iv = b"s" * 8, bytes(16)
    buffer = bytearray(plain)
    key = pbes2.derive(b"pw", salt, 1, 32)
    pbes2.aes_cbc(key, iv, buffer, True)
    return locked(salt=encode(0x04, salt), count=b"\2\1\1", iv=encode(0x04, iv), data=encode(0x04, buffer))


def test_the_inside_is_one_error():
    padding = -len(PLAIN) % 16
    assert padding == 6
    good = PLAIN + bytes([padding]) * padding
    assert pbes2.decrypt(sealed(good), b"pw") == PLAIN
    rows = [good[:-1] + bytes([last]) for last in range(256) if last != padding]
    for at in range(1, padding + 1):
        rows.append(good[:-at] + b"\0" + good[len(good) - at + 1 :])
    rows.append(good + bytes(16))
    rows.append(good + b"\x11" * 16)
    rows.append(good + b"\x10" * 15 + b"\x0f")
    rows.append(b"\x10" * 16)
    rows.append(encode(0x30, PLAIN[3:], bytes(3)) + b"\3" * 3)
    for inner in (
        b"",
        b"\x30\0",
        b"\x30\x03\2\1\0",
        b"\x30\x05\2\1\0\x30\0",
        b"\x31" + PLAIN[1:],
        PLAIN[:-1],
    ):
        size = 16 - len(inner) % 16
        rows.append(inner + bytes([size]) * size)
    rows.append(PLAIN.replace(b"\2\1\0", b"\2\1\2", 1) + b"\6" * 6)
    # Whole blocks that end in 0, which is no padding, and 17 bytes of 17, which are more than a block.
    rows.append(encode(0x30, PLAIN[3:], encode(0xA0, bytes(4))))
    rows.append(encode(0x30, PLAIN[3:], encode(0xA0, bytes(3))) + b"\x11" * 17)
    for plain in rows:
        assert len(plain) % 16 == 0
        raises(BadPassword, "password", pbes2.decrypt, sealed(plain), b"pw")
    # A whole block of padding, and one byte of it.
    assert len(rows) > 265
    for extra in (4, 3):
        plain = encode(0x30, PLAIN[3:], encode(0xA0, bytes(extra)))
        size = 16 - len(plain) % 16
        assert size in (16, 1) and pbes2.decrypt(sealed(plain + bytes([size]) * size), b"pw") == plain


def test_hostile_input():
    def read(data):
        return pbes2.decrypt(data, b"password")

    def check(plain):
        # The cipher has no authentication: here it is only certain that this is a key's frame.
        assert len(plain) == len(PLAIN) and plain[:3] == PLAIN[:3]

    good, errors = attack(read, LOCKED, stride=2 if ON_MICROPYTHON else 1, on_value=check)
    assert good and errors


def capture(function):
    """Call, and return what was in each buffer that held a secret, now that it is over."""
    held = []
    known = {}

    def keep(name, of_arguments):
        known[name] = original = getattr(pbes2, name)

        def replacement(*arguments):
            result = original(*arguments)
            held.extend(arguments[:of_arguments] if of_arguments else (result,))
            return result

        setattr(pbes2, name, replacement)

    keep("_secret", 0)
    keep("_padded", 0)
    keep("_derive", 4)
    keep("aes_cbc", 1)
    keep("_unpadded", 1)
    try:
        function()
    finally:
        for name, original in known.items():
            setattr(pbes2, name, original)
    return held


def test_buffers_of_secrets_are_overwritten():
    def write():
        pbes2.encrypt(PLAIN, b"password", 20)

    def read():
        pbes2.decrypt(LOCKED, b"password")

    def refuse():
        raises(BadPassword, "password", pbes2.decrypt, LOCKED, b"wrong")

    def run():
        for function, least in ((write, 2), (read, 3), (refuse, 3)):
            held = capture(function)
            assert len(held) >= least + (6 if pbes2.pbkdf2_hmac is None else 0), function
            for buffer in held:
                assert isinstance(buffer, bytearray) and len(buffer) and not any(buffer)

    run()
    with_our_loop(run)


def test_buffers_are_overwritten_when_it_fails_midway():
    # The cipher is what may be missing, or out of memory.
    def broken(key, iv, data, encrypt):
        seen.append(key)
        raise MemoryError

    seen = []
    known = pbes2.aes_cbc
    pbes2.aes_cbc = broken
    try:
        for call in (lambda: pbes2.decrypt(LOCKED, b"password"), lambda: pbes2.encrypt(PLAIN, b"pw", 1)):
            try:
                call()
            except MemoryError:
                continue
            raise AssertionError
    finally:
        pbes2.aes_cbc = known
    assert len(seen) == 2
    for key in seen:
        assert len(key) == 32 and not any(key)


def test_wipe():
    buffer = bytearray(b"secret")
    pbes2.wipe(buffer)
    assert buffer == bytes(6)
    view = bytearray(b"secret")
    pbes2.wipe(memoryview(view)[2:])
    assert view == b"se\0\0\0\0"


def test_deriving_keeps_no_heap():
    only_on_micropython("gc.mem_alloc is MicroPython's")
    import gc

    # Garbage of the loop is collected: 20,000 rounds make more of it than the heap has.
    gc.collect()
    before = gc.mem_alloc()
    pbes2.derive(b"password", b"salt", 20000, 32)
    gc.collect()
    assert gc.mem_alloc() - before < 2000

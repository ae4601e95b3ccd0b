"""Encrypted private keys (RFC 5958 EncryptedPrivateKeyInfo) in the form that `openssl pkcs8 -topk8` writes.

Read and written: PBES2 (RFC 8018 6.2) with PBKDF2, HMAC-SHA-256 and AES-128-CBC or AES-256-CBC.
Checked on reading: first the outer DER, its parameters and the number of iterations (FormatError), then,
all with the one error BadPassword, the padding and that a PKCS#8 key lies inside. CBC has no
authentication: what passes may still have changed bytes. `keys.matches` tells most of them, the check
of a store's record all.

Passwords, HMAC keys and derived keys are held in bytearrays, and these are overwritten. Beyond reach:
a password given as str, the SHA-256 of one longer than 64 bytes, the digests of the loop, and what
hashlib, cryptolib and `cryptography` keep inside.
"""

import hashlib

from .asn1 import dotted, encode
from .ciphers import aes_cbc, pbkdf2_hmac
from .compat import ON_DEVICE, const
from .der import Der
from .errors import BadPassword, FormatError

_INTEGER = const(0x02)
_OCTET_STRING = const(0x04)
_NULL = const(0x05)
_OID = const(0x06)
_SEQUENCE = const(0x30)

_PBES2 = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d"
_PBKDF2 = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c"
_HMAC_SHA256 = b"\x2a\x86\x48\x86\xf7\x0d\x02\x09"
# OID of the cipher (NIST's AES arc), bytes of its key.
_CIPHERS = (
    (b"\x60\x86\x48\x01\x65\x03\x04\x01\x02", 16),
    (b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a", 32),
)
_EXPECTED = "PBES2 with PBKDF2, HMAC-SHA-256 and AES-128-CBC or AES-256-CBC"

# On a 240 MHz ESP32 an estimated 150 to 270 us a round: some two seconds; on a host, a fraction of one.
ITERATIONS = 10_000 if ON_DEVICE else 600_000
# What is read unasked: a file keeps a device busy for no more than some 20 seconds.
UNASKED_ITERATIONS = 100_000 if ON_DEVICE else 1_000_000
MAX_ITERATIONS = const(1_000_000)

_HMAC_BLOCK = const(64)
_DIGEST = const(32)
_AES_BLOCK = const(16)
# Twice what RFC 8018 4.1 asks for at least; OpenSSL writes 8 or 16 bytes.
_SALT = const(16)
# Digests that are summed at once: the cost of an int's XOR is shared by them.
_LANES = const(16)


def decrypt(der, password, max_iterations=None):
    """The PKCS#8 PrivateKeyInfo inside, in a bytearray: the caller overwrites it with `wipe`.

    der: bytes-like EncryptedPrivateKeyInfo. password: bytes-like, better a bytearray that the caller
    wipes, or str, taken as UTF-8; it may be empty, as openssl's may. max_iterations: up to 1,000,000;
    left out it is that on CPython, and 100,000 on MicroPython. Raises FormatError "der-...", "key-kdf"
    and "iterations"; BadPassword for everything that is wrong after decryption.
    """
    limit = UNASKED_ITERATIONS if max_iterations is None else _allowed(max_iterations, MAX_ITERATIONS)
    salt, count, size, iv, data = _parameters(Der(memoryview(der)), limit)
    buffer = bytearray(data)
    plain = None
    key = derive(password, salt, count, size)
    try:
        aes_cbc(key, bytes(iv), buffer, False)
        length = _unpadded(buffer)
        if length >= 0 and _is_private_key_info(buffer, length):
            plain = bytearray(memoryview(buffer)[:length])
    finally:
        wipe(key)
        wipe(buffer)
    if plain is None:
        raise BadPassword("password")
    return plain


def encrypt(pkcs8_der, password, iterations=None, key_bits=256):
    """The EncryptedPrivateKeyInfo DER of a PKCS#8 PrivateKeyInfo, salt and IV from `entropy`.

    password: as for `decrypt`. iterations: 1 to 1,000,000, unless given 10,000 on MicroPython and
    600,000 on CPython. key_bits: 128 or 256, of AES. Raises FormatError "key", "iterations", EntropyError.
    """
    from .entropy import random

    if iterations is None:
        iterations = ITERATIONS
    return seal(pkcs8_der, password, random(_SALT), random(_AES_BLOCK), iterations, key_bits)


def seal(pkcs8_der, password, salt, iv, iterations, key_bits):
    """`encrypt` with its salt and IV as arguments: the same arguments give the same bytes.

    An IV or salt that was used before tells that two keys are equal; `encrypt` draws fresh ones.
    """
    _allowed(iterations, MAX_ITERATIONS)
    for cipher, size in _CIPHERS:
        if size * 8 == key_bits:
            break
    else:
        raise ValueError("key_bits: 128 or 256")
    length = len(pkcs8_der)
    if not _is_private_key_info(pkcs8_der, length):
        raise FormatError("key", expected="PKCS#8, not encrypted")
    padding = _AES_BLOCK - length % _AES_BLOCK
    buffer = bytearray(length + padding)
    buffer[:length] = pkcs8_der
    for i in range(length, length + padding):
        buffer[i] = padding
    key = derive(password, salt, iterations, size)
    try:
        aes_cbc(key, iv, buffer, True)
    finally:
        wipe(key)
    prf = encode(_SEQUENCE, encode(_OID, _HMAC_SHA256), encode(_NULL))
    derivation = encode(_SEQUENCE, encode(_OCTET_STRING, salt), _integer(iterations), prf)
    parameters = encode(
        _SEQUENCE,
        encode(_SEQUENCE, encode(_OID, _PBKDF2), derivation),
        encode(_SEQUENCE, encode(_OID, cipher), encode(_OCTET_STRING, iv)),
    )
    algorithm = encode(_SEQUENCE, encode(_OID, _PBES2), parameters)
    return encode(_SEQUENCE, algorithm, encode(_OCTET_STRING, buffer))


def derive(password, salt, iterations, size):
    """PBKDF2 with HMAC-SHA-256 (RFC 8018 5.2): a key of `size` bytes, at most 32, in a bytearray."""
    secret = _secret(password)
    inner = outer = lanes = None
    try:
        if pbkdf2_hmac is not None:
            return bytearray(pbkdf2_hmac("sha256", secret, salt, iterations, size))
        # Each pad has room behind it for the digest that is hashed with it.
        inner = _padded(secret, 0x36)
        outer = _padded(secret, 0x5C)
        lanes = bytearray(_LANES * _DIGEST)
        key = bytearray(size)
        _derive(key, inner, outer, lanes, salt, iterations)
        return key
    finally:
        for buffer in (secret, inner, outer, lanes):
            if buffer is not None:
                wipe(buffer)


def wipe(buffer):
    """Overwrite a bytearray with zeros."""
    for i in range(len(buffer)):
        buffer[i] = 0


def _derive(key, inner, outer, lanes, salt, iterations):
    # The first digest goes to `key`, the sum of all others to an int, which cannot be overwritten
    # but is not the key: the two come together in the bytearray only.
    sha256 = hashlib.sha256
    from_bytes = int.from_bytes
    first = sha256(memoryview(inner)[:_HMAC_BLOCK])
    first.update(salt)
    first.update(b"\0\0\0\1")
    outer[_HMAC_BLOCK:] = first.digest()
    digest = sha256(outer).digest()
    size = len(key)
    for i in range(size):
        key[i] = digest[i]
    starts = tuple(range(0, len(lanes), _DIGEST))
    total = 0
    left = iterations - 1
    while left > 0:
        if left < _LANES:
            wipe(lanes)
            starts = starts[:left]
        for start in starts:
            inner[_HMAC_BLOCK:] = digest
            outer[_HMAC_BLOCK:] = sha256(inner).digest()
            digest = sha256(outer).digest()
            lanes[start : start + _DIGEST] = digest
        total ^= from_bytes(lanes, "big")
        left -= _LANES
    sums = total.to_bytes(len(lanes), "big")
    for start in range(0, len(lanes), _DIGEST):
        for i in range(size):
            key[i] ^= sums[start + i]


def _secret(password):
    # Our own copy, in the bytearray that is overwritten; keys longer than a block are hashed (RFC 2104 2).
    if isinstance(password, str):
        try:
            password = password.encode()
        except UnicodeError:
            password = None
        if password is None:
            raise BadPassword("password", expected="text that UTF-8 can encode")
    view = memoryview(password)
    if len(view) > _HMAC_BLOCK:
        return bytearray(hashlib.sha256(view).digest())
    return bytearray(view)


def _padded(secret, pad):
    buffer = bytearray(_HMAC_BLOCK + _DIGEST)
    for i in range(_HMAC_BLOCK):
        buffer[i] = pad
    for i in range(len(secret)):
        buffer[i] ^= secret[i]
    return buffer


def _parameters(walk, limit):
    # Salt, iterations, bytes of the key, IV, ciphertext.
    walk.expect(_SEQUENCE)
    walk.finish()
    walk.enter()
    walk.expect(_SEQUENCE)
    algorithm = walk.enter()
    _known(walk, "encryption", _PBES2)
    walk.expect(_SEQUENCE)
    parameters = walk.enter()
    walk.expect(_SEQUENCE)
    derivation = walk.enter()
    _known(walk, "key derivation", _PBKDF2)
    walk.expect(_SEQUENCE)
    inner = walk.enter()
    walk.expect(_OCTET_STRING)
    salt = walk.content()
    if len(salt) == 0:
        raise _refusal(walk, "a salt")
    walk.expect(_INTEGER)
    count = _iterations(walk, limit)
    stated = None
    if walk.optional(_INTEGER):
        stated = walk.small()
    if walk.done():
        # RFC 8018 A.2: the one that is meant when none is named.
        raise FormatError("key-kdf", "HMAC-SHA-1", _EXPECTED)
    walk.expect(_SEQUENCE)
    prf = walk.enter()
    _known(walk, "HMAC", _HMAC_SHA256)
    if walk.optional(_NULL) and walk.start != walk.stop:
        raise _refusal(walk, "an empty NULL")
    walk.leave(prf)
    walk.leave(inner)
    walk.leave(derivation)
    walk.expect(_SEQUENCE)
    cipher = walk.enter()
    size = _key_size(walk)
    if stated is not None and stated != size:
        raise FormatError("key-kdf", "a derived key of %d bytes" % stated, "%d, the cipher's" % size)
    walk.expect(_OCTET_STRING)
    iv = walk.content()
    if len(iv) != _AES_BLOCK:
        raise _refusal(walk, "an IV of 16 bytes")
    walk.leave(cipher)
    walk.leave(parameters)
    walk.leave(algorithm)
    walk.expect(_OCTET_STRING)
    data = walk.content()
    if len(data) == 0 or len(data) % _AES_BLOCK:
        raise _refusal(walk, "whole blocks of 16 bytes")
    walk.finish()
    return salt, count, size, iv, data


def _known(walk, what, wanted):
    walk.expect(_OID)
    if walk.content() != wanted:
        raise FormatError("key-kdf", "%s %s" % (what, dotted(walk.content())), _EXPECTED)


def _key_size(walk):
    walk.expect(_OID)
    for oid, size in _CIPHERS:
        if walk.content() == oid:
            return size
    raise FormatError("key-kdf", "cipher %s" % dotted(walk.content()), _EXPECTED)


def _iterations(walk, limit):
    # More than three bytes are above any limit: such an INTEGER is refused by its size.
    first = walk.buf[walk.start] if walk.stop - walk.start > 3 else 255
    if 0 < first < 128 or first == 0 and walk.buf[walk.start + 1] > 127:
        raise FormatError("iterations", "more than 8388607", "1 to %d" % limit)
    return _allowed(walk.small(), limit)


def _allowed(count, limit):
    if 1 <= count <= limit:
        return count
    remedy = None
    if limit < count <= MAX_ITERATIONS:
        remedy = "allow the time it takes with max_iterations=%d, or encrypt it again with fewer" % count
    raise FormatError("iterations", str(count), "1 to %d" % limit, remedy)


def _refusal(walk, expected):
    return FormatError("der-value", "byte %d" % walk.at, expected)


def _unpadded(buffer):
    # Bytes before the padding (RFC 8018 6.1.1), or -1; the same steps whatever the last block holds.
    size = len(buffer)
    padding = buffer[size - 1]
    wrong = (padding - 1 | _AES_BLOCK - padding) >> 8
    for i in range(1, _AES_BLOCK + 1):
        wrong |= (buffer[size - i] ^ padding) & (i - 1 - padding >> 8)
    return -1 if wrong else size - padding


def _is_private_key_info(buffer, size):
    # Version, algorithm, key: what no wrong password yields by chance (RFC 5958 2).
    try:
        walk = Der(buffer, 0, size)
        walk.expect(_SEQUENCE)
        walk.finish()
        walk.enter()
        walk.expect(_INTEGER)
        version = walk.small()
        walk.expect(_SEQUENCE)
        walk.expect(_OCTET_STRING)
        while walk.next():
            pass
        return version <= 1
    except FormatError:
        return False


def _integer(value):
    # An INTEGER above 0 (X.690 8.3).
    content = value.to_bytes(4, "big").lstrip(b"\0")
    return encode(_INTEGER, b"\0" + content if content[0] > 127 else content)

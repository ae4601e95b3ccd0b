"""Where MicroPython and CPython differ, in one place."""

import io
import time

try:
    from micropython import const

    ON_DEVICE = True
    # hashlib here has no key derivation: pbes2 has its own loop.
    pbkdf2_hmac = None
    _MODE_CBC = const(2)

    def has_room(size):
        """Whether `size` bytes of heap are free in one piece; garbage is collected only if they are not."""
        try:
            # Unlike any other buffer's, a closed BytesIO's memory is free at once, not when it is collected.
            io.BytesIO(size).close()
        except MemoryError:
            return False
        return True

    def aes_cbc(key, iv, data, encrypt):
        """AES-CBC over a bytearray of whole blocks, in place. key: 16 or 32 bytes."""
        from cryptolib import aes

        cipher = aes(key, _MODE_CBC, iv)
        if encrypt:
            cipher.encrypt(data, data)
        else:
            cipher.decrypt(data, data)

except ImportError:
    import hashlib

    ON_DEVICE = False
    pbkdf2_hmac = hashlib.pbkdf2_hmac

    def const(value):
        return value

    def has_room(size):
        return True

    def aes_cbc(key, iv, data, encrypt):
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        cipher = Cipher(algorithms.AES(key), modes.CBC(iv))
        context = cipher.encryptor() if encrypt else cipher.decryptor()
        data[:] = context.update(data) + context.finalize()


# MicroPython ports count from 1970 or from 2000; certificates and stores count from 1970.
_EPOCH_OFFSET_S = 946684800 if time.gmtime(0)[0] == 2000 else 0


def unix_time():
    """The clock in whole seconds since 1970-01-01 00:00:00 UTC."""
    return int(time.time()) + _EPOCH_OFFSET_S


def same(a, b):
    """Whether two secrets (bytes-like) are equal, in a time that tells nothing of where they differ."""
    if len(a) != len(b):
        return False
    difference = 0
    for i in range(len(a)):
        difference |= a[i] ^ b[i]
    return difference == 0

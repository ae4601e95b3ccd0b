"""The interpreter's own cryptography for private keys: AES-CBC, and PBKDF2 where it has it."""

from .compat import ON_DEVICE, const

if ON_DEVICE:
    # hashlib here has no key derivation: pbes2 has its own loop.
    pbkdf2_hmac = None
    _MODE_CBC = const(2)

    def aes_cbc(key, iv, data, encrypt):
        """AES-CBC over a bytearray of whole blocks, in place. key: 16 or 32 bytes."""
        from cryptolib import aes

        cipher = aes(key, _MODE_CBC, iv)
        if encrypt:
            cipher.encrypt(data, data)
        else:
            cipher.decrypt(data, data)

else:
    import hashlib

    pbkdf2_hmac = hashlib.pbkdf2_hmac

    def aes_cbc(key, iv, data, encrypt):
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        cipher = Cipher(algorithms.AES(key), modes.CBC(iv))
        context = cipher.encryptor() if encrypt else cipher.decryptor()
        data[:] = context.update(data) + context.finalize()

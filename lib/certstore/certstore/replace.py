"""A whole new store in the place of another, which may have to be authentic.

Verified, in this order: the tag, if one is demanded, over what was read back from flash, before any of it is
parsed; the store as `CertStore.verify` does; its build time.
Not verified: who else has the key. With one key in many devices, whoever opens one can sign for all.
"""

import hashlib

from . import dates, journal
from .compat import const, unix_time
from .errors import StoreError, part
from .layout import CHUNK, STAGED
from .store import CertStore
from .writer import Entries, Writer

# What tags are made over begins with this: no tag of another use of the key fits here.
PURPOSE = b"securesocket store replacement 1\0"
TAG = const(32)
_BLOCK = const(64)
_DAY_S = const(86400)


def tag(blob, key):
    """HMAC-SHA256 (RFC 2104) under `key`, bytes, of PURPOSE and the blob: to be appended to it."""
    mac = Hmac(key)
    mac.update(PURPOSE)
    mac.update(blob)
    return mac.digest()


def replace(store, path, tag_key, source, older):
    """CertStore.replace: the new store in `path`, in the place of `store`. Raises what that raises."""
    staged = path + STAGED
    try:
        found = _stage(source, staged, TAG if tag_key is not None else 0)
        if tag_key is not None and not same(found, _tag_of(staged, tag_key)):
            raise StoreError("store-tag")
        _replace(store, path, staged, older)
    except OSError as error:
        raise journal.refusal(path, error)
    finally:
        journal.discard(staged)


def _replace(store, path, staged, older):
    incoming = CertStore(staged)
    try:
        incoming.verify()
        built = incoming.build_time
        if built < store.build_time and not older:
            raise StoreError("store-older", dates.text(built), "not before " + dates.text(store.build_time))
        now = unix_time()
        if now >= store.build_time and built > now + _DAY_S:
            raise StoreError("store-future", dates.text(built), "not after " + dates.text(now))
        kept = store.identity_records()
        if incoming.identity_count:
            kept = part("certstore.identities", "certstore-identity").united(incoming, store)
        journal.write(path, Writer(incoming, Entries([]), built, kept))
        if incoming.identity_count:
            # Their labels may be those of other keys from now on.
            store.lock()
    finally:
        incoming.close()


def _stage(source, staged, tail):
    # Copies everything but the last `tail` bytes, and returns those.
    if isinstance(source, str):
        try:
            file = open(source, "rb")
        except OSError as error:
            raise StoreError("store-file", "%s (errno %s)" % (source, error.errno))
        with file:
            return _stage(file, staged, tail)
    held = b""
    with open(staged, "wb") as file:
        for chunk in _chunks(source):
            held += bytes(chunk)
            ready = max(len(held) - tail, 0)
            if file.write(held[:ready]) != ready:
                raise OSError(28)
            held = held[ready:]
    return held


def _chunks(source):
    if hasattr(source, "readinto"):
        buffer = memoryview(bytearray(CHUNK))
        while True:
            count = source.readinto(buffer)
            if not count:
                return
            yield buffer[:count]
    view = memoryview(source)
    for at in range(0, len(view), CHUNK):
        yield view[at : at + CHUNK]


def same(a, b):
    """Whether two secrets (bytes-like) are equal, in a time that tells nothing of where they differ."""
    if len(a) != len(b):
        return False
    difference = 0
    for i in range(len(a)):
        difference |= a[i] ^ b[i]
    return difference == 0


def _tag_of(path, key):
    mac = Hmac(key)
    mac.update(PURPOSE)
    with open(path, "rb") as file:
        for chunk in _chunks(file):
            mac.update(chunk)
    return mac.digest()


class Hmac:
    """HMAC-SHA256 (RFC 2104), piece by piece: MicroPython has no hmac module."""

    def __init__(self, key):
        if len(key) > _BLOCK:
            key = hashlib.sha256(key).digest()
        key = bytes(key) + bytes(_BLOCK - len(key))
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))

    def update(self, data):
        self._inner.update(data)

    def digest(self):
        self._outer.update(self._inner.digest())
        return self._outer.digest()

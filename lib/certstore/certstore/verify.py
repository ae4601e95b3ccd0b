"""The whole check of a store: every byte behind the header, every record, both indexes, identities."""

import hashlib

from .compat import const
from .errors import CorruptStore, part

# Those of `layout`, as in `blob`.
_CHUNK = const(256)
_ENTRY_HEAD = const(5)
_HEADER_LENGTH = const(96)
_MAX_SKI_WIDTH = const(64)


def verify(store):
    """Raises CorruptStore, or StoreError "store-version", at the first thing that is not right."""
    if digest(store.read, store.size) != store.digest:
        raise CorruptStore("store-check")
    _records(store)
    _subjects(store)
    if store.identity_count or store.identities_at != store.size:
        part("certstore.identities", "certstore-identity").verify_identities(store)


def digest(read, size):
    """SHA-256 of what is behind the header of a blob of `size` bytes; read(at, view) reads from it."""
    found = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK))
    for at in range(_HEADER_LENGTH, size, _CHUNK):
        view = buffer[: min(_CHUNK, size - at)]
        read(at, view)
        found.update(view)
    return found.digest()


def _records(store):
    into = bytearray(store.largest)
    expected = store.records_at
    before = b""
    for number in range(len(store)):
        if store.is_removed(number):
            store.record(number)
        else:
            store.certificate(number, into)
        start, stop = store.extent(number)
        if stop - start > store.largest:
            raise CorruptStore("store-header", "a largest certificate of %d bytes" % store.largest)
        entry = store.entry(number)
        place = padded(entry)
        if start != expected or place < before:
            raise CorruptStore("store-index", "SKI entry %d" % number)
        expected = stop
        before = place
    if expected != store.identities_at:
        raise CorruptStore("store-index", "records end at %d" % expected)


def padded(entry):
    """An index entry's SKI as it is ordered: by bytes, then by length."""
    ski = entry[_ENTRY_HEAD:]
    return ski + bytes(_MAX_SKI_WIDTH - len(ski)) + bytes((len(ski),))


def _subjects(store):
    # Ascending pairs of (hash, number): every number once.
    before = b""
    for position, number in enumerate(store.by_subject()):
        place = store.entry(number)[:4] + number.to_bytes(2, "big")
        if place <= before:
            raise CorruptStore("store-index", "subject entry %d" % position)
        before = place

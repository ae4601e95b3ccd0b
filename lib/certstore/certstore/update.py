"""Changes of a store that lies in a file: each is written at once or not at all (`journal`)."""

from . import journal
from .anchors import entries
from .blob import is_store
from .errors import NotFound, StoreError
from .layout import ENTRY_HEAD, REMOVED
from .pem import ders
from .store import CertStore
from .writer import Entries, Writer


def create(path, build_time=0):
    """An empty CertStore in a new file. build_time: s since 1970. Raises StoreError "store-exists"."""
    if is_store(path):
        raise StoreError("store-exists", path)
    journal.write(path, Writer(Entries([]), Entries([]), build_time))
    return CertStore(path)


def add(store, data):
    """CertStore.add: the certificates in `data`, PEM or DER. Returns how many were not there yet."""
    return rewrite(store, Entries(entries(ders(data))))


def remove(store, ski):
    """CertStore.remove: every certificate with this SKI. Returns how many."""
    ski = bytes(ski)
    refresh(store)
    number = store.find(ski)
    count = 0
    while number >= 0:
        count += 1
        number = store.find(ski, number)
    if not count:
        raise NotFound("not-found", "SKI %s" % ski.hex())
    rewrite(store, Entries([]), lambda entry: entry[ENTRY_HEAD:] != ski or is_hiding(entry))
    return count


def merge(store, other):
    """CertStore.merge: the certificates of another store. Returns how many were not there yet."""
    if not other.verified:
        other.verify()
    if isinstance(other, CertStore):
        return rewrite(store, Certificates(other))
    # Layers are not in one order: their certificates are held while they are written.
    return rewrite(store, Entries([(other.entry(n), bytes(other.record(n))) for n in other.numbers()]))


class Certificates:
    """The certificates of a store as a source of a Writer, without what hides others."""

    def __init__(self, store):
        self._store = store
        self._numbers = list(store.numbers())

    def __len__(self):
        return len(self._numbers)

    def entry(self, number):
        return self._store.entry(self._numbers[number])

    def record(self, number):
        return self._store.record(self._numbers[number])

    def by_subject(self):
        """Yields the numbers in the order of their subject hashes."""
        own = {number: at for at, number in enumerate(self._numbers)}
        for number in self._store.by_subject():
            if number in own:
                yield own[number]


def is_hiding(entry):
    """Whether an index entry hides the certificates of a store below."""
    return entry[ENTRY_HEAD - 1] >= REMOVED


def refresh(store):
    """Read a store anew that is to be changed, and check it: it may have changed through another CertStore,
    and damage must not be written as if it were right."""
    if store.path is None:
        raise StoreError("store-read-only")
    store.open(store.path)
    store.verify()


def rewrite(store, second, keep=None, identities=None):
    """Write a store anew: its entries that `keep` keeps, those of `second`, and records of identities (None:
    its own). Nothing is written if nothing changes. Returns how many entries came from `second`."""
    refresh(store)
    journal.clear(store.path)
    own = store.identity_records()
    writer = Writer(store, second, store.build_time, own if identities is None else identities, keep)
    if writer.added or writer.count != len(store) or (identities is not None and identities != own):
        journal.write(store.path, writer)
        store.open(store.path)
    return writer.added


def rewrite_identities(store, made):
    """Write a store anew with these records of identities."""
    rewrite(store, Entries([]), None, made)

"""A store that is only read, with the changes to it in a file above: certificates that were added,
identities, and what hides certificates of the store below, also of a later version of it.
"""

from .blob import is_store
from .compat import const
from .errors import NotFound, StoreError, part
from .store import CertStore

# Of `layout`, as in `blob`.
_AT_LENGTH = const(4)
_ENTRY_HEAD = const(5)
_NOTHING = const(4)

_IDENTITY = "certstore-identity"


def hides_ski(store, buf, start, size):
    """Whether an entry of a CertStore hides the certificates with the SKI buf[start : start + size] below."""
    number = store.find_ski(buf, start, size)
    while number >= 0:
        if store.is_removed(number):
            return True
        number = store.find_ski(buf, start, size, number)
    return False


class LayeredStore:
    """A CertStore to all who read it. Raises what CertStore raises.

    base: a CertStore. path: of the changes, a file that is made with the first of them. base_path: where
    `replace` puts a new base, if not where this one is. tag_key: as of CertStore, for `replace`; the base's,
    if it is left out.

    Certificates are numbered from 0 in the changes, and on from there in the base. An SKI that was removed is
    hidden in every base for good; a certificate with it that is added is in the changes.
    """

    def __init__(self, base, path, base_path=None, tag_key=None):
        self.base = base
        self.path = path
        self.base_path = base_path or base.path
        self.tag_key = base.tag_key if tag_key is None else bytes(tag_key)
        self.changes = None
        if is_store(path):
            self.changes = CertStore(path)
            # A removal that is not found would bring back what was removed, and no look-up would notice.
            self.changes.verify()

    def __repr__(self):
        show = part("certstore.show")
        return "<LayeredStore%s>" % (show and " " + show.describe(self) or "")

    def close(self):
        self.base.close()
        if self.changes is not None:
            self.changes.close()

    def _split(self, number):
        # The store that has this number, and its number there.
        above = 0 if self.changes is None else len(self.changes)
        if 0 <= number < above:
            return self.changes, number
        return self.base, number - above

    def __len__(self):
        return len(self.base) + (0 if self.changes is None else len(self.changes))

    @property
    def verified(self):
        return self.base.verified and (self.changes is None or self.changes.verified)

    @property
    def build_time(self):
        return max(self.base.build_time, 0 if self.changes is None else self.changes.build_time)

    @property
    def largest(self):
        return max(self.base.largest, 0 if self.changes is None else self.changes.largest)

    def verify(self):
        self.base.verify()
        if self.changes is not None:
            self.changes.verify()

    def numbers(self):
        """Yields the number of every certificate that is not hidden."""
        above = 0
        if self.changes is not None:
            above = len(self.changes)
            yield from self.changes.numbers()
        for number in self.base.numbers():
            if not self._hides(self.base.ski(number)):
                yield above + number

    def _hides(self, ski):
        return self.changes is not None and hides_ski(self.changes, ski, 0, len(ski))

    def _hides_found(self):
        # Whether the changes hide what find_subject has just found in the base; it is not copied.
        if self.changes is None:
            return False
        window, at = self.base.window, self.base.found_at
        return hides_ski(self.changes, window, at + _ENTRY_HEAD, window[at + _AT_LENGTH] & 0x7F)

    def is_removed(self, number):
        """Whether this entry is no certificate that counts here."""
        store, own = self._split(number)
        return store.is_removed(own) or (store is self.base and self._hides(store.ski(own)))

    def find(self, ski, after=-1):
        """As CertStore.find."""
        above = 0
        if self.changes is not None:
            above = len(self.changes)
            number = self.changes.find(ski, after)
            if number >= 0:
                return number
        number = self.base.find(ski, max(after - above, -1))
        return -1 if number < 0 or self._hides(ski) else above + number

    def find_subject(self, hash4, after=-1):
        """As CertStore.find_subject."""
        above = 0
        if self.changes is not None:
            above = len(self.changes)
            number = self.changes.find_subject(hash4, after)
            if number >= 0:
                return number
        number = self.base.find_subject(hash4, max(after - above, -1))
        while number >= 0 and self._hides_found():
            number = self.base.find_subject(hash4, number)
        return -1 if number < 0 else above + number

    def ski(self, number):
        store, own = self._split(number)
        return store.ski(own)

    def kind(self, number):
        store, own = self._split(number)
        return store.kind(own)

    def is_packed(self, number):
        store, own = self._split(number)
        return store.is_packed(own)

    def entry(self, number):
        store, own = self._split(number)
        return store.entry(own)

    def record(self, number):
        store, own = self._split(number)
        return store.record(own)

    def certificate(self, number, into=None):
        """As CertStore.certificate."""
        store, own = self._split(number)
        return store.certificate(own, into)

    def _writable(self):
        if self.base_path is not None:
            from .journal import clear

            clear(self.base_path)
        if self.changes is None:
            from .update import create

            self.changes = CertStore(self.path) if is_store(self.path) else create(self.path)
        return self.changes

    def _is_new(self, entry, made):
        # Whether the base does not show this very certificate already.
        ski = entry[_ENTRY_HEAD:]
        if self._hides(ski):
            return True
        number = self.base.find(ski)
        while number >= 0:
            if self.base.entry(number) == entry and self.base.record(number) == made:
                return False
            number = self.base.find(ski, number)
        return True

    def add(self, data):
        """As CertStore.add; what the base has is not added."""
        from .anchors import entries
        from .pem import ders

        return self._add(entries(ders(data)))

    def merge(self, other):
        """As CertStore.merge; what the base has is not added."""
        if not other.verified:
            other.verify()
        return self._add((other.entry(number), bytes(other.record(number))) for number in other.numbers())

    def _add(self, rows):
        from .update import rewrite
        from .writer import Entries

        rows = [row for row in rows if self._is_new(*row)]
        return rewrite(self._writable(), Entries(rows)) if rows else 0

    def remove(self, ski):
        """As CertStore.remove; in the base, certificates with this SKI are hidden."""
        from .update import is_hiding, rewrite
        from .writer import Entries, record

        ski = bytes(ski)
        count = 0
        hiding = []
        number = self.find(ski)
        while number >= 0:
            count += 1
            store, own = self._split(number)
            if store is self.base and not hiding:
                hiding = [record(store.entry(own)[:_AT_LENGTH], ski, _NOTHING)]
            number = self.find(ski, number)
        if not count:
            if not self.verified:
                self.verify()
            raise NotFound("not-found", "SKI %s" % ski.hex())
        rewrite(
            self._writable(), Entries(hiding), lambda entry: entry[_ENTRY_HEAD:] != ski or is_hiding(entry)
        )
        return count

    def replace(self, source, older=False):
        """As CertStore.replace, of the base: the changes stay above the new one."""
        from .replace import replace

        if self.base_path is None:
            raise StoreError("store-read-only")
        replace(self.base, self.base_path, self.tag_key, source, older)
        self.base.close()
        self.base = CertStore(self.base_path, self.tag_key)

    @property
    def identity_count(self):
        return self.base.identity_count + (0 if self.changes is None else self.changes.identity_count)

    def identity(self, number):
        """As CertStore.identity: those of the changes first."""
        above = 0 if self.changes is None else self.changes.identity_count
        return self.changes.identity(number) if 0 <= number < above else self.base.identity(number - above)

    def find_identity(self, query):
        """As CertStore.find_identity: in the changes first."""
        if self.changes is None:
            return self.base.find_identity(query)
        try:
            return self.changes.find_identity(query)
        except NotFound:
            return self.changes.identity_count + self.base.find_identity(query)

    def add_identity(self, label, chain, key, **how):
        """As CertStore.add_identity, in the changes."""
        return self._writable().add_identity(label, chain, key, **how)

    def remove_identity(self, query):
        """As CertStore.remove_identity, of the changes."""
        above = 0 if self.changes is None else self.changes.identity_count
        if self.find_identity(query) >= above:
            raise StoreError("store-read-only", "an identity of the store below")
        self.changes.remove_identity(query)

    def _stores(self):
        return (self.base,) if self.changes is None else (self.changes, self.base)

    def unlock(self, password, query=None, max_iterations=None):
        """As CertStore.unlock, of both."""
        return part("certstore.identities", _IDENTITY).unlock(self._stores(), password, query, max_iterations)

    def lock(self):
        """Overwrite and forget decrypted keys."""
        for store in self._stores():
            store.lock()

    def private_identity(self, query):
        """As CertStore.private_identity, of both."""
        return part("certstore.identities", _IDENTITY).private(self._stores(), query)

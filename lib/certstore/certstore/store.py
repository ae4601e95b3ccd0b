"""The store: trust anchors and identities, found in flash, and changed there.

`blob` has what is checked when; docs/store-format.md the format.
"""

from .blob import Blob
from .compat import const
from .errors import StoreError, part

# Kinds of certificates: one that may issue others, and one that stands for itself only.
ANCHOR = const(1)
EXACT = const(2)

# What installs the rest.
_EDIT = const("certstore-edit")
_IDENTITY = const("certstore-identity")


class CertStore(Blob):
    """A store in bytes-like memory (frozen bytes, a mapped file) or in an ordinary file.

    source: bytes-like, or a path. Of a file, the header is read and nothing per certificate kept;
    where the port maps files (ROMFS) the file is read in place. Raises CorruptStore, StoreError.
    tag_key: bytes; every `replace` then demands a tag under it.

    Certificates are numbered in the order of their SKIs; `numbers` are those that are there. `find` and
    `find_subject` allocate nothing. `verified` tells whether `verify` has passed.
    """

    path = None
    tag_key = None
    # Decrypted keys by label, between `unlock` and `lock`; written by `identities`.
    keys = None

    def __init__(self, source, tag_key=None):
        if tag_key is not None:
            self.tag_key = bytes(tag_key)
        if isinstance(source, str):
            self.path = source
        self.open(source)

    def __repr__(self):
        show = part("certstore.show")
        return "<CertStore%s>" % (show and " " + show.describe(self) or "")

    def close(self):
        """Close the file, if there is one, and forget decrypted keys."""
        self.lock()
        self.close_file()

    # What changes a store, and identities, are loaded when they are asked for.

    def add(self, data):
        """Add the certificates in `data`, PEM or DER; returns how many were not there yet. As every change
        of a store, it is written at once or not at all, and leaves the build time. Raises FormatError,
        StoreError."""
        return part("certstore.update", _EDIT).add(self, data)

    def remove(self, ski):
        """Remove every certificate with this SKI; returns how many. Raises NotFound, StoreError."""
        return part("certstore.update", _EDIT).remove(self, ski)

    def merge(self, other):
        """Add every certificate of another store; returns how many were not there yet."""
        return part("certstore.update", _EDIT).merge(self, other)

    def replace(self, source, older=False):
        """Take the store in `source`: bytes-like, a path, or a stream with readinto; identities stay.

        Refuses one built before this one unless `older`, or more than a day after the clock, if that is set.
        With a tag_key it must end in its tag (`replace.tag`). Raises StoreError "store-tag", "store-older",
        "store-future", and what reading a store raises.
        """
        if self.path is None:
            raise StoreError("store-read-only")
        # It may have been closed, or changed through another CertStore.
        self.open(self.path)
        part("certstore.replace", _EDIT).replace(self, self.path, self.tag_key, source, older)
        self.open(self.path)

    def identity(self, number):
        """Identity number 0 to identity_count - 1, an identities.Stored. Raises NotFound, CorruptStore."""
        return part("certstore.identities", _IDENTITY).stored(self, number)

    def identity_records(self):
        """The bytes of every identity, checked."""
        if not self.identity_count and self.identities_at == self.size:
            return []
        return part("certstore.identities", _IDENTITY).raw(self)

    def find_identity(self, query):
        """The number of the identity with this label, subject or SKI. Raises NotFound, StoreError
        "identity-many"."""
        return part("certstore.identities", _IDENTITY).find(self, query)

    def add_identity(self, *args, **options):
        """add_identity(label, chain, key, *, password=None, plain=False, key_password=None): store a
        certificate chain and its private key, encrypted under `password` unless `plain`.

        chain, key: PEM or DER, chain a list of DER too, in any order; key_password: opens `key`, if it is
        encrypted. Returns whether the order was repaired. Raises FormatError, StoreError, BadPassword.
        """
        return part("certstore.identities", _IDENTITY).add(self, *args, **options)

    def remove_identity(self, query):
        """Remove the identity that `find_identity` finds."""
        part("certstore.identities", _IDENTITY).remove(self, query)

    def unlock(self, *args, **options):
        """unlock(password, query=None, max_iterations=None): decrypt the private keys that `password` opens,
        or the one of an identity; they stay in RAM until `lock`. Returns how many. Raises BadPassword if it
        opens none, NotFound."""
        return part("certstore.identities", _IDENTITY).unlock((self,), *args, **options)

    def lock(self):
        """Overwrite and forget decrypted keys."""
        if self.keys:
            part("certstore.identities", _IDENTITY).lock(self)

    def private_identity(self, query):
        """(chain, key) of an identity: DER certificates, and the key as PKCS#1 or SEC 1 in DER. Raises
        StoreError "identity-locked", NotFound."""
        return part("certstore.identities", _IDENTITY).private((self,), query)

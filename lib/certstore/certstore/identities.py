"""Identities in a store: a label, a certificate chain and its private key, encrypted or plain.

An identity is never a trust anchor: these records are in none of the indexes. docs/store-format.md has
their bytes. No error and no repr carries a byte of a key or a password.
"""

import binascii

from . import keys, pbes2, pkcs8
from .certificate import Certificate
from .compat import const
from .errors import BadPassword, CorruptStore, FormatError, NotFound, StoreError, part
from .names import LIMIT, common_name, escape, format_name
from .pem import ders
from .subjects import same_name

_KIND = const(0x10)
# Kind, length of the label, number of certificates, length of the key (2), of the whole record (3).
_HEAD = const(8)
_CHECK = const(4)
_MAX_LABEL = const(64)
_MAX_CHAIN = const(10)
_MAX_PART = const(0xFFFF)
# Of `layout`, as in `blob`.
_GOOD_CRC = const(0x2144DF1C)


class Stored:
    """An identity as a store holds it.

    label: str; chain: list of DER certificates, the device's first; key: PKCS#8 in DER, a PrivateKeyInfo, or
    an EncryptedPrivateKeyInfo where `encrypted`.
    """

    def __init__(self, label, chain, key):
        self.label = label
        self.chain = chain
        self.key = key

    def __repr__(self):
        return "<identity %r, %s, key %s>" % (
            self.label,
            self.subject,
            "encrypted" if self.encrypted else "plain",
        )

    @property
    def encrypted(self):
        return keys.is_encrypted(self.key)

    @property
    def subject(self):
        """The device's name as RFC 4514 text."""
        return format_name(Certificate(self.chain[0]).subject)

    @property
    def ski(self):
        return Certificate(self.chain[0]).ski

    def is_labelled(self, query):
        """Whether this is its label."""
        return isinstance(query, str) and query == self.label

    def is_meant(self, query):
        """Whether this is its subject ("CN=device-17,O=Acme", or just "CN=device-17") or SKI (bytes, hex)."""
        certificate = Certificate(self.chain[0])
        if not isinstance(query, str):
            return certificate.ski == query
        if query in (format_name(certificate.subject), certificate.ski.hex()):
            return True
        name = common_name(certificate.subject)
        return name is not None and query == "CN=" + name

    def record(self):
        """The bytes of this identity in a store. Raises StoreError "identity-label", "store-size"."""
        label = self.label.encode() if isinstance(self.label, str) else b""
        if not 1 <= len(label) <= _MAX_LABEL:
            raise StoreError("identity-label", "%d bytes" % len(label))
        for piece in [self.key] + self.chain:
            if len(piece) > _MAX_PART:
                raise StoreError("store-size", "a part of %d bytes" % len(piece))
        parts = [label, self.key]
        for der in self.chain:
            parts += (len(der).to_bytes(2, "little"), der)
        size = _HEAD + sum(len(part) for part in parts) + _CHECK
        head = bytes((_KIND, len(label), len(self.chain)))
        head += len(self.key).to_bytes(2, "little") + size.to_bytes(3, "little")
        made = head + b"".join(parts)
        return made + binascii.crc32(made).to_bytes(4, "little")


def records(identities):
    """The records of several Stored, which must have labels of their own."""
    labels = [identity.label for identity in identities]
    for at, label in enumerate(labels):
        if label in labels[:at]:
            raise StoreError("identity-exists", repr(label))
    return [identity.record() for identity in identities]


def raw(store):
    """The records of all identities of a CertStore, checked."""
    found = []
    at = store.identities_at
    for number in range(store.identity_count):
        if at + _HEAD > store.size:
            raise _damaged(number)
        head = store.copy(at, _HEAD)
        size = head[5] | head[6] << 8 | head[7] << 16
        if size < _HEAD + _CHECK or at + size > store.size:
            raise _damaged(number)
        made = bytes(store.copy(at, size))
        if binascii.crc32(made) != _GOOD_CRC:
            raise _damaged(number)
        if made[0] != _KIND:
            raise StoreError("store-version", "identity %d of kind %d" % (number, made[0]))
        found.append(made)
        at += size
    if at != store.size:
        raise CorruptStore("store-index", "identities end at %d" % at, "%d" % store.size)
    return found


def verify_identities(store):
    """Read every identity of a CertStore. Raises CorruptStore."""
    for number, made in enumerate(raw(store)):
        _parse(number, made)


def stored(store, number):
    """CertStore.identity."""
    if not 0 <= number < store.identity_count:
        raise NotFound("not-found", "identity %d" % number, "0 to %d" % (store.identity_count - 1))
    return _parse(number, raw(store)[number])


def _parse(number, made):
    stop = len(made) - _CHECK
    at = _HEAD + made[1]
    key_stop = at + (made[3] | made[4] << 8)
    try:
        label = str(made[_HEAD:at], "utf-8")
    except UnicodeError:
        raise _damaged(number)
    chain = []
    key = made[at:key_stop]
    at = key_stop
    for _ in range(made[2]):
        size = made[at] | made[at + 1] << 8 if at + 2 <= stop else stop
        at += 2 + size
        if at > stop:
            raise _damaged(number)
        chain.append(made[at - size : at])
    if at != stop or not chain or len(key) < 8:
        raise _damaged(number)
    return Stored(label, chain, key)


def _damaged(number):
    return CorruptStore("store-record", "identity %d" % number)


def find(store, query):
    """CertStore.find_identity."""
    found = []
    for number in range(store.identity_count):
        identity = stored(store, number)
        if identity.is_labelled(query):
            return number
        if identity.is_meant(query):
            found.append(number)
    if len(found) > 1:
        raise StoreError("identity-many", ", ".join(repr(stored(store, number).label) for number in found))
    if not found:
        raise NotFound("not-found", _shown(query))
    return found[0]


def add(store, label, chain, key, *, password=None, plain=False, key_password=None):
    """CertStore.add_identity."""
    if (password is None) != bool(plain):
        raise StoreError("identity-password")
    _refresh(store)
    own = [stored(store, number) for number in range(store.identity_count)]
    kind, der = keys.private_key(key, key_password)
    chain, repaired = order_chain(_flat(chain), kind, der)
    made = pkcs8.wrap(kind, der)
    own.append(Stored(label, chain, made if plain else pbes2.encrypt(made, password)))
    _write(store, records(own))
    return repaired


def remove(store, query):
    """CertStore.remove_identity."""
    _refresh(store)
    number = find(store, query)
    label = stored(store, number).label
    kept = raw(store)
    kept.pop(number)
    _write(store, kept)
    if store.keys and label in store.keys:
        pbes2.wipe(store.keys.pop(label))


def _refresh(store):
    part("certstore.update", "certstore-edit").refresh(store)


def _write(store, made):
    part("certstore.update", "certstore-edit").rewrite_identities(store, made)


def united(first, second):
    """The records of both stores' identities; of those with one label the first's."""
    labels = [stored(first, number).label for number in range(first.identity_count)]
    kept = [stored(second, number) for number in range(second.identity_count)]
    return raw(first) + [identity.record() for identity in kept if identity.label not in labels]


def unlock(stores, password, query=None, max_iterations=None):
    """CertStore.unlock, of several stores."""
    tried = opened = 0
    unreadable = None
    for store in stores:
        for number in range(store.identity_count):
            identity = stored(store, number)
            wanted = query is None or identity.is_labelled(query) or identity.is_meant(query)
            if not wanted or not identity.encrypted:
                continue
            tried += 1
            try:
                kind, key = keys.private_key(identity.key, password, max_iterations)
            except BadPassword:
                continue
            except FormatError as error:
                # This one is no reason to leave the others locked.
                unreadable = error
                continue
            if keys.matches(kind, key, Certificate(identity.chain[0])) is False:
                continue
            if store.keys is None:
                store.keys = {}
            elif identity.label in store.keys:
                pbes2.wipe(store.keys[identity.label])
            store.keys[identity.label] = bytearray(key)
            opened += 1
    if not tried:
        raise NotFound("not-found", "no encrypted identity" if query is None else _shown(query))
    if not opened:
        raise unreadable or BadPassword("password")
    return opened


def lock(store):
    """CertStore.lock."""
    for key in store.keys.values():
        pbes2.wipe(key)
    store.keys = None


def private(stores, query):
    """CertStore.private_identity, of the first of several stores that has one."""
    for store in stores:
        try:
            identity = stored(store, find(store, query))
        except NotFound:
            continue
        if not identity.encrypted:
            return identity.chain, keys.private_key(identity.key)[1]
        if not store.keys or identity.label not in store.keys:
            raise StoreError("identity-locked", repr(identity.label))
        return identity.chain, bytes(store.keys[identity.label])
    labels = [repr(stored(store, number).label) for store in stores for number in range(store.identity_count)]
    raise NotFound("not-found", _shown(query), ", ".join(labels) or None)


def _flat(chain):
    if isinstance(chain, (list, tuple)):
        return [der for item in chain for der in _flat(item)]
    return [bytes(der) for der in ders(chain)]


def order_chain(certificates, kind, key):
    """(chain, repaired): the certificates (DER) with that of the key first, each followed by its issuer.

    kind, key: as `keys.private_key` returns them. repaired: they came in another order, or twice. Raises
    FormatError "chain" where none is the key's, or one issued none of the others.
    """
    left = []
    for der in certificates:
        if der not in left:
            left.append(der)
    if not left:
        raise FormatError("chain", "no certificate", "the device's, and those of its issuers")
    own = [der for der in left if keys.matches(kind, key, Certificate(der)) is not False]
    if not own:
        raise FormatError("chain", _names(left), "one with the public key of this private key")
    chain = [own[0]]
    left.remove(own[0])
    while left:
        current = Certificate(chain[-1])
        issuers = [der for der in left if same_name(Certificate(der).subject, current.issuer)]
        if not issuers or same_name(current.subject, current.issuer):
            raise FormatError("chain", _names(left), "only certificates of its issuers")
        if len(issuers) > 1:
            issuers.sort(key=lambda der: Certificate(der).ski != current.aki)
        chain.append(issuers[0])
        left.remove(issuers[0])
    if len(chain) > _MAX_CHAIN:
        raise FormatError("chain", "%d certificates" % len(chain), "at most %d" % _MAX_CHAIN)
    return chain, chain != list(certificates)


def _shown(query):
    # A query may be a key that was given by mistake.
    if not isinstance(query, str):
        return "SKI " + bytes(query).hex() if len(query) == 20 else "%d bytes" % len(query)
    if "-----" in query or len(query) > LIMIT:
        return "%d characters" % len(query)
    return escape(query)


def _names(certificates):
    return "; ".join(format_name(Certificate(der).subject) for der in certificates[:3])

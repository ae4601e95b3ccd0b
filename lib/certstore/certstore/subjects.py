"""X.501 names compared, and hashed for the store's index. `names` has them as text."""

import hashlib

from .compat import const
from .der import Der

_OID = const(0x06)
_SEQUENCE = const(0x30)
_SET = const(0x31)
_UTF8 = const(0x0C)
_PRINTABLE = const(0x13)


def same_name(a, b):
    """Whether two DER Names are equal as mbedTLS compares them (x509_name_cmp).

    The same attributes in the same RDNs and order. PrintableString and UTF8String count as one
    type, compared without ASCII case; values of any other type need the same type and bytes.
    """
    left = Attributes(a)
    right = Attributes(b)
    while left.step():
        if not right.step() or left.merged != right.merged or left.type() != right.type():
            return False
        kind = _kind(left.tag)
        length = left.stop - left.start
        if kind != _kind(right.tag) or length != right.stop - right.start:
            return False
        for i in range(length):
            x = a[left.start + i]
            y = b[right.start + i]
            if x != y and not (kind == _UTF8 and x ^ y == 32 and 97 <= x | 32 <= 122):
                return False
    return not right.step()


def subject_hash(name):
    """Four bytes, equal for names that `same_name` calls equal: the key of the subject index.

    The first four of the SHA-256 over, for each attribute: 1 if it continues the RDN before it,
    else 0; its type, as an OID with header; the value's tag, 0x0C also for PrintableString; the
    value's length in 4 bytes, big-endian; the value, for tag 0x0C in ASCII lower case.
    """
    digest = hashlib.sha256()
    walk = Attributes(name)
    while walk.step():
        kind = _kind(walk.tag)
        value = walk.content()
        digest.update(b"\x01" if walk.merged else b"\x00")
        digest.update(walk.buf[walk.type_at : walk.type_stop])
        digest.update(bytes((kind,)))
        digest.update(len(value).to_bytes(4, "big"))
        digest.update(bytes(value).lower() if kind == _UTF8 else value)
    return digest.digest()[:4]


class Attributes(Der):
    """Walks the attributes of a DER Name (RFC 5280 4.1.2.4), first to last.

    After `step` the cursor is on the value; `merged` tells that it shares the RDN of the one
    before, `rdn` is that RDN's offset, buf[type_at:type_stop] the type, an OID with its header.
    """

    def __init__(self, name):
        super().__init__(name)
        self.only(_SEQUENCE)
        self._top = self.end
        self.rewind(self.pos)

    def rewind(self, rdn):
        self.pos = rdn
        self.end = self._top
        self.rdn = -1
        self.merged = False

    def step(self):
        self.merged = self.rdn >= 0 and not self.done()
        if not self.merged:
            self.end = self._top
            if self.done():
                return False
            self.rdn = self.pos
            self.expect(_SET)
            self.enter()
        self.expect(_SEQUENCE)
        outer = self.enter()
        self.expect(_OID)
        self.type_at = self.at
        self.type_start = self.start
        self.type_stop = self.stop
        self.expect()
        self.leave(outer)
        return True

    def type(self):
        return self.buf[self.type_start : self.type_stop]


def _kind(tag):
    return _UTF8 if tag == _PRINTABLE else tag

"""An X.509 certificate as offsets into its DER (RFC 5280 section 4): fields, no judgement.

Here is what looking for an anchor needs. What is asked of a certificate that was given as a file is in
`fields`, what people want to read in `details`; both are optional.

Construction checks, in this order: one SEQUENCE with nothing behind it; version 1 to 3; every
field present, in its place and of its type; extensions only in version 3.
A property checks its own field when asked; the first that asks for an extension checks that all are in
their places, and each of the known ones there at most once.
Not checked here: signatures, dates against a clock, policy. mbedTLS does those.
"""

import hashlib

from .compat import const
from .der import Der
from .errors import FormatError, part

_BOOLEAN = const(0x01)
_INTEGER = const(0x02)
_BIT_STRING = const(0x03)
_OCTET_STRING = const(0x04)
_OID = const(0x06)
_SEQUENCE = const(0x30)

# Context tags of TBSCertificate, and of the extensions' own fields.
_VERSION = const(0xA0)
_ISSUER_ID = const(0x81)
_SUBJECT_ID = const(0x82)
_EXTENSIONS = const(0xA3)
_KEY_IDENTIFIER = const(0x80)

# id-ce, 2.5.29: the last byte names the extension.
_ID_CE = b"\x55\x1d"
_SKI = const(14)
_KEY_USAGE = const(15)
_SAN = const(17)
_BASIC_CONSTRAINTS = const(19)
_AKI = const(35)
# The extensions that are looked for, in the order of their offsets in Certificate._found.
_KNOWN = (_SKI, _KEY_USAGE, _SAN, _BASIC_CONSTRAINTS, _AKI)


# What `fields` has.
_FIELDS = ("not_before", "not_after", "key_usage", "may_issue")


class Certificate:
    """One certificate, read in place: `der` is kept as given, every field is a view of it.

    der: bytes-like, which must stay unchanged for as long as the object is used. Raises
    FormatError; see the module's head for what is checked when.
    """

    def __init__(self, der):
        self.der = der
        self._view = memoryview(der)
        # Offsets of elements in `der`; 0, where the outermost SEQUENCE begins, means absent.
        self._extensions = 0
        self._found = None
        walk = Der(self._view)
        walk.only(_SEQUENCE)
        walk.expect(_SEQUENCE)
        outer = walk.enter()
        self._walk_tbs(walk)
        walk.leave(outer)
        walk.expect(_SEQUENCE)
        self.signature_at = walk.at
        walk.expect(_BIT_STRING)
        walk.finish()

    def __repr__(self):
        show = part("certstore.show")
        return "<Certificate%s>" % (show and " " + show.certificate(self) or "")

    def _walk_tbs(self, walk):
        self.version = 1
        if walk.optional(_VERSION):
            outer = walk.enter()
            walk.expect(_INTEGER)
            self.version = walk.small() + 1
            walk.leave(outer)
            if not 2 <= self.version <= 3:
                raise FormatError("certificate", "version %d" % self.version, "1 to 3")
        walk.expect(_INTEGER)
        self.serial_at = walk.at
        walk.expect(_SEQUENCE)
        walk.expect(_SEQUENCE)
        self._issuer = walk.at
        walk.expect(_SEQUENCE)
        self._validity = walk.at
        walk.expect(_SEQUENCE)
        self._subject = walk.at
        walk.expect(_SEQUENCE)
        self._key = walk.at
        if self.version > 1:
            walk.optional(_ISSUER_ID)
            walk.optional(_SUBJECT_ID)
        if self.version == 3 and walk.optional(_EXTENSIONS):
            self._extensions = walk.at

    def __getattr__(self, name):
        # What this class does not have, `fields` and `details` have.
        if name[0] == "_":
            raise AttributeError(name)
        if name in _FIELDS:
            return getattr(part("certstore.fields", "certstore-files").Fields(self), name)
        return getattr(part("certstore.details", "certstore-explain").Details(self), name)

    def extension(self, number):
        """A cursor at the start of the value of extension 2.5.29.<number>, one of _KNOWN; None without it."""
        # All are walked when one is asked for: most certificates of a chain are read for their names alone.
        if self._found is None:
            self._found = self.walk_extensions()
        index = 2 * _KNOWN.index(number)
        at = self._found[index] << 8 | self._found[index + 1]
        return self.inside(at) if at else None

    def walk_extensions(self, listed=None):
        """Checks that every extension is in its place, and appends (content of its OID, whether critical) of
        each to `listed`. Returns where the values of the known ones are."""
        found = bytearray(2 * len(_KNOWN))
        if self._extensions:
            walk = self.inside(self._extensions)
            walk.only(_SEQUENCE)
            while not walk.done():
                walk.expect(_SEQUENCE)
                _walk_extension(walk, found, listed)
        return found

    def _at(self, offset):
        # A cursor on the element at this offset, which the constructor has walked over.
        walk = Der(self._view, offset)
        walk.next()
        return walk

    def inside(self, offset):
        """A cursor at the start of the content of the element at this offset, bounded to it."""
        walk = self._at(offset)
        walk.enter()
        return walk

    @property
    def issuer(self):
        """The issuer's DER Name."""
        return self._at(self._issuer).element()

    @property
    def subject(self):
        """The subject's DER Name."""
        return self._at(self._subject).element()

    @property
    def validity_and_subject(self):
        """Validity and subject as they follow one another in DER; `read_validity_and_subject` reads them."""
        walk = self._at(self._validity)
        start = walk.at
        walk.next()
        return self._view[start : walk.stop]

    @property
    def public_key_info(self):
        """The subjectPublicKeyInfo in DER, which pins are made of (RFC 5280 4.1.2.7)."""
        return self._at(self._key).element()

    @property
    def public_key(self):
        """The key itself: a PKCS#1 RSAPublicKey for RSA, a point (SEC 1 2.3.3) for EC."""
        walk = self.inside(self._key)
        walk.expect(_SEQUENCE)
        walk.expect(_BIT_STRING)
        walk.finish()
        key = walk.content()
        if not key or key[0]:
            raise FormatError("certificate", "a public key of odd bits")
        return key[1:]

    @property
    def ski(self):
        """The subject key identifier (RFC 5280 4.2.1.2), bytes.

        Without the extension, or with an empty one: SHA-1 of the public key, method (1) there.
        """
        walk = self.extension(_SKI)
        if walk is not None:
            walk.expect(_OCTET_STRING)
            walk.finish()
            if walk.start < walk.stop:
                return bytes(walk.content())
        return hashlib.sha1(self.public_key).digest()

    @property
    def aki(self):
        """The authority key identifier (RFC 5280 4.2.1.1), bytes, or None."""
        walk = self.extension(_AKI)
        if walk is None:
            return None
        walk.only(_SEQUENCE)
        return bytes(walk.content()) if walk.optional(_KEY_IDENTIFIER) else None

    @property
    def is_ca(self):
        """Whether basicConstraints say CA:TRUE (RFC 5280 4.2.1.9); never before version 3."""
        return self._constraints()[0]

    @property
    def path_length(self):
        """How many intermediates may follow, or None for no limit."""
        return self._constraints()[1]

    def _constraints(self):
        walk = self.extension(_BASIC_CONSTRAINTS)
        if walk is None:
            return False, None
        walk.only(_SEQUENCE)
        is_ca = walk.boolean() if walk.optional(_BOOLEAN) else False
        path_length = walk.small() if walk.optional(_INTEGER) else None
        walk.finish()
        return is_ca, path_length


def _walk_extension(walk, found, listed):
    outer = walk.enter()
    walk.expect(_OID)
    kind = walk.content()
    critical = walk.boolean() if walk.optional(_BOOLEAN) else False
    if listed is not None:
        listed.append((bytes(kind), critical))
    walk.expect(_OCTET_STRING)
    if len(kind) == 3 and kind[:2] == _ID_CE and kind[2] in _KNOWN:
        index = 2 * _KNOWN.index(kind[2])
        if found[index] or found[index + 1]:
            raise FormatError("certificate", "one extension twice, at byte %d" % walk.at)
        if walk.at > 0xFFFF:
            raise FormatError("certificate", "an extension at byte %d" % walk.at, "a certificate of 64 KB")
        found[index] = walk.at >> 8
        found[index + 1] = walk.at & 255
    walk.leave(outer)

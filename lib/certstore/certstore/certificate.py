"""An X.509 certificate as offsets into its DER (RFC 5280 section 4): fields, no judgement.

Construction checks, in this order: one SEQUENCE with nothing behind it; version 1 to 3; every
field present, in its place and of its type; extensions only in version 3.
A property checks its own field when asked; the first that asks for an extension checks that all are in
their places, and each of the known ones there at most once.
Not checked here: signatures, dates against a clock, policy. mbedTLS does those.
"""

import hashlib

from . import hosts, names, spki
from .compat import const
from .der import Der
from .errors import FormatError
from .times import seconds

# Bits of `key_usage` (RFC 5280 4.2.1.3): bit n of the BIT STRING is 1 << n.
DIGITAL_SIGNATURE = const(1)
NON_REPUDIATION = const(2)
KEY_ENCIPHERMENT = const(4)
DATA_ENCIPHERMENT = const(8)
KEY_AGREEMENT = const(16)
KEY_CERT_SIGN = const(32)
CRL_SIGN = const(64)
ENCIPHER_ONLY = const(128)
DECIPHER_ONLY = const(256)

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
_DNS_NAME = const(0x82)
_IP_ADDRESS = const(0x87)

# id-ce, 2.5.29: the last byte names the extension.
_ID_CE = b"\x55\x1d"
_SKI = const(14)
_KEY_USAGE = const(15)
_SAN = const(17)
_BASIC_CONSTRAINTS = const(19)
_AKI = const(35)
# The extensions that are looked for, in the order of their offsets in Certificate._found.
_KNOWN = (_SKI, _KEY_USAGE, _SAN, _BASIC_CONSTRAINTS, _AKI)

# Algorithms that fix their hash: RFC 3279, RFC 4055, RFC 5758.
_SIGNATURE_HASHES = (
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", "sha256"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c", "sha384"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d", "sha512"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0e", "sha224"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05", "sha1"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04", "md5"),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x02", "sha256"),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x03", "sha384"),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x04", "sha512"),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x01", "sha224"),
    (b"\x2a\x86\x48\xce\x3d\x04\x01", "sha1"),
)


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
        walk.expect(_SEQUENCE)
        walk.finish()
        walk.enter()
        walk.expect(_SEQUENCE)
        outer = walk.enter()
        self._walk_tbs(walk)
        walk.leave(outer)
        walk.expect(_SEQUENCE)
        self._signature = walk.at
        walk.expect(_BIT_STRING)
        walk.finish()

    def __repr__(self):
        from .show import certificate

        return "<Certificate %s>" % certificate(self)

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
        self._serial = walk.at
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

    def _extension(self, number):
        # The offset of the OCTET STRING of 2.5.29.<number>, or 0. All are walked when one is asked for:
        # most certificates of a chain are read for their names alone.
        if self._found is None:
            found = bytearray(2 * len(_KNOWN))
            self._walk_extensions(found, None)
            self._found = found
        index = 2 * _KNOWN.index(number)
        return self._found[index] << 8 | self._found[index + 1]

    def _walk_extensions(self, found, listed):
        if self._extensions:
            walk = self._inside(self._extensions)
            walk.expect(_SEQUENCE)
            walk.finish()
            walk.enter()
            while not walk.done():
                walk.expect(_SEQUENCE)
                _walk_extension(walk, found, listed)

    def extensions(self):
        """[(content of its OID, whether critical)] of every extension, in order."""
        listed = []
        self._walk_extensions(bytearray(2 * len(_KNOWN)), listed)
        return listed

    def _at(self, offset):
        # A cursor on the element at this offset, which the constructor has walked over.
        walk = Der(self._view, offset)
        walk.next()
        return walk

    def _inside(self, offset):
        # A cursor at the start of the content of the element at this offset, bounded to it.
        walk = self._at(offset)
        walk.enter()
        return walk

    @property
    def serial(self):
        """The serial number's bytes, big-endian two's complement as they stand in the certificate."""
        return bytes(self._at(self._serial).content())

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
    def not_before(self):
        """First second of validity, in s since 1970 (RFC 5280 4.1.2.5)."""
        return self._time(0)

    @property
    def not_after(self):
        """Last second of validity, in s since 1970 (RFC 5280 4.1.2.5)."""
        return self._time(1)

    def _time(self, index):
        return _validity(self._inside(self._validity))[index]

    @property
    def public_key_info(self):
        """The subjectPublicKeyInfo in DER, which pins are made of (RFC 5280 4.1.2.7)."""
        return self._at(self._key).element()

    @property
    def public_key(self):
        """The key itself: a PKCS#1 RSAPublicKey for RSA, a point for EC."""
        return spki.public_key(self.public_key_info)

    @property
    def key_type(self):
        """The kind of key: "RSA" or "EC", else its dotted OID."""
        return spki.key_type(self.public_key_info)

    @property
    def key_bits(self):
        """Bits of an RSA modulus or of an EC curve's field; None for other algorithms."""
        return spki.key_bits(self.public_key_info)

    @property
    def curve(self):
        """An EC key's curve: its name, its dotted OID, "explicit" if spelled out; else None."""
        return spki.curve(self.public_key_info)

    @property
    def signature_hash(self):
        """The hash of the issuer's signature, "sha256"; None if the algorithm does not fix one."""
        walk = self._inside(self._signature)
        walk.expect(_OID)
        kind = walk.content()
        for known, name in _SIGNATURE_HASHES:
            if kind == known:
                return name
        return None

    @property
    def ski(self):
        """The subject key identifier (RFC 5280 4.2.1.2), bytes.

        Without the extension, or with an empty one: SHA-1 of the public key, method (1) there.
        """
        if self._extension(_SKI):
            walk = self._inside(self._extension(_SKI))
            walk.expect(_OCTET_STRING)
            walk.finish()
            if walk.start < walk.stop:
                return bytes(walk.content())
        return hashlib.sha1(self.public_key).digest()

    @property
    def aki(self):
        """The authority key identifier (RFC 5280 4.2.1.1), bytes, or None."""
        if not self._extension(_AKI):
            return None
        walk = self._inside(self._extension(_AKI))
        walk.expect(_SEQUENCE)
        walk.finish()
        walk.enter()
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
        if not self._extension(_BASIC_CONSTRAINTS):
            return False, None
        walk = self._inside(self._extension(_BASIC_CONSTRAINTS))
        walk.expect(_SEQUENCE)
        walk.finish()
        walk.enter()
        is_ca = walk.boolean() if walk.optional(_BOOLEAN) else False
        path_length = walk.small() if walk.optional(_INTEGER) else None
        walk.finish()
        return is_ca, path_length

    @property
    def key_usage(self):
        """The key usage bits (RFC 5280 4.2.1.3), or None without the extension."""
        if not self._extension(_KEY_USAGE):
            return None
        walk = self._inside(self._extension(_KEY_USAGE))
        walk.expect(_BIT_STRING)
        walk.finish()
        content = walk.content()
        if not 1 <= len(content) <= 3 or content[0] > 7 or (len(content) == 1 and content[0]):
            raise FormatError("certificate", "key usage bits", "at most 9")
        usage = 0
        for i in range(8 * (len(content) - 1) - content[0]):
            if content[1 + i // 8] & 0x80 >> i % 8:
                usage |= 1 << i
        return usage

    @property
    def may_issue(self):
        """Whether it is a CA's certificate whose key usage, if it has one, lets it sign others."""
        if not self.is_ca:
            return False
        usage = self.key_usage
        return usage is None or usage & KEY_CERT_SIGN != 0

    def _alternative_names(self, tag):
        # The contents of all GeneralNames with this tag (RFC 5280 4.2.1.6).
        found = []
        if self._extension(_SAN):
            walk = self._inside(self._extension(_SAN))
            walk.expect(_SEQUENCE)
            walk.finish()
            walk.enter()
            while walk.next():
                if walk.tag == tag:
                    found.append(walk.content())
        return found

    @property
    def dns_names(self):
        """The subject's alternative DNS names, safe to print."""
        return [names.escape(name) for name in self._alternative_names(_DNS_NAME)]

    @property
    def ip_addresses(self):
        """The subject's alternative IP addresses, as text."""
        return [hosts.format_ip(address) for address in self._alternative_names(_IP_ADDRESS)]

    @property
    def names(self):
        """Every name that `matches_host` compares with, safe to print: DNS, then IP, else common names."""
        if self._extension(_SAN):
            return self.dns_names + self.ip_addresses
        return [names.escape(name) for name in names.common_names(self.subject)]

    def matches_host(self, host):
        """Whether this certificate is for `host`, a DNS name or an IP address as text (RFC 9525).

        As mbedTLS decides it: alternative names if there are any, else the common names; ASCII
        case aside; a "*" stands for the whole first label. Stricter in one point: for an IP address
        only iPAddress names count, or an equal common name.
        """
        address = hosts.parse_ip(host)
        if not self._extension(_SAN):
            for name in names.common_names(self.subject):
                if hosts.matches(name, host, wildcard=address is None):
                    return True
            return False
        if address is not None:
            return address in self._alternative_names(_IP_ADDRESS)
        for name in self._alternative_names(_DNS_NAME):
            if hosts.matches(name, host):
                return True
        return False

    def fingerprint(self):
        """SHA-256 of the certificate."""
        return hashlib.sha256(self.der).digest()

    def pin(self):
        """SHA-256 of `public_key_info`, what a pin is compared with (RFC 7469 2.4)."""
        return hashlib.sha256(self.public_key_info).digest()


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


def read_validity_and_subject(der):
    """(DER Name, notBefore, notAfter) of what `validity_and_subject` gave; times in s since 1970."""
    walk = Der(memoryview(der))
    walk.expect(_SEQUENCE)
    outer = walk.enter()
    first, last = _validity(walk)
    walk.leave(outer)
    walk.expect(_SEQUENCE)
    walk.finish()
    return walk.element(), first, last


def _validity(walk):
    # A cursor at the start of a Validity's content, bounded to it.
    walk.expect()
    first = seconds(walk)
    walk.expect()
    last = seconds(walk)
    walk.finish()
    return first, last

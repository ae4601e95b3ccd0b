"""What people want to know of a certificate, beyond what trust depends on.

`certificate.Certificate` hands on to here whatever it does not have itself.
"""

import binascii
import hashlib

from . import hosts, names, spki
from .compat import const
from .der import Der

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

_OID = const(0x06)
_DNS_NAME = const(0x82)
_IP_ADDRESS = const(0x87)

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


class Details:
    """The properties and methods of a Certificate that `certificate` does without."""

    def __init__(self, certificate):
        self._certificate = certificate

    def extensions(self):
        """[(content of its OID, whether critical)] of every extension, in order."""
        listed = []
        self._certificate.walk_extensions(listed)
        return listed

    @property
    def serial(self):
        """The serial number's bytes, big-endian two's complement as they stand in the certificate."""
        walk = Der(self._certificate.der, self._certificate.serial_at)
        walk.next()
        return bytes(walk.content())

    @property
    def key_type(self):
        """The kind of key: "RSA" or "EC", else its dotted OID."""
        return spki.key_type(self._certificate.public_key_info)

    @property
    def key_bits(self):
        """Bits of an RSA modulus or of an EC curve's field; None for other algorithms."""
        return spki.key_bits(self._certificate)

    @property
    def curve(self):
        """An EC key's curve: its name, its dotted OID, "explicit" if spelled out; else None."""
        return spki.curve(self._certificate.public_key_info)

    @property
    def signature_hash(self):
        """The hash of the issuer's signature, "sha256"; None if the algorithm does not fix one."""
        walk = self._certificate.inside(self._certificate.signature_at)
        walk.expect(_OID)
        kind = walk.content()
        for known, name in _SIGNATURE_HASHES:
            if kind == known:
                return name
        return None

    @property
    def dns_names(self):
        """The subject's alternative DNS names, safe to print."""
        return [names.escape(name) for name in hosts.alternative_names(self._certificate, _DNS_NAME) or ()]

    @property
    def ip_addresses(self):
        """The subject's alternative IP addresses, as text."""
        found = hosts.alternative_names(self._certificate, _IP_ADDRESS)
        return [format_ip(address) for address in found or ()]

    @property
    def names(self):
        """Every name that `matches_host` compares with, safe to print: DNS, then IP, else common names."""
        if hosts.alternative_names(self._certificate, _DNS_NAME) is not None:
            return self.dns_names + self.ip_addresses
        return [names.escape(name) for name in hosts.common_names(self._certificate.subject)]

    def matches_host(self, host):
        """Whether the certificate is for `host`: `hosts.covers`."""
        return hosts.covers(self._certificate, host)

    def fingerprint(self):
        """SHA-256 of the certificate."""
        return hashlib.sha256(self._certificate.der).digest()

    def pin(self):
        """SHA-256 of `public_key_info`, what a pin is compared with (RFC 7469 2.4)."""
        return hashlib.sha256(self._certificate.public_key_info).digest()


def format_ip(address):
    """4 or 16 bytes as text, an IPv6 address as RFC 5952 writes it; any other length as #hex."""
    if len(address) == 4:
        return ".".join([str(byte) for byte in address])
    if len(address) != 16:
        return "#" + binascii.hexlify(address).decode()
    groups = [address[i] << 8 | address[i + 1] for i in range(0, 16, 2)]
    best = longest = 0
    for i in range(8):
        run = 0
        while i + run < 8 and groups[i + run] == 0:
            run += 1
        if run > longest:
            best, longest = i, run
    text = ["%x" % group for group in groups]
    if longest < 2:
        return ":".join(text)
    return ":".join(text[:best]) + "::" + ":".join(text[best + longest :])

"""Certificates of every kind that the tests of handshakes need, made with `cryptography`.

`make` issues one. `Pki` names the chains that servers show, and makes each when it is first asked
for. A chain is a list of Members, the leaf first; its key is the leaf's.
"""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certstore.asn1 import encode

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
# A store's or an anchor's first day is the floor below which a clock counts as not set.
BEFORE, AFTER = NOW - 30 * DAY, NOW + 365 * DAY
LOCALHOST = ("localhost", "127.0.0.1")

SHA1_WITH_RSA = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05"
SHA256_WITH_RSA = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"
ECDSA_WITH_SHA256 = b"\x2a\x86\x48\xce\x3d\x04\x03\x02"


@dataclass
class Member:
    """One certificate (DER), its private key, and who issued it (None: itself)."""

    der: bytes
    key: object
    issuer: "Member | None" = None

    @cached_property
    def certificate(self):
        return x509.load_der_x509_certificate(self.der)

    @property
    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def pin(self):
        """SHA-256 of the public key info."""
        return sha256(
            self.certificate.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    def private(self, form="pkcs8", encoding="pem", password=None):
        """The private key: form "pkcs8" or "traditional" (PKCS#1, SEC 1), encoding "pem" or "der"."""
        return self.key.private_bytes(
            getattr(serialization.Encoding, encoding.upper()),
            {
                "pkcs8": serialization.PrivateFormat.PKCS8,
                "traditional": serialization.PrivateFormat.TraditionalOpenSSL,
            }[form],
            serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption(),
        )

    def upwards(self):
        """This certificate and those above it; the last is self-issued."""
        member = self
        while member:
            yield member
            member = member.issuer


def sha256(data):
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize()


def new_key(kind):
    """kind: "ec", "ec384", "ec521", or "rsa" with bits behind it."""
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "ec521":
        return ec.generate_private_key(ec.SECP521R1())
    if kind == "ec384":
        return ec.generate_private_key(ec.SECP384R1())
    return rsa.generate_private_key(65537, int(kind[3:]))


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(text):
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def make(
    subject, issuer=None, *, key="ec", ca=False, path_length=None, hosts=LOCALHOST, not_before=BEFORE,
    not_after=AFTER, usages=(ExtendedKeyUsageOID.SERVER_AUTH,), key_usage=None, ski=None, extensions=(),
):  # fmt: skip
    """A Member. `issuer` None makes it self-issued; `key` is a kind, or a key to use again; `subject` is
    its CN, or a whole Name; `ski` replaces the key identifier; `usages` () leaves extendedKeyUsage out."""
    key = new_key(key) if isinstance(key, str) else key
    signer = issuer.key if issuer else key
    subject = subject if isinstance(subject, x509.Name) else name(subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    )
    identifier = (
        x509.SubjectKeyIdentifier(ski) if ski else x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    )
    builder = builder.add_extension(identifier, critical=False)
    if issuer:
        above = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(above), critical=False
        )
    builder = builder.add_extension(key_usage or _key_usage(ca), critical=True)
    if not ca or hosts is not LOCALHOST:
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False
            )
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(usages)), critical=False)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    certificate = builder.sign(signer, hashes.SHA256())
    return Member(certificate.public_bytes(serialization.Encoding.DER), key, issuer)


def _key_usage(ca):
    return x509.KeyUsage(
        digital_signature=not ca, content_commitment=False, key_encipherment=not ca, data_encipherment=False,
        key_agreement=False, key_cert_sign=ca, crl_sign=ca, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def cross_signed(member, issuer):
    """The same CA (name, key and identifier), signed by another."""
    identifier = member.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    return make(member.certificate.subject, issuer, key=member.key, ca=True, path_length=None, ski=identifier)


def version1(subject, key):
    """A self-signed certificate of X.509's first version, which knows no CA flag."""
    spki = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    algorithm = encode(0x30, encode(0x06, ECDSA_WITH_SHA256))
    issuer = name(subject).public_bytes()
    times = b"".join(encode(0x17, time.strftime("%y%m%d%H%M%SZ").encode()) for time in (BEFORE, AFTER))
    tbs = encode(0x30, b"\2\1\1", algorithm, issuer, encode(0x30, times), issuer, spki)
    signature = key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return Member(encode(0x30, tbs, algorithm, encode(0x03, b"\0" + signature)), key)


def signed_with_sha1(member):
    """The same RSA-issued certificate with a SHA-1 signature, which `cryptography` does not write."""
    tbs = member.certificate.tbs_certificate_bytes.replace(SHA256_WITH_RSA, SHA1_WITH_RSA)
    signature = member.issuer.key.sign(tbs, padding.PKCS1v15(), hashes.SHA1())
    algorithm = encode(0x30, encode(0x06, SHA1_WITH_RSA), b"\5\0")
    der = encode(0x30, tbs, algorithm, encode(0x03, b"\0" + signature))
    return Member(der, member.key, member.issuer)


class Pki:
    """What most tests share: an authority of each kind of key, each part made when it is first used."""

    @cached_property
    def root(self):
        return make("Test Root", ca=True)

    @cached_property
    def middle(self):
        return make("Test Intermediate", self.root, ca=True)

    @cached_property
    def ec(self):
        """The chain that servers show unless a test says otherwise: leaf, intermediate."""
        return self.chain()

    def chain(self, subject="localhost", **how):
        """Another leaf below the intermediate, with it."""
        return [make(subject, self.middle, **how), self.middle]

    @cached_property
    def root384(self):
        return make("Test Root P-384", ca=True, key="ec384")

    @cached_property
    def ec384(self):
        middle = make("Test Intermediate P-384", self.root384, ca=True)
        return [make("localhost", middle), middle]

    @cached_property
    def rsa_root(self):
        return make("Test Root RSA", ca=True, key="rsa2048")

    @cached_property
    def rsa_middle(self):
        return make("Test Intermediate RSA", self.rsa_root, ca=True, key="rsa2048")

    @cached_property
    def rsa(self):
        return [make("localhost", self.rsa_middle, key="rsa2048"), self.rsa_middle]

    @cached_property
    def stranger(self):
        """A root that no client trusts."""
        return make("Unknown Root", ca=True)

    @cached_property
    def foreign(self):
        """The stranger's chain for the same host."""
        middle = make("Unknown Intermediate", self.stranger, ca=True)
        return [make("localhost", middle), middle]

    @cached_property
    def device_root(self):
        return make("Device Root", ca=True)

    @cached_property
    def device(self):
        """A client's identity of three certificates: device, two intermediates."""
        first = make("Device CA 1", self.device_root, ca=True)
        second = make("Device CA 2", first, ca=True)
        return [make("device-17", second, hosts=(), usages=(ExtendedKeyUsageOID.CLIENT_AUTH,)), second, first]

    @cached_property
    def rsa_device(self):
        first = make("Device CA RSA", self.device_root, ca=True)
        return [make("device-18", first, key="rsa2048", hosts=(), usages=()), first]

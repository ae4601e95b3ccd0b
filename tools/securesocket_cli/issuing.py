"""New keys, certificates and requests, made with `cryptography`; pure but for the clock.

A CA: critical basicConstraints CA:TRUE, critical keyUsage keyCertSign and cRLSign. All others:
CA:FALSE, digitalSignature, and extendedKeyUsage for what they are for. Both with SKI, and with AKI
if another issued them (RFC 5280 4.2.1). Serial numbers are 20 random bytes, positive.
Checked before anything is signed: that the CA's key is its certificate's, that it is a CA that may
sign, valid now, and far enough from the end of every pathLen above.
"""

import dataclasses
import datetime
import ipaddress
import re
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certstore import hosts, names
from certstore.certificate import Certificate

from .errors import CommandError
from .moments import moment

KEYS = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa3072": lambda: rsa.generate_private_key(65537, 3072),
    "rsa4096": lambda: rsa.generate_private_key(65537, 4096),
}
USAGES = {
    "client": (ExtendedKeyUsageOID.CLIENT_AUTH,),
    "server": (ExtendedKeyUsageOID.SERVER_AUTH,),
    "both": (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
}
CA_DAYS = 3650
# Two years: below the 825 days that Apple's systems take from any CA.
LEAF_DAYS = 730
# mbedTLS's default profile: others do not verify on a device.
_MIN_RSA_BITS = 2048
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
# A device whose clock is a little behind must not find a new certificate not valid yet.
_BACKDATED = datetime.timedelta(hours=1)

# What people type for attribute types, besides what `cryptography` knows.
_TYPES = {
    "cn": NameOID.COMMON_NAME,
    "o": NameOID.ORGANIZATION_NAME,
    "ou": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "c": NameOID.COUNTRY_NAME,
    "l": NameOID.LOCALITY_NAME,
    "st": NameOID.STATE_OR_PROVINCE_NAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*", re.IGNORECASE)
_LONGEST_HOST = 253


@dataclasses.dataclass(frozen=True)
class Authority:
    """Who signs: its key, and its chain of x509.Certificates, its own first."""

    key: object = dataclasses.field(repr=False)
    chain: tuple

    @property
    def certificate(self):
        return self.chain[0]

    @property
    def not_after(self):
        return min(each.not_valid_after_utc for each in self.chain)

    @property
    def not_before(self):
        return max(each.not_valid_before_utc for each in self.chain)


def now():
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def new_key(kind):
    """A private key; kind: one of KEYS."""
    return KEYS[kind]()


def subject_name(name, subject=None):
    """An x509.Name: the RFC 4514 text `subject`, else CN=`name`."""
    try:
        if subject is None:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return x509.Name.from_rfc4514_string(subject, _TYPES)
    except ValueError as error:
        # `cryptography` says nothing for a syntax error; else it names lengths.
        reason = f" ({error})" if str(error) else ""
        text = names.escape(name if subject is None else subject)
        raise CommandError(
            f'subject "{text}": expected a name as CN=device-17,O=Acme, a CN of at most 64 characters{reason}'
        ) from None


def host_names(texts):
    """GeneralNames of host names and IP addresses, each once."""
    return [_host_name(text) for text in dict.fromkeys(texts)]


def _host_name(host):
    address = hosts.parse_ip(host)
    if address is not None:
        return x509.IPAddress(ipaddress.ip_address(address))
    # All digits after the last dot: an IP address with a mistake, no name that anything resolves.
    if not _HOST.fullmatch(host) or len(host) > _LONGEST_HOST or host.rpartition(".")[2].isdecimal():
        raise CommandError(
            f'host "{names.escape(host)}": expected a DNS name (in ASCII: xn--… for others), '
            "which may begin with *., or an IP address"
        )
    return x509.DNSName(host.lower())


def authority(key, chain, what):
    """An Authority that may sign now; CommandError with the reason if it may not.

    chain: DER, its own certificate first. what: names it in errors.
    """
    for der in chain:
        certificate = Certificate(der)
        title = names.format_name(certificate.subject)
        if not certificate.is_ca:
            raise CommandError(
                f"{what}: {title} is no CA (basicConstraints: CA:FALSE); "
                "expected a certificate of `securesocket identity new-ca`"
            )
        if not certificate.may_issue:
            raise CommandError(f"{what}: {title} may not sign: its key usage lacks keyCertSign")
    made = Authority(key, tuple(map(x509.load_der_x509_certificate, chain)))
    for certificate in made.chain:
        title = _title(certificate)
        check_public_key(certificate.public_key(), title)
        if certificate.not_valid_after_utc < now():
            raise CommandError(
                f"{what}: {title} expired {_moment(certificate.not_valid_after_utc)}; "
                "expected one that is valid: make a new CA, or check this computer's clock"
            )
        if certificate.not_valid_before_utc > now():
            raise CommandError(
                f"{what}: {title} is not valid before {_moment(certificate.not_valid_before_utc)}; "
                "check this computer's clock"
            )
    return made


def check_public_key(key, what):
    """CommandError for a key that a device cannot verify with."""
    if isinstance(key, rsa.RSAPublicKey):
        found = f"RSA {key.key_size}"
        good = key.key_size >= _MIN_RSA_BITS
    elif isinstance(key, ec.EllipticCurvePublicKey):
        found = f"EC {key.curve.name}"
        good = key.curve.name in _CURVES
    else:
        found = "a key of another kind"
        good = False
    if not good:
        raise CommandError(
            f"{what}: found {found}; expected RSA {_MIN_RSA_BITS} or more, or EC P-256 to P-521"
        )


def new_ca(subject, key, days=None, path_length=None, issuer=None):
    """(certificate, note): of a CA for `key`, by itself or by an Authority. note: None, or what was cut."""
    if issuer:
        _check_path(issuer, is_ca=True)
    extensions = [(x509.BasicConstraints(True, path_length), True), (_key_usage(is_ca=True), True)]
    return _issue(subject, key.public_key(), extensions, days, CA_DAYS, issuer, key)


def new_leaf(subject, public_key, alternatives, usage, days=None, issuer=None, key=None):
    """(certificate, note): for a device, by an Authority, or by `key`, its own, if there is none.

    alternatives: GeneralNames for subjectAltName. usage: one of USAGES.
    """
    if issuer:
        _check_path(issuer, is_ca=False)
    extensions = [
        (x509.BasicConstraints(False, None), True),
        (_key_usage(is_ca=False), True),
        (x509.ExtendedKeyUsage(USAGES[usage]), False),
    ]
    if alternatives:
        # Critical where it is all that names the holder (RFC 5280 4.2.1.6).
        extensions.append((x509.SubjectAlternativeName(alternatives), not list(subject)))
    return _issue(subject, public_key, extensions, days, LEAF_DAYS, issuer, key)


def request(subject, key, alternatives):
    """A CertificateSigningRequest for `key` (RFC 2986)."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(key, _hash(key))


class Request(NamedTuple):
    """What is taken from a request, and by name what is left."""

    subject: x509.Name
    public_key: object
    alternatives: list
    left: list


def read_request(data, what):
    """The Request in PEM or DER whose signature holds. Whatever else it asks for is left."""
    try:
        load = x509.load_pem_x509_csr if b"-----BEGIN " in data else x509.load_der_x509_csr
        found = load(data)
        signed = found.is_signature_valid
        public_key = found.public_key()
        subject = found.subject
        alternatives, left = _extensions(found)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension):
        raise CommandError(
            f"{what}: this is no certificate request, or it is damaged; expected PKCS#10 in PEM or DER, "
            "as `securesocket identity csr` and `openssl req -new` make it"
        ) from None
    if not signed:
        raise CommandError(
            f"{what}: the request's signature does not hold: it was changed on its way, or whoever "
            "made it has not the key; ask for it again"
        )
    check_public_key(public_key, what)
    if not list(subject) and not alternatives:
        raise CommandError(f"{what}: the request names nobody; expected a subject or a subjectAltName")
    return Request(subject, public_key, alternatives, left)


def _extensions(found):
    # (GeneralNames of subjectAltName, names of the other extensions).
    alternatives, left = [], []
    for extension in found.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            alternatives += extension.value
        elif isinstance(extension.value, x509.UnrecognizedExtension):
            left.append(extension.oid.dotted_string)
        else:
            left.append(type(extension.value).__name__)
    return alternatives, left


def alternative_text(name):
    """A GeneralName, safe to print."""
    if isinstance(name, (x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier)):
        return names.escape(name.value)
    if isinstance(name, x509.IPAddress):
        return str(name.value)
    if isinstance(name, x509.DirectoryName):
        return names.format_name(name.value.public_bytes())
    return f"a {type(name).__name__}"


def _check_path(issuer, is_ca):
    # pathLen counts the CAs between a CA and the end of the chain (RFC 5280 4.2.1.9).
    for below, certificate in enumerate(issuer.chain):
        limit = Certificate(_der(certificate)).path_length
        if limit is not None and below + is_ca > limit:
            raise CommandError(
                f"{_title(certificate)} allows {limit} CA{'s' * (limit != 1)} below it (pathLen), "
                f"found {below + is_ca}; sign with a CA further up, or make one with a larger --path-length"
            )


def _issue(subject, public_key, extensions, days, usual_days, issuer, key):
    signer = issuer.key if issuer else key
    not_before, not_after, note = _validity(days, usual_days, issuer)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    if issuer:
        ski = Certificate(_der(issuer.certificate)).ski
        builder = builder.add_extension(x509.AuthorityKeyIdentifier(ski, None, None), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    made = builder.sign(signer, _hash(signer))
    try:
        made.verify_directly_issued_by(issuer.certificate if issuer else made)
    except (ValueError, TypeError, InvalidSignature):
        raise CommandError(f"{_title(made)}: the new certificate does not verify") from None
    return made, note


def _validity(days, usual_days, issuer):
    # (first second, last second, note). What was asked for is kept or refused, a default is cut.
    start = now() - _BACKDATED
    stop = now() + datetime.timedelta(days=days or usual_days)
    if not issuer:
        return start, stop, None
    start = max(start, issuer.not_before)
    if stop <= issuer.not_after:
        return start, stop, None
    left = (issuer.not_after - now()).days
    if days:
        raise CommandError(
            f"--days {days} ends after the CA, which ends {_moment(issuer.not_after)}; "
            f"expected at most {left}: no device would take the rest"
        )
    return start, issuer.not_after, f"valid only as long as its CA, until {_moment(issuer.not_after)}"


def _key_usage(is_ca):
    return x509.KeyUsage(
        digital_signature=not is_ca, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=is_ca, crl_sign=is_ca,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _hash(key):
    # As strong as the key (RFC 5480 section 4).
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size > 256:
        return hashes.SHA384() if key.curve.key_size <= 384 else hashes.SHA512()
    return hashes.SHA256()


def _title(certificate):
    return names.format_name(certificate.subject.public_bytes())


def _moment(when):
    return moment(int(when.timestamp()))


def _der(certificate):
    return certificate.public_bytes(Encoding.DER)

"""Files of certificates and keys on the host: read in whatever form they come, written at once or not at all.

Read: PEM (several blocks, in any order), DER, PKCS#12; keys in PKCS#1, SEC 1, PKCS#8, plain or under a
password. Written: certificates as PEM, keys as PEM of PKCS#8, under a password as PBES2 (RFC 8018).
"""

import itertools
import os
import pathlib
import re
import tempfile
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)

from certstore import identities, keys, names, pbes2, pem, subjects
from certstore.certificate import Certificate
from certstore.der import Der
from certstore.errors import FormatError

from .entries import Entry
from .errors import CommandError, about

# PBKDF2's rounds for a key in a file, which a computer opens (OWASP's figure for HMAC-SHA-256).
FILE_ITERATIONS = 600_000
SECRET = 0o600
PUBLIC = 0o666
SUFFIXES = (".crt", ".key", ".csr", ".p12")

_KEY_BLOCK = re.compile(
    rb"^-----BEGIN ((?:[A-Z0-9]+ )*PRIVATE KEY)-----.*?^-----END \1-----[ \t]*$", re.M | re.S
)
_SEQUENCE, _INTEGER, _OCTET_STRING = 0x30, 0x02, 0x04
_PKCS12_VERSION = 3
_WRONG_PASSWORD = "wrong password, or the key is damaged"


class Material(NamedTuple):
    """What files hold: certificates in DER, private keys, and the name that PKCS#12 gives the key."""

    certificates: list
    keys: list
    name: str | None = None


class Output(NamedTuple):
    """One file to write."""

    path: pathlib.Path
    data: bytes
    mode: int


def read(paths, password):
    """The Material of one or more files. password: a function of a file's name; called if one is needed."""
    found = [_read(path, lambda path=path: password(f"the key in {path}")) for path in paths]
    return Material(
        list(dict.fromkeys(der for each in found for der in each.certificates)),
        _unique([key for each in found for key in each.keys]),
        next((each.name for each in found if each.name), None),
    )


def _unique(private_keys):
    return list({public_info(key): key for key in private_keys}.values())


def _read(path, password):
    with about(path):
        data = pathlib.Path(path).read_bytes()
        if pem.is_pem(data):
            return _read_pem(data, path, password)
        kind = _kind(data)
        if kind == "pkcs12":
            return _read_pkcs12(data, path, password)
        if kind == "key":
            return Material([], [_load_key(load_der_private_key, data, path, password)])
        return Material([Entry.of(data, str(path)).der], [])


def _read_pem(data, path, password):
    # Keys by `cryptography`, which opens also the old encrypted form, with headers in the block.
    blocks = [match[0] for match in _KEY_BLOCK.finditer(data)]
    rest = _KEY_BLOCK.sub(b"", data)
    ders = [Entry.of(der, str(path)).der for _, der in pem.blocks(rest, "CERTIFICATE")]
    found = [_load_key(load_pem_private_key, block + b"\n", path, password) for block in blocks]
    if not ders and not found:
        raise CommandError(f"{path}: found PEM without a certificate or a private key")
    return Material(ders, found)


def _kind(data):
    # What a DER structure is, by its first elements: of a certificate, both are SEQUENCEs.
    try:
        walk = Der(data)
        walk.expect(_SEQUENCE)
        walk.finish()
        walk.enter()
        if walk.optional(_INTEGER):
            return "pkcs12" if walk.small() == _PKCS12_VERSION else "key"
        walk.expect(_SEQUENCE)
        return "key" if walk.optional(_OCTET_STRING) else "certificate"
    except FormatError:
        return "certificate"


def _load_key(load, data, path, password):
    try:
        try:
            key = load(data, None)
        except TypeError:
            key = _load_encrypted(load, data, path, password)
    except UnsupportedAlgorithm:
        raise CommandError(
            f"{path}: found a key of a kind, or encrypted in a way, that is unknown here; expected RSA or EC"
        ) from None
    except (ValueError, TypeError):
        raise CommandError(
            f"{path}: found no private key, or a damaged one; expected PKCS#1, SEC 1 or PKCS#8"
        ) from None
    return _usable(key, path)


def _load_encrypted(load, data, path, password):
    secret = password()
    try:
        return load(data, secret)
    except ValueError:
        raise CommandError(f"{path}: {_WRONG_PASSWORD}") from None


def _read_pkcs12(data, path, password):
    try:
        held = _open_pkcs12(data, password)
    except UnsupportedAlgorithm:
        raise CommandError(f"{path}: the PKCS#12 file is encrypted in a way that is unknown here") from None
    except ValueError:
        raise CommandError(f"{path}: {_WRONG_PASSWORD}") from None
    inside = [each for each in (held.cert, *held.additional_certs) if each]
    ders = [Entry.of(each.certificate.public_bytes(Encoding.DER), str(path)).der for each in inside]
    name = held.cert.friendly_name if held.cert else None
    return Material(
        ders, [_usable(held.key, path)] if held.key else [], name.decode(errors="replace") if name else None
    )


def _open_pkcs12(data, password):
    # Without a password, and with an empty one: exporters differ in what "none" is.
    for empty in (None, b""):
        try:
            return pkcs12.load_pkcs12(data, empty)
        except ValueError:
            continue
    return pkcs12.load_pkcs12(data, password())


def _usable(key, path):
    if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
        raise CommandError(f"{path}: found a private key of another kind; expected RSA or EC")
    return key


def chain(material, what):
    """([DER], key, note): the one key, and the certificates of its chain, its own first.

    note: None, or that their order was repaired. Raises CommandError for no key or several, for a key
    and certificates that do not belong together, and for signatures that do not hold.
    """
    if len(material.keys) != 1:
        count = len(material.keys) or "no"
        raise CommandError(f"{what}: found {count} private key{'s' * (count != 1)}; expected one")
    key = material.keys[0]
    if not material.certificates:
        raise CommandError(f"{what}: found no certificate; expected that of the private key")
    info = public_info(key)
    if not any(bytes(Certificate(der).public_key_info) == info for der in material.certificates):
        ski = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()
        titles = ", ".join(Entry.of(der, what).title for der in material.certificates)
        raise CommandError(
            f"{what}: the private key belongs to no certificate here: found the key of SKI {ski}, "
            f"and certificates of {titles}"
        )
    with about(what):
        ordered, repaired = identities.order_chain(material.certificates, *keys.private_key(pkcs8(key)))
    _verify(ordered, what)
    return ordered, key, "put the certificates into order: the key's own first" if repaired else None


def _verify(ders, what):
    certificates = [x509.load_der_x509_certificate(der) for der in ders]
    for below, above in itertools.pairwise(certificates):
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            titles = [names.format_name(each.subject.public_bytes()) for each in (below, above)]
            raise CommandError(
                f"{what}: {titles[0]} names {titles[1]} as its issuer, but is not signed by it"
            ) from None


def without_root(ders):
    """A chain without the self-signed certificate at its end, which peers have already; a lone one stays."""
    last = Certificate(ders[-1])
    return ders[:-1] if len(ders) > 1 and subjects.same_name(last.subject, last.issuer) else ders


def der(certificate):
    """An x509.Certificate as DER."""
    return certificate.public_bytes(Encoding.DER)


def public_info(key):
    """The SubjectPublicKeyInfo of a private key, DER."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def pkcs8(key):
    """A private key as PKCS#8 PrivateKeyInfo, DER."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def sealed(key, password, iterations):
    """A private key as PKCS#8 in DER: EncryptedPrivateKeyInfo, or PrivateKeyInfo if the password is None."""
    return pkcs8(key) if password is None else pbes2.encrypt(pkcs8(key), password, iterations)


def unsealed(sealed_key, password, what):
    """The private key of what `sealed` made. password: None for one that is not encrypted."""
    return _load_key(load_der_private_key, sealed_key, what, lambda: password)


def stem(out):
    """The path of --out without a suffix that it gets anyway."""
    path = pathlib.Path(out)
    return path.with_suffix("") if path.suffix in SUFFIXES else path


def beside(path, suffix):
    """The file of this stem."""
    return path.with_name(path.name + suffix)


def certificate_output(path, ders):
    return Output(beside(path, ".crt"), "".join(map(pem.encode, ders)).encode(), PUBLIC)


def key_output(path, key, password):
    label = "PRIVATE KEY" if password is None else "ENCRYPTED PRIVATE KEY"
    text = pem.encode(sealed(key, password, FILE_ITERATIONS), label)
    return Output(beside(path, ".key"), text.encode(), SECRET)


def request_output(path, request):
    return Output(beside(path, ".csr"), request.public_bytes(Encoding.PEM), PUBLIC)


def pair(path, key, password, ders):
    """The files of a key and of its chain."""
    return [key_output(path, key, password), certificate_output(path, ders)]


def pkcs12_output(path, name, key, password, ders):
    """A .p12 file, AES-256 with PBKDF2 and SHA-256 throughout; without encryption if the password is None."""
    encryption = NoEncryption()
    if password is not None:
        encryption = (
            PrivateFormat.PKCS12.encryption_builder()
            .kdf_rounds(FILE_ITERATIONS)
            .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
            .hmac_hash(hashes.SHA256())
            .build(password)
        )
    own, *others = map(x509.load_der_x509_certificate, ders)
    data = pkcs12.serialize_key_and_certificates(name.encode(), key, own, others or None, encryption)
    return Output(beside(path, ".p12"), data, SECRET)


def check_free(path, suffixes, force):
    """CommandError if one of the files exists, unless `force`; in any case if it is a folder."""
    for suffix in suffixes:
        output = beside(path, suffix)
        if output.is_dir():
            raise CommandError(f"{output}: is a folder; choose another --out")
        if not force and os.path.lexists(output):
            raise CommandError(
                f"{output}: exists already; choose another --out, or overwrite it with --force"
            )


def write(outputs):
    """All files or none: each is whole when it appears. Those of mode SECRET are only for their owner."""
    staged = []
    try:
        for output in outputs:
            with about(output.path):
                output.path.parent.mkdir(parents=True, exist_ok=True)
                staged.append(_stage(output))
        for temporary, output in zip(staged, outputs, strict=True):
            with about(output.path):
                os.replace(temporary, output.path)
    finally:
        for temporary in staged:
            pathlib.Path(temporary).unlink(missing_ok=True)


def _stage(output):
    # mkstemp gives 0600, so a secret is never readable by others, not even for a moment.
    handle, temporary = tempfile.mkstemp(prefix=f".{output.path.name}.", dir=output.path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(output.data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, output.mode & ~_umask())
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask

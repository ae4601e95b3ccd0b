"""Makes tests/vectors/certificates and tests/vectors/keys: the same bytes on every run.

    python tests/vectors/make_certificates.py [FOLDER]

certificates/facts.json tells of each certificate what `cryptography`, which shares no code with
ours, reads from it. keys/facts.json tells which certificate each key belongs to. Encrypted keys are salted at
random: those that exist already are kept.
"""

import base64
import datetime
import hashlib
import ipaddress
import json
import math
import pathlib
import random
import subprocess
import sys
import warnings

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

NOT_BEFORE = datetime.datetime(2020, 2, 29, 12, 34, 56, tzinfo=datetime.UTC)
NOT_AFTER = datetime.datetime(2049, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
_SMALL_PRIMES = math.prod(n for n in range(3, 2000, 2) if all(n % i for i in range(3, n, 2)))
FOREVER = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)

KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
_ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(b"\7" * 32)

# Written by openssl: file -> (key, its certificate, options). The password is "password", or empty.
ENCRYPTED = {
    "encrypted_aes256.der": ("ec", "ec_root", "-v2", "aes-256-cbc", "-iter", "5"),
    "encrypted_aes128.pem": ("ec384", "ec384_path0", "-v2", "aes-128-cbc", "-iter", "5"),
    "encrypted_rsa.pem": ("rsa", "rsa_root", "-v2", "aes-256-cbc", "-iter", "1000"),
    "encrypted_empty.der": ("ec", "ec_root", "-v2", "aes-256-cbc", "-iter", "5"),
    # What is refused.
    "encrypted_ed25519.der": ("ed25519", None, "-v2", "aes-256-cbc", "-iter", "5"),
    "encrypted_sha1.der": ("ec", None, "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1", "-iter", "5"),
    "encrypted_sha512.der": ("ec", None, "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512", "-iter", "5"),
    "encrypted_aes192.der": ("ec", None, "-v2", "aes-192-cbc", "-iter", "5"),
    "encrypted_des3.der": ("ec", None, "-v2", "des3", "-iter", "5"),
    "encrypted_pbes1.der": ("ec", None, "-v1", "PBE-SHA1-3DES", "-iter", "5"),
    "encrypted_scrypt.der": ("ec", None, "-scrypt", "-scrypt_N", "2", "-scrypt_r", "1", "-scrypt_p", "1"),
}


def ec_key(number, curve=None):
    """An EC key from a small number: no secret, and the same on every run."""
    secret = int.from_bytes(hashlib.sha256(b"%d" % number).digest(), "big") >> 1
    return ec.derive_private_key(secret, curve or ec.SECP256R1())


def rsa_key(seed, bits):
    """An RSA key from a seed."""
    source = random.Random(seed)
    while True:
        p, q = (_prime(source, bits // 2) for _ in range(2))
        n = p * q
        phi = (p - 1) * (q - 1)
        if n.bit_length() == bits and phi % 65537:
            break
    if p < q:
        p, q = q, p
    d = pow(65537, -1, phi)
    public = rsa.RSAPublicNumbers(65537, n)
    parts = (rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q))
    return rsa.RSAPrivateNumbers(p, q, d, *parts, public).private_key()


def _prime(source, bits):
    while True:
        candidate = source.getrandbits(bits) | 3 << bits - 2 | 1
        if math.gcd(candidate, _SMALL_PRIMES) == 1 and all(
            pow(base, candidate - 1, candidate) == 1 for base in (2, 3, 5, 7, 11, 13)
        ):
            return candidate


def name(*attributes):
    """A Name of (OID, text) or (OID, text, ASN.1 type); a list of them is one RDN."""
    rdns = []
    for entry in attributes:
        group = entry if isinstance(entry, list) else [entry]
        rdns.append(
            x509.RelativeDistinguishedName(
                [x509.NameAttribute(row[0], row[1], *row[2:], _validate=False) for row in group]
            )
        )
    return x509.Name(rdns)


def cn(text, *kind):
    return name((NameOID.COMMON_NAME, text, *kind))


def sign(builder, key):
    if isinstance(key, ec.EllipticCurvePrivateKey):
        digest = hashes.SHA384() if key.key_size == 384 else hashes.SHA256()
        return builder.sign(key, digest, ecdsa_deterministic=True)
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def certificate(
    number,
    subject,
    key,
    issuer=None,
    signer=None,
    ca=None,
    path_length=None,
    usage=(),
    ski=None,
    aki=None,
    san=(),
    not_after=NOT_AFTER,
):
    """One certificate in DER. ca: None for no basicConstraints; ski: True for SHA-1 of the key, or bytes."""
    builder = (
        x509.CertificateBuilder()
        .serial_number(number)
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(not_after)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    if usage:
        bits = {known: known in usage for known in KEY_USAGES}
        builder = builder.add_extension(x509.KeyUsage(**bits), critical=True)
    if ski is True:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    elif ski:
        builder = builder.add_extension(x509.SubjectKeyIdentifier(ski), False)
    if aki:
        builder = builder.add_extension(x509.AuthorityKeyIdentifier(aki, None, None), False)
    if san:
        builder = builder.add_extension(x509.SubjectAlternativeName(san), False)
    return sign(builder, signer or key).public_bytes(serialization.Encoding.DER)


def tlv(tag, *parts):
    content = b"".join(parts)
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def version_1(subject, key):
    """A version 1 certificate, which `cryptography` reads but does not write."""
    algorithm = tlv(0x30, bytes.fromhex("06082a8648ce3d040302"))
    encoded = subject.public_bytes()
    spki = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    times = tlv(0x30, tlv(0x17, b"200229123456Z"), tlv(0x17, b"491231235959Z"))
    tbs = tlv(0x30, tlv(0x02, b"\x07"), algorithm, encoded, times, encoded, spki)
    signature = key.sign(tbs, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    return tlv(0x30, tbs, algorithm, tlv(0x03, b"\0", signature))


def certificates(rsa_2048):
    """Name of the file -> DER."""
    root = ("key_cert_sign", "crl_sign")
    p256, p384 = ec_key(1), ec_key(2, ec.SECP384R1())
    rsa_root = name(
        (NameOID.COUNTRY_NAME, "XX"),
        (NameOID.ORGANIZATION_NAME, "Test, Inc."),
        (NameOID.COMMON_NAME, "RSA Root"),
    )
    ec_root = cn("EC Root")
    rsa_ski = x509.SubjectKeyIdentifier.from_public_key(rsa_2048.public_key()).digest
    cross, old_root = cn("Cross Root"), cn("Old Root")
    sans = [
        x509.DNSName("example.com"),
        x509.DNSName("*.example.com"),
        x509.DNSName("xn--bcher-kva.example"),
        x509.IPAddress(ipaddress.ip_address("192.0.2.7")),
        x509.IPAddress(ipaddress.ip_address("2001:db8::7")),
        x509.RFC822Name("someone@example.com"),
    ]
    bidi = "user\u202egro.elpmaxe\u202c \u200bhidden\x1b[2J\x07"
    odd = name(
        (NameOID.COUNTRY_NAME, "XX"),
        [
            (NameOID.ORGANIZATION_NAME, 'Bücher, "Söhne" + <Töchter>; \\ Co', _ASN1Type.UTF8String),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, "# Ω ", _ASN1Type.BMPString),
        ],
        (NameOID.EMAIL_ADDRESS, "a@example.com", _ASN1Type.IA5String),
        (NameOID.DOMAIN_COMPONENT, "example", _ASN1Type.IA5String),
        (NameOID.USER_ID, "u1"),
        (NameOID.STREET_ADDRESS, "1 High Street"),
        (NameOID.SERIAL_NUMBER, "42", _ASN1Type.PrintableString),
        (NameOID.COMMON_NAME, " spaced ", _ASN1Type.UTF8String),
    )
    return {
        "rsa_root": certificate(1, rsa_root, rsa_2048, ca=True, usage=root, ski=True),
        "ec_root": certificate(2, ec_root, p256, ca=True, usage=root, ski=True, aki=b"\1" * 20),
        "ec384_path0": certificate(3, cn("P-384"), p384, ca=True, path_length=0, usage=root, ski=True),
        "intermediate": certificate(
            0xF0 << 144, cn("Intermediate"), ec_key(3), rsa_root, rsa_2048, True, 1, root, True, rsa_ski
        ),
        "leaf": certificate(
            5,
            cn("leaf"),
            ec_key(4),
            cn("Intermediate"),
            ec_key(3),
            ca=False,
            usage=("digital_signature",),
            san=sans,
        ),
        "leaf_cn": certificate(6, cn("*.device.test"), ec_key(5), ec_root, p256),
        "version1": version_1(cn("Version 1"), p256),
        "no_ski": certificate(8, cn("No SKI"), ec_key(6), ca=True),
        "ski8": certificate(9, cn("SKI 8"), ec_key(7), ca=True, usage=root, ski=bytes(range(1, 9))),
        "ski32": certificate(10, cn("SKI 32"), ec_key(8), ca=True, usage=root, ski=bytes(range(32))),
        "twin_a": certificate(11, cn("Twin A"), ec_key(9), ca=True, usage=root, ski=True),
        "twin_b": certificate(12, cn("Twin B"), ec_key(9), ca=True, usage=root, ski=True),
        "cross_self": certificate(13, cross, ec_key(10), ca=True, usage=root, ski=True),
        "cross_signed": certificate(14, cross, ec_key(10), old_root, ec_key(11), True, None, root, True),
        "same_name": certificate(15, ec_root, ec_key(12), ca=True, usage=root, ski=True),
        "ca_no_sign": certificate(16, cn("CA"), ec_key(13), ca=True, usage=("crl_sign", "key_agreement")),
        "all_usages": certificate(
            17, cn("usages"), ec_key(14), usage=tuple(known for known in KEY_USAGES if known != "crl_sign")
        ),
        "odd_name": certificate(18, odd, ec_key(15), ca=True),
        "bidi_name": certificate(19, cn(bidi), ec_key(16), ca=True),
        "long_name": certificate(20, cn("x" * 500), ec_key(17), ca=True),
        "forever": certificate(21, cn("Forever"), ec_key(18), ca=True, not_after=FOREVER),
        "ed25519": certificate(22, cn("Ed25519"), _ED25519, ca=True, ski=True),
        "self_signed_device": certificate(
            23, cn("device"), ec_key(19), ca=False, san=[x509.DNSName("device.test")]
        ),
    }


def facts(der):
    """What `cryptography` reads from a certificate."""
    seen = x509.load_der_x509_certificate(der)
    key = seen.public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    kind, bits, curve = None, None, None
    if isinstance(key, rsa.RSAPublicKey):
        kind, bits = "RSA", key.key_size
    elif isinstance(key, ec.EllipticCurvePublicKey):
        kind, bits, curve = "EC", key.key_size, key.curve.name
    else:
        kind = seen.public_key_algorithm_oid.dotted_string
    ski = _extension(seen, x509.SubjectKeyIdentifier)
    aki = _extension(seen, x509.AuthorityKeyIdentifier)
    basic = _extension(seen, x509.BasicConstraints)
    usage = _extension(seen, x509.KeyUsage)
    san = _extension(seen, x509.SubjectAlternativeName)
    digest = ski.digest if ski else x509.SubjectKeyIdentifier.from_public_key(key).digest
    return {
        "version": 1 if seen.version is x509.Version.v1 else 3,
        "serial": "%x" % seen.serial_number,
        "issuer": seen.issuer.public_bytes().hex(),
        "subject": seen.subject.public_bytes().hex(),
        "not_before": int(seen.not_valid_before_utc.timestamp()),
        "not_after": int(seen.not_valid_after_utc.timestamp()),
        "key_type": kind,
        "key_bits": bits,
        "curve": curve,
        "ski": digest.hex(),
        "aki": aki.key_identifier.hex() if aki else None,
        "is_ca": bool(basic and basic.ca),
        "path_length": basic.path_length if basic else None,
        "key_usage": _usage_bits(usage) if usage else None,
        "dns_names": san.get_values_for_type(x509.DNSName) if san else [],
        "ip_addresses": [str(ip) for ip in san.get_values_for_type(x509.IPAddress)] if san else [],
        "signature_hash": seen.signature_hash_algorithm.name if seen.signature_hash_algorithm else None,
        "fingerprint": seen.fingerprint(hashes.SHA256()).hex(),
        "pin": hashlib.sha256(spki).hexdigest(),
    }


def _extension(seen, kind):
    try:
        return seen.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _usage_bits(usage):
    bits = 0
    for i, known in enumerate(KEY_USAGES):
        # `cryptography` refuses to tell these two without key_agreement.
        if known in ("encipher_only", "decipher_only") and not usage.key_agreement:
            continue
        bits |= getattr(usage, known) << i
    return bits


def keys(rsa_2048):
    """Name of the file -> (bytes, name of the certificate it belongs to)."""
    enc, fmt, no = serialization.Encoding, serialization.PrivateFormat, serialization.NoEncryption()
    password = serialization.BestAvailableEncryption(b"password")
    p256, p384 = ec_key(1), ec_key(2, ec.SECP384R1())
    out = {
        "rsa_pkcs1.der": (rsa_2048.private_bytes(enc.DER, fmt.TraditionalOpenSSL, no), "rsa_root"),
        "rsa_pkcs8.der": (rsa_2048.private_bytes(enc.DER, fmt.PKCS8, no), "rsa_root"),
        "rsa_pkcs8.pem": (rsa_2048.private_bytes(enc.PEM, fmt.PKCS8, no), "rsa_root"),
        "ec_sec1.der": (p256.private_bytes(enc.DER, fmt.TraditionalOpenSSL, no), "ec_root"),
        "ec_pkcs8.der": (p256.private_bytes(enc.DER, fmt.PKCS8, no), "ec_root"),
        "ec384_sec1.pem": (p384.private_bytes(enc.PEM, fmt.TraditionalOpenSSL, no), "ec384_path0"),
    }
    # Forms that other tools write: PKCS#8 v2 with the point outside, and a key without its point.
    secret = tlv(0x04, p256.private_numbers().private_value.to_bytes(32, "big"))
    curve = bytes.fromhex("06082a8648ce3d030107")
    algorithm = tlv(0x30, bytes.fromhex("06072a8648ce3d0201"), curve)
    point = p256.public_key().public_bytes(enc.X962, serialization.PublicFormat.UncompressedPoint)
    packed = p256.public_key().public_bytes(enc.X962, serialization.PublicFormat.CompressedPoint)
    inner = tlv(0x30, b"\2\1\1", secret)
    out["ec_pkcs8_v2.der"] = (
        tlv(0x30, b"\2\1\1", algorithm, tlv(0x04, inner), tlv(0x81, b"\0", point)),
        "ec_root",
    )
    out["ec_pkcs8_bare.der"] = (tlv(0x30, b"\2\1\0", algorithm, tlv(0x04, inner)), None)
    out["ec_sec1_packed.der"] = (
        tlv(0x30, b"\2\1\1", secret, tlv(0xA0, curve), tlv(0xA1, tlv(0x03, b"\0", packed))),
        "ec_root",
    )
    out["ec_sec1_no_curve.der"] = (inner, None)
    parameters = tlv_pem("EC PARAMETERS", curve)
    out["ec_parameters.pem"] = (
        parameters + p256.private_bytes(enc.PEM, fmt.TraditionalOpenSSL, no),
        "ec_root",
    )
    out["ed25519_pkcs8.der"] = (_ED25519.private_bytes(enc.DER, fmt.PKCS8, no), None)
    # Salted at random, so kept as they are: a fresh one would differ and test nothing more.
    out["encrypted_pkcs8.der"] = (p256.private_bytes(enc.DER, fmt.PKCS8, password), "ec_root")
    out["encrypted_pkcs8.pem"] = (p256.private_bytes(enc.PEM, fmt.PKCS8, password), "ec_root")
    out["encrypted_sec1.pem"] = (p256.private_bytes(enc.PEM, fmt.TraditionalOpenSSL, password), None)
    made = {"ec": p256, "ec384": p384, "rsa": rsa_2048, "ed25519": _ED25519}
    for file, (key, owner, *words) in ENCRYPTED.items():
        form = file.rpartition(".")[2].upper()
        words += ["-outform", form, "-passout", "pass:" if "empty" in file else "pass:password"]
        plain = made[key].private_bytes(enc.PEM, fmt.PKCS8, no)
        done = subprocess.run(
            ["openssl", "pkcs8", "-topk8", *words], input=plain, capture_output=True, check=True
        )
        out[file] = (done.stdout, owner)
    return out


def tlv_pem(label, der):
    return b"-----BEGIN %s-----\n%s\n-----END %s-----\n" % (
        label.encode(),
        base64.b64encode(der),
        label.encode(),
    )


def main(folder):
    # One name here is longer than X.520 allows, on purpose.
    warnings.filterwarnings("ignore", "Attribute's length", UserWarning)
    folder = pathlib.Path(folder)
    rsa_2048 = rsa_key(b"rsa", 2048)
    made = certificates(rsa_2048)
    (folder / "certificates").mkdir(parents=True, exist_ok=True)
    (folder / "keys").mkdir(parents=True, exist_ok=True)
    for stem, der in made.items():
        (folder / "certificates" / (stem + ".der")).write_bytes(der)
    _write_json(folder / "certificates" / "facts.json", {stem: facts(der) for stem, der in made.items()})
    owners = {}
    for file, (data, owner) in keys(rsa_2048).items():
        path = folder / "keys" / file
        if not (file.startswith("encrypted") and path.exists()):
            path.write_bytes(data)
        owners[file] = owner
    _write_json(folder / "keys" / "facts.json", owners)


def _write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)

"""The options that few give: what is read of them, and refused. Loaded when one of them is given."""

import binascii

from certstore import pem
from certstore.certificate import Certificate
from certstore.compat import const

from .context import refused, unsupported
from .errors import ConfigurationError

_TLS_1_2 = const(0x0303)
_SHA256_BYTES = const(32)

_VERSIONS = (("TLSv1.0", 0x0301), ("TLSv1.1", 0x0302), ("TLSv1.2", 0x0303), ("TLSv1.3", 0x0304))


def check_versions(options):
    """TLS 1.2 is what this engine speaks: a range that leaves it out is refused, not narrowed."""
    for name in ("min_version", "max_version"):
        value = options.get(name)
        if value is None:
            continue
        for text, number in _VERSIONS:
            if value == text or value == number:
                break
        else:
            raise refused(name, repr(value), ", ".join(text for text, _ in _VERSIONS))
        if (number > _TLS_1_2) if name == "min_version" else (number < _TLS_1_2):
            raise unsupported("%s=%s" % (name, text))


def ciphers(names, known):
    """mbedTLS's names of the cipher suites in `names`; known: those that the engine has."""
    if isinstance(names, str):
        names = names.split(":")
    if not isinstance(names, (list, tuple)):
        raise refused("ciphers", repr(names), "names of cipher suites")
    chosen = []
    for name in names:
        normal = name.replace("_", "-") if isinstance(name, str) else None
        if normal not in known:
            raise ConfigurationError(
                "cipher", found=name, expected="a name as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
            )
        chosen.append(normal)
    if not chosen:
        raise refused("ciphers", "an empty list", "at least one name")
    return chosen


def _is_bytes(value):
    return isinstance(value, (bytes, bytearray, memoryview))


def check_unverified(options):
    """Raises where verify=False stands beside what it would turn off."""
    for name in ("trust", "pins", "on_bad_certificate"):
        if options.get(name) is not None:
            raise _conflict("verify=False with %s=" % name, "one of them")


def _conflict(found, expected):
    return ConfigurationError("option-conflict", found=found, expected=expected)


def sources(wanted, context):
    """(stores, DER certificates) of what trust= was given, None for trust=None; each certificate is read
    once, to refuse here. context: the SecureContext, which has its pins already."""
    if wanted is None:
        if not context.pins:
            raise _conflict("trust=None without pins=", "pins, or a trust set")
        if context.on_bad_certificate:
            raise _conflict("trust=None with on_bad_certificate=", "a trust set")
        return None
    stores = []
    certificates = []
    for item in wanted if isinstance(wanted, (list, tuple)) else (wanted,):
        if hasattr(item, "find_subject"):
            # A CertStore, or one in layers.
            stores.append(item)
        elif isinstance(item, str) or _is_bytes(item):
            certificates += pem.decode(item, "CERTIFICATE") if pem.is_pem(item) else [item]
        else:
            raise refused(
                "trust", repr(type(item)), "a CertStore, certificates in DER or PEM, a list of these"
            )
    for der in certificates:
        # Whether it may issue, the trust set asks with every connection; a broken one is refused here.
        _ = Certificate(der).may_issue
    if not any(len(store) for store in stores) and not certificates:
        raise ConfigurationError("trust-empty")
    return stores, certificates


def pin(value):
    """32 bytes of one of pins=: bytes-like, hex or base64."""
    found = _pin(value)
    if found is None:
        raise refused("pins", repr(value), "SHA-256 of a public key info: 32 bytes, 64 hex digits or base64")
    return found


def _pin(value):
    if _is_bytes(value):
        return bytes(value) if len(value) == _SHA256_BYTES else None
    if not isinstance(value, str):
        return None
    text = value[7:] if value.startswith("sha256/") or value.startswith("sha256:") else value
    try:
        if len(text) == 2 * _SHA256_BYTES:
            return binascii.unhexlify(text)
        pin = binascii.a2b_base64(text)
    except ValueError:
        return None
    return pin if len(pin) == _SHA256_BYTES else None

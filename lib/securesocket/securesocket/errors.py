"""Everything that a connection raises; the tree's root and its form are in certstore.errors.

Loaded when the first error is raised or named: until then it costs no RAM.
"""

from certstore.compat import const
from certstore.entropy import EntropyError, accept_weak_entropy  # noqa: F401
from certstore.errors import (  # noqa: F401  (re-exported: one tree, one place to catch from)
    BadPassword,
    CorruptStore,
    FormatError,
    MissingPackage,
    NotFound,
    SecureSocketError,
    StoreError,
)

_ENOMEM = const(12)
_EACCES = const(13)
_EINVAL = const(22)
_EPROTO = const(71)
_EOPNOTSUPP = const(95)
_ECONNRESET = const(104)
_ETIMEDOUT = const(110)

# From here on errors are told in the words of both packages.
SecureSocketError.package = "securesocket"


class ConfigurationError(SecureSocketError):
    """The caller's options cannot be used."""

    numbers = ((_EINVAL, None),)


class UnsupportedFeature(SecureSocketError):
    """The engine cannot do it; nothing was sent with less protection instead."""

    numbers = ((_EOPNOTSUPP, None),)


class MemoryBudgetError(SecureSocketError):
    """The heap could not carry the handshake."""

    numbers = ((_ENOMEM, None),)


class HandshakeTimeout(SecureSocketError):
    """The deadline passed; `stage` names what was waited for."""

    numbers = ((_ETIMEDOUT, None),)

    def __init__(self, code, stage, timeout_ms):
        super().__init__(code, found="nothing after %d ms (%s)" % (timeout_ms, stage))
        self.stage = stage


class HandshakeError(SecureSocketError):
    """The TLS handshake failed for a reason that is not the certificate.

    alert: description (RFC 5246 7.2) or None; direction: "received", "sent" or None; stage: the last
    handshake message seen.
    """

    numbers = ((_ECONNRESET, "resolve connect connection-lost peer-closed"), (_EPROTO, None))

    def __init__(self, code, found=None, expected=None, remedy=None, alert=None, direction=None, stage=None):
        super().__init__(code, found, expected, remedy)
        self.alert = alert
        self.direction = direction
        self.stage = stage


class CertificateError(SecureSocketError):
    """The server's certificate was refused. `certificate` is the server's own, where it was seen;
    `failures` are all the reasons found, this one first."""

    numbers = ((_EACCES, None),)

    def __init__(self, code, found=None, expected=None, remedy=None, certificate=None):
        super().__init__(code, found, expected, remedy)
        self.certificate = certificate
        self.failures = (self,)


class UnknownIssuer(CertificateError):
    """No trust anchor issued any certificate of the chain."""


class Expired(CertificateError):
    """RFC 5280 4.1.2.5: notAfter has passed."""


class NotYetValid(CertificateError):
    """RFC 5280 4.1.2.5: notBefore is still to come."""


class ClockNotSet(CertificateError):
    """The clock shows a time before the store was built, so no date can be checked."""


class HostnameMismatch(CertificateError):
    """RFC 6125: the certificate names other hosts."""


class BadSignature(CertificateError):
    """A trust anchor of that name exists, but it did not sign this chain."""


class WeakKey(CertificateError):
    """mbedTLS's default profile: RSA from 2048 bits, curves from 256 bits, SHA-256 and up."""


class PinMismatch(CertificateError):
    """None of the pinned keys is in the verified path."""

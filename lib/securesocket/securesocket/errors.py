"""Everything that a connection raises; the tree's root and its form are in certstore.errors.

Loaded when the first error is raised or named: until then it costs no RAM.
"""

from certstore.compat import const
from certstore.entropy import EntropyError  # noqa: F401
from certstore.errors import (  # noqa: F401  (re-exported: one tree, one place to catch from)
    BadPassword,
    CorruptStore,
    FormatError,
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
_EHOSTUNREACH = const(113)

_NETWORK_UP = "check the name; on a board, is the network up? network.WLAN().isconnected()"
_OTHER_SERVER = "ask another one: securesocket.set_clock(host=...)"
_ADD_CA = "if it is your own CA, compare its SHA-256 with its owner and pass its file as trust="


class ConfigurationError(SecureSocketError):
    """The caller's options cannot be used."""

    codes = (
        ("address", _EINVAL, "a connection needs a host and a port", 'SecureSocket("example.com", 443)'),
        ("option-unknown", _EINVAL, "there is no such option", None),
        ("option-value", _EINVAL, "the option's value cannot be used", None),
        ("option-conflict", _EINVAL, "these options contradict each other", None),
        ("server-name", _EINVAL, "verification needs the name of the server", "pass server_hostname="),
        (
            "no-store",
            _EINVAL,
            "there is no certificate store on this device",
            "make one with securesocket store build, then securesocket store push; or pass trust=",
        ),
        (
            "trust-empty",
            _EINVAL,
            "the trust set holds no certificate",
            "pass a store or a certificate as trust=",
        ),
        ("anchor", _EINVAL, "mbedTLS cannot use this trust anchor", "leave it out of the trust set"),
        ("identity", _EINVAL, "the identity cannot be used", None),
        ("identity-mismatch", _EINVAL, "the private key does not belong to the certificate", None),
        ("cipher", _EINVAL, "this engine does not know the cipher suite", None),
    )


class UnsupportedFeature(SecureSocketError):
    """The engine cannot do it; nothing was sent with less protection instead."""

    codes = (
        (
            "feature",
            _EOPNOTSUPP,
            "MicroPython's own tls module cannot do this",
            "it needs the native engine of the securesocket firmware",
        ),
        (
            "tls13",
            _EOPNOTSUPP,
            "the server chose TLS 1.3, whose certificates this engine cannot see",
            "allow TLS 1.2 on the server, or use a firmware whose tls module has no TLS 1.3",
        ),
        ("no-certificate", _EOPNOTSUPP, "the server sent no certificate that could be read", None),
        (
            "fragmented",
            _EOPNOTSUPP,
            "the server splits its certificates over several records",
            "mbedTLS joins them since 3.6.3; use MicroPython 1.29 or newer, or a shorter chain",
        ),
        (
            "reconnect",
            _EOPNOTSUPP,
            "on_bad_certificate needs a second connection, which a stream opened elsewhere cannot give",
            "let SecureSocket(host, port) open the connection",
        ),
        ("host-clock", _EOPNOTSUPP, "the clock of a computer is set by its operating system", None),
    )


class MemoryBudgetError(SecureSocketError):
    """The heap could not carry the handshake."""

    codes = (
        (
            "memory",
            _ENOMEM,
            "the heap is too small or too fragmented for this handshake",
            "free memory first: close other sessions, connect early, call gc.collect() before",
        ),
        (
            "memory-verify",
            _ENOMEM,
            "the certificate could not be verified: too little heap for its signature",
            "free memory first: close other sessions, connect early, call gc.collect() before",
        ),
    )


class HandshakeTimeout(SecureSocketError):
    """The deadline passed; `stage` names what was waited for."""

    codes = (("timeout", _ETIMEDOUT, "the peer did not answer in time", None),)

    def __init__(self, code, stage, timeout_ms):
        super().__init__(code, found="nothing after %d ms (%s)" % (timeout_ms, stage))
        self.stage = stage


class HandshakeError(SecureSocketError):
    """The TLS handshake failed for a reason that is not the certificate.

    alert: description (RFC 5246 7.2) or None; direction: "received", "sent" or None; stage: the last
    handshake message seen.
    """

    codes = (
        ("resolve", _ECONNRESET, "the host name cannot be resolved", _NETWORK_UP),
        ("connect", _ECONNRESET, "the connection was not made", "check host, port and network"),
        ("connection-lost", _ECONNRESET, "the connection broke during the handshake", None),
        ("peer-closed", _ECONNRESET, "the peer closed the connection during the handshake", None),
        ("alert", _EPROTO, "the peer refused the handshake with an alert", None),
        (
            "not-tls",
            _EPROTO,
            "the peer does not speak TLS on this port",
            "check the port (HTTPS 443, MQTTS 8883)",
        ),
        (
            "parameters",
            _EPROTO,
            "no protocol version or cipher suite in common",
            "the server must offer TLS 1.2 with ECDHE and AES-GCM; others by name with ciphers=",
        ),
        ("protocol", _EPROTO, "the peer's handshake is not valid", None),
        (
            "signature",
            _EPROTO,
            "the handshake is not signed with the certificate's key",
            "do not trust this server",
        ),
        ("engine", _EPROTO, "mbedTLS refused the handshake", None),
        ("stream", _EPROTO, "the underlying stream failed", None),
        ("certificate-limit", _EPROTO, "the server sends more certificates than are read", None),
    )

    def __init__(self, code, found=None, expected=None, remedy=None, alert=None, direction=None, stage=None):
        super().__init__(code, found, expected, remedy)
        self.alert = alert
        self.direction = direction
        self.stage = stage


class CertificateError(SecureSocketError):
    """The server's certificate was refused. `certificate` is the server's own, where it was seen;
    `failures` are all the reasons found, this one first."""

    codes = (
        ("not-trusted", _EACCES, "the certificate chain could not be verified", None),
        (
            "usage",
            _EACCES,
            "the certificate is not meant for a server",
            "the server needs another certificate",
        ),
        ("path-length", _EACCES, "a CA of the chain may not have another CA below it", None),
        ("verification-off", _EACCES, "verification was turned off by verify=False", "leave verify out"),
        ("not-checked", _EACCES, "without a verified path these checks were not made", None),
        ("leaf-changed", _EACCES, "the server showed another certificate on the second connection", None),
    )

    def __init__(self, code, found=None, expected=None, remedy=None, certificate=None):
        super().__init__(code, found, expected, remedy)
        self.certificate = certificate
        self.failures = (self,)


class UnknownIssuer(CertificateError):
    """No trust anchor issued any certificate of the chain."""

    codes = (("unknown-issuer", _EACCES, "no trust anchor issued this certificate", _ADD_CA),)


class Expired(CertificateError):
    """RFC 5280 4.1.2.5: notAfter has passed."""

    codes = (
        (
            "expired",
            _EACCES,
            "the certificate has expired",
            "the server must renew it; check this device's clock",
        ),
    )


class NotYetValid(CertificateError):
    """RFC 5280 4.1.2.5: notBefore is still to come."""

    codes = (("not-yet-valid", _EACCES, "the certificate is not valid yet", "check this device's clock"),)


class ClockNotSet(CertificateError):
    """The clock shows a time before the store was built, so no date can be checked."""

    codes = (
        (
            "clock-not-set",
            _EACCES,
            "this device's clock is not set",
            "set it before connecting, from the network: securesocket.set_clock()",
        ),
    )


class HostnameMismatch(CertificateError):
    """RFC 6125: the certificate names other hosts."""

    codes = (
        ("hostname", _EACCES, "the certificate is for another host", "connect with a name that it holds"),
    )


class BadSignature(CertificateError):
    """A trust anchor of that name exists, but it did not sign this chain."""

    codes = (
        (
            "bad-signature",
            _EACCES,
            "the chain is not signed by the trust anchor of that name",
            "do not trust this server; if it is your own CA with a new key, replace its file in trust=",
        ),
    )


class WeakKey(CertificateError):
    """mbedTLS's default profile: RSA from 2048 bits, curves from 256 bits, SHA-256 and up."""

    codes = (
        ("weak-key", _EACCES, "a key of the chain is too weak", "the server needs RSA 2048, P-256 or better"),
        (
            "weak-hash",
            _EACCES,
            "a certificate of the chain is signed with a weak hash",
            "it needs SHA-256 or better",
        ),
    )


class PinMismatch(CertificateError):
    """None of the pinned keys is in the verified path."""

    codes = (
        (
            "pin",
            _EACCES,
            "no key of the verified path is pinned",
            "if the server's key changed, update pins=",
        ),
    )


class ClockError(SecureSocketError):
    """securesocket.set_clock() did not set the clock."""

    codes = (
        (
            "clock-value",
            _EINVAL,
            "this is no time from 2000 to 2099",
            "give seconds since 1970, or what time.gmtime() gives: (year, month, day, hour, minute, second)",
        ),
        (
            "clock-floor",
            _EINVAL,
            "this time is before the store, or this version, was made",
            "check where it comes from; force=True takes it all the same",
        ),
        (
            "clock-jump",
            _EINVAL,
            "the clock is set, and this time is more than a day from it",
            "check which of them is right; force=True takes the new one",
        ),
        ("sntp-network", _EHOSTUNREACH, "the time server cannot be reached", _NETWORK_UP),
        ("sntp-timeout", _ETIMEDOUT, "the time server did not answer in time", _OTHER_SERVER),
        ("sntp-refused", _EACCES, "the time server refuses (kiss-o'-death)", _OTHER_SERVER),
        ("sntp-unset", _EPROTO, "the time server does not know the time itself", _OTHER_SERVER),
        ("sntp-answer", _EPROTO, "the time server's answer is not one of SNTP", _OTHER_SERVER),
    )

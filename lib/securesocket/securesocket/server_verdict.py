"""What went wrong with a client, as seen by a server: verdict's errors, with what helps on this side."""

from certstore.compat import const

from . import errors
from .verdict import explain as explain_either

# MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE
_NO_CLIENT_CERTIFICATE = const(0x7480)

_REMEDIES = {
    "unknown-issuer": "if this CA's clients are meant, add its certificate to trust=",
    "bad-signature": "do not trust this client; if it is your own CA with a new key, replace it in trust=",
    "expired": "the client must renew its certificate; check this device's clock",
    "weak-key": "the client needs RSA 2048, P-256 or better",
    "pin": "if the client's key changed, update pins=",
    "parameters": "the client must offer TLS 1.2 with ECDHE and AES-GCM; others by name with ciphers=",
    "signature": "do not trust this client",
    "peer-closed": None,
    "not-tls": "the client has to speak TLS on this port",
}

# RFC 5246 7.2.2: bad_certificate to certificate_unknown, unknown_ca.
_BAD_CERTIFICATE = const(42)
_CERTIFICATE_UNKNOWN = const(46)
_UNKNOWN_CA = const(48)


def explain(session, error):
    """The typed error for what ended a ServerSession's handshake (None: it ended without an exception)."""
    if session.error is None and isinstance(error, OSError) and error.args:
        number = error.args[0]
        if type(number) is int and -number == _NO_CLIENT_CERTIFICATE:
            return errors.CertificateError("client-certificate")
    if session.serving.trust is not None:
        session.find_anchor()
    found = explain_either(session, error)
    if not isinstance(found, errors.SecureSocketError):
        return found
    if found.code == "usage":
        return errors.CertificateError("client-usage", found.found, certificate=found.certificate)
    if found.code == "alert":
        alert = found.alert or 0
        if _BAD_CERTIFICATE <= alert <= _CERTIFICATE_UNKNOWN or alert == _UNKNOWN_CA:
            found.remedy = (
                "the client refuses this server's certificate: it must trust its CA, and ask by its name"
            )
        else:
            found.remedy = None
    elif found.code in _REMEDIES:
        found.remedy = _REMEDIES[found.code]
    return found

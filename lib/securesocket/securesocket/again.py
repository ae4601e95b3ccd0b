"""The second connection of on_bad_certificate: it takes the one certificate that the caller has accepted.

mbedTLS forgets a handshake that it has refused, so the certificate has to be shown again.
"""

import socket

from .context import refused as bad_option
from .errors import CertificateError
from .socket import unreachable


def check(decide):
    """Raises unless on_bad_certificate= can be asked."""
    if not callable(decide):
        raise bad_option("on_bad_certificate", repr(decide), "a callable")


def connected(opened, session, refused):
    """Asks on_bad_certificate, only about a certificate; only True is a yes. Else raises the refusal. Returns
    a generator that connects the SecureSocket once more."""
    if (
        session.accepted_leaf is not None
        or not isinstance(refused, CertificateError)
        or refused.certificate is None
        or opened._context.on_bad_certificate(refused.certificate, refused.failures) is not True
    ):
        raise refused
    opened._error = None
    opened.authorization_error = refused
    return _connect(opened, session.waits, bytes(refused.certificate.der))


def _connect(opened, waits, leaf):
    """Generator: connects once more, to take this very certificate (DER)."""
    address = opened._address
    try:
        yield from opened._connect_to(_family(address), address, waits)
    except OSError as error:
        raise unreachable("connect", "%s, the second time: %s" % (opened._hostname, error))
    opened._start(opened._inner, waits, leaf)


def _family(address):
    if isinstance(address, tuple):
        return socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    return socket.sockaddr(address)[0]


def readable(address):
    """(address, port) of a raw sockaddr, which the Unix port keeps."""
    family, address, port = socket.sockaddr(address)[:3]
    return socket.inet_ntop(family, address), port

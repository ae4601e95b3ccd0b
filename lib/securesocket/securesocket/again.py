"""The second connection of on_bad_certificate: it takes the one certificate that the caller has accepted.

mbedTLS forgets a handshake that it has refused, so the certificate has to be shown again.
"""

import socket

from .errors import CertificateError
from .socket import unreachable


def is_accepted(error, decide):
    """Asks on_bad_certificate; only about a certificate, and only True is a yes."""
    if not isinstance(error, CertificateError) or error.certificate is None:
        return False
    return decide(error.certificate, error.failures) is True


def connect(opened, waits, leaf):
    """Generator: connects a SecureSocket once more, to take this very certificate (DER)."""
    address = opened._address
    try:
        yield from opened._connect_to(_family(address), address, waits)
    except OSError as error:
        raise unreachable("connect", "%s, the second time: %s" % (opened._hostname, error))
    opened._start(opened._inner, waits, leaf)


def _family(address):
    if isinstance(address, tuple):
        return socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    # The Unix port keeps a raw sockaddr.
    return socket.sockaddr(address)[0]

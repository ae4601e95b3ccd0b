"""SecureSocket.wrap: TLS over a stream that was opened elsewhere."""

import select

from certstore.compat import const
from certstore.errors import part

from .socket import DEFAULT_TIMEOUT_MS
from .stream import SecureStream

_POLLIN = const(1)


def wrap(stream, server_hostname=None, secure=None, timeout_ms=DEFAULT_TIMEOUT_MS, server_side=False):
    """As SecureSocket.wrap."""
    if server_side:
        server = part("securesocket.server_context", "securesocket-server")
        return server.accepted(stream, server_hostname, secure, timeout_ms)
    secured = SecureStream(secure, server_hostname)
    _check_nothing_early(stream)
    secured._take(stream, timeout_ms)
    return secured


def _check_nothing_early(stream):
    """A server says nothing before the ClientHello. What is there already was sent in the clear, perhaps by
    somebody else, and would be taken for the first words of the secured conversation (RFC 3207 6)."""
    poller = select.poll()
    poller.register(stream, _POLLIN)
    for entry in poller.ipoll(0):
        if entry[1] & _POLLIN:
            from .errors import HandshakeError

            raise HandshakeError("early-bytes")

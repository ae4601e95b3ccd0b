"""SecureSocket: opens the connection itself, and may open it again for on_bad_certificate."""

import socket
from time import ticks_diff, ticks_ms

from certstore.compat import const
from certstore.errors import SecureSocketError, part

from .context import refused
from .stream import SecureStream

_POLLOUT = const(4)
_POLLERR_OR_HUP = const(24)

# EINPROGRESS, EALREADY, EAGAIN in the numbers of Linux and lwIP (115, 114, 11) and of ESP-IDF (119, 120).
_CONNECTING = (115, 114, 11, 119, 120)
_EISCONN = (106, 127)

DEFAULT_TIMEOUT_MS = const(30000)


class SecureSocket(SecureStream):
    """SecureSocket(host, port): connects, verifies, blocks. secure: a dict of SecureContext's options, or
    a SecureContext.

    timeout_ms bounds connecting and the handshake together (getaddrinfo comes before: MicroPython cannot
    bound it); None waits for ever. Afterwards reads and writes wait as those of any socket do. Raises
    SecureSocketError in all its forms.
    """

    _reopens = True
    _address = None
    _timeout_ms = DEFAULT_TIMEOUT_MS

    def __init__(self, host=None, port=None, secure=None, timeout_ms=DEFAULT_TIMEOUT_MS, *, _blocking=True):
        _check(host, port)
        # Not super(): a closure's arguments would lie on the heap until the handshake is over. For the same
        # reason frames are small, from here to mbedTLS: larger ones lie there themselves.
        SecureStream.__init__(self, secure, host)
        if timeout_ms != DEFAULT_TIMEOUT_MS:
            self._timeout_ms = timeout_ms
        if _blocking:
            self._open(host, port, True)
            self._run()
            self._inner.setblocking(True)

    # Their arguments are told, and looked at, where they are used.

    @staticmethod
    def open(*args, **options):
        """SecureSocket.open(host, port, secure, timeout_ms), the same under asyncio: await it; what it gives
        serves asyncio.StreamReader and StreamWriter."""
        front = part("securesocket.aio", "securesocket-options")
        return front.open_connection(*args, **options)

    @staticmethod
    def wrap(*args, **options):
        """SecureSocket.wrap(stream, server_hostname, secure, timeout_ms, server_side): TLS over a stream that
        is open already (a socket after STARTTLS, a UART, a user's stream); blocks for the handshake and
        returns a SecureStream, or with server_side an AcceptedStream; secure: then options of ServerContext.
        A handshake that fails closes the stream; options that are refused, and a heap that is too small,
        leave it as it is."""
        front = part("securesocket.wrapping", "securesocket-options")
        return front.wrap(*args, **options)

    @property
    def remote_address(self):
        """(address, port) of the peer, or None before the connection."""
        address = self._address
        if address is None or isinstance(address, tuple):
            return address and address[:2]
        return part("securesocket.again", "securesocket-options").readable(address)

    def _recover(self, error):
        """As SecureStream's, unless the caller accepts the refused certificate: then connects once more, to
        take this very certificate. mbedTLS forgets a handshake that it has refused, so the certificate has to
        be shown again."""
        session = self._session
        try:
            SecureStream._recover(self, error)
        except SecureSocketError as refused:
            if session is None or self._context.on_bad_certificate is None:
                raise
            again = part("securesocket.again", "securesocket-options")
            self._opening = again.connected(self, session, refused)

    def _open(self, host, port, waits):
        """Finds the host's addresses, and leaves it to _step to connect to one of them. The deadline starts
        here, for nothing can interrupt getaddrinfo."""
        started = ticks_ms()
        self.stage = "resolve"
        try:
            found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
        except OSError as error:
            self._recover(unreachable("resolve", "%s (%s)" % (host, error)))
        self.resolve_ms = ticks_diff(ticks_ms(), started)
        self._tell("resolve")
        self._deadline(self._timeout_ms)
        self._opening = self._connect(host, port, found, waits)

    def _connect(self, host, port, found, waits):
        """Generator: from addresses to a connection that is ready for its handshake."""
        started = ticks_ms()
        self.stage = "connect"
        failure = None
        for info in found:
            try:
                yield from self._connect_to(info[0], info[-1], waits)
                self.connect_ms = ticks_diff(ticks_ms(), started)
                self._tell("connect")
                break
            except OSError as error:
                if isinstance(error, SecureSocketError):
                    raise
                failure = error
                self._drop()
        else:
            raise unreachable("connect", "%s port %s: %s" % (host, port, failure))
        self._start(self._inner, waits)

    def _connect_to(self, family, address, waits):
        self._address = address
        self._inner = inner = socket.socket(family, socket.SOCK_STREAM)
        inner.setblocking(False)
        try:
            inner.connect(address)
            return
        except OSError as error:
            if error.errno not in _CONNECTING:
                raise
        if waits:
            self._wait(_POLLOUT)
        else:
            yield _POLLOUT
        if self._poll_inner(_POLLOUT, 0) & _POLLERR_OR_HUP:
            # A second connect reports why the first one failed.
            try:
                inner.connect(address)
            except OSError as error:
                if error.errno not in _EISCONN:
                    raise


def _check(host, port):
    if (
        not isinstance(host, str)
        or type(port) is not int
        or not 0 < port < 0x10000
        or "/" in host
        or host.count(":") == 1
    ):
        guide = part("securesocket.guide")
        raise (guide and guide.no_address(host, port)) or refused("host", repr(host), "a name, and a port")


def unreachable(code, found):
    """The error for a connection that could not be made."""
    from .errors import HandshakeError

    return HandshakeError(code, found=found)

"""SecureSocket: opens the connection itself, and may open it again for on_bad_certificate."""

import socket
from time import ticks_diff, ticks_ms

from certstore.compat import const
from certstore.errors import SecureSocketError

from .stream import SecureStream, refuse_second_connection

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

    _family = None
    _address = None

    def __init__(self, host=None, port=None, secure=None, timeout_ms=DEFAULT_TIMEOUT_MS, *, _blocking=True):
        if (
            not isinstance(host, str)
            or type(port) is not int
            or not 0 < port < 0x10000
            or "/" in host
            or host.count(":") == 1
        ):
            from .guide import no_address

            raise no_address(host, port)
        super().__init__(secure, host)
        self._timeout_ms = timeout_ms
        if _blocking:
            self._connect(host, port)

    @staticmethod
    async def open(host=None, port=None, secure=None, timeout_ms=DEFAULT_TIMEOUT_MS):
        """The same under asyncio; what it returns serves asyncio.StreamReader and StreamWriter."""
        opened = SecureSocket(host, port, secure, timeout_ms, _blocking=False)
        found = opened._resolve(host, port)
        await opened._run_async(_stepper(opened._open(host, port, found, False)))
        await opened._run_async(opened._step)
        return opened

    @staticmethod
    def wrap(stream, server_hostname=None, secure=None, timeout_ms=DEFAULT_TIMEOUT_MS):
        """TLS over a stream that is open already (a socket after STARTTLS, a UART, a user's stream); blocks
        for the handshake and returns a SecureStream. On failure the stream is closed."""
        secured = SecureStream(secure, server_hostname)
        refuse_second_connection(secured._context)
        secured._take(stream, timeout_ms)
        return secured

    @property
    def remote_address(self):
        """(address, port) of the peer, or None before the connection."""
        address = self._address
        if address is None or isinstance(address, tuple):
            return address and address[:2]
        # The Unix port keeps a raw sockaddr.
        family, address, port = socket.sockaddr(address)[:3]
        return socket.inet_ntop(family, address), port

    def _connect(self, host, port):
        # Apart from __init__, whose many locals would put its frame on the heap.
        found = self._resolve(host, port)
        self._run(_stepper(self._open(host, port, found, True)))
        self._run(self._step)
        self._inner.setblocking(True)

    def _recover(self, error):
        """As SecureStream's, unless the caller accepts the refused certificate: then connects once more, to
        take this very certificate, and returns the step to go on with. mbedTLS forgets a handshake that it
        has refused, so the certificate has to be shown again."""
        session = self._session
        try:
            super()._recover(error)
        except SecureSocketError as refused:
            if session is None or session.accepted_leaf is not None or not self._is_accepted(refused):
                raise
            self._error = None
            self.authorization_error = refused
            return _stepper(self._again(session.wait is not None, bytes(refused.certificate.der)))

    def _again(self, waits, leaf):
        try:
            yield from self._connect_to(self._family, self._address)
        except OSError as error:
            raise _unreachable("connect", "%s, the second time: %s" % (self._hostname, error))
        self._start(self._inner, waits, leaf)
        want = self._step()
        while want:
            yield want
            want = self._step()

    def _is_accepted(self, error):
        """Asks on_bad_certificate; only about a certificate, and only True is a yes."""
        decide = self._context.on_bad_certificate
        if decide is None:
            return False
        from .errors import CertificateError

        if not isinstance(error, CertificateError) or error.certificate is None:
            return False
        return decide(error.certificate, error.failures) is True

    def _resolve(self, host, port):
        """The addresses of the host; the deadline starts after it, for nothing can interrupt getaddrinfo."""
        started = ticks_ms()
        self.stage = "resolve"
        try:
            found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
        except OSError as error:
            raise _unreachable("resolve", "%s (%s)" % (host, error))
        self.resolve_ms = ticks_diff(ticks_ms(), started)
        self._deadline(self._timeout_ms)
        return found

    def _open(self, host, port, found, waits):
        """Generator: from addresses to a connection that is ready for its handshake."""
        started = ticks_ms()
        self.stage = "connect"
        failure = None
        for info in found:
            try:
                yield from self._connect_to(info[0], info[-1])
                self.connect_ms = ticks_diff(ticks_ms(), started)
                break
            except OSError as error:
                if isinstance(error, SecureSocketError):
                    raise
                failure = error
                self._drop()
        else:
            raise _unreachable("connect", "%s port %s: %s" % (host, port, failure))
        self._start(self._inner, waits)

    def _connect_to(self, family, address):
        self._family = family
        self._address = address
        self._inner = inner = socket.socket(family, socket.SOCK_STREAM)
        inner.setblocking(False)
        try:
            inner.connect(address)
            return
        except OSError as error:
            if error.errno not in _CONNECTING:
                raise
        yield _POLLOUT
        if self._poll_inner(_POLLOUT) & _POLLERR_OR_HUP:
            # A second connect reports why the first one failed.
            try:
                inner.connect(address)
            except OSError as error:
                if error.errno not in _EISCONN:
                    raise


def _stepper(generator):
    """A step (see stream.py) of a generator that yields the events it waits for."""
    return lambda: next(generator, 0)


def _unreachable(code, found):
    from .errors import HandshakeError

    return HandshakeError(code, found=found)

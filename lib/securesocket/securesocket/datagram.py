"""DTLS 1.2 over UDP (RFC 6347): DtlsClient and DtlsConnection.

What is sent may be lost, come twice or late: that stays as it is with UDP, except that mbedTLS drops what was
received before. What comes was sent by the peer that was verified, whole and unread by others.
"""

import select
import socket
from time import ticks_add, ticks_diff, ticks_ms

from certstore.certificate import Certificate
from certstore.compat import const
from certstore.errors import SecureSocketError, part

from .context import SecureContext, refused
from .datagram_errors import DatagramError
from .engine.datagrams import ClientSession

_POLLIN = const(1)
_ALERT = const(21)
# Of engine.tap.Tap.figures.
_CHAIN_BYTES = const(8)
# MBEDTLS_ERR_SSL_TIMEOUT
_GIVEN_UP = const(0x6800)

DEFAULT_TIMEOUT_MS = const(30000)
_DEFAULT_TIMEOUT_MS = const(30000)
# What every path of IPv6 carries (RFC 8200 5: 1280), without the headers of IPv6 and UDP. RFC 6347 4.1.1.1
# leaves the choice to who knows the path.
DEFAULT_MTU = const(1232)
_DEFAULT_MTU = const(1232)
# Below, mbedTLS's ClientHello does not fit, which may not be split (RFC 6347 4.2.1).
_SMALLEST_MTU = const(256)
_LARGEST_MTU = const(16384)
# What is received: no datagram is larger where nothing is fragmented by IP.
_RECEIVE_BYTES = const(2048)
# mbedTLS retransmits when it is asked to go on: so often it is.
_STEP_MS = const(100)


def check_mtu(mtu):
    if type(mtu) is not int or not _SMALLEST_MTU <= mtu <= _LARGEST_MTU:
        raise refused("mtu", repr(mtu), "%d to %d bytes" % (_SMALLEST_MTU, _LARGEST_MTU))
    return mtu


def check_timeout(timeout_ms):
    if timeout_ms is not None and (type(timeout_ms) is not int or timeout_ms < 0):
        raise refused("timeout_ms", repr(timeout_ms), "milliseconds, or None")
    return timeout_ms


def readable(address):
    """(address, port) of what recvfrom and getaddrinfo give: a tuple, on the Unix port a raw sockaddr."""
    if isinstance(address, tuple):
        return address[:2]
    family, host, port = socket.sockaddr(address)[:3]
    return socket.inet_ntop(family, host), port


def _truncated(size):
    return DatagramError("datagram-truncated", found="more than %d bytes" % size)


class DtlsConnection:
    """A DTLS connection with one peer, verified before its first datagram is handed out.

    send(data): one datagram, of 1 to max_datagram bytes. recv(), recv_into(), await receive(): one datagram;
    b"" (0) once the peer has closed. mtu: bytes of the largest UDP payload that leaves.
    """

    authorized = False
    authorization_error = None
    server_name = None
    stage = "handshake"
    resolve_ms = connect_ms = handshake_ms = None
    closed_by_peer = False
    # What report.Report and verdict ask a stream.
    _tracer = None
    _session = None
    _figures = None
    _path = None
    _anchor_source = None
    _error = None
    _hostname = None
    _address = None
    _port = 0
    _link = None
    _ssl = None
    _room = 0
    # The link while recv() may take the short way: open, and its socket waits for ever.
    _quick = None

    # What a connection is asked.

    def cipher(self):
        """(name of the cipher suite, version), or None before the handshake is over and after the end."""
        return None if self._ssl is None else self._ssl.cipher()

    def version(self):
        """The negotiated version, "DTLSv1.2", or None."""
        return None if self._ssl is None else self._ssl.cipher()[1]

    @property
    def peer_certificate(self):
        """The peer's certificate as mbedTLS parsed it (certstore.certificate.Certificate), or None."""
        leaf = self._path and self._path.leaf
        return leaf and Certificate(leaf)

    @property
    def remote_address(self):
        """(address, port) of the peer."""
        return self._address and readable(self._address)

    @property
    def mtu(self):
        return self._link.mtu if self._link else None

    @property
    def max_datagram(self):
        """The most bytes that send() takes now; 0 after the end. After a handshake that took retransmissions
        it is less, until the first datagram of the peer has arrived (RFC 6347 4.1.1.1)."""
        if self._ssl is None:
            return 0
        self._room = self._link.room()
        return self._room

    @property
    def report(self):
        """What is known of this connection (report.Report)."""
        return part("securesocket.report", "securesocket-explain").Report(self)

    def __repr__(self):
        guide = part("securesocket.guide")
        return guide.describe(self) if guide else "<%s %s>" % (self._hostname, self.stage)

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.close()

    # Datagrams.

    def send(self, data):
        """Sends one datagram; returns its length. Raises DatagramError "datagram-size", and then has sent
        nothing. A network that cannot take it loses it, as any router may."""
        if len(data) > self._room or not data:
            self._check_size(len(data))
        try:
            return self._send(data)
        except OSError:
            pass
        return self._again(self._send, data)

    def recv(self, size=_RECEIVE_BYTES, timeout_ms=None):
        """One datagram; b"" once the peer has closed. Raises DatagramError: "receive-timeout" (None waits for
        ever), "datagram-truncated" for one of more than `size` bytes, which is then gone."""
        return self._one(None, size, timeout_ms)

    def recv_into(self, buf, timeout_ms=None):
        """As recv, into a buffer; returns how many bytes; 0 once the peer has closed."""
        return len(buf) and self._one(buf, 0, timeout_ms)

    async def receive(self, size=_RECEIVE_BYTES, timeout_ms=None):
        """recv under asyncio."""
        return await part("securesocket.datagram_aio", "securesocket-dtls").receive(self, size, timeout_ms)

    def close(self):
        """Ends the connection here; a second call does nothing. The peer is not told: stock tls cannot send
        close_notify, so its idle timeout ends it there."""
        if self._error is None:
            self._error = SecureSocketError("closed")
        self._drop()

    # Inside.

    def _send(self, data):
        raise self._error

    def _recv(self, size):
        raise self._error

    _readinto = _recv

    def _again(self, call, about):
        """Raises what this call has raised: tls keeps its errors. (A frame that names its exception is too
        large for the C stack, and each call of it then searches the heap for room.)"""
        try:
            return call(about)
        except OSError as error:
            raise self._broken(error)

    def _check_size(self, size):
        if self._error is not None:
            raise self._error
        if self.closed_by_peer:
            raise DatagramError("datagram-closed")
        room = self.max_datagram
        if not 0 < size <= room:
            raise DatagramError("datagram-size", found="%d bytes" % size, expected="1 to %d" % room)

    def _one(self, buf, size, timeout_ms):
        """One datagram, or what stands for the end; waits for it."""
        if self._link is None:
            raise self._error
        if timeout_ms:
            started = ticks_ms()
        left = timeout_ms
        while True:
            self._await(left)
            found = self._once(buf, size)
            if found is not None:
                if found and timeout_ms is None:
                    self._quick = self._link
                return found
            if timeout_ms is not None and not self._link.has_more():
                left = timeout_ms and timeout_ms - ticks_diff(ticks_ms(), started)
                if left <= 0:
                    raise DatagramError("receive-timeout", found="nothing after %d ms" % timeout_ms)

    def _once(self, buf, size):
        """What one record gives, in `buf` or, where that is None, as bytes: a datagram, the end, or None."""
        link = self._link
        if link is None:
            raise self._error
        if self.closed_by_peer:
            return b"" if buf is None else 0
        try:
            have = link.fetch()
            if not have:
                return None
            link.permit = True
            # No payload is as long as its datagram.
            found = self._recv(have) if buf is None else self._readinto(buf)
        except OSError as error:
            raise self._broken(error)
        if found:
            if not link.heard:
                self._heard()
            if buf is None:
                if len(found) > size:
                    raise _truncated(size)
            elif found == len(buf) and link.drain():
                raise _truncated(found)
            return found
        if found is not None and link.kind == _ALERT:
            self._closed_there()
            return found
        # Nothing that could be verified, or an empty record.

    def _rest(self, found, size):
        """Goes on with what the short way does not: no data, or more than was asked for."""
        link = self._link
        if found is None:
            # Nothing, or tls has an error, which it keeps.
            link.permit = False
            self._again(self._recv, 1)
        if found:
            raise _truncated(size)
        if found is not None and link.kind == _ALERT:
            self._closed_there()
            return found
        return self._one(None, size, None)

    def _closed_there(self):
        self._quick = None
        self._room = 0
        self.closed_by_peer = True

    def _await(self, left_ms):
        """Waits so long, at most, for something to read, or leaves it to the read that follows."""

    def _heard(self):
        self._link.heard = True
        self._room = self._link.room()

    def _established(self, link):
        """The handshake is over: mbedTLS's methods take the place of those that raise."""
        link.establish()
        ssl = link.ssl
        self.stage = "open"
        self.handshake_ms = ticks_diff(ticks_ms(), self.handshake_ms)
        self._path = link.path
        self._figures = link.figures
        self._session = None
        self._link = link
        self._ssl = ssl
        self._room = link.room()
        self._send = ssl.send
        self._recv = ssl.recv
        self._readinto = ssl.readinto

    def _broken(self, error):
        """The typed error for what ended the connection; it latches."""
        if self._error is None:
            kept = self._link.error
            if isinstance(kept, SecureSocketError):
                self._error = kept
            else:
                self._error = DatagramError("datagram-ended", found=str(kept or error))
            self._drop()
        return self._error

    def _drop(self):
        ssl, self._ssl = self._ssl, None
        self._link = self._session = self._quick = None
        self._room = 0
        if ssl is not None:
            self._send = self._recv = self._readinto = self._closed
            ssl.close()

    def _closed(self, _):
        raise self._error


class ClientConnection(DtlsConnection):
    """What DtlsClient.connect gives: it has a connected UDP socket of its own."""

    _timeout_ms = 0

    def __init__(self, client, secure, host, port, mtu):
        self._client = client
        self._context = context = (
            secure if isinstance(secure, SecureContext) else SecureContext(**(secure or {}))
        )
        if context.trace:
            from .context import unsupported

            raise unsupported("trace")
        self._hostname = context.check(host)
        self.server_name = self._hostname
        self._port = port
        self._mtu = mtu

    def _start(self, sock, accepted_leaf):
        self._client.connections.append(self)
        self.stage = "handshake"
        self.handshake_ms = ticks_ms()
        self._error = None
        self._sock = sock
        sock.setblocking(False)
        try:
            self._session = ClientSession(
                sock, self, self._mtu, max(self._mtu, _RECEIVE_BYTES), accepted_leaf
            )
        except Exception as error:
            self._fail(error)

    def _step(self):
        """Whether the handshake is over. Raises its typed error, which latches."""
        session = self._session
        try:
            if not session.step():
                return False
        except BaseException as error:  # also Ctrl-C: nothing stays behind it
            self._fail(error)
        self._established(session)
        context = self._context
        budget = context.budget and part("securesocket.budget")
        if budget:
            budget.learn(self._hostname, session.path.key, session.figures[_CHAIN_BYTES])
        if not context.verify:
            from .errors import CertificateError

            self.authorization_error = CertificateError("verification-off")
        elif session.accepted_leaf is None:
            self.authorized = True
            self._anchor_source = session.anchor_source or None
        session.context = None
        return True

    def _fail(self, error):
        self.handshake_ms = ticks_diff(ticks_ms(), self.handshake_ms)
        session = self._session
        if session is None:
            self._sock.close()
        else:
            self._figures = session.figures
            # First of all: an explanation needs memory, and mbedTLS has it.
            session.ssl.close()
        if isinstance(error, Exception) and not isinstance(error, SecureSocketError):
            if session is None:
                from .verdict import explain_start

                error = explain_start(error)
            elif isinstance(error, OSError) and error.args[0] == -_GIVEN_UP and session.error is None:
                error = self._timeout(ticks_diff(ticks_ms(), session.started_ms))
            else:
                error = session.explain(error)
        self._session = None
        self._client._forget(self)
        self._error = error if isinstance(error, SecureSocketError) else SecureSocketError("closed")
        self._error.connection = self
        raise error

    def _timeout(self, timeout_ms):
        from .errors import HandshakeTimeout

        session = self._session
        words = part("securesocket.wording")
        error = HandshakeTimeout("timeout", words.stage(session) if words else self.stage, timeout_ms)
        if session.ignored:
            error.found += ", %d datagrams that are not DTLS" % session.ignored
        return error

    def _run(self, timeout_ms):
        poller = select.poll()
        poller.register(self._sock, _POLLIN)
        deadline = None if timeout_ms is None else ticks_add(ticks_ms(), timeout_ms)
        while not self._step():
            left = _STEP_MS if deadline is None else ticks_diff(deadline, ticks_ms())
            if left <= 0:
                self._fail(self._timeout(timeout_ms))
            poller.poll(min(left, _STEP_MS))

    def recv(self, size=_RECEIVE_BYTES, timeout_ms=None):
        # As DtlsConnection's.
        if self._quick is None or timeout_ms is not None:
            return self._one(None, size, timeout_ms)
        found = self._quick.take_next()
        if found and len(found) <= size:
            return found
        return self._rest(found, size)

    def _await(self, left_ms):
        # The socket itself waits, in the read that follows.
        if left_ms != self._timeout_ms:
            self._quick = None
            self._timeout_ms = left_ms
            if left_ms == 0:
                self._sock.setblocking(False)
            else:
                self._sock.settimeout(None if left_ms is None else left_ms / 1000)

    def _drop(self):
        DtlsConnection._drop(self)
        self._client._forget(self)


class DtlsClient:
    """DtlsClient.bind(address, port): makes DTLS connections from there.

    With port 0 any number, each from a port of its own; a chosen port carries one at a time.
    """

    def __init__(self, address, port):
        if not isinstance(address, str) or type(port) is not int or not 0 <= port < 0x10000:
            raise refused("address", repr((address, port)), "an address, and a port")
        self._local = (address, port)
        self._closed = False
        self.connections = []
        # A port that is taken is told now.
        self._spare = self._socket(None)

    @classmethod
    def bind(cls, address="0.0.0.0", port=0):
        """A client on this address of the device. Raises DatagramError "datagram-bind"."""
        return cls(address, port)

    def connect(self, host, port, secure=None, timeout_ms=_DEFAULT_TIMEOUT_MS, *, mtu=_DEFAULT_MTU):
        """A verified DtlsConnection; blocks. secure: a dict of SecureContext's options, or a SecureContext.
        Raises SecureSocketError in all its forms."""
        connection = self._connection(host, port, secure, timeout_ms, mtu)
        try:
            connection._run(timeout_ms)
        except SecureSocketError as error:
            self._again(connection, error)
            connection._run(timeout_ms)
        return connection

    async def open(self, host, port, secure=None, timeout_ms=_DEFAULT_TIMEOUT_MS, *, mtu=_DEFAULT_MTU):
        """connect under asyncio."""
        run = part("securesocket.datagram_aio", "securesocket-dtls").run
        connection = self._connection(host, port, secure, timeout_ms, mtu)
        try:
            await run(connection, timeout_ms)
        except SecureSocketError as error:
            self._again(connection, error)
            await run(connection, timeout_ms)
        return connection

    def close(self):
        """Closes all its connections; a second call does nothing."""
        self._closed = True
        if self._spare is not None:
            self._spare.close()
            self._spare = None
        for connection in list(self.connections):
            connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.close()

    def __repr__(self):
        return "<DtlsClient %s port %d, %s>" % (
            self._local[0],
            self._local[1],
            "closed" if self._closed else "%d connections" % len(self.connections),
        )

    def _forget(self, connection):
        if connection in self.connections:
            self.connections.remove(connection)

    def _connection(self, host, port, secure, timeout_ms, mtu):
        """A connection whose handshake is to be run."""
        if self._closed:
            raise SecureSocketError("closed")
        _check(host, port, secure)
        check_timeout(timeout_ms)
        connection = ClientConnection(self, secure, host, port, check_mtu(mtu))
        started = ticks_ms()
        sock = self._connected(connection, host, port)
        connection.resolve_ms = ticks_diff(ticks_ms(), started)
        connection._start(sock, None)
        return connection

    def _again(self, connection, error):
        """After a refusal: raises it, unless on_bad_certificate accepts the certificate. mbedTLS forgets what
        it has refused, so the certificate has to be shown again, and only this very one is taken then."""
        decide = connection._context.on_bad_certificate
        if (
            decide is None
            or connection.authorization_error is not None
            or getattr(error, "certificate", None) is None
            or decide(error.certificate, error.failures) is not True
        ):
            raise error
        connection.authorization_error = error
        connection._start(self._to(connection._family, connection._address), bytes(error.certificate.der))

    def _connected(self, connection, host, port):
        from .errors import HandshakeError

        try:
            found = socket.getaddrinfo(host, port, 0, socket.SOCK_DGRAM)
        except OSError as error:
            raise HandshakeError("resolve", found="%s (%s)" % (host, error))
        failure = None
        for info in found:
            connection._family, connection._address = info[0], info[-1]
            try:
                return self._to(info[0], info[-1])
            except OSError as error:
                if isinstance(error, SecureSocketError):
                    raise
                failure = error
        raise HandshakeError("connect", found="%s port %s: %s" % (host, port, failure))

    def _to(self, family, address):
        """A UDP socket that takes datagrams from this address only."""
        sock, self._spare = self._spare, None
        if sock is None:
            if self._local[1] and self.connections:
                raise DatagramError("datagram-port", found="a connection from port %d" % self._local[1])
            sock = self._socket(family)
        try:
            sock.connect(address)
        except OSError:
            sock.close()
            raise
        return sock

    def _socket(self, family):
        address, port = self._local
        wildcard = not port and (address == "0.0.0.0" or address == "::")
        try:
            if wildcard:
                # The family is that of the peer.
                return None if family is None else socket.socket(family, socket.SOCK_DGRAM)
            info = socket.getaddrinfo(address, port, 0, socket.SOCK_DGRAM)[0]
            sock = socket.socket(info[0], socket.SOCK_DGRAM)
            try:
                sock.bind(info[-1])
            except OSError:
                sock.close()
                raise
            return sock
        except OSError as error:
            raise DatagramError("datagram-bind", found="%s port %d: %s" % (address, port, error))


def _check(host, port, secure):
    if (
        not isinstance(host, str)
        or not host
        or type(port) is not int
        or not 0 < port < 0x10000
        or "/" in host
    ):
        guide = part("securesocket.guide")
        raise (guide and guide.no_address(host, port)) or refused("host", repr(host), "a name, and a port")
    if not isinstance(secure, (SecureContext, dict, type(None))):
        guide = part("securesocket.guide")
        raise (guide and guide.no_options(secure)) or refused("secure", type(secure).__name__, "a dict")

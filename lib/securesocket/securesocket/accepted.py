"""A connection that a client opened: its ClientHello is read first, then mbedTLS goes on with it."""

from time import ticks_ms

from certstore.compat import const
from certstore.errors import SecureSocketError, part

from .client_hello import ClientHelloReader
from .engine.serving import ServerSession
from .server_budget import check
from .stream import SecureStream

_POLLIN = const(1)
_POLLOUT = const(4)
_IPPROTO_TCP = const(6)
_TCP_NODELAY = const(1)
# What _step returns while the heap has no room for the session.
ROOM = const(0x1000)
# A ClientHello has a few hundred bytes; what it announces is not taken from the heap before it comes.
_PIECE_BYTES = const(512)
# So much of one is not counted.
_USUAL_BYTES = const(1024)


class AcceptedStream(SecureStream):
    """A TLS connection with a client. As SecureStream; besides:

    server_name: what the client asked for (server_name, RFC 6066 3), lower case, or None. alpn_protocol: None
    (this engine negotiates none). authorized: whether the client's certificate was verified.
    peer_certificate: the client's. remote_address: (address, port), or None where the stream is no socket.
    """

    stage = "hello"
    server_name = None
    alpn_protocol = None
    # Who counts it; the task that opens it under asyncio.
    _server = None
    _task = None
    _address = None
    _hostname = None
    _serving = None
    _hello = None
    # What of it has come, where that is much.
    _hello_bytes = 0
    # The stream would itself block in readinto.
    _waits_first = False
    # Whether it has been counted as one that waits for room.
    _has_waited = False

    def __init__(self, context, server=None, address=None):
        self._context = context
        if server is not None:
            self._server = server
            self._address = address
        if context.trace:
            self._tracer = context.trace(self)

    @property
    def remote_address(self):
        address = self._address
        if address is None or isinstance(address, tuple):
            return address and address[:2]
        return part("securesocket.again", "securesocket-options").readable(address)

    def __repr__(self):
        return "<AcceptedStream %s from %s%s>" % (
            self.stage if self._error is None else "closed",
            self.remote_address,
            ", for " + self.server_name if self.server_name else "",
        )

    def _begin(self, stream, waits):
        """Leaves it to _step to read the ClientHello and to shake hands."""
        self._inner = stream
        self.handshake_ms = ticks_ms()
        try:
            # As on the client's side: a flight is several small writes.
            stream.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)
        except (AttributeError, OSError):
            pass  # no socket, or a port that does not know the option: it only costs time
        self._opening = self._receive_hello(waits)

    def _established(self):
        SecureStream._established(self)
        # The Unix port waits 1 ms for what is no file, unless a file is ready; this one is, to be written to:
        # that is 1 ms for each of hundreds of connections.
        self._poller.register(self._inner, _POLLOUT)

    def _poll(self, events):
        if self._ssl is not None and self._error is None:
            self._poller.modify(self._ssl, events)
            for entry in self._poller.ipoll(0):
                if entry[0] is self._ssl:
                    return entry[1]
            return 0
        if self._opening is None or self._error is not None:
            return SecureStream._poll(self, events)
        # The ClientHello is awaited; it lets the caller go on, whichever direction that asked for.
        found = self._poll_inner(_POLLIN, 0)
        return events | found if found else 0

    def _take(self, stream, timeout_ms):
        """The blocking handshake over a stream that was opened elsewhere."""
        self._deadline(timeout_ms)
        switches = hasattr(stream, "setblocking")
        if switches:
            stream.setblocking(False)
        self._waits_first = not switches
        self._begin(stream, True)
        self._run()
        if switches:
            stream.setblocking(True)

    def _receive_hello(self, waits):
        """Generator: the ClientHello, then room for a session, then the session."""
        reader = ClientHelloReader()
        while reader.wanted:
            buf = bytearray(min(reader.wanted, _PIECE_BYTES))
            if waits and self._waits_first:
                self._wait(_POLLIN)
            count = self._inner.readinto(buf)
            if count:
                reader.receive(buf if count == len(buf) else memoryview(buf)[:count])
                if len(reader.data) > _USUAL_BYTES and self._server is not None:
                    self._hello_bytes = len(reader.data)
                    self._server._hold(self)
            elif count == 0:
                from .errors import HandshakeError

                raise HandshakeError("peer-closed", found="%d bytes of a ClientHello" % len(reader.data))
            elif waits:
                self._wait(_POLLIN)
            else:
                yield _POLLIN
        self.server_name = reader.server_name
        self._hello = reader.data
        self._serving = self._context.choose(reader.server_name)
        reader = buf = None
        if self._server is None:
            check(self._context, self._serving)
        else:
            self.stage = "room"
            while not self._server._has_room(self):
                yield ROOM
        self._start(self._inner, waits)

    def _start(self, stream, waits, accepted_leaf=None):
        self._opening = None
        self.stage = "handshake"
        hello, self._hello = self._hello, None
        session = ServerSession(stream, self, self._serving, hello)
        self._session = session
        self._serving = None
        if self._tracer:
            self._tracer.attach(session)
            self._tracer.passed("<", self._tracer.received, hello, len(hello))
        if waits:
            session.waits_first = self._waits_first
        else:
            session.waits = False

    def _go(self):
        """One step of what leads to a connection: what to wait for, ROOM, or 0 when it is open. Raises what
        ended it, typed."""
        try:
            return self._step()
        except BaseException as error:  # also Ctrl-C: no socket stays open behind it
            self._recover(error)

    def _recover(self, error):
        alert = None
        if self._session is None and error is not self._error:
            alert = getattr(error, "alert", None)
            if isinstance(error, OSError) and not isinstance(error, SecureSocketError):
                from .errors import HandshakeError

                error = HandshakeError("connection-lost", found=str(error), stage=self.stage)
        if alert is not None and self._inner is not None:
            # mbedTLS never saw this client, so the alert is ours to send (RFC 5246 7.2).
            try:
                self._inner.write(bytes((21, 3, 3, 0, 2, 2, alert)))
            except OSError:
                pass  # it is gone, or takes nothing: the reason is raised in any case
        SecureStream._recover(self, error)

    def _drop(self):
        server = self._server
        if server is not None:
            self._server = None
            server._gone(self)
        SecureStream._drop(self)

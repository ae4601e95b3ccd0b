"""A TLS connection over any stream, verified before its first byte is handed out.

SecureStream._step goes on as far as it can and returns the events it waits for (POLLIN, POLLOUT), 0 at the
end; the blocking front and the asyncio front differ only in how they wait.
"""

import io
import select
from time import ticks_add, ticks_diff, ticks_ms

from certstore.certificate import Certificate
from certstore.compat import const
from certstore.errors import SecureSocketError, part

from .context import SecureContext, refused
from .engine import engine

_POLLIN = const(1)
_POLLERR = const(8)
_IOCTL_POLL = const(3)
_IOCTL_CLOSE = const(4)
_EINVAL = const(22)
_IPPROTO_TCP = const(6)
_TCP_NODELAY = const(1)
# Of engine.tap.Tap.figures.
_CHAIN_BYTES = const(8)


class SecureStream(io.IOBase):
    """A TLS connection over a stream that something else opened.

    Once the handshake is over, read, readinto, readline and write are mbedTLS's own bound methods. An
    error latches: the same one is raised for ever.
    """

    # Defaults live in the class: at the moment of a handshake's peak every attribute counts.
    authorized = False
    authorization_error = None
    stage = "connect"
    resolve_ms = connect_ms = handshake_ms = None
    # A generator that opens the connection, and yields the events it waits for.
    _opening = None
    # Whether it can be opened again.
    _reopens = False
    _inner = None
    _session = None
    # The same, once the handshake is over; what then stands between mbedTLS and the stream.
    _tap = None
    _tracer = None
    _figures = None
    _ssl = None
    _poller = None
    # What mbedTLS was shown (path.Path), once the handshake is over.
    _path = None
    _anchor_source = None
    _error = None
    _deadline_ms = None
    _timeout_ms = None

    def __init__(self, secure, server_hostname):
        if not isinstance(secure, (SecureContext, dict, type(None))):
            guide = part("securesocket.guide")
            raise (guide and guide.no_options(secure)) or refused("secure", type(secure).__name__, "a dict")
        try:
            self._context = context = (
                secure if isinstance(secure, SecureContext) else SecureContext(**(secure or {}))
            )
            if context.on_bad_certificate and not self._reopens:
                # It needs a second connection on this engine.
                from .errors import UnsupportedFeature

                raise UnsupportedFeature("reconnect")
            self._hostname = context.check(server_hostname)
        except MemoryError:
            from .errors import MemoryBudgetError

            raise MemoryBudgetError("memory")
        if self._context.trace:
            self._tracer = self._context.trace(self)

    # What a connection is asked.

    def cipher(self):
        """(name of the cipher suite, TLS version), or None before the handshake is over."""
        return None if self._ssl is None else self._ssl.cipher()

    def version(self):
        """The negotiated version, "TLSv1.2", or None before the handshake is over."""
        cipher = self.cipher()
        return cipher and cipher[1]

    @property
    def peer_certificate(self):
        """The server's certificate as mbedTLS parsed it (certstore.certificate.Certificate), or None."""
        leaf = self._path and self._path.leaf
        return leaf and Certificate(leaf)

    @property
    def truncated(self):
        """Whether the peer's bytes have ended without its close_notify (RFC 5246 7.2.1): somebody may have
        cut them off. To be asked when a read has returned b""."""
        return self._tap is not None and self._tap.truncated

    @property
    def report(self):
        """What is known of this connection (report.Report): times, chain, anchor, cipher, or the error."""
        return part("securesocket.report", "securesocket-explain").Report(self)

    def __repr__(self):
        guide = part("securesocket.guide")
        return guide.describe(self) if guide else "<%s %s>" % (self._hostname, self.stage)

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.close()

    # The stream, until the handshake is over; _established puts mbedTLS's methods in their place.

    def read(self, size=-1):
        return self._ssl.read(size) if self._advance() else None

    def readinto(self, buf, size=-1):
        if not self._advance():
            return None
        return self._ssl.readinto(buf) if size < 0 else self._ssl.readinto(buf, size)

    def readline(self, size=-1):
        return self._ssl.readline(size) if self._advance() else None

    def write(self, buf):
        return self._ssl.write(buf) if self._advance() else None

    def setblocking(self, flag):
        self._open_stream().setblocking(flag)

    def settimeout(self, seconds):
        """How long a read or write may wait for the peer, on ports whose sockets know it."""
        self._open_stream().settimeout(seconds)

    def ioctl(self, request, arg):
        if request == _IOCTL_POLL:
            return self._poll(arg)
        if request == _IOCTL_CLOSE:
            self.close()
            return 0
        return -_EINVAL

    def close(self):
        """Closes the connection and the stream below; a second call does nothing."""
        if self._error is None:
            self._error = SecureSocketError("closed")
        self._drop()
        self._tell("close")

    # Inside.

    def _tell(self, name, size=0):
        """An event, for the option `trace`; may raise what the tracer has raised."""
        if self._tracer:
            self._tracer.event(name, size)

    def _open_stream(self):
        if self._error is not None:
            raise self._error
        return self._inner

    def _poll(self, events):
        if self._error is not None:
            # Awake whoever waits: the next call raises.
            return events | _POLLERR
        if self._ssl is None:
            want = self._session.want
            found = self._session.poll(want) if want else events
            # Any direction that the handshake waits for lets the caller go on, whichever it asked for.
            return events | found if found else 0
        self._poller.modify(self._ssl, events)
        for entry in self._poller.ipoll(0):
            return entry[1]
        return 0

    def _start(self, stream, waits, accepted_leaf=None):
        if self._opening is not None:
            # Not `del`: MicroPython's maps keep the value of a deleted entry alive.
            self._opening = None
        self.stage = "handshake"
        self.handshake_ms = ticks_ms()
        self._inner = stream
        try:
            # The client's second flight is three small writes: with Nagle's algorithm the last two wait
            # for the server's delayed acknowledgement, 40 ms and more.
            stream.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)
        except (AttributeError, OSError):
            pass  # no socket, or a port that does not know the option: it only costs time
        try:
            self._session = engine.Session(stream, self, accepted_leaf)
        except Exception as error:
            self._recover(error)
        if self._tracer:
            self._tracer.attach(self._session)
        if not waits:
            self._session.waits = False

    def _take(self, stream, timeout_ms):
        """The blocking handshake over a stream that was opened elsewhere."""
        self._deadline(timeout_ms)
        switches = hasattr(stream, "setblocking")
        if switches:
            stream.setblocking(False)
        self._start(stream, True)
        if not switches:
            self._session.waits_first = True
        self._run()
        if switches:
            stream.setblocking(True)

    def _advance(self):
        """Whether the handshake is over; runs it as far as it goes. Only until _established."""
        if self._error is not None:
            raise self._error
        try:
            return not self._step()
        except BaseException as error:
            self._recover(error)

    def _step(self):
        """Opening and handshake, as far as they go: what to wait for, or 0 when they are over."""
        if self._opening is not None:
            return next(self._opening, 0) or self._step()
        want = self._session.step()
        if not want:
            self._established()
        return want

    def _established(self):
        session = self._session
        ssl = session.ssl
        self.stage = "open"
        self.handshake_ms = ticks_diff(ticks_ms(), self.handshake_ms)
        self._path = session.path
        self._figures = figures = session.figures
        budget = self._context.budget and part("securesocket.budget")
        if budget:
            budget.learn(self._hostname, session.path.key, figures[_CHAIN_BYTES])
        if not self._context.verify:
            from .errors import CertificateError

            self.authorization_error = CertificateError("verification-off")
        elif session.accepted_leaf is None:
            self.authorized = True
            self._anchor_source = session.anchor_source or None
        self._ssl = ssl
        self._tap = session
        self._session = None
        self._poller = select.poll()
        self._poller.register(ssl, _POLLIN)
        self.read = ssl.read
        self.readinto = ssl.readinto
        self.readline = ssl.readline
        self.write = ssl.write
        self._tell("open")

    def _recover(self, error):
        """After an exception: closes everything and raises the typed error, which latches; returns where
        there is something to go on with (_opening)."""
        if error is self._error:
            raise error
        if self.stage == "handshake":
            self.handshake_ms = ticks_diff(ticks_ms(), self.handshake_ms)
        session = self._session
        # First of all: an explanation needs memory, and mbedTLS has it.
        self._drop()
        if isinstance(error, Exception) and not isinstance(error, SecureSocketError):
            if session is None:
                # The handshake has not begun; faults of ours stay as they are.
                from .verdict import explain_start

                error = explain_start(error)
            else:
                error = session.explain(error)
        self._error = error if isinstance(error, SecureSocketError) else SecureSocketError("closed")
        # Where it fails as it is made, nobody has the connection; what is asked then is its report.
        self._error.connection = self
        self._tell("failed " + self._error.code)
        raise error

    def _drop(self):
        ssl, self._ssl = self._ssl, None
        session, self._session = self._session, None
        inner, self._inner = self._inner, None
        if ssl is not None:
            del self.read, self.readinto, self.readline, self.write
            ssl.close()
        elif session is not None:
            self._path = session.path
            self._figures = session.figures
            session.ssl.close()
            # A handshake that failed has parted mbedTLS from the stream.
            if session.stream is not None:
                inner.close()
        elif inner is not None:
            inner.close()

    def _deadline(self, timeout_ms):
        if timeout_ms != self._timeout_ms:
            self._timeout_ms = timeout_ms
        if timeout_ms is not None:
            self._deadline_ms = ticks_add(ticks_ms(), timeout_ms)

    def _left_ms(self):
        """Milliseconds to the deadline, -1 where there is none."""
        return -1 if self._deadline_ms is None else max(0, ticks_diff(self._deadline_ms, ticks_ms()))

    def _wait(self, events):
        """Blocks until the stream has one of `events`. Raises HandshakeTimeout."""
        if not self._poll_inner(events, self._left_ms()):
            raise self._timeout()

    def _poll_inner(self, events, timeout_ms):
        poller = select.poll()
        poller.register(self._inner, events)
        for entry in poller.ipoll(timeout_ms):
            return entry[1]
        return 0

    def _timeout(self):
        from .errors import HandshakeTimeout

        return HandshakeTimeout("timeout", self.stage, self._timeout_ms)

    def _run(self):
        """The blocking front: its steps wait by themselves."""
        if self._opening is not None:
            self._open_now()
        # Its __exit__ is _recover: unlike a frame with `except ... as`, this one is small enough for the C
        # stack, and takes no heap from mbedTLS.
        with self._session:
            self._step()
        if self._opening is not None:
            self._run()

    def _open_now(self):
        try:
            next(self._opening, 0)
        except BaseException as error:  # also Ctrl-C: no socket stays open behind it
            self._recover(error)

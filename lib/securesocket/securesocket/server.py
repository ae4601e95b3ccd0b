"""SecureServerSocket: accepts TLS connections; a client that says nothing holds up nobody.

accept() drives every handshake that has begun, and returns the first connection that is open. The asyncio
front (server_aio) gives each its own task; what is counted, bounded and refused is the same.
"""

import select
import socket
from time import sleep_ms, ticks_add, ticks_diff, ticks_ms

from certstore.compat import const, has_room
from certstore.errors import SecureSocketError, part

from .accepted import ROOM, AcceptedStream
from .context import refused
from .errors import MemoryBudgetError
from .server_budget import fits, refusal
from .server_context import context

_POLLIN = const(1)
# EAGAIN, ECONNABORTED in the numbers of Linux and lwIP, and of ESP-IDF.
_GONE_AGAIN = (11, 103, 113)
# How often a connection that waits for room asks again.
ROOM_MS = const(20)
# A client takes 1 to 2 KB until its session is made. Where there is less than this in one piece, no further
# one is taken while another is at it, and may need that.
_ARRIVAL_BYTES = const(8192)

DEFAULT_HANDSHAKE_TIMEOUT_MS = const(10000)
DEFAULT_MAX_HANDSHAKES = const(16)
DEFAULT_BACKLOG = const(8)
# What all ClientHellos that are not whole may hold together: that of the largest one, twice.
_MAX_HELLOS_BYTES = const(32768)

WHEN_FULL = ("wait", "refuse")


class SecureServerSocket:
    """What bind() gives. Counters: connections, open now; handshakes, begun and not over; accepted, failed,
    refused (for want of room), waited (for room), displaced (silent, by newer clients), in all.

    on_failure: callable(error, address) or None; told of every client that did not get through.
    """

    connections = 0
    accepted = 0
    failed = 0
    refused = 0
    waited = 0
    displaced = 0
    # Of server_aio.
    _task = None

    @classmethod
    def bind(
        cls,
        address,
        port,
        identity=None,
        *,
        backlog=DEFAULT_BACKLOG,
        secure=None,
        handshake_timeout_ms=DEFAULT_HANDSHAKE_TIMEOUT_MS,
        max_connections=None,
        max_handshakes=DEFAULT_MAX_HANDSHAKES,
        when_full="wait",
        on_failure=None,
    ):
        """Listens on address ("0.0.0.0", "::", or one of this device's) and port (from 1: MicroPython cannot
        tell which one a 0 has become).

        identity: label, subject or SKI of one in the store in flash, or (certificate chain, private key);
        secure: a dict of ServerContext's options, or a ServerContext, which has its identity. backlog: of
        listen(). handshake_timeout_ms: from accepting to the end of the handshake. max_connections: open and
        opening, None for as many as the heap carries. max_handshakes: begun at the same time; when there are
        more, the oldest that has not sent its ClientHello is displaced. when_full: whether a client that
        finds no room, in that number or in the heap, waits (its deadline goes on) or is refused.
        """
        for name, value in (
            ("port", port),
            ("backlog", backlog),
            ("handshake_timeout_ms", handshake_timeout_ms),
            ("max_handshakes", max_handshakes),
            ("max_connections", 1 if max_connections is None else max_connections),
        ):
            if type(value) is not int or value < 1:
                raise refused(name, repr(value), "a number from 1")
        if when_full not in WHEN_FULL:
            raise refused("when_full", repr(when_full), '"wait" or "refuse"')
        if on_failure is not None and not callable(on_failure):
            raise refused("on_failure", repr(on_failure), "callable(error, address)")
        self = cls()
        self.context = context(identity, secure)
        self.handshake_timeout_ms = handshake_timeout_ms
        self.max_connections = max_connections
        self.max_handshakes = max_handshakes
        self.when_full = when_full
        self.on_failure = on_failure
        self._pending = []
        self._listener = _listen(address, port, backlog)
        self._address = (address, port)
        self._poller = select.poll()
        self._poller.register(self._listener, _POLLIN)
        self._listens = True
        return self

    @property
    def handshakes(self):
        return len(self._pending)

    def add_context(self, hostname, identity, trust=None):
        """As ServerContext.add_context."""
        self.context.add_context(hostname, identity, trust)

    def address(self):
        """(address, port) that it listens on."""
        return self._address

    def __repr__(self):
        return "<SecureServerSocket %s:%d, %d open, %d in handshake%s>" % (
            self._address + (self.connections, len(self._pending), "" if self._listener else ", closed")
        )

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.close()

    def __iter__(self):
        return self

    def __next__(self):
        if self._listener is None:
            raise StopIteration
        return self.accept()

    def close(self):
        """Stops listening, and ends handshakes that are not over; open connections stay open."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self._poller.unregister(listener)
        if self._task is not None:
            self._task.cancel()
        listener.close()
        for stream in list(self._pending):
            if stream._task is not None:
                stream._task.cancel()
            stream.close()

    def wait_closed(self):
        """Awaitable, after close(): a server of start_server listens no more."""
        return part("securesocket.server_aio", "securesocket-server").closed(self)

    def accept(self, timeout_ms=None):
        """The next connection whose handshake is over, an AcceptedStream; waits for it. Raises
        HandshakeTimeout after timeout_ms, and what on_failure raises; a client that fails raises nothing."""
        give_up = None if timeout_ms is None else ticks_add(ticks_ms(), timeout_ms)
        while self._listener is not None:
            for stream in [one for one in self._pending if one.stage == "room"]:
                if self._advance(stream):
                    return stream
            self._listen()
            is_new = False
            for entry in self._poller.poll(self._wait_ms(give_up)):
                if entry[0] is self._listener:
                    # Those that are here first: a new one may displace them.
                    is_new = True
                else:
                    stream = self._of(entry[0])
                    if stream is not None and self._advance(stream):
                        return stream
            if is_new:
                self._begin_new()
            self._expire()
            if give_up is not None and ticks_diff(give_up, ticks_ms()) <= 0:
                from .errors import HandshakeTimeout

                raise HandshakeTimeout("timeout", "accept", timeout_ms)
        raise SecureSocketError("closed")

    # Inside; server_aio has the other front.

    def _begin_new(self):
        try:
            stream = self._take_new()
        except OSError as error:
            if isinstance(error, SecureSocketError):
                raise  # on_failure's
            # No socket left: it stays in the backlog, and the listener ready.
            sleep_ms(ROOM_MS)
            return
        if stream is not None:
            self._poller.register(stream._inner, _POLLIN)

    def _wait_ms(self, give_up):
        now = ticks_ms()
        soonest = -1 if give_up is None else max(0, ticks_diff(give_up, now))
        for stream in self._pending:
            left = ROOM_MS if stream.stage == "room" else max(0, ticks_diff(stream._deadline_ms, now))
            if soonest < 0 or left < soonest:
                soonest = left
        return soonest

    def _of(self, inner):
        for stream in self._pending:
            if stream._inner is inner:
                return stream

    def _is_full(self):
        """Whether no further client is taken: max_connections, or max_handshakes that all have begun."""
        pending = self._pending
        if self.max_connections is not None and self.connections + len(pending) >= self.max_connections:
            return True
        if pending and self.when_full == "wait" and not has_room(_ARRIVAL_BYTES):
            # It waits in the backlog, where it takes nothing from those that are open.
            return True
        return len(pending) >= self.max_handshakes and not any(one.stage == "hello" for one in pending)

    def _listen(self):
        """Does not look at the listener while clients have to wait."""
        listens = self.when_full == "refuse" or not self._is_full()
        if listens != self._listens:
            self._listens = listens
            if listens:
                self._poller.register(self._listener, _POLLIN)
            else:
                self._poller.unregister(self._listener)

    def _take_new(self):
        """Accepts one client; the AcceptedStream that begins, or None. Raises OSError where there are no
        sockets left."""
        is_full = self._is_full()
        if is_full and self.when_full == "wait":
            # Since the listener was asked, others have begun.
            return None
        try:
            inner, address = self._listener.accept()
        except OSError as error:
            if error.errno in _GONE_AGAIN:
                return None
            raise
        inner.setblocking(False)
        if not is_full and len(self._pending) >= self.max_handshakes:
            self._displace()
        try:
            stream = AcceptedStream(self.context, self, address)
            stream._deadline(self.handshake_timeout_ms)
            self._pending.append(stream)
        except MemoryError:
            inner.close()
            self.refused += 1
            return None
        stream._begin(inner, False)
        if is_full:
            self._end(stream, _full(self))
            return None
        return stream

    def _displace(self):
        """Ends the oldest that has not sent its ClientHello; rather one of which nothing waits to be read."""
        mute = [one for one in self._pending if one.stage == "hello"]
        for stream in mute:
            if not stream._poll_inner(_POLLIN, 0):
                break
        else:
            stream = mute[0]
        from .errors import HandshakeError

        self._end(stream, HandshakeError("displaced", found="%d handshakes" % len(self._pending)))

    def _hold(self, stream):
        """More of a ClientHello has come: beyond the bound for all of them the largest makes room. Raises
        HandshakeError where that is the stream's own."""
        hellos = [one for one in self._pending if one.stage == "hello"]
        if sum([one._hello_bytes for one in hellos]) > _MAX_HELLOS_BYTES:
            largest = max(hellos, key=_hello_bytes)
            if largest is stream:
                raise _crowded_out(stream)
            self._end(largest, _crowded_out(largest))

    def _end(self, stream, error):
        """Ends a handshake from outside."""
        if stream._task is not None:
            # Before its socket is closed: it waits for that.
            stream._task.cancel()
        try:
            stream._recover(error)
        except SecureSocketError as reason:
            self._tell(stream, reason)

    def _advance(self, stream):
        """Steps a handshake; whether the connection is open now."""
        inner = stream._inner
        try:
            events = stream._go()
        except SecureSocketError as error:
            self._tell(stream, error)
            return False
        if events == ROOM:
            self._poller.unregister(inner)
        elif events:
            self._poller.register(inner, events)
        else:
            self._poller.unregister(inner)
            self._opened(stream)
            inner.setblocking(True)
            return True
        return False

    def _opened(self, stream):
        self._pending.remove(stream)
        self.connections += 1
        self.accepted += 1

    def _tell(self, stream, error):
        """Counts a client that did not get through, and tells of it."""
        if isinstance(error, MemoryBudgetError) or error.code == "server-full":
            self.refused += 1
        elif error.code == "displaced":
            self.displaced += 1
        else:
            self.failed += 1
        if self.on_failure is not None:
            self.on_failure(error, stream.remote_address)

    def _expire(self):
        """Ends handshakes whose deadline has passed; what came in time has been read before."""
        now = ticks_ms()
        for stream in [one for one in self._pending if ticks_diff(one._deadline_ms, now) <= 0]:
            self._end(stream, refusal(self.connections) if stream.stage == "room" else stream._timeout())

    def _has_room(self, stream):
        """Whether the heap carries one more session and its handshake. Raises MemoryBudgetError where a
        client is to be refused."""
        budget = self.context.budget
        while budget and not fits(self.context, stream._serving, *self._begun()):
            # Before a ClientHello that is whole waits, large ones that are not make room.
            largest = max(
                [one for one in self._pending if one.stage == "hello"], key=_hello_bytes, default=None
            )
            if largest is None or not largest._hello_bytes:
                break
            self._end(largest, _crowded_out(largest))
        else:
            return True
        if budget == "warn":
            print("securesocket: " + str(refusal(self.connections)))
            return True
        if self.when_full == "refuse":
            raise refusal(self.connections)
        if not stream._has_waited:
            stream._has_waited = True
            self.waited += 1
        return False

    def _begun(self):
        """(how many handshakes have a session, how many of their ClientHellos are on their way)"""
        stages = [one.stage for one in self._pending]
        return stages.count("handshake"), stages.count("hello")

    def _gone(self, stream):
        """A stream of this server is about to close, whether it was open or not."""
        if stream not in self._pending:
            self.connections -= 1
            return
        self._pending.remove(stream)
        if self._listener is not None:
            self._poller.unregister(stream._inner)


def _hello_bytes(stream):
    return stream._hello_bytes


def _crowded_out(stream):
    from .errors import HandshakeError

    return HandshakeError("displaced", found="%d bytes of a ClientHello" % stream._hello_bytes)


def _full(server):
    from .errors import HandshakeError

    return HandshakeError(
        "server-full",
        found="%d connections, %d handshakes" % (server.connections, len(server._pending)),
        expected="max_connections=%s, max_handshakes=%d" % (server.max_connections, server.max_handshakes),
    )


def _listen(address, port, backlog):
    """(listening socket, (address, port))."""
    try:
        info = socket.getaddrinfo(address, port, 0, socket.SOCK_STREAM)[0]
        listener = socket.socket(info[0], socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(info[-1])
            listener.listen(backlog)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        from .errors import HandshakeError

        raise HandshakeError("bind", found="%s port %s: %s" % (address, port, error))
    listener.setblocking(False)
    return listener

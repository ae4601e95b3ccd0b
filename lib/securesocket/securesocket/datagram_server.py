"""DtlsServer: many DTLS peers on one UDP socket (RFC 6347).

What a datagram of a stranger can cause, in this order:
  1. nothing, unless it is one whole ClientHello whose cookie has the length of ours, or none
  2. an answer of 60 bytes with a cookie, if it has none, or not the one of its address and this minute
  3. a handshake, if there is room for one: max_peers, max_handshakes, the heap
Only a datagram that was verified counts as a sign of life, and only a handshake that is over takes the place
of an earlier one from the same address (RFC 6347 4.2.8).
"""

import socket
from time import ticks_add, ticks_diff, ticks_ms

from certstore.compat import const
from certstore.errors import SecureSocketError, part

from .client_hello import parse
from .context import refused, unsupported
from .datagram import DtlsConnection, check_mtu, check_timeout, readable
from .datagram_errors import DatagramError
from .dtls_records import client_hello
from .engine.datagram_peers import PeerSession, serving
from .server_budget import fits
from .server_context import ServerContext

_APPLICATION_DATA = const(23)
_ALERT = const(21)
_RECORD_HEADER = const(13)
# Of a datagram with one ClientHello: where the message's body begins.
_BODY = const(25)
_EAGAIN = const(11)
_ETIMEDOUT = const(110)
_ETIMEDOUT_ESP = const(116)

# mbedTLS's cookie: a time of 4 bytes, and 28 of an HMAC.
_COOKIE_BYTES = const(32)
# MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED
_VERIFY_REQUIRED = const(-0x6A80)

_DEFAULT_MTU = const(1232)
_RECEIVE_BYTES = const(2048)
# How often handshakes go on without a datagram (mbedTLS retransmits then), and peers are looked at.
_STEP_MS = const(100)
_SWEEP_MS = const(1000)
# How many datagrams of a handshake wait: a flight with a chain of 16 KB in datagrams of 1200 bytes.
_FLIGHT_LIMIT = const(16)

COUNTERS = (
    # datagrams that were no ClientHello, from no peer; of peers, that no session could read
    "ignored",
    # ClientHellos of strangers
    "hellos",
    # answers with a cookie; to ClientHellos with a wrong one
    "verify_requests",
    "bad_cookies",
    # handshakes that there was no room for
    "refused",
    "accepted",
    "failed",
    # datagrams of peers that did not read what they had
    "overflows",
    # peers ended by the idle timeout; by a new handshake from their address
    "idle",
    "replaced",
    # datagrams that the network did not take
    "lost",
)


class DatagramContext(ServerContext):
    """ServerContext, for DTLS."""

    def _serving(self, identity, trust):
        checked = ServerContext._serving(self, identity, trust)
        return serving(self, identity, trust, checked.needs)


class PeerConnection(DtlsConnection):
    """What DtlsServer gives: one of its peers. authorized: whether its certificate was verified."""

    # Whether it has been heard of since the last sweep.
    _alive = False
    _event = None

    def __init__(self, server, address, random, server_name):
        self._server = server
        self._context = server.context
        self._address = address
        self._random = random
        self.server_name = server_name
        self.handshake_ms = self._idle_since = ticks_ms()

    def recv(self, size=_RECEIVE_BYTES, timeout_ms=None):
        # As DtlsConnection's.
        found = self._quick
        # (Not has_more(): one call less.)
        if found is None or timeout_ms is not None or found.queue or found._datagram is not None:
            return self._one(None, size, timeout_ms)
        found = self._server._fetch(found)
        if found and len(found) <= size:
            self._alive = True
            return found
        return self._rest(found, size)

    def _await(self, left_ms):
        link = self._link
        if link is not None and left_ms != 0 and not (link.queue or link.has_more() or self.closed_by_peer):
            self._server._wait_for(self, left_ms)

    def _once(self, buf, size):
        found = DtlsConnection._once(self, buf, size)
        if found:
            self._alive = True
        elif found is not None:
            self._server._forget(self)
        return found

    def _has_data(self):
        link = self._link
        return link is not None and (link.queue or link.has_more())

    def _drop(self):
        DtlsConnection._drop(self)
        self._server._forget(self)
        if self._event is not None:
            self._event.set()

    def _end(self, error):
        """Ended from outside; whoever reads it gets the error."""
        if self._error is None:
            self._error = error
        self._drop()


class DtlsServer:
    """What bind() gives. counters: a dict of COUNTERS. connections: peers whose handshake is over.

    accept(), iteration, or `async for`: each new peer. recv(): the next datagram of any peer. start(): an
    asyncio server with a handler for each peer.
    """

    _task = None
    _event = None

    @classmethod
    def bind(
        cls,
        address,
        port,
        identity=None,
        *,
        secure=None,
        max_peers=16,
        max_handshakes=4,
        idle_timeout_ms=300000,
        handshake_timeout_ms=15000,
        mtu=_DEFAULT_MTU,
        queue=8,
        on_failure=None,
        psk=None,
    ):
        """Takes datagrams on address ("0.0.0.0", "::", or one of this device's) and port.

        identity, secure: as of SecureServerSocket.bind. max_peers: with those in their handshake.
        max_handshakes: past the cookie and not over; each may take 40 KB of heap. idle_timeout_ms: a peer of
        which nothing was heard for so long is ended, for DTLS often has no other end. mtu: bytes of the
        largest datagram that leaves. queue: datagrams that wait for each peer's reader; others are lost.
        on_failure: callable(error, address), told of handshakes that failed. Raises ConfigurationError,
        UnsupportedFeature (MicroPython before 1.26 has no cookies), DatagramError "datagram-bind".
        """
        for name, value in (
            ("port", port),
            ("max_peers", max_peers),
            ("max_handshakes", max_handshakes),
            ("idle_timeout_ms", idle_timeout_ms),
            ("handshake_timeout_ms", handshake_timeout_ms),
            ("queue", queue),
        ):
            if type(value) is not int or value < 1:
                raise refused(name, repr(value), "a number from 1")
        if psk is not None:
            raise unsupported("psk")
        if on_failure is not None and not callable(on_failure):
            raise refused("on_failure", repr(on_failure), "callable(error, address)")
        check_mtu(mtu)
        self = cls()
        self.context = _context(identity, secure)
        self.max_peers = max_peers
        self.max_handshakes = max_handshakes
        self.idle_timeout_ms = idle_timeout_ms
        self.handshake_timeout_ms = handshake_timeout_ms
        self.mtu = mtu
        self.queue = queue
        self.on_failure = on_failure
        self.counters = {name: 0 for name in COUNTERS}
        self._size = max(mtu, _RECEIVE_BYTES)
        self._peers = {}
        self._opening = {}
        # Peers that nobody has accepted; all, in the order in which recv() looks at them.
        self._ready = []
        self._turn = []
        self._timeout_ms = 0
        self._swept = self._stepped = ticks_ms()
        self._local = (address, port)
        self._sock = _socket(address, port)
        return self

    @staticmethod
    async def start(handler, address, port, identity=None, **options):
        """An asyncio server: handler(connection) is run as a task for each peer, and its connection closed
        afterwards; await its receive(). An exception of it goes to on_failure, or is printed. options: as of
        bind(). Returns the DtlsServer."""
        server = DtlsServer.bind(address, port, identity, **options)
        part("securesocket.datagram_aio", "securesocket-dtls").start(server, handler)
        return server

    @property
    def connections(self):
        return len(self._peers)

    @property
    def handshakes(self):
        """How many are past the cookie and not over."""
        return len(self._opening)

    def add_context(self, hostname, identity, trust=None):
        """As ServerContext.add_context."""
        self.context.add_context(hostname, identity, trust)

    def address(self):
        """(address, port) that it takes datagrams on."""
        return self._local

    def __repr__(self):
        return "<DtlsServer %s port %d, %d open, %d in handshake%s>" % (
            self._local + (len(self._peers), len(self._opening), "" if self._sock else ", closed")
        )

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.close()

    def __iter__(self):
        return self

    def __next__(self):
        if self._sock is None:
            raise StopIteration
        return self.accept()

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self._sock is None:
            raise StopAsyncIteration
        return await part("securesocket.datagram_aio", "securesocket-dtls").accepted(self)

    def accept(self, timeout_ms=None):
        """The next peer whose handshake is over; waits for it. Raises DatagramError "accept-timeout"."""
        check_timeout(timeout_ms)
        give_up = timeout_ms if timeout_ms is None else ticks_add(ticks_ms(), timeout_ms)
        while not self._ready:
            self._next(give_up, timeout_ms)
        return self._ready.pop(0)

    def recv(self, size=_RECEIVE_BYTES, timeout_ms=None):
        """(connection, datagram) of whichever peer; b"" for one that has closed. Raises DatagramError:
        "accept-timeout"; and as its connection's recv."""
        check_timeout(timeout_ms)
        give_up = timeout_ms if timeout_ms is None else ticks_add(ticks_ms(), timeout_ms)
        while True:
            turn = self._turn
            for _ in range(len(turn)):
                connection = turn.pop(0)
                turn.append(connection)
                while connection._has_data():
                    data = connection._once(None, size)
                    if data is not None:
                        return connection, data
            self._next(give_up, timeout_ms)

    def close(self):
        """Ends all peers and handshakes; a second call does nothing."""
        sock, self._sock = self._sock, None
        if sock is None:
            return
        if self._task is not None:
            self._task.cancel()
        error = SecureSocketError("closed")
        for connection in list(self._opening.values()):
            connection._session.ssl.close()
            connection._end(error)
        for connection in list(self._peers.values()):
            connection._end(error)
        sock.close()
        if self._event is not None:
            self._event.set()

    # Inside: one datagram, or a while of none.

    def _next(self, give_up, timeout_ms):
        if self._sock is None:
            raise SecureSocketError("closed")
        left = None if give_up is None else ticks_diff(give_up, ticks_ms())
        if left is not None and left < 0:
            raise DatagramError("accept-timeout", found="nothing after %d ms" % timeout_ms)
        self._pump(left)

    def _wait_for(self, connection, left_ms):
        give_up = left_ms if left_ms is None else ticks_add(ticks_ms(), left_ms)
        link = connection._link
        while True:
            self._pump(left_ms)
            if link.queue or connection._link is None:
                return
            if give_up is not None:
                left_ms = ticks_diff(give_up, ticks_ms())
                if left_ms <= 0:
                    return

    def _pump(self, left_ms):
        """Waits for a datagram, so long at most, and passes it on."""
        wait_ms = _STEP_MS if self._opening else _SWEEP_MS
        if left_ms is not None and left_ms < wait_ms:
            wait_ms = left_ms
        if wait_ms != self._timeout_ms:
            self._timeout_ms = wait_ms
            # 0 makes it non-blocking.
            self._sock.settimeout(wait_ms / 1000)
        self._take()
        if self._opening or ticks_diff(ticks_ms(), self._swept) >= _SWEEP_MS:
            self._go_on()

    def _fetch(self, link):
        """What the next datagram gives if it is application data of this link's peer, else None: it has been
        passed on, or something else is due."""
        if self._opening or self._timeout_ms != _SWEEP_MS or ticks_diff(ticks_ms(), self._swept) >= _SWEEP_MS:
            return None
        found = link.take_next()
        stray = link.stray
        if stray is not None:
            link.stray = None
            self._pass_on(stray[0], stray[1])
        return found

    def _take(self):
        """Whether there was a datagram; it has been passed on."""
        try:
            data, address = self._sock.recvfrom(self._size)
        except OSError as error:
            # Others are messages about what was sent, which anybody can forge.
            return error.errno not in (_EAGAIN, _ETIMEDOUT, _ETIMEDOUT_ESP)
        self._pass_on(data, address)
        return True

    def _pass_on(self, data, address):
        connection = self._peers.get(address)
        if connection is None:
            self._of_stranger(data, address)
        elif data and data[0] == _APPLICATION_DATA:
            if not connection._link.put(data):
                self.counters["overflows"] += 1
            elif connection._event is not None:
                connection._event.set()
        else:
            self._of_handshake(connection, data, address)

    def _of_stranger(self, data, address):
        opening = self._opening.get(address)
        hello = client_hello(data)
        if opening is None:
            if hello is None:
                self.counters["ignored"] += 1
            else:
                self._answer(data, address, hello)
        elif hello is not None and hello[0] != opening._random:
            # It has begun anew.
            self._answer(data, address, hello)
        elif opening._session.put(data):
            self._advance(opening)
        else:
            self.counters["overflows"] += 1

    def _of_handshake(self, connection, data, address):
        """Something from an open peer's address that is no application data."""
        hello = client_hello(data)
        if hello is not None:
            if hello[0] == connection._random:
                # The one that it began with, late.
                self.counters["ignored"] += 1
            else:
                opening = self._opening.get(address)
                if opening is not None and opening._random == hello[0]:
                    if opening._session.put(data):
                        self._advance(opening)
                else:
                    self._answer(data, address, hello)
            return
        if len(data) <= _RECORD_HEADER:
            self.counters["ignored"] += 1
            return
        encrypted = data[3] or data[4]
        opening = self._opening.get(address)
        if opening is not None and not (encrypted and data[0] == _ALERT):
            if opening._session.put(data):
                self._advance(opening)
        elif data[0] == _ALERT:
            # In the clear it may be forged.
            if not encrypted:
                self.counters["ignored"] += 1
            elif connection._link.put(data):
                if connection._event is not None:
                    connection._event.set()
        else:
            try:
                connection._link.answer(data)
            except OSError as error:
                connection._broken(error)

    def _answer(self, data, address, hello):
        """To a ClientHello: a cookie, or a handshake."""
        counters = self.counters
        counters["hellos"] += 1
        random, cookie = hello
        before = self._opening.get(address)
        if cookie and cookie != _COOKIE_BYTES:
            counters["ignored"] += 1
            return
        known = before is not None or address in self._peers
        if not known and len(self._peers) + len(self._opening) >= self.max_peers:
            counters["refused"] += 1
            return
        if cookie and before is None and len(self._opening) >= self.max_handshakes:
            # It will ask again.
            counters["refused"] += 1
            return
        try:
            server_name = parse(data, _BODY, len(data), True)[0]
        except SecureSocketError:
            counters["ignored"] += 1
            return
        chosen = self.context.choose(server_name)
        if cookie and self.context.budget and not fits(self.context, chosen, len(self._opening), 0):
            counters["refused"] += 1
            return
        connection = PeerConnection(self, address, random, server_name)
        try:
            session = PeerSession(connection, self._send, address, chosen, self.mtu, _FLIGHT_LIMIT, data)
        except (OSError, MemoryError):
            # No heap for it.
            counters["refused"] += 1
            return
        connection._session = session
        try:
            session.step()
        except OSError as error:
            chosen.session = None
            if error.errno == _VERIFY_REQUIRED:
                counters["verify_requests"] += 1
                if cookie:
                    counters["bad_cookies"] += 1
            else:
                self._failed(connection, error)
            return
        if before is not None:
            self._give_up(before)
        self._opening[address] = connection

    def _advance(self, connection):
        session = connection._session
        try:
            if not session.step():
                return
        except Exception as error:
            self._give_up(connection)
            self._failed(connection, error)
            return
        address = connection._address
        del self._opening[address]
        before = self._peers.get(address)
        if before is not None:
            self.counters["replaced"] += 1
            before._end(DatagramError("peer-replaced"))
        connection._established(session)
        session.limit = self.queue
        connection.authorized = session.serving.trust is not None
        connection._anchor_source = session.anchor_source or None
        self._peers[address] = connection
        self.counters["accepted"] += 1
        self._ready.append(connection)
        self._turn.append(connection)
        if self._event is not None:
            self._event.set()

    def _give_up(self, connection):
        self._opening.pop(connection._address, None)
        connection._session.ssl.close()

    def _failed(self, connection, error):
        session, connection._session = connection._session, None
        self.counters["failed"] += 1
        if not isinstance(error, SecureSocketError):
            error = session.explain(error)
        connection._error = error
        if self.on_failure is not None:
            self.on_failure(error, readable(connection._address))

    def _go_on(self):
        """What is due by time: retransmissions, deadlines, idle peers."""
        now = ticks_ms()
        if self._opening and ticks_diff(now, self._stepped) >= _STEP_MS:
            self._stepped = now
            for connection in list(self._opening.values()):
                if ticks_diff(now, connection._session.started_ms) >= self.handshake_timeout_ms:
                    from .errors import HandshakeTimeout

                    self._give_up(connection)
                    self._failed(
                        connection, HandshakeTimeout("timeout", "handshake", self.handshake_timeout_ms)
                    )
                else:
                    self._advance(connection)
        if ticks_diff(now, self._swept) >= min(_SWEEP_MS, self.idle_timeout_ms):
            self._swept = now
            for connection in list(self._peers.values()):
                if connection._alive or connection._link.queue:
                    connection._alive = False
                    connection._idle_since = now
                elif ticks_diff(now, connection._idle_since) >= self.idle_timeout_ms:
                    self.counters["idle"] += 1
                    connection._end(
                        DatagramError("peer-idle", found="nothing for %d ms" % self.idle_timeout_ms)
                    )

    def _send(self, datagram, address):
        try:
            return self._sock.sendto(datagram, address)
        except OSError:
            # As any router may: what cannot be sent is lost.
            self.counters["lost"] += 1
            return 0

    def _forget(self, connection):
        address = connection._address
        if self._peers.get(address) is connection:
            del self._peers[address]
        for each in (self._ready, self._turn):
            if connection in each:
                each.remove(connection)


def _context(identity, secure):
    if isinstance(secure, DatagramContext):
        if identity is not None:
            raise refused("identity", "one", "none: the DatagramContext has its own")
        return secure
    if not isinstance(secure, (dict, type(None))):
        raise refused("secure", type(secure).__name__, "a dict of options, or a DatagramContext")
    options = dict(secure or {})
    if identity is not None:
        options["identity"] = identity
    if options.get("trace"):
        raise unsupported("trace")
    return DatagramContext(**options)


def _socket(address, port):
    try:
        info = socket.getaddrinfo(address, port, 0, socket.SOCK_DGRAM)[0]
        sock = socket.socket(info[0], socket.SOCK_DGRAM)
        try:
            sock.bind(info[-1])
        except OSError:
            sock.close()
            raise
        sock.setblocking(False)
        return sock
    except OSError as error:
        raise DatagramError("datagram-bind", found="%s port %d: %s" % (address, port, error))

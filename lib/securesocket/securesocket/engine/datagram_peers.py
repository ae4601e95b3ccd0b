"""The server side of DTLS: one peer of many on a UDP socket.

Cookies (RFC 6347 4.2.1) are mbedTLS's, which takes them since MicroPython 1.26: a session that has answered a
ClientHello with HelloVerifyRequest is freed at once, and nothing of it stays. The ClientHello with the cookie
makes a new session.
"""

from time import ticks_ms

from certstore.compat import const, has_room, hold_room, make_room

from ..path import Path
from .datagrams import Link
from .serving import ServerSession, Serving
from .stock import Session, tls

_CHANGE_CIPHER_SPEC = const(20)
_APPLICATION_DATA = const(23)
_IOCTL_POLL = const(3)
_IOCTL_CLOSE = const(4)
_EINVAL = const(22)

# As in engine.stock.
_SESSION_HEAP_BYTES = const(40960)
_GAP_BYTES = const(8192)
_GAP_FROM_BYTES = const(65536)
_GAP_ROOM_BYTES = const(32768)

# Of Tap.figures.
_HEAP_BEFORE = const(3)
_HEAP_AFTER = const(5)

_NOWHERE = bytearray(64)


def serving(options, identity, trust, needs):
    """What the peers of one identity share. Raises UnsupportedFeature where tls knows no cookies: a server
    without them answers forged addresses, and keeps state for them."""
    made = Serving(options, identity, trust, needs, tls.PROTOCOL_DTLS_SERVER)
    try:
        made.context.wrap_socket(None, client_id=b"")
    except TypeError:
        from ..errors import UnsupportedFeature

        raise UnsupportedFeature("dtls-cookies")
    except OSError:
        pass  # None is no stream: the cookies' argument is known
    return made


class PeerSession(Link):
    """A DTLS server's session with one peer. put() gives it a datagram.

    transmit: callable(datagram, address). queue: datagrams that have not been read; a full one takes no more.
    """

    anchor_source = ""
    # (datagram, address) that take_next() received and is not its peer's application data.
    stray = None

    def __init__(self, owner, transmit, address, serving, mtu, limit, hello):
        free = make_room(_SESSION_HEAP_BYTES)
        roomy = free >= _GAP_FROM_BYTES and has_room(_GAP_ROOM_BYTES)
        gap = hold_room(_GAP_BYTES if roomy else 0)
        self.owner = owner
        self.transmit = transmit
        self.address = address
        self.serving = serving
        self.context = serving.context
        self.mtu = mtu
        self.limit = limit
        self.queue = [hello]
        self.figures = [0] * 9
        self.figures[_HEAP_BEFORE] = free
        self.started_ms = ticks_ms()
        self.path = Path()
        if serving.trust is None:
            # Nobody is verified: `authorized` stays False, as for a leaf that stands for itself.
            self.accepted_leaf = b""
            self._accepted = True
        # What the cookie is bound to.
        name = address if isinstance(address, bytes) else str(address).encode()
        self.ssl = serving.context.wrap_socket(
            self, server_side=True, do_handshake_on_connect=False, client_id=name
        )
        gap.close()

    options = ServerSession.options
    explain = ServerSession.explain
    find_anchor = ServerSession.find_anchor
    accept = ServerSession.accept

    def step(self):
        """As Link.step; the shared verify callback then knows whose certificates it sees."""
        self.serving.session = self
        over = Link.step(self)
        if over:
            self.serving.session = None
        return over

    def put(self, datagram):
        """Whether there was room for it."""
        queue = self.queue
        if len(queue) >= self.limit:
            return False
        queue.append(datagram)
        return True

    def take_next(self):
        """As ClientSession's, of the datagrams of all peers: another one than this peer's is then `stray`."""
        try:
            found = self._next(self.size)
            if found[1] == self.address and found[0] and found[0][0] == _APPLICATION_DATA:
                found = found[0]
                self._datagram = found
                self._at = 0
                self.permit = True
                return self.ssl.recv(len(found))
            self.stray = found
        except OSError:
            # Nothing for so long; others are messages about what was sent, which anybody can forge.
            return None

    def answer(self, datagram):
        """Lets mbedTLS answer a handshake's datagram that came once more: its last flight was lost. Raises
        what tls raises."""
        if self._datagram is None:
            self._datagram = datagram
            self._at = 0
            while self._datagram is not None:
                self.permit = True
                self.ssl.readinto(_NOWHERE)

    def establish(self):
        Link.establish(self)
        server = self.owner._server
        self._sendto = server._sock.sendto
        self._next = server._sock.recvfrom
        self.size = server._size

    def _forward(self, buf):
        # As Link's, two calls less.
        if buf[0] != _APPLICATION_DATA:
            return Session.write(self, buf)
        try:
            self._sendto(buf, self.address)
        except OSError:
            return self._once_more(buf)
        return len(buf)

    def ioctl(self, request, arg):
        if request == _IOCTL_POLL:
            return arg
        # The socket is not this peer's alone.
        return 0 if request == _IOCTL_CLOSE else -_EINVAL

    def _receive(self):
        queue = self.queue
        return queue.pop(0) if queue else None

    def _transmit(self, datagram):
        return self.transmit(datagram, self.address)

    def _verified(self):
        self.figures[_HEAP_AFTER] = make_room(0)

    def _leaves(self, buf):
        if buf[0] == _CHANGE_CIPHER_SPEC and not self._accepted:
            # mbedTLS has verified the client's certificate, its signature and its Finished.
            self.accept()
            self._accepted = True

"""DTLS sessions of stock firmware: a link between one peer's datagrams and mbedTLS.

When is a handshake over? mbedTLS drops records that it cannot verify and waits on, so no datagram that passed
proves anything, and it has no answer to that question (asked for its cipher too early it reads a null
pointer). But it sends application data only after the handshake. So it is asked to send a byte, again and
again: while the handshake runs this goes on with it, afterwards a record of application data comes out, which
is the proof; it goes nowhere, and to the peer it is one lost datagram more.

Contract: as Tap's. mbedTLS gets one record for each time that it asks, so that what it has left over is of no
other record than the one it has just given; and of epoch 0 only records that have the form of their kind.
"""

from time import ticks_diff, ticks_ms

from certstore.compat import const, has_room, hold_room, make_room

from ..dtls_records import FlightReader, Splitter, in_clear, is_sound, record_end
from ..path import Path
from .stock import DEFAULT_CIPHERS, Session, tls

_POLLIN = const(1)
_IOCTL_CLOSE = const(4)
_EIO = const(5)

_ALERT = const(21)
_HANDSHAKE = const(22)
_APPLICATION_DATA = const(23)
_CLIENT_HELLO = const(1)
_RECORD_HEADER = const(13)
# Of a datagram with one record: where its length is.
_LENGTH = const(11)
# An alert in the clear: header, level, description.
_PLAIN_ALERT = const(15)

_FOUND_CERTIFICATE = const(1)
_FOUND_OVERSIZE = const(2)

# As in engine.stock.
_SESSION_HEAP_BYTES = const(40960)
_GAP_BYTES = const(8192)
_GAP_FROM_BYTES = const(65536)
_GAP_ROOM_BYTES = const(32768)

# Of Tap.figures.
_RECEIVED = const(0)
_SENT = const(1)
_LARGEST = const(2)
_HEAP_BEFORE = const(3)

# What a datagram may carry besides its payload: header, explicit nonce and tag of GCM; with CBC more.
_GCM_OVERHEAD = const(37)
_CBC_OVERHEAD = const(93)
# mbedTLS's buffer for what it sends (MBEDTLS_SSL_OUT_CONTENT_LEN).
_LARGEST_PAYLOAD = const(4096)
# After the second timeout of a flight (1 s and 2 s) mbedTLS sends no larger datagrams than these, until it
# has heard from the peer again (RFC 6347 4.1.1.1).
_REDUCED_AFTER_MS = const(2900)
_REDUCED_MTU = const(508)
# Errors of sending that a datagram does not survive, and the link does: EAGAIN, ENOMEM, ENOBUFS,
# EHOSTUNREACH (Linux, lwIP, ESP-IDF); ECONNREFUSED is a message that anybody can forge.
_LOST = (11, 12, 105, 111, 113, 118)

# The byte that mbedTLS is asked to send; it leaves for nowhere.
_PROOF = b"\0"
_NOWHERE = bytearray(64)


class Link(Session):
    """What both roles share. A subclass has _receive() -> a datagram or None, _transmit(datagram), and
    _watch(data, pos, stop) -> whether a record of epoch 0 may pass.

    ssl: tls's socket. over: the handshake is. mtu: bytes of the largest datagram that leaves. permit: mbedTLS
    may have one record (open: any number). heard: a record of the peer was verified after the handshake.
    kind: ContentType of the latest record that mbedTLS got. ignored: datagrams, or their ends, that were no
    records, and records that were malformed; lost: datagrams that the network did not take.
    """

    ssl = None
    open = True
    permit = False
    kind = 0
    ignored = 0
    lost = 0
    started_ms = over_ms = 0
    heard = False
    _datagram = None
    _at = 0
    _splitter = None

    def step(self):
        """Goes on with the handshake: whether it is over. Raises what tls raises; explain() makes the typed
        error of it."""
        count = self.ssl.send(_PROOF)
        while count is None and self._held is not None:
            count = self.ssl.send(_PROOF)
        if self.over and self.error is None:
            self._verified()
            return True
        if count is not None or self.error is not None:
            raise self.explain(None)
        return False

    def room(self):
        """The most bytes that a datagram of application data holds now."""
        mtu = self.mtu
        if not self.heard and ticks_diff(self.over_ms, self.started_ms) >= _REDUCED_AFTER_MS:
            mtu = min(mtu, _REDUCED_MTU)
        suite = self.ssl.cipher()[0]
        # CCM and ChaCha20 carry no more than GCM.
        overhead = _CBC_OVERHEAD if "CBC" in suite else _GCM_OVERHEAD
        return min(mtu - overhead, _LARGEST_PAYLOAD)

    def establish(self):
        """The handshake is over: from now on mbedTLS gets one record for each permit."""
        self.open = False
        self.over_ms = ticks_ms()
        self.reader = None
        self.readinto = self._pass
        self.write = self._forward

    def fetch(self):
        """Bytes of the datagram that mbedTLS would get next; 0 where there is none."""
        data = self._datagram
        if data is None:
            data = self._receive()
            if not data:
                # An empty one is none.
                return 0
            self._datagram = data
            self._at = 0
        return len(data)

    def drain(self):
        """Discards what is left of a record that did not fit; whether there was any."""
        left = False
        # Nothing but what mbedTLS holds already.
        self.permit = False
        while self.ssl.readinto(_NOWHERE):
            left = True
        return left

    def has_more(self):
        """Whether the latest datagram has more records."""
        return self._datagram is not None

    # The stream that mbedTLS sees, once the connection is open: the two short ways of what is most frequent.

    def _pass(self, buf):
        data = self._datagram
        if data is not None and self.permit and self._at == 0:
            size = len(data)
            if (
                size > _RECORD_HEADER
                and data[0] == _APPLICATION_DATA
                and (data[_LENGTH] << 8 | data[_LENGTH + 1]) + _RECORD_HEADER == size <= len(buf)
            ):
                self._datagram = None
                self.permit = False
                self.kind = _APPLICATION_DATA
                buf[:size] = data
                return size
        return Session.readinto(self, buf)

    def _forward(self, buf):
        if buf[0] != _APPLICATION_DATA:
            return Session.write(self, buf)
        try:
            self._transmit(buf)
        except OSError:
            return self._once_more(buf)
        return len(buf)

    def _once_more(self, buf):
        """Sends what was refused: the error may have been an earlier datagram's."""
        try:
            self._transmit(buf)
        except OSError as error:
            self.lost += 1
            if error.errno not in _LOST:
                self.error = error
                return -_EIO
        return len(buf)

    # The same until then; Tap.readinto and Tap.write keep what is raised here.

    def _read(self, buf):
        if self._held is not None:
            have = len(self._held)
            buf[:have] = self._held
            self._held = None
            return have
        while self.open or self.permit:
            data = self._datagram
            if data is None:
                # Later on fetch() takes the datagrams: what mbedTLS gives is then of this one, or nothing.
                data = self._receive() if self.open else None
                if data is None:
                    return None
                self._at = 0
                self.figures[_RECEIVED] += len(data)
            pos = self._at
            end = len(data)
            stop = record_end(data, pos, end)
            if stop < 0 or stop - pos > len(buf):
                self.ignored += 1
                self._datagram = None
                continue
            if stop == end:
                self._datagram = None
            else:
                self._datagram = data
                self._at = stop
            if in_clear(data, pos):
                if not is_sound(data, pos, stop):
                    self.ignored += 1
                    continue
                if not self._watch(data, pos, stop):
                    # mbedTLS reads its authmode when it starts on a message: have it start again on this one.
                    self._held = bytes(memoryview(data)[pos:stop])
                    return None
            self.kind = data[pos]
            self.permit = False
            size = stop - pos
            buf[:size] = data if size == end else memoryview(data)[pos:stop]
            return size
        return None

    def _watch(self, data, pos, stop):
        return True

    def _write(self, buf):
        kind = buf[0]
        if kind == _APPLICATION_DATA:
            # The proof.
            self.over = True
            return len(buf)
        if kind == _ALERT:
            if in_clear(buf, 0) and len(buf) == _PLAIN_ALERT:
                self.alert_sent = buf[14]
            if self.open:
                self.alert()
        elif self.open:
            self._leaves(buf)
        splitter = self._splitter
        if splitter is None:
            self._splitter = splitter = Splitter(self.mtu)
        for datagram in splitter.split(buf):
            self.figures[_SENT] += len(datagram)
            self.figures[_LARGEST] = max(len(datagram), self.figures[_LARGEST])
            self._put(datagram)
        return len(buf)

    def _verified(self):
        """Called when the handshake is over; may raise."""

    def _leaves(self, buf):
        """Called before handshake records leave, until the handshake is over; may raise."""

    def _put(self, datagram):
        try:
            if self._transmit(datagram) is None:
                self.lost += 1
        except OSError as error:
            if error.errno not in _LOST:
                raise
            self.lost += 1


class ClientSession(Link):
    """A DTLS client's: engine.stock's Session over a connected UDP socket.

    size: bytes of the largest datagram that is received; longer ones are cut, and then ignored.
    """

    def __init__(self, sock, owner, mtu, size, accepted_leaf=None):
        free = make_room(_SESSION_HEAP_BYTES)
        roomy = free >= _GAP_FROM_BYTES and has_room(_GAP_ROOM_BYTES)
        gap = hold_room(_GAP_BYTES if roomy else 0)
        self.stream = sock
        self.reader = FlightReader()
        self.figures = [0] * 9
        self.figures[_HEAP_BEFORE] = free
        self.owner = owner
        self.mtu = mtu
        self.size = size
        self.started_ms = ticks_ms()
        self.path = Path()
        options = owner._context
        if accepted_leaf is not None:
            self.accepted_leaf = accepted_leaf
        self.context = context = tls.SSLContext(tls.PROTOCOL_DTLS_CLIENT)
        context.set_ciphers(options.ciphers or DEFAULT_CIPHERS)
        strict = options.verify and options.trust is not None and accepted_leaf is None
        context.verify_mode = tls.CERT_REQUIRED if strict else tls.CERT_OPTIONAL
        context.verify_callback = self
        if options.identity is not None and accepted_leaf is None:
            chain, key = options.identity
            for certificate in chain:
                context.load_cert_chain(certificate, key)
        self.ssl = context.wrap_socket(self, server_hostname=owner._hostname, do_handshake_on_connect=False)
        gap.close()

    def establish(self):
        Link.establish(self)
        # Not through this object: two calls less for each datagram.
        self._transmit = self.stream.send
        self._next = self.stream.recv

    def take_next(self):
        """What the next datagram gives, for which the socket waits; None: nothing, or an error, which tls
        keeps, or the one before has more records. (A frame as small as this lies on the C stack. For a larger
        one, or one that names its exception, each call searches the heap for room.)"""
        if self._datagram is not None:
            return None
        try:
            data = self._next(self.size)
            if data:
                self._datagram = data
                self._at = 0
                self.permit = True
                # No payload is as long as its datagram.
                return self.ssl.recv(len(data))
        except OSError:
            # fetch() meets it again, or tls keeps it.
            return None

    def _receive(self):
        try:
            return self.stream.recv(self.size)
        except OSError as error:
            number = error.errno
            if number == 11 or number == 110 or number == 116:
                return None
            if not self.open or number != 111:
                # Once the connection is open, a message that nobody listens proves nothing: it may be forged.
                if number in _LOST:
                    self.lost += 1
                    return None
                raise
            from ..errors import HandshakeError

            raise HandshakeError("connect", found="nobody listens on port %d" % self.owner._port)

    def _transmit(self, datagram):
        return self.stream.send(datagram)

    def _watch(self, data, pos, stop):
        reader = self.reader
        if reader is None:
            return True
        reader.receive(data, pos, stop)
        found = reader.found
        if found == _FOUND_OVERSIZE:
            from ..errors import HandshakeError
            from ..handshake import MAX_CERTIFICATE_MESSAGE

            raise HandshakeError(
                "certificate-limit", found="a message of more than %d bytes" % MAX_CERTIFICATE_MESSAGE
            )
        if found != _FOUND_CERTIFICATE:
            return True
        deliver = self.certificate(reader.message, reader.start, reader.stop)
        reader.message = None
        self.verifies_next()
        return deliver

    def _verified(self):
        self.accept()

    def _leaves(self, buf):
        # The first message after the server's flight: mbedTLS has verified the certificate. A ClientHello may
        # be sent again after the certificate was seen.
        if not self._accepted and buf[0] == _HANDSHAKE and buf[_RECORD_HEADER] != _CLIENT_HELLO:
            self.accept()
            self._accepted = True

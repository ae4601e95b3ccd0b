"""The server side of the stock engine: MicroPython's own tls module, TLS 1.2.

What all connections of one identity share is made once: mbedTLS parses the key when a server starts, not with
each client. The ClientHello has been read before (client_hello), to choose the identity by its server_name;
mbedTLS gets the same bytes again.
"""

from certstore.compat import const, has_room, hold_room, make_room
from certstore.errors import part

from ..path import Path
from .stock import _ONE, DEFAULT_CIPHERS, Session, tls
from .tap import Tap, _unreadable

# As in stock: a session with its handshake, and the gap below its buffers for mbedTLS's numbers.
_SESSION_HEAP_BYTES = const(40960)
_GAP_BYTES = const(8192)
_GAP_FROM_BYTES = const(65536)

_POLLIN = const(1)
_POLLOUT = const(4)

# RFC 5246 6.2.1 ContentType
_CHANGE_CIPHER_SPEC = const(20)
_ALERT_RECORD = const(21)
_HANDSHAKE = const(22)
_PLAIN_ALERT = const(7)

# Events of handshake.HandshakeReader.
_NOT_TLS = const(5)
_OVERSIZE = const(6)

# Of Tap.figures.
_RECEIVED = const(0)
_SENT = const(1)
_LARGEST = const(2)
_HEAP_BEFORE = const(3)
_HEAP_LOWEST = const(4)
_HEAP_AFTER = const(5)

# MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE
_NO_CLIENT_CERTIFICATE = const(0x7480)


class Serving:
    """What the connections with one identity share. options: a ServerContext; identity: (chain, key), as of
    identity.find; trust: the TrustSet of the clients' CAs, or None where no certificate is asked for. To
    `verdict` it is the options of its sessions.

    Called by mbedTLS with each certificate of a client's path, for the session that is being stepped.
    """

    verify = True
    session = None

    def __init__(self, options, identity, trust, needs=(0, 0), protocol=tls.PROTOCOL_TLS_SERVER):
        self.trust = trust
        self.pins = options.pins
        # Of budget's kinds of keys, and what signing with the key takes beyond verifying.
        self.needs = needs
        self.context = context = tls.SSLContext(protocol)
        context.set_ciphers(options.ciphers or DEFAULT_CIPHERS)
        chain, key = identity
        try:
            for certificate in chain:
                context.load_cert_chain(certificate, key)
        except ValueError as error:
            from ..verdict import explain_start

            raise explain_start(error)
        if trust is not None:
            context.verify_mode = tls.CERT_REQUIRED
            for der in anchors(trust):
                context.load_verify_locations(der)
            context.verify_callback = self

    def __call__(self, der, depth):
        return self.session(der, depth)


def anchors(trust):
    """The DER of every anchor of a TrustSet."""
    for store in trust._stores:
        for number in range(len(store)):
            yield bytes(store.certificate(number))
    for _, der in trust._own:
        yield bytes(der)


class ServerSession(Session):
    """One TLS connection with a client, from its ClientHello on.

    hello: the bytes of the ClientHello, records and all, which mbedTLS reads first. As for Session: step()
    until it returns 0; then `ssl` is the connection, and `path` tells what was verified of the client.
    """

    anchor_source = ""
    _hello_at = 0
    # Type of the record that is leaving.
    _writing = 0

    def __init__(self, stream, owner, serving, hello):
        # What is free is counted only where that may be little, or somebody looks: counting walks the whole
        # heap, which takes a large one as long as a tenth of a handshake.
        roomy = has_room(_GAP_FROM_BYTES)
        counted = not roomy or owner._tracer is not None
        free = make_room(_SESSION_HEAP_BYTES) if counted else 0
        gap = hold_room(_GAP_BYTES if roomy else 0)
        Tap.__init__(self, stream)
        self.owner = owner
        self.serving = serving
        self.context = serving.context
        self._hello = hello
        self.figures[_HEAP_BEFORE] = free
        self.path = Path()
        if serving.trust is None:
            # Nobody is verified: `authorized` stays False, as for a leaf that stands for itself.
            self.accepted_leaf = b""
            self._accepted = True
        self.ssl = serving.context.wrap_socket(self, server_side=True, do_handshake_on_connect=False)
        gap.close()

    @property
    def options(self):
        return self.serving

    def step(self):
        """As Session.step; the shared verify callback then knows whose certificates it sees."""
        self.serving.session = self
        if self.want:
            self.want = 0
        count = self.ssl.readinto(_ONE)
        if self.over:
            if self.figures[_HEAP_BEFORE]:
                self.figures[_HEAP_AFTER] = make_room(0)
            self.release()
            self.context = self.serving.session = None
            return 0
        if count is not None or self.error is not None:
            raise self.explain(None)
        return self.want or self.step()

    def explain(self, error):
        """The typed error for what ended the handshake; None: it ended without an exception."""
        from ..server_verdict import explain

        return explain(self, error)

    def accept(self):
        """Raises unless the client's path, which mbedTLS has verified, is what was asked for."""
        self.figures[_HEAP_LOWEST] = make_room(0)
        path = self.path
        if not path.complete:
            # mbedTLS requires one; this is not reached.
            raise self.explain(None)
        self.find_anchor()
        if self.serving.pins and not path.pinned:
            from ..verdict import judge

            judge(self)

    def find_anchor(self):
        """Notes where the anchor of the client's path came from, if there is one of that name."""
        top = self.path.top_issuer
        for _, source in self.serving.trust.issuers(top) if top else ():
            self.anchor_source = source
            break

    def _read(self, buf):
        if self._finished:
            # Our Finished has left, so the client's was accepted: mbedTLS asks for application data now.
            self.over = True
            self.want = _POLLIN
            return None
        hello = self._hello
        if hello is None:
            have = self._fill(buf)
            if not have:
                self.closed_by_peer = have == 0
                return have
        else:
            at = self._hello_at
            have = min(len(buf), len(hello) - at)
            buf[:have] = memoryview(hello)[at : at + have]
            self._hello_at = at + have
            if self._hello_at == len(hello):
                self._hello = None
        figures = self.figures
        figures[_RECEIVED] += have
        if len(buf) > figures[_LARGEST]:
            figures[_LARGEST] = len(buf)
        reader = self.reader
        pos = 0
        while pos < have:
            pos = reader.receive(buf, pos, have)
            if reader.event == _NOT_TLS:
                raise _unreadable(reader, _NOT_TLS)
            if reader.event == _OVERSIZE:
                raise _too_large(reader.last)
        reader.message = None
        return have

    def _write(self, buf):
        kind = buf[0]
        starts = self._sent_left == 0
        if starts:
            if kind == _CHANGE_CIPHER_SPEC and not self._accepted:
                # mbedTLS has verified the client's certificate, its signature and its Finished.
                self.accept()
                self._accepted = True
            elif kind == _ALERT_RECORD:
                self.alert()
            self._writing = kind
        count = self.stream.write(buf)
        if count is None:
            self.want = _POLLOUT
            return None
        left = (len(buf) if starts else self._sent_left) - count
        self._sent_left = left
        if starts and kind == _ALERT_RECORD and not self._sent_encrypted and len(buf) == _PLAIN_ALERT:
            self.alert_sent = buf[6]
        if left == 0:
            if self._writing == _CHANGE_CIPHER_SPEC:
                self._sent_encrypted = True
            elif self._writing == _HANDSHAKE and self._sent_encrypted:
                self._finished = True
        self.figures[_SENT] += count
        return count


def _too_large(kind):
    from ..errors import HandshakeError
    from ..handshake import MAX_CERTIFICATE_MESSAGE

    messages = part("securesocket.messages")
    return HandshakeError(
        "protocol",
        found="a larger " + (messages.message_name(kind) if messages else "message of type %d" % kind),
        expected="at most %d bytes" % MAX_CERTIFICATE_MESSAGE,
    )

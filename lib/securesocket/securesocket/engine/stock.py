"""The engine of stock firmware: MicroPython's own tls module, TLS 1.2 (the only importer of it).

mbedTLS reads its CA list when it verifies, not before, so the right anchor is loaded while the server's
Certificate message passes (engine.tap): one handshake, whatever the number of roots.
"""

import gc
from time import ticks_ms

import tls

from certstore.compat import const, has_room, hold_room, make_room

from ..path import Path
from ..trust import ITSELF, SOURCES
from .tap import Tap

# In heap_table's rows.
NAME = "stock"
# Which of the features that context.OPTIONS names this engine has.
FEATURES = ()

# Forward secrecy and authenticated encryption only (RFC 7525 4.2); all four are in every stock build.
DEFAULT_CIPHERS = (
    "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256",
    "TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256",
    "TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384",
    "TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384",
)

# A session with its handshake: 16 KB and 4 KB of record buffers, state, chain, one signature.
_SESSION_HEAP_BYTES = const(40960)
# A gap below those buffers, for the numbers of mbedTLS's arithmetic: the allocator searches from the lowest
# free block on, and would step over 20 KB of buffers some thousand times. Not where the heap is small, nor in
# fragments: there it would take the buffers' room. (Asking for that room is less than a handshake takes.)
_GAP_BYTES = const(8192)
_GAP_FROM_BYTES = const(65536)
_GAP_ROOM_BYTES = const(32768)
# From here on the handshake needs the anchor, the chain and one signature's numbers, with room to spare.
_CHAIN_HEAP_BYTES = const(14336)

_ANCHOR_GAP_BYTES = const(1024)
# A parsed anchor is its DER once more and its names; no root in use comes to a half of this.
_ANCHOR_HEAP_BYTES = const(6144)

# An anchor of RSA 2048 or a curve is laid out in less.
_LARGE_ANCHOR_BYTES = const(640)
# As deep as propose() with what it calls.
_STALE_FRAMES = const(12)

# Of trust.TrustSet.propose.
_NO_ANCHOR = const(0)
_EXACT = const(2)

# Of Tap.figures.
_HEAP_BEFORE = const(3)
_HEAP_LOWEST = const(4)
_HEAP_AFTER = const(5)
_CERTIFICATE_AT = const(6)
_VERIFIED_AT = const(7)
_CHAIN_BYTES = const(8)

_REFUSED = const(1)  # any number that is not 0 makes mbedTLS stop


def version():
    """(major, minor, patch) of mbedTLS; (0, 0, 0) where the firmware does not tell."""
    # MBEDTLS_VERSION_STRING_FULL: "Mbed TLS 3.6.6"
    text = getattr(tls, "MBEDTLS_VERSION", "0.0.0")
    return tuple([int(part) for part in text.split(" ")[-1].split(".")])


def hold_gap(free):
    """What holds the gap below the buffers of a session that is about to be made, with so many bytes free."""
    return hold_room(_GAP_BYTES if free >= _GAP_FROM_BYTES and has_room(_GAP_ROOM_BYTES) else 0)


def cipher_names():
    """Every cipher suite this build knows, by mbedTLS's name (the IANA name with - for _)."""
    return tls.SSLContext(tls.PROTOCOL_TLS_CLIENT).get_ciphers()


# Where the byte of data goes that mbedTLS is asked for while the handshake runs; it never gives one.
_ONE = bytearray(1)


def _overwrite_stack(depth):
    """The collector reads the C stack too: pointers that earlier calls left there keep the copies of anchors
    alive through the very moment at which mbedTLS needs the heap. A few calls write over them."""
    if depth:
        _overwrite_stack(depth - 1)


class Session(Tap):
    """One TLS client connection over a stream, from its context to its last byte.

    owner: the SecureStream, whose context and host name are asked when they are needed; accepted_leaf: DER
    that the caller has accepted by name, the only certificate that this session then takes, or None.
    Called by mbedTLS, with each certificate of the path: (DER, depth).

    anchor_source: None until anchors were looked for, "" where none was found, else one of trust.SOURCES or
    trust.ITSELF. step() until it returns 0; then `ssl` is the connection, and `path` tells what was verified.
    """

    waits = True
    accepted_leaf = None
    anchor_source = None

    def __init__(self, stream, owner, accepted_leaf=None):
        # Where there is little room, the large buffers settle on a heap without garbage.
        free = make_room(_SESSION_HEAP_BYTES)
        gap = hold_gap(free)
        super().__init__(stream)
        self.owner = owner
        self.figures[_HEAP_BEFORE] = free
        self.path = Path()
        options = owner._context
        if accepted_leaf is not None:
            self.accepted_leaf = accepted_leaf
        self.context = context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.set_ciphers(options.ciphers or DEFAULT_CIPHERS)
        # CERT_NONE is never used: mbedTLS would show us no certificate.
        strict = options.verify and options.trust is not None and accepted_leaf is None
        context.verify_mode = tls.CERT_REQUIRED if strict else tls.CERT_OPTIONAL
        # The session itself, not a bound method of it: that would be one object more.
        context.verify_callback = self
        if options.identity is not None and accepted_leaf is None:
            chain, key = options.identity
            for certificate in chain:
                context.load_cert_chain(certificate, key)
        self.ssl = context.wrap_socket(self, server_hostname=owner._hostname, do_handshake_on_connect=False)
        gap.close()

    @property
    def options(self):
        """The SecureContext."""
        return self.owner._context

    @property
    def hostname(self):
        """The server's name, or None."""
        return self.owner._hostname

    def __enter__(self):
        pass

    def __exit__(self, kind, error, trace):
        if error is not None:
            self.owner._recover(error)
        # If it returns, there is something to go on with.
        return True

    def step(self):
        """Runs the handshake as far as it goes: 0 when it is over, else what to wait for (POLLIN, POLLOUT).

        Raises what tls raises, of which explain() makes the typed error; the caller then closes `ssl` and
        the stream. (No try here: a frame with one lies on the heap, while mbedTLS verifies.)
        """
        if self.want:
            self.want = 0
        count = self.ssl.readinto(_ONE)
        if self.over:
            self.accept()
            self.release()
            self.context = None
            return 0
        if count is not None or self.error is not None:
            # A count is the end of the stream, or data before Finished: no handshake either.
            raise self.explain(None)
        return self.want or self.step()

    def explain(self, error):
        """The typed error for what ended the handshake; None: it ended without an exception."""
        from ..verdict import explain

        return explain(self, error)

    def certificate(self, data, start, stop):
        """Offers anchors for the chain that passes; False: mbedTLS has to read its authmode again."""
        options = self.options
        self.figures[_CERTIFICATE_AT] = ticks_ms()
        if self.anchor_source is not None:
            from ..errors import HandshakeError

            raise HandshakeError("protocol", found="a second Certificate message", stage="Certificate")
        self.anchor_source = ""
        if self.reader.fragmented and (0, 0, 0) < version() < (3, 6, 3):
            from ..errors import UnsupportedFeature

            raise UnsupportedFeature("fragmented", found="mbedTLS %d.%d.%d" % version())
        if options.trust is None or self.accepted_leaf is not None:
            return True
        # What the anchor is made of shall lie above the anchor: below it, it would leave a hole.
        self._gap = hold_room(_ANCHOR_GAP_BYTES)
        proposal = options.trust.propose(data, start, stop, self._offer)
        self._gap = None
        if proposal == _NO_ANCHOR:
            self.path.unanchored = True
        if proposal != _EXACT:
            return True
        self.anchor_source = ITSELF
        self.context.verify_mode = tls.CERT_OPTIONAL
        return False

    def verifies_next(self):
        """Clears the heap for mbedTLS, where there is little."""
        if not has_room(_CHAIN_HEAP_BYTES):
            _overwrite_stack(_STALE_FRAMES)
            gc.collect()
        self.figures[_CHAIN_BYTES] = gc.mem_free()

    def _offer(self, der, source):
        # tls takes bytes only; a view of flash is copied here, and is garbage right away. Where the heap is
        # nearly full, garbage is collected before mbedTLS's parts of the anchor settle above it.
        make_room(_CHAIN_HEAP_BYTES)
        der = bytes(der)
        if len(der) > _LARGE_ANCHOR_BYTES:
            self.path.large = True
        self._gap.close()
        try:
            self.context.load_verify_locations(der)
        except ValueError:
            # What tls says of every failure here, also of a lack of memory.
            from ..verdict import anchor_refused

            raise anchor_refused(der, has_room(_ANCHOR_HEAP_BYTES))
        self.anchor_source = source

    def accept(self):
        """Raises unless the path that mbedTLS has verified is what the caller asked for. Asked before
        the key exchange leaves, its numbers still in the heap, and after the handshake."""
        self.figures[_HEAP_AFTER if self.over else _HEAP_LOWEST] = make_room(0)
        path = self.path
        if (
            self.context.verify_mode == tls.CERT_REQUIRED
            and self.anchor_source in SOURCES
            and path.complete
            and (path.pinned or not self.options.pins)
        ):
            return
        from ..verdict import judge

        judge(self)

    def alert(self):
        """mbedTLS is sending an alert: the only moment at which the heap of a failed verification shows."""
        self.figures[_HEAP_LOWEST] = make_room(0)
        self.path.refused()

    def __call__(self, der, depth):
        # An exception here would leak mbedTLS's memory for good.
        try:
            if not self.path.key:
                # What mbedTLS has made of the chain meanwhile.
                self.figures[_CHAIN_BYTES] -= gc.mem_free()
            trusted = self.options.trust
            if depth == 0:
                self.figures[_VERIFIED_AT] = ticks_ms()
                if self.accepted_leaf is not None:
                    self.path.accepted = der == self.accepted_leaf
                elif self.anchor_source == ITSELF:
                    self.path.accepted = trusted.is_exact(der)
            # Above a certificate that is trusted for itself nothing is verified: no pin counts there.
            leaf_only = trusted is None or self.anchor_source == ITSELF
            self.path.add(der, depth, self.options.pins, leaf_only)
            return 0
        except Exception as error:
            self.error = error
            return _REFUSED

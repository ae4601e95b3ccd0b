"""What a finished or failed handshake tells."""

from time import ticks_diff

from certstore.compat import const
from certstore.fields import read_validity_and_subject
from certstore.names import format_name

from .trust import ITSELF

# Of engine.tap.Tap.figures.
_RECEIVED = const(0)
_SENT = const(1)
_LARGEST = const(2)
_HEAP_BEFORE = const(3)
_HEAP_LOWEST = const(4)
_HEAP_AFTER = const(5)
_CERTIFICATE_AT = const(6)
_VERIFIED_AT = const(7)

_NO_FIGURES = (None,) * 8


class Report:
    """A connection's facts as they are now; None where there is none.

    stage: "resolve", "connect", "handshake" or "open", at failures the one that failed; error: what ended
    the connection; reason: its code. resolve_ms, connect_ms, handshake_ms: milliseconds of each stage;
    verify_ms, of the last: from the last byte of the server's Certificate message to mbedTLS's verdict.
    heap_before, heap_lowest, heap_after: free bytes before the session was made, at the lowest of the moments
    looked at, and after the handshake. bytes_received, bytes_sent: up to the end of the handshake;
    largest_record: the most that a record held. With the option `trace` these four are of the whole
    connection, and heap_lowest is of every event. cipher, version: names, while it is open; resumed: whether
    an earlier session went on, which this engine never does. chain: subjects (RFC 4514) from the server's
    certificate to the anchor, or as far as mbedTLS came (empty where the heap was too short to keep them);
    anchor: the last of them; anchor_source: "store", "certificate" (given as trust=), or None where no anchor
    decided. budget: the budget.Estimate that it started with.
    """

    resumed = False

    def __init__(self, stream):
        self.resolve_ms = stream.resolve_ms
        self.connect_ms = stream.connect_ms
        self.stage = stream.stage
        self.error = stream._error
        self.reason = self.error.code if self.error else None
        # While the handshake runs the stream keeps the tick of its start there.
        running = self.stage == "handshake" and self.error is None
        self.handshake_ms = None if running else stream.handshake_ms
        figures = stream._figures or (stream._session.figures if stream._session else _NO_FIGURES)
        self.bytes_received = figures[_RECEIVED]
        self.bytes_sent = figures[_SENT]
        self.largest_record = figures[_LARGEST]
        # 0 is what was not looked at.
        self.heap_before = figures[_HEAP_BEFORE] or None
        self.heap_lowest = figures[_HEAP_LOWEST] or None
        self.heap_after = figures[_HEAP_AFTER] or None
        if self.heap_after:
            self.heap_lowest = min(self.heap_lowest or self.heap_after, self.heap_after)
        shown, verified = figures[_CERTIFICATE_AT], figures[_VERIFIED_AT]
        self.verify_ms = ticks_diff(verified, shown) if shown and verified else None
        tracer = stream._tracer
        if tracer and tracer.received:
            self.bytes_received = tracer.received.total
            self.bytes_sent = tracer.sent.total
            self.largest_record = max(tracer.received.largest, tracer.sent.largest)
            self.heap_lowest = tracer.lowest or self.heap_lowest
        self.cipher, self.version = stream.cipher() or (None, None)
        self.anchor_source = stream._anchor_source
        names = stream._path.names if stream._path else ()
        if self.anchor_source == ITSELF:
            # A certificate that is trusted for itself is its own anchor: its issuers were not asked.
            names = names[:1]
        self.chain = [format_name(read_validity_and_subject(der)[0]) for der in names]
        self.anchor = self.chain[-1] if self.anchor_source and self.chain else None
        self.budget = getattr(stream, "_budget", None)

    def __repr__(self):
        lines = ["stage         " + self.stage]
        for label, value in (
            ("resolve", self.resolve_ms),
            ("connect", self.connect_ms),
            ("handshake", self.handshake_ms),
            ("verify", self.verify_ms),
        ):
            if value is not None:
                lines.append("%-13s %d ms" % (label, value))
        if self.heap_before:
            heap = ["{:,} before".format(self.heap_before)]
            for label, value in (("lowest", self.heap_lowest), ("after", self.heap_after)):
                if value:
                    heap.append("{:,} {}".format(value, label))
            lines.append("heap free     " + ", ".join(heap))
        if self.bytes_received is not None:
            lines.append(
                "bytes         {:,} received, {:,} sent, largest record {:,}".format(
                    self.bytes_received, self.bytes_sent, self.largest_record
                )
            )
        if self.budget:
            lines.append("budget        %r" % self.budget)
        if self.cipher:
            lines.append("cipher        %s, %s" % (self.cipher, self.version))
        for depth, subject in enumerate(self.chain):
            lines.append("chain[%d]      %s" % (depth, subject))
        if self.anchor:
            lines.append("anchor        %s (from the %s)" % (self.anchor, self.anchor_source))
        if self.error:
            lines.append("reason        " + self.reason)
            lines.append("error         %r" % self.error)
        return "\n".join(lines)

"""What a finished or failed handshake tells."""

from certstore.fields import read_validity_and_subject
from certstore.names import format_name


class Report:
    """A connection's facts as they are now.

    resolve_ms, connect_ms, handshake_ms: milliseconds, None where that stage was not run. stage:
    "resolve", "connect", "handshake" or "open"; error: what ended the connection, or None; cipher,
    version: names, while it is open; chain: subjects (RFC 4514) from the server's certificate to the
    anchor, or as far as mbedTLS came (empty where the heap was too short to keep them); anchor: the last
    of them; anchor_source: "store", "certificate" (given as trust=), or None where no anchor decided.
    """

    def __init__(self, stream):
        self.resolve_ms = stream.resolve_ms
        self.connect_ms = stream.connect_ms
        self.stage = stream.stage
        self.error = stream._error
        # While the handshake runs the stream keeps the tick of its start there.
        running = self.stage == "handshake" and self.error is None
        self.handshake_ms = None if running else stream.handshake_ms
        self.cipher, self.version = stream.cipher() or (None, None)
        self.chain = [format_name(read_validity_and_subject(der)[0]) for der in stream._names]
        self.anchor_source = stream._anchor_source
        self.anchor = self.chain[-1] if self.anchor_source and self.chain else None

    def __repr__(self):
        lines = ["stage         " + self.stage]
        for label, value in (
            ("resolve", self.resolve_ms),
            ("connect", self.connect_ms),
            ("handshake", self.handshake_ms),
        ):
            if value is not None:
                lines.append("%-13s %d ms" % (label, value))
        if self.cipher:
            lines.append("cipher        %s, %s" % (self.cipher, self.version))
        for depth, subject in enumerate(self.chain):
            lines.append("chain[%d]      %s" % (depth, subject))
        if self.anchor:
            lines.append("anchor        %s (from the %s)" % (self.anchor, self.anchor_source))
        if self.error:
            lines.append("error         %r" % self.error)
        return "\n".join(lines)

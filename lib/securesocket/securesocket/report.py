"""What a finished or failed handshake tells."""

from certstore.names import format_name


class Report:
    """resolve_ms, connect_ms, handshake_ms: milliseconds, None where that stage was not run.

    stage: "resolve", "connect", "handshake" or "open"; error: what ended it, or None; cipher, version:
    names; chain: subjects (RFC 4514) from the server's certificate to the anchor; anchor: the last of
    them; anchor_source: "store", "certificate" (given as trust=), or None where no anchor decided.
    """

    def __init__(self):
        self.resolve_ms = None
        self.connect_ms = None
        self.handshake_ms = None
        self.stage = "connect"
        self.error = None
        self.cipher = None
        self.version = None
        self.anchor_source = None
        self._names = ()

    def verified(self, names, source):
        """names: (subject in DER, notBefore, notAfter) of the verified path, from the server's up."""
        self._names = names
        self.anchor_source = source

    @property
    def chain(self):
        return [format_name(name[0]) for name in self._names]

    @property
    def anchor(self):
        return format_name(self._names[-1][0]) if self.anchor_source else None

    def __repr__(self):
        lines = ["stage         %s" % self.stage]
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
        if self.anchor_source:
            lines.append("anchor        %s (from the %s)" % (self.anchor, self.anchor_source))
        if self.error:
            lines.append("error         %r" % self.error)
        return "\n".join(lines)

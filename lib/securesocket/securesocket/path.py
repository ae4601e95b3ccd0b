"""The certificates that mbedTLS itself parsed and put in a path, as its verify callback showed them.

Every decision after the handshake (pins, the accepted leaf, peer_certificate, the report) stands on
these bytes, never on those that passed on the wire.
"""

import gc
from hashlib import sha256

from certstore.certificate import Certificate
from certstore.compat import const

# mbedTLS's own allocations while it verifies one signature come to less than this on every key that its
# default profile accepts; below it "not signed" may mean "not enough memory to tell" (see docs/memory).
VERIFY_HEAP_BYTES = const(8192)


class Path:
    """Filled by add(), from the top of the path down to the server's certificate.

    leaf: DER of the server's own certificate, or None; names[depth]: (subject in DER, notBefore, notAfter)
    of each; pinned: a key of the path is pinned; short_of_heap: less than VERIFY_HEAP_BYTES were free.
    top_issuer, top_aki: who should have issued the topmost certificate; top_fingerprint: its SHA-256 where
    it is self-issued and no anchor was offered (unanchored), for a message that lets its owner compare it.
    """

    # Defaults live in the class: at the moment of a handshake's peak every attribute of ours counts.
    leaf = None
    pinned = False
    short_of_heap = False
    unanchored = False
    top_issuer = top_aki = top_fingerprint = None

    def __init__(self):
        self.names = []

    def refused(self):
        """mbedTLS is about to say no, with its chain still allocated: note whether it had the heap to tell."""
        self.short_of_heap = _is_short()

    def add(self, der, depth, pins, leaf_only):
        """One certificate of the path; pins: SHA-256 digests, looked for in the leaf only if leaf_only."""
        certificate = Certificate(der)
        subject = bytes(certificate.subject)
        if not self.names:
            self._add_top(certificate, subject)
        if pins and (depth == 0 or not leaf_only):
            if sha256(certificate.public_key_info).digest() in pins:
                self.pinned = True
        self.names.insert(0, (subject, certificate.not_before, certificate.not_after))
        if depth == 0:
            self.leaf = bytes(der)

    def _add_top(self, certificate, subject):
        if certificate.issuer == subject:
            self.top_issuer = subject
            if self.unanchored:
                self.top_fingerprint = certificate.fingerprint()
                self.top_aki = certificate.aki
        else:
            self.top_issuer = bytes(certificate.issuer)
            self.top_aki = certificate.aki


def _is_short():
    if gc.mem_free() >= VERIFY_HEAP_BYTES:
        return False
    gc.collect()
    return gc.mem_free() < VERIFY_HEAP_BYTES

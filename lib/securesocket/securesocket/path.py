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
    of each; pinned: a key of the path is in `pins`; short_of_heap: less than VERIFY_HEAP_BYTES were free.
    top_issuer, top_aki: who should have issued the topmost certificate; top_fingerprint: its SHA-256 where
    it is self-issued and no anchor was offered (unanchored), for a message that lets its owner compare it.
    """

    def __init__(self, pins, leaf_only):
        self.leaf = None
        self.names = []
        self.pinned = False
        self.short_of_heap = False
        self.unanchored = False
        self.top_issuer = self.top_aki = self.top_fingerprint = None
        self._pins = pins
        self._leaf_only = leaf_only

    def add(self, der, depth):
        certificate = Certificate(der)
        if not self.names:
            self.short_of_heap = _is_short()
            self.top_issuer = bytes(certificate.issuer)
            self.top_aki = certificate.aki
            if self.unanchored and certificate.issuer == certificate.subject:
                self.top_fingerprint = sha256(der).digest()
        if self._pins and (depth == 0 or not self._leaf_only):
            if _among(sha256(certificate.public_key_info).digest(), self._pins):
                self.pinned = True
        self.names.insert(0, (bytes(certificate.subject), certificate.not_before, certificate.not_after))
        if depth == 0:
            self.leaf = bytes(der)


def _among(digest, pins):
    return any(digest == pin for pin in pins)


def _is_short():
    if gc.mem_free() >= VERIFY_HEAP_BYTES:
        return False
    gc.collect()
    return gc.mem_free() < VERIFY_HEAP_BYTES

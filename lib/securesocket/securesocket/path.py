"""The certificates that mbedTLS itself parsed and put in a path, as its verify callback showed them.

Every decision after the handshake (pins, the accepted leaf, peer_certificate, the report) stands on
these bytes, never on those that passed on the wire.
"""

from hashlib import sha256

from certstore.certificate import Certificate
from certstore.compat import const, has_room

# What verifying one signature takes (heap_table_32: 6,272 bytes, with RSA beyond 2048 bits 10,096), and a
# quarter more; with less "not signed" may mean "not enough memory to tell".
_VERIFY_HEAP_BYTES = const(8192)
_VERIFY_LARGE_HEAP_BYTES = const(12800)
_RSA_2048_KEY_INFO_BYTES = const(294)


class Path:
    """Filled by add(), from the top of the path down to the server's certificate.

    complete: the server's own certificate was shown; accepted: it is the one the caller has fixed;
    pinned: a key of the path is pinned; key: bytes of its largest SubjectPublicKeyInfo. leaf: its DER;
    names[depth]: validity and subject of each, as they follow one another in DER. leaf and names only
    explain: with less than 8 KB to spare they are not kept (None, empty), since the rest of the handshake
    needs that memory. short_of_heap: mbedTLS had less than it may need when it said no; large: an anchor
    was offered whose key may be larger than RSA 2048. top_issuer, top_aki: who should have issued the
    topmost certificate; top_fingerprint: its SHA-256 where it is self-issued and no anchor was offered
    (unanchored), for a message that lets its owner compare it.
    """

    # Defaults live in the class: at the moment of a handshake's peak every attribute of ours counts.
    leaf = roomy = None
    key = 0
    large = False
    complete = False
    accepted = False
    pinned = False
    short_of_heap = False
    unanchored = False
    names = ()
    top_issuer = top_aki = top_fingerprint = None

    def refused(self):
        """mbedTLS is about to say no, its chain still allocated: note whether it had the heap to tell."""
        large = self.large or self.key > _RSA_2048_KEY_INFO_BYTES
        self.short_of_heap = not has_room(_VERIFY_LARGE_HEAP_BYTES if large else _VERIFY_HEAP_BYTES)

    def add(self, der, depth, pins, leaf_only):
        """One certificate of the path; pins: SHA-256 digests, looked for in the leaf only if leaf_only."""
        certificate = Certificate(der)
        if self.roomy is None:
            self.roomy = self.unanchored or has_room(_VERIFY_HEAP_BYTES)
            if self.roomy:
                self._add_top(certificate)
        if self.roomy:
            self.names = (bytes(certificate.validity_and_subject),) + self.names
        self.key = max(self.key, len(certificate.public_key_info))
        if pins and (depth == 0 or not leaf_only):
            if sha256(certificate.public_key_info).digest() in pins:
                self.pinned = True
        if depth == 0:
            self.complete = True
            certificate = None
            if has_room(_VERIFY_HEAP_BYTES):
                self.leaf = bytes(der)
            else:
                self.names = ()

    def _add_top(self, certificate):
        self.top_issuer = bytes(certificate.issuer)
        if certificate.issuer == certificate.subject:
            # A root that was sent along: its key is its own issuer's.
            self.top_aki = certificate.ski
            if self.unanchored:
                self.top_fingerprint = certificate.fingerprint()
        else:
            self.top_aki = certificate.aki

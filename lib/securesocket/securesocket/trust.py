"""Which trust anchors are offered to mbedTLS, and what a verified path must still satisfy.

Verified, in this order (each by mbedTLS, in CERT_REQUIRED mode, unless it says otherwise):
  1. the clock is not before the store's build time or a given anchor's notBefore (here, before connecting)
  2. a path from the server's certificate to an offered anchor: names, signatures, CA, pathLen, keyCertSign
  3. notBefore and notAfter of every certificate of the path
  4. key sizes, curves and hashes (mbedTLS's default profile: RSA 2048, P-256, SHA-256 and up)
  5. the host name, against subjectAltName, or against the CN of a certificate that has none
  6. keyUsage and extendedKeyUsage of the server's certificate
  7. that the server holds the certificate's key (ServerKeyExchange's signature)
  8. pins, if any: one key of the verified path is among them (here, before the client's next message)
  9. Finished: both saw the same handshake
A certificate in the trust set that is no CA stands for itself: 2, 4 and 6 do not apply to it.

Not verified: revocation (CRL, OCSP), certificate transparency, name constraints of intermediates
(mbedTLS refuses them when critical), policies; with trust=None: anything but the pinned key.

This module only proposes. Anchors are chosen from bytes that the peer sent in the clear; if they are
wrong ones mbedTLS says no, and nothing here turns that into a yes.
"""

from certstore.certificate import Certificate
from certstore.compat import const
from certstore.subjects import same_name, subject_hash

from .handshake import MAX_CERTIFICATES, next_certificate

_CERTIFICATE_LIST_HEADER = const(3)
# certstore.store.ANCHOR; imported from there, it would take the whole store with it.
_ANCHOR = const(1)

# Results of TrustSet.propose; engine.stock has them as well.
_NO_ANCHOR = const(0)
_ANCHORS = const(1)
_EXACT = const(2)

# Where an anchor came from; ITSELF: the server's certificate is trusted for itself (EXACT).
SOURCES = ("store", "certificate")
ITSELF = "exact"


class TrustSet:
    """Anchors from stores and from single certificates, searched by subject and key identifier.

    stores: CertStore objects; certificates: DER. Holds nothing per root of a store.
    """

    def __init__(self, stores, certificates):
        self._stores = stores
        self._own = [(subject_hash(Certificate(der).subject), der) for der in certificates]

    def floor(self):
        """The time that the clock must have passed, in seconds since 1970 (0 where nothing tells)."""
        times = [store.build_time for store in self._stores]
        times += [Certificate(der).not_before for _, der in self._own]
        return max(times) if times else 0

    def propose(self, data, start, stop, load):
        """Chooses anchors for the certificate_list at data[start:stop] (RFC 5246 7.4.2).

        Calls load(der, source) for each anchor to offer, and returns ANCHORS; NO_ANCHOR if no
        certificate of the list has any; EXACT if the first certificate itself is trusted but not
        self-issued, which mbedTLS cannot express. Raises FormatError, StoreError, HandshakeError
        (more than MAX_CERTIFICATES), UnsupportedFeature (no list of certificates).
        """
        view = memoryview(data)
        pos = start + _CERTIFICATE_LIST_HEADER
        if pos >= stop or pos + (data[start] << 16 | data[start + 1] << 8 | data[start + 2]) != stop:
            raise _unreadable()
        count = 0
        result = _NO_ANCHOR
        while pos < stop:
            end = next_certificate(data, pos, stop)
            if end < 0:
                raise _unreadable()
            if count == MAX_CERTIFICATES:
                from .errors import HandshakeError

                raise HandshakeError("certificate-limit", expected="at most %d" % MAX_CERTIFICATES)
            if result == _NO_ANCHOR:
                certificate = Certificate(view[pos + 3 : end])
                if count == 0:
                    result = self._propose_itself(certificate, load)
                if result == _NO_ANCHOR:
                    result = self._propose_issuers(certificate, load)
            pos = end
            count += 1
        if result == _NO_ANCHOR:
            # A miss is only believed of a store whose every byte has been checked.
            for store in self._stores:
                if not store.verified:
                    store.verify()
        return result

    def _propose_itself(self, certificate, load):
        for store, where in self._named(certificate.subject):
            der = where if store is None else store.certificate(where)
            # A packed anchor has other bytes than its certificate had; it is found as its own issuer.
            if der == certificate.der:
                if not _equal(certificate.issuer, certificate.subject):
                    return _EXACT
                load(der, _source(store))
                return _ANCHORS
        return _NO_ANCHOR

    def _propose_issuers(self, certificate, load):
        result = _NO_ANCHOR
        for der, source in self.issuers(certificate.issuer, certificate):
            load(der, source)
            result = _ANCHORS
        return result

    def issuers(self, name, issued=None):
        """Yields (DER, one of SOURCES) of the CA anchors with this subject; those whose SKI is the AKI of
        `issued` (a Certificate) first."""
        found = self._named(name)
        if len(found) > 1 and issued is not None:
            wanted = issued.aki
            found.sort(key=lambda one: _ski(one) != wanted)
        for store, where in found:
            der = where if store is None else store.certificate(where)
            anchor = Certificate(der)
            # What a store keeps as ANCHOR was found to be a CA's when it was built.
            is_ca = anchor.may_issue if store is None else store.kind(where) == _ANCHOR
            if is_ca and _equal(anchor.subject, name):
                yield der, _source(store)

    def _named(self, name):
        """[(store, number)] and [(None, DER)] of what has a subject with this name's hash."""
        wanted = subject_hash(name)
        found = [(None, der) for known, der in self._own if known == wanted]
        for store in self._stores:
            number = store.find_subject(wanted)
            while number >= 0:
                found.append((store, number))
                number = store.find_subject(wanted, number)
        return found

    def is_exact(self, der):
        """Whether this very certificate (equal bytes) is trusted."""
        for store, where in self._named(Certificate(der).subject):
            if der == (where if store is None else store.certificate(where)):
                return True
        return False


def _equal(a, b):
    return a == b or same_name(a, b)


def _source(store):
    return SOURCES[1] if store is None else SOURCES[0]


def _ski(one):
    store, where = one
    return Certificate(where).ski if store is None else store.ski(where)


def _unreadable():
    from .errors import UnsupportedFeature

    return UnsupportedFeature("no-certificate")

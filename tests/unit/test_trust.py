"""securesocket.trust: which anchors are proposed for what a server shows."""

import securesocket.handshake as handshake
from certstore import anchors
from certstore.asn1 import encode
from certstore.certificate import Certificate
from certstore.errors import CorruptStore, SecureSocketError
from certstore.layers import LayeredStore
from certstore.store import CertStore
from securesocket.errors import HandshakeError, UnsupportedFeature
from securesocket.handshake import HandshakeReader
from securesocket.trust import TrustSet
from support import EC_KEY, ON_MICROPYTHON, certificate_der, common_name, extension, made, raises, vector

ROOT_EC = vector("flights/root_ec.der")
ROOT_RSA = vector("flights/root_rsa.der")
STRIDE = 11 if ON_MICROPYTHON else 1
# Private constants of securesocket.handshake and securesocket.trust.
CERTIFICATE = 2
NO_ANCHOR, ANCHORS, EXACT = range(3)


def message(name):
    """The body of a flight's Certificate message."""
    data = vector("flights/%s.bin" % name)
    reader = HandshakeReader()
    pos = 0
    while reader.event != CERTIFICATE:
        pos = reader.receive(data, pos, len(data))
    return bytes(memoryview(reader.message)[reader.start : reader.stop])


def chain(*ders):
    """A certificate_list (RFC 5246 7.4.2)."""
    body = b"".join(bytes((len(der) >> 16, len(der) >> 8 & 255, len(der) & 255)) + der for der in ders)
    return bytes((len(body) >> 16, len(body) >> 8 & 255, len(body) & 255)) + body


def parts(body):
    found = []
    pos = 3
    while pos < len(body):
        end = handshake.next_certificate(body, pos, len(body))
        found.append(body[pos + 3 : end])
        pos = end
    return found


def store(*ders):
    return CertStore(anchors.build(ders, 1700000000))


def laid_out(der):
    """What a store hands out for this anchor."""
    return bytes(store(der).certificate(0))


KEPT_EC, KEPT_RSA = laid_out(ROOT_EC), laid_out(ROOT_RSA)


def propose(trust_set, body):
    offered = []
    result = trust_set.propose(body, 0, len(body), lambda der, source: offered.append((bytes(der), source)))
    return result, offered


EC = message("openssl_ec")
LEAF, INTERMEDIATE = parts(EC)


def test_the_root_that_the_server_did_not_send_is_found_in_a_store():
    assert propose(TrustSet((store(ROOT_EC, ROOT_RSA),), ()), EC) == (ANCHORS, [(KEPT_EC, "store")])


def test_the_root_is_found_among_given_certificates():
    assert propose(TrustSet((), (ROOT_RSA, ROOT_EC)), EC) == (ANCHORS, [(ROOT_EC, "certificate")])


def test_every_recorded_server_finds_its_root():
    trust_set = TrustSet((store(ROOT_EC, ROOT_RSA),), ())
    for name, root in (("openssl_rsa", KEPT_RSA), ("gnutls_ec", KEPT_EC), ("fragmented_ec", KEPT_EC)):
        assert propose(trust_set, message(name)) == (ANCHORS, [(root, "store")]), name


def test_no_certificate_of_the_chain_has_an_anchor():
    assert propose(TrustSet((store(ROOT_RSA),), ()), EC) == (NO_ANCHOR, [])


def test_a_miss_is_believed_only_of_a_store_that_is_whole():
    blob = bytearray(anchors.build((ROOT_RSA,), 1700000000))
    blob[-40] ^= 1
    damaged = CertStore(bytes(blob))
    raises(CorruptStore, "store-check", propose, TrustSet((damaged,), ()), EC)


def test_the_first_certificate_with_an_anchor_decides():
    result, offered = propose(TrustSet((), (INTERMEDIATE, ROOT_EC)), EC)
    assert (result, offered) == (ANCHORS, [(INTERMEDIATE, "certificate")])


def test_a_root_sent_along_is_found_by_its_own_name():
    assert propose(TrustSet((), (ROOT_EC,)), chain(LEAF, INTERMEDIATE, ROOT_EC))[0] == ANCHORS
    assert propose(TrustSet((), (ROOT_EC,)), chain(ROOT_EC))[0] == ANCHORS


def ca(ski, key=EC_KEY):
    """A CA; its key tells it from others when it comes out of a store."""
    return made(
        key=key, extensions=(extension(19, encode(0x30, b"\1\1\xff")), extension(14, encode(0x04, ski)))
    )


def other_key(byte):
    return EC_KEY[:-64] + byte * 64


def test_all_anchors_of_one_name_are_offered_the_one_with_the_right_ski_first():
    three = [ca(ski * 20, other_key(ski)) for ski in (b"a", b"b", b"c")]
    issued = made(extensions=(extension(35, encode(0x30, encode(0x80, b"b" * 20))),))
    for trust_set, source, kept in (
        (TrustSet((store(*three),), ()), "store", [laid_out(der) for der in three]),
        (TrustSet((), three), "certificate", three),
    ):
        result, offered = propose(trust_set, chain(issued))
        assert result == ANCHORS
        assert offered[0] == (kept[1], source)
        assert sorted(offered) == sorted((der, source) for der in kept)


def test_two_anchors_with_one_name_and_one_ski_are_both_offered():
    both = [ca(b"a" * 20, other_key(byte)) for byte in (b"x", b"y")]
    issued = made(extensions=(extension(35, encode(0x30, encode(0x80, b"a" * 20))),))
    result, offered = propose(TrustSet((store(*both),), ()), chain(issued))
    assert result == ANCHORS
    assert sorted(der for der, _ in offered) == sorted(laid_out(der) for der in both)


def test_a_root_out_of_a_store_is_found_by_its_own_name_when_it_is_the_server():
    # Laid out it has other bytes than the server shows; it is its issuer all the same.
    assert propose(TrustSet((store(ROOT_EC),), ()), chain(ROOT_EC)) == (ANCHORS, [(KEPT_EC, "store")])


def test_layers_are_one_store():
    layered = LayeredStore(store(ROOT_EC, ROOT_RSA), "no-changes-here.bin")
    assert propose(TrustSet((layered,), ()), EC) == (ANCHORS, [(KEPT_EC, "store")])
    assert propose(TrustSet((layered,), ()), message("openssl_rsa")) == (ANCHORS, [(KEPT_RSA, "store")])
    stranger = chain(made(name=common_name(b"nobody")))
    assert propose(TrustSet((layered,), ()), stranger) == (NO_ANCHOR, [])
    assert layered.verified


def test_a_certificate_that_is_no_ca_is_trusted_for_itself_only():
    leaf_only = TrustSet((), (LEAF,))
    assert propose(leaf_only, EC) == (EXACT, [])
    assert leaf_only.is_exact(LEAF) and not leaf_only.is_exact(INTERMEDIATE)


def test_a_certificate_that_is_no_ca_issues_nothing():
    # The intermediate's subject is the leaf's issuer; a CA:FALSE certificate of that name must not serve.
    version1 = certificate_der("version1")
    issued_by_version1 = Certificate(version1)
    assert not issued_by_version1.may_issue
    trust_set = TrustSet((store(version1),), ())
    for _ in trust_set.issuers(issued_by_version1.subject):
        raise AssertionError("a version 1 certificate was offered as a CA")


def test_a_self_issued_leaf_that_is_trusted_for_itself_is_offered_to_mbedtls():
    version1 = certificate_der("version1")
    assert propose(TrustSet((), (version1,)), chain(version1)) == (
        ANCHORS,
        [(version1, "certificate")],
    )


def test_exact_means_equal_bytes():
    changed = bytearray(LEAF)
    changed[-1] ^= 1
    assert propose(TrustSet((), (bytes(changed),)), EC)[0] == NO_ANCHOR


def test_only_the_first_certificate_is_compared_with_exact_ones():
    assert propose(TrustSet((), (LEAF,)), chain(INTERMEDIATE, LEAF))[0] == NO_ANCHOR


def test_ten_certificates_are_read_and_no_eleventh():
    trust_set = TrustSet((), (ROOT_RSA,))
    assert propose(trust_set, chain(*([INTERMEDIATE] * 10)))[0] == NO_ANCHOR
    raises(HandshakeError, "certificate-limit", propose, trust_set, chain(*([INTERMEDIATE] * 11)))


def test_a_list_that_is_empty_or_does_not_fit_is_refused():
    trust_set = TrustSet((), (ROOT_RSA,))
    for body in (b"", b"\0\0\0", b"\0\0\1", EC[:-1], EC + b"\0", b"\0\0\3\0\0\0", b"\0\0\4\0\0\2a"):
        raises(UnsupportedFeature, "no-certificate", propose, trust_set, body)


def test_any_damage_gives_a_proposal_or_a_typed_error():
    trust_set = TrustSet((store(ROOT_EC),), ())
    for stop in range(0, len(EC), STRIDE):
        raises(UnsupportedFeature, "no-certificate", propose, trust_set, EC[:stop])
    body = bytearray(EC)
    for at in range(0, len(body), STRIDE):
        old = body[at]
        for value in (0, 0x80, 0xFF, old ^ 1):
            body[at] = value
            try:
                _, offered = propose(trust_set, bytes(body))
            except SecureSocketError:
                continue
            assert offered in ([], [(KEPT_EC, "store")])
        body[at] = old


def test_the_floor_is_the_latest_of_build_times_and_given_anchors():
    assert TrustSet((store(ROOT_EC),), ()).floor() == 1700000000
    not_before = Certificate(ROOT_EC).not_before
    assert TrustSet((store(ROOT_EC),), (ROOT_EC,)).floor() == max(1700000000, not_before)
    assert TrustSet((), (ROOT_EC,)).floor() == not_before

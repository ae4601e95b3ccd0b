"""on_bad_certificate: who is asked about what, and what an answer can and cannot do."""

import pytest

from plugins.peers import (
    Proxy,
    PythonServer,
    RawServer,
    certificates,
    cut_after,
    plain,
    says,
    silent,
    stall_after,
)
from plugins.pki import DAY, NOW, make, sha256


@pytest.mark.parametrize("how", ["socket", "open"])
def test_true_takes_this_certificate(attempt, build, pki, servers, how):
    got = attempt(
        build, how=how, port=servers.python(pki.foreign), secure={"trust": pki.root.der}, answer=True
    )
    assert got["reply"] == "ping\n"
    assert got["asked"] == [[["UnknownIssuer", "unknown-issuer"], ["CertificateError", "not-checked"]]]
    assert got["authorized"] is False
    assert got["authorization_error"]["code"] == "unknown-issuer"
    assert got["anchor"] is None and got["anchor_source"] is None
    assert bytes.fromhex(got["certificate"]) == pki.foreign[0].der


@pytest.mark.parametrize("answer", [False, None, 1, "True", 0, [True]], ids=repr)
@pytest.mark.parametrize("how", ["socket", "open"])
def test_only_true_is_a_yes(attempt, build, pki, servers, how, answer):
    server = servers.start(PythonServer, pki.foreign)
    got = attempt(build, how=how, port=server.port, secure={"trust": pki.root.der}, answer=answer)
    assert got["error"]["code"] == "unknown-issuer" and len(got["asked"]) == 1
    assert server.count == 1, "it connected again"
    assert server.received == {}


# what, chain, more options, the failures
ASKED = (
    ("expired", lambda p: p.chain(not_after=NOW - DAY), {}, ["Expired"]),
    ("not yet valid", lambda p: p.chain(not_before=NOW + DAY), {}, ["NotYetValid"]),
    ("wrong host", lambda p: p.ec, {"server_name": "wrong.test"}, ["HostnameMismatch"]),
    ("weak key", lambda p: p.chain(key="rsa1024"), {}, ["WeakKey"]),
    ("pin", lambda p: p.ec, {"pins": bytes(32)}, ["PinMismatch"]),
    ("expired, wrong host, unknown, pin", lambda p: [make("x", p.stranger, hosts=("x",), not_after=NOW - DAY)],
     {"pins": bytes(32)}, ["UnknownIssuer", "Expired", "HostnameMismatch", "PinMismatch", "CertificateError"]),
)  # fmt: skip


@pytest.mark.parametrize(("what", "chain", "options", "failures"), ASKED, ids=[row[0] for row in ASKED])
def test_all_failures_are_told(attempt, build, pki, servers, what, chain, options, failures):
    port = servers.python(chain(pki))
    got = attempt(build, port=port, secure={"trust": pki.root.der, **options}, answer=False)
    assert [failure[0] for failure in got["asked"][0]] == failures
    assert got["error"]["failures"] == got["asked"][0]
    got = attempt(build, port=port, secure={"trust": pki.root.der, **options}, answer=True)
    assert got["reply"] == "ping\n" and got["authorized"] is False
    assert got["authorization_error"]["class"] == failures[0]


def test_second_connection_shows_no_identity_and_sends_nothing_early(attempt, build, pki, servers):
    server = servers.start(PythonServer, pki.foreign, client_ca=pki.device_root.pem)
    proxy = servers.start(Proxy, server.port)
    identity = ([member.der for member in pki.device], pki.device[0].private())
    got = attempt(build, port=proxy.port, secure={"trust": pki.root.der, "identity": identity}, answer=True)
    assert got["reply"] == "ping\n" and server.count == 2
    assert certificates(proxy.sent[0]) is None
    assert certificates(proxy.sent[1]) == [] and server.peers[1] is None
    assert server.received == {1: b"ping\n"}


def twins(pki):
    """Two leaves that differ in their bytes alone: same name, same key, same issuer."""
    return [pki.foreign, [make("localhost", pki.foreign[1], key=pki.foreign[0].key), pki.foreign[1]]]


@pytest.mark.parametrize("how", ["socket", "open"])
def test_leaf_that_changes_between_the_connections_is_refused(attempt, build, pki, servers, how):
    other = [make("localhost", pki.foreign[1]), pki.foreign[1]]
    behind = [*other, pki.foreign[0]]  # the accepted one, sent along
    for chain in (twins(pki)[1], other, behind):
        second = servers.start(PythonServer, chain)
        proxy = servers.start(Proxy, servers.python(pki.foreign), second.port)
        got = attempt(build, how=how, port=proxy.port, secure={"trust": pki.root.der}, answer=True)
        assert (got["error"]["class"], got["error"]["code"]) == ("CertificateError", "leaf-changed")
        assert len(got["asked"]) == 1 and proxy.count == 2
        assert "reply" not in got and second.received == {}
        assert bytes.fromhex(got["error"]["certificate"]) == chain[0].der


def test_changed_leaf_is_refused_before_an_answer_of_ours(attempt, build, pki, servers):
    """Nothing after the second server's flight but an alert: no key exchange, no Finished."""
    proxy = servers.start(Proxy, servers.python(pki.foreign), servers.python(twins(pki)[1]))
    got = attempt(build, port=proxy.port, secure={"trust": pki.root.der}, answer=True)
    assert got["error"]["code"] == "leaf-changed"
    assert certificates(proxy.sent[1]) is None and b"\x14\x03\x03" not in proxy.sent[1]


def test_leaf_that_becomes_trusted_is_still_only_accepted(attempt, build, pki, servers):
    """What was asked about is the first chain; the second connection gives no authority back."""
    chain = [pki.ec[0], pki.ec[1]]
    proxy = servers.start(Proxy, servers.python(chain[:1]), servers.python(chain))
    got = attempt(build, port=proxy.port, secure={"trust": pki.root.der}, answer=True)
    assert got["reply"] == "ping\n" and got["authorized"] is False and got["anchor_source"] is None


# what, peer, error code: not about a certificate
NOT_ASKED = (
    ("no TLS", lambda p, s: s.start(RawServer, says(b"HTTP/1.0 400 Bad Request\r\n\r\n")).port, "not-tls"),
    ("alert", lambda p, s: s.start(RawServer, says(b"\x15\3\3\0\2\2\x28")).port, "alert"),
    ("closed", lambda p, s: s.start(Proxy, (s.python(p.foreign), cut_after(100))).port, "peer-closed"),
    ("silence", lambda p, s: s.start(RawServer, silent).port, "timeout"),
    ("stalls in the certificate", lambda p, s: s.start(Proxy, (s.python(p.foreign), stall_after(300))).port, "timeout"),
    ("too many certificates", lambda p, s: s.python([p.foreign[0], *[p.foreign[1]] * 10]), "certificate-limit"),
)  # fmt: skip


@pytest.mark.parametrize(("what", "peer", "code"), NOT_ASKED, ids=[row[0] for row in NOT_ASKED])
def test_protocol_is_not_asked_about(attempt, build, pki, servers, what, peer, code):
    port = peer(pki, servers)
    got = attempt(build, port=port, secure={"trust": pki.root.der}, answer=True, timeout_ms=500)
    assert got["error"]["code"] == code and got["asked"] == []


def test_memory_is_not_asked_about(attempt, pki, servers):
    """Between the heap that carries nothing and the one that carries a refusal with its reasons."""
    port = servers.python(pki.chain(not_after=NOW - DAY))
    kinds = set()
    for size in range(46, 80, 2):
        got = attempt("stock32", port=port, secure={"trust": pki.root.der}, answer=False, heapsize=f"{size}k")
        kinds.add(got["error"]["class"])
        assert got["error"]["class"] in ("MemoryBudgetError", "Expired"), got
        if got["error"]["class"] == "MemoryBudgetError":
            assert got["asked"] == []
    assert kinds == {"MemoryBudgetError", "Expired"}, "the steps do not reach both sides"


@pytest.mark.parametrize("how", ["socket", "open"])
def test_second_connection_has_the_same_deadline(attempt, build, pki, servers, how):
    port = servers.python(pki.foreign)
    proxy = servers.start(Proxy, port, (port, stall_after(0)))
    got = attempt(
        build, how=how, port=proxy.port, secure={"trust": pki.root.der}, answer=True, timeout_ms=700
    )
    assert got["error"]["code"] == "timeout" and 600 < got["ms"] < 1700, got


@pytest.mark.parametrize("how", ["socket", "open"])
def test_second_connection_that_fails_is_told(attempt, build, pki, servers, how):
    """The server is gone when it is asked again."""
    proxies = []

    def last():
        proxies[0].stop()
        return plain()

    proxies.append(servers.start(Proxy, (servers.python(pki.foreign), last)))
    got = attempt(build, how=how, port=proxies[0].port, secure={"trust": pki.root.der}, answer=True)
    assert len(got["asked"]) == 1
    assert (got["error"]["class"], got["error"]["code"]) == ("HandshakeError", "connect"), got


@pytest.mark.parametrize("how", ["wrap", "stream", "context", "later", "asyncio"])
def test_stream_that_cannot_be_opened_again_refuses_the_option(attempt, build, pki, servers, how):
    server = servers.start(PythonServer, pki.ec)
    got = attempt(build, how=how, port=server.port, secure={"trust": pki.root.der}, answer=True)
    assert (got["error"]["class"], got["error"]["code"]) == ("UnsupportedFeature", "reconnect")
    assert got["asked"] == [] and server.received == {}


RAISES = """
def decide(certificate, failures):
    raise ValueError("the caller's own")
files = open_files()
told = []
for _ in range(3):
    try:
        SecureSocket("127.0.0.1", PORT, {"trust": TRUST, "on_bad_certificate": decide})
        told.append("accepted")
    except ValueError as error:
        told.append(str(error))
gc.collect()
tell([told, open_files() - files])
"""


def test_callback_that_raises_accepts_nothing(drive, build, pki, servers):
    params = {"PORT": servers.python(pki.foreign), "TRUST": pki.root.der}
    assert drive(RAISES, build=build, params=params) == [["the caller's own"] * 3, 0]


SEEN = """
seen = []
def decide(certificate, failures):
    seen.append([bytes(certificate.der) == LEAF, certificate.names, certificate.fingerprint().hex(),
        [str(one) for one in failures]])
    return certificate.fingerprint() == FINGERPRINT
stream = SecureSocket("localhost", PORT, {"trust": TRUST, "on_bad_certificate": decide})
stream.write(b"ping\\n")
stream.readline()
report = stream.report
tell([seen, stream.authorized, repr(stream), report.chain, report.anchor])
"""


def test_callback_gets_what_a_person_compares(drive, build, pki, servers):
    leaf = pki.foreign[0]
    params = {"PORT": servers.python(pki.foreign), "TRUST": pki.root.der, "LEAF": leaf.der, "FINGERPRINT": sha256(leaf.der)}  # fmt: skip
    seen, authorized, shown, chain, anchor = drive(SEEN, build=build, params=params)
    assert len(seen) == 1
    equal, names, fingerprint, texts = seen[0]
    assert equal and names == ["localhost", "127.0.0.1"] and fingerprint == sha256(leaf.der).hex()
    assert "CN=Unknown Root" in texts[0] and "revocation" in texts[-1]
    assert authorized is False and "NOT verified" in shown and anchor is None
    assert chain[0] == "CN=localhost"

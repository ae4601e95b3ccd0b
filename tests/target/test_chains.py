"""Which chains are taken, which are refused, and with what error. Each row goes to a real server."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certstore import anchors
from plugins.pki import DAY, NOW, Member, cross_signed, make, new_key, signed_with_sha1, version1

# A CA that is also a server.
SIGNS_ALL = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
YESTERDAY, TOMORROW = NOW - DAY, NOW + DAY


def below(root, *middles, **leaf):
    """A chain below `root`: leaf first. middles: arguments of `make` for each, from the root down."""
    chain = []
    issuer = root
    for number, how in enumerate(middles):
        issuer = make(f"{root.certificate.subject.rfc4514_string()[3:]} {number}", issuer, ca=True, **how)
        chain.insert(0, issuer)
    return [make("localhost", issuer, **leaf), *chain]


def root(**how):
    return make("Row Root", ca=True, **how)


def same_name(pki):
    """A root of the same name with another key."""
    return make(pki.root.certificate.subject, ca=True)


def same_identifier(pki):
    """A root of another name that claims the same key identifier."""
    identifier = pki.root.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return make("Claims the same SKI", ca=True, ski=identifier.value.digest)


def renewed(pki):
    """The same root (name, key, identifier), issued anew, and already expired."""
    return make(pki.root.certificate.subject, ca=True, key=pki.root.key, not_after=YESTERDAY)


def crossed(pki, issuer):
    return [*pki.ec, cross_signed(pki.root, issuer)]


def direct(**how):
    """(chain, trust): one leaf below its own root."""
    above = root()
    return [make("localhost", above, **how)], [above]


def self_signed(**how):
    leaf = make("localhost", **how)
    return [leaf], [leaf]


def by_unknown(**how):
    """A leaf of an unknown CA, which is trusted itself."""
    leaf = make("localhost", make("Unknown Row Root", ca=True), **how)
    return [leaf], [leaf]


def long_chain(count):
    """`count` certificates, of which the last is the root."""
    above = root()
    return [*below(above, *[{}] * (count - 2)), above], [above]


def own(chain):
    return chain, [list(chain[0].upwards())[-1]]


# what, (chain, trust) of a Pki
TAKEN = (
    ("EC P-256", lambda p: (p.ec, [p.root])),
    ("EC P-384", lambda p: (p.ec384, [p.root384])),
    ("RSA 2048", lambda p: (p.rsa, [p.rsa_root])),
    ("EC leaf below RSA", lambda p: ([make("localhost", p.rsa_middle), p.rsa_middle], [p.rsa_root])),
    ("leaf straight below the root", lambda p: direct()),
    ("two intermediates", lambda p: own(below(root(), {}, {}))),
    ("root sent along", lambda p: ([*p.ec, p.root], [p.root])),
    ("many roots, one of them right", lambda p: (p.ec, [p.stranger, p.rsa_root, p.root, p.root384])),
    ("intermediate as the anchor", lambda p: (p.ec, [p.middle])),
    ("cross-signed root sent last, issuer unknown", lambda p: (crossed(p, p.stranger), [p.root])),
    ("cross-signed root, its issuer the anchor", lambda p: (crossed(p, p.stranger), [p.stranger])),
    ("cross-signed root, both trusted", lambda p: (crossed(p, p.stranger), [p.stranger, p.root])),
    ("two anchors of one name, right one last", lambda p: (p.ec, [same_name(p), p.root])),
    ("two anchors of one name, right one first", lambda p: (p.ec, [p.root, same_name(p)])),
    ("two anchors with one SKI, right one last", lambda p: (p.ec, [same_identifier(p), p.root])),
    ("two anchors with one SKI, right one first", lambda p: (p.ec, [p.root, same_identifier(p)])),
    ("anchor renewed, expired one first", lambda p: (p.ec, [renewed(p), p.root])),
    ("anchor renewed, expired one last", lambda p: (p.ec, [p.root, renewed(p)])),
    ("pathLen 1 root, one intermediate", lambda p: own(below(root(path_length=1), {}))),
    ("pathLen 0 root, no intermediate", lambda p: own(below(root(path_length=0)))),
    ("no extendedKeyUsage", lambda p: direct(usages=())),
    ("server and client usage", lambda p: direct(usages=(ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH))),
    ("name in the CN only", lambda p: direct(hosts=())),
    ("last second of validity is later today", lambda p: direct(not_after=NOW + timedelta(hours=1))),
    ("self-signed CA given as trust", lambda p: self_signed(ca=True, hosts=("localhost",), key_usage=SIGNS_ALL)),
    ("self-signed leaf given as trust", lambda p: self_signed()),
    ("leaf of an unknown CA given as trust", lambda p: by_unknown()),
    ("leaf of an unknown CA given as trust, its CA sent", lambda p: ([*p.foreign], [p.foreign[0]])),
    ("ten certificates", lambda p: long_chain(10)),
    ("a foreign certificate appended", lambda p: ([*p.ec, p.foreign[1]], [p.root])),
)  # fmt: skip


@pytest.fixture(params=("certificates", "store"))
def trusting(request, tmp_path):
    """The options that trust some Members: as they are, or in a file where anchors are packed."""

    def options(trust):
        ders = [anchor.der for anchor in trust]
        if request.param == "certificates":
            return {"trust": ders}
        path = tmp_path / "roots.bin"
        path.write_bytes(anchors.build(ders, int(YESTERDAY.timestamp())))
        return {"store": str(path)}

    return options


@pytest.mark.parametrize(("what", "made"), TAKEN, ids=[row[0] for row in TAKEN])
def test_taken(attempt, build, pki, servers, trusting, what, made):
    chain, trust = made(pki)
    got = attempt(build, port=servers.python(chain), secure=trusting(trust), host="localhost")
    assert "error" not in got, got["error"]
    assert got["reply"] == "ping\n"
    assert got["authorized"] is True and got["authorization_error"] is None
    assert bytes.fromhex(got["certificate"]) == chain[0].der
    assert got["chain"][0] == "CN=localhost" and got["anchor"] == got["chain"][-1]
    assert got["anchor"] in [anchor.certificate.subject.rfc4514_string() for anchor in trust]
    assert got["version"] == "TLSv1.2"


def entity_that_issues():
    entity = make("An End Entity", root())
    return [make("localhost", entity), entity], [entity]


def entity_in_the_middle():
    above = root()
    entity = make("An End Entity", above)
    return [make("localhost", entity), entity], [above]


def sibling(make_first):
    """(chain, trust): trusted is one certificate, shown is another with the same name and key."""
    _, (trusted,) = make_first()
    if trusted.issuer:
        return [make("localhost", trusted.issuer, key=trusted.key)], [trusted]
    return [make("localhost", key=trusted.key)], [trusted]


def old_version():
    above = version1("Row Root of version 1", new_key("ec"))
    return [_issued_by_version1(above)], [above]


def _issued_by_version1(above):
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]))
        .issuer_name(above.certificate.subject)
        .public_key((key := new_key("ec")).public_key())
        .serial_number(7)
        .not_valid_before(YESTERDAY)
        .not_valid_after(TOMORROW)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
    )
    from cryptography.hazmat.primitives import hashes, serialization

    return Member(
        builder.sign(above.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER), key, above
    )


def sha1_leaf(p):
    chain = [make("localhost", p.rsa_middle), p.rsa_middle]
    return [signed_with_sha1(chain[0]), chain[1]], [p.rsa_root]


def no_sign_usage():
    """An intermediate whose key usage does not let it sign certificates."""
    above = root()
    usage = x509.KeyUsage(True, False, False, False, False, False, True, False, False)
    middle = make("Row Root may not sign", above, ca=True, key_usage=usage)
    return [make("localhost", middle), middle], [above]


def big():
    """A Certificate message of more than 16 KB."""
    return direct(hosts=[f"host{number:05}.{'x' * 50}.test" for number in range(250)])


# what, (chain, trust) of a Pki, (class, code), what the message must hold
REFUSED = (
    ("unknown issuer", lambda p: (p.foreign, [p.root]), ("UnknownIssuer", "unknown-issuer"), "CN=Unknown Root"),
    ("unknown issuer, root sent", lambda p: ([*p.foreign, p.stranger], [p.root]), ("UnknownIssuer", "unknown-issuer"), "SHA-256"),
    ("self-signed, unknown", lambda p: (self_signed()[0], [p.root]), ("UnknownIssuer", "unknown-issuer"), "CN=localhost"),
    ("intermediate not sent", lambda p: (p.ec[:1], [p.root]), ("UnknownIssuer", "unknown-issuer"), "CN=Test Intermediate"),
    ("expired leaf", lambda p: (p.chain(not_after=YESTERDAY), [p.root]), ("Expired", "expired"), YESTERDAY.strftime("%Y-%m-%d %H:%M:%S UTC")),
    ("leaf not yet valid", lambda p: (p.chain(not_before=TOMORROW), [p.root]), ("NotYetValid", "not-yet-valid"), TOMORROW.strftime("%Y-%m-%d %H:%M:%S UTC")),
    ("expired intermediate", lambda p: own(below(root(), {"not_after": YESTERDAY})), ("Expired", "expired"), "CN=Row Root 0"),
    ("expired root", lambda p: own(below(root(not_after=YESTERDAY))), ("Expired", "expired"), "CN=Row Root"),
    ("wrong host", lambda p: (p.chain(hosts=("other.test", "10.0.0.1")), [p.root]), ("HostnameMismatch", "hostname"), "found other.test, 10.0.0.1, expected localhost"),
    ("wrong host, right CN", lambda p: (p.chain("localhost", hosts=("other.test",)), [p.root]), ("HostnameMismatch", "hostname"), "other.test"),
    ("client usage only", lambda p: (p.chain(usages=(ExtendedKeyUsageOID.CLIENT_AUTH,)), [p.root]), ("CertificateError", "usage"), "not meant for a server"),
    ("RSA 1024 leaf", lambda p: (p.chain(key="rsa1024"), [p.root]), ("WeakKey", "weak-key"), "RSA 1024 bits"),
    ("SHA-1 leaf", sha1_leaf, ("WeakKey", "weak-hash"), "hash"),
    ("anchor of that name, another key", lambda p: (p.ec, [same_name(p)]), ("BadSignature", "bad-signature"), "CN=Test Root"),
    ("anchor with that SKI, another name", lambda p: (p.ec, [same_identifier(p)]), ("UnknownIssuer", "unknown-issuer"), "CN=Test Root"),
    ("pathLen 0 root, one intermediate", lambda p: own(below(root(path_length=0), {})), ("CertificateError", "path-length"), "1 CA certificates below CN=Row Root, expected 0"),
    ("pathLen 1 root, two intermediates", lambda p: own(below(root(path_length=1), {}, {})), ("CertificateError", "path-length"), "2 CA certificates below CN=Row Root, expected 1"),
    ("pathLen 0 intermediate, another below", lambda p: own(below(root(), {"path_length": 0}, {})), ("CertificateError", "not-trusted"), "breaks at"),
    ("version 1 certificate that issues", lambda p: old_version(), ("UnknownIssuer", "unknown-issuer"), None),
    ("end entity as trust that issues", lambda p: entity_that_issues(), ("UnknownIssuer", "unknown-issuer"), None),
    ("end entity in the middle", lambda p: entity_in_the_middle(), ("CertificateError", "not-trusted"), "breaks at"),
    ("intermediate that may not sign", lambda p: no_sign_usage(), ("CertificateError", "not-trusted"), "breaks at"),
    ("exact, self-signed: a sibling of the same key", lambda p: sibling(self_signed), ("UnknownIssuer", "unknown-issuer"), None),
    ("exact, issued: a sibling of the same key", lambda p: sibling(by_unknown), ("UnknownIssuer", "unknown-issuer"), None),
    ("exact, self-signed: wrong host", lambda p: self_signed(hosts=("other.test",)), ("HostnameMismatch", "hostname"), "other.test"),
    ("exact, issued: wrong host", lambda p: by_unknown(hosts=("other.test",)), ("HostnameMismatch", "hostname"), "other.test"),
    ("exact, self-signed: expired", lambda p: self_signed(not_after=YESTERDAY), ("Expired", "expired"), "CN=localhost"),
    ("exact, issued: expired", lambda p: by_unknown(not_after=YESTERDAY), ("Expired", "expired"), "CN=localhost"),
    ("exact leaf sent behind a foreign chain", lambda p: ([*p.foreign, self_signed()[0][0]], self_signed()[1]), ("UnknownIssuer", "unknown-issuer"), "CN=Unknown Root"),
    ("trusted root appended to a foreign chain", lambda p: ([*p.foreign, p.root], [p.root]), ("CertificateError", "not-trusted"), "breaks at"),
    ("trusted chain appended to a foreign leaf", lambda p: ([p.foreign[0], *p.ec, p.root], [p.root]), ("CertificateError", "not-trusted"), "breaks at"),
    ("eleven certificates", lambda p: long_chain(11), ("HandshakeError", "certificate-limit"), "at most 10"),
    ("more than 16 KB", lambda p: big(), ("HandshakeError", "certificate-limit"), "16384"),
)  # fmt: skip


@pytest.mark.parametrize(("what", "made", "error", "text"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(attempt, build, pki, servers, trusting, what, made, error, text):
    chain, trust = made(pki)
    got = attempt(build, port=servers.python(chain), secure=trusting(trust))
    assert "error" in got, got
    assert "reply" not in got
    assert (got["error"]["class"], got["error"]["code"]) == error
    assert (text or "") in got["error"]["text"]
    if error[0] != "HandshakeError":
        assert bytes.fromhex(got["error"]["certificate"]) == chain[0].der
        assert got["error"]["failures"][0] == list(error)


def names(count, text):
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, text) for _ in range(count)])


def test_names_of_an_attacker_stay_escaped_and_short(attempt, build, pki, servers):
    """Control and bidirectional characters, and more of them than anyone reads."""
    text = "a\u202e\x1b[31mb\r\n\x00c" * 3
    above = make(names(20, text), ca=True)
    chain = [make(names(20, text), above)]
    hosts = ["x" * 60 + f".host{number}.test" for number in range(30)]
    for trust, shown in ((pki.root, chain), (above, [make("localhost", above, hosts=hosts)])):
        got = attempt(build, port=servers.python(shown), secure={"trust": trust.der})["error"]
        for told in (got["text"], got["repr"], got["found"]):
            assert all(char.isprintable() and char.isascii() for char in told), told
        assert "\\1B" in got["text"] or trust is above
        name = got["found"].partition("issuer ")[2].partition(", AKI")[0] or got["found"]
        assert 100 < len(name) <= 128, name


def test_all_failures_are_told_when_the_text_of_mbedtls_overflows(attempt, build, servers):
    """Six reasons are more than the 256 bytes that MicroPython has for them."""
    above = make("Overflow Root", ca=True, key="rsa1024", not_after=YESTERDAY)
    middle = make("Overflow Intermediate", above, ca=True, key="rsa1024", not_before=TOMORROW)
    leaf = make(
        "other.test",
        middle,
        key="rsa1024",
        hosts=("other.test",),
        not_after=YESTERDAY,
        usages=(ExtendedKeyUsageOID.CLIENT_AUTH,),
    )
    chain = [signed_with_sha1(leaf), signed_with_sha1(middle)]
    for trust, first in ((above, None), (make("Elsewhere", ca=True), "UnknownIssuer")):
        got = attempt(build, port=servers.python(chain), secure={"trust": trust.der})
        print(got)
        found = [failure[0] for failure in got["error"]["failures"]]
        assert {"Expired", "NotYetValid", "HostnameMismatch", "WeakKey"} <= set(found)
        assert first is None or found[0] == first

"""Real servers, and what is no server at all: each ends in a verified connection or in a typed error."""

import socket
import ssl

import pytest

from plugins.peers import (
    CERTIFICATE,
    SERVER_HELLO_DONE,
    SERVER_KEY_EXCHANGE,
    GnutlsServer,
    OpensslServer,
    Proxy,
    PythonServer,
    RawServer,
    alert,
    certificates,
    cut_after,
    free_port,
    replaced,
    says,
    silent,
    stall_after,
)

# what, class of peer, options, chain
SERVERS = (
    ("openssl EC", OpensslServer, {"mode": "-rev"}, "ec"),
    ("openssl RSA", OpensslServer, {"mode": "-rev"}, "rsa"),
    ("openssl P-384", OpensslServer, {"mode": "-rev"}, "ec384"),
    ("openssl, no tickets, TLS 1.2", OpensslServer, {"mode": "-rev", "words": ["-tls1_2", "-no_ticket"]}, "ec"),
    ("openssl, records of 512 bytes", OpensslServer, {"mode": "-rev", "words": ["-max_send_frag", "512"]}, "rsa"),
    ("gnutls EC", GnutlsServer, {}, "ec"),
    ("gnutls RSA", GnutlsServer, {}, "rsa"),
    ("python EC", PythonServer, {}, "ec"),
    ("python RSA", PythonServer, {}, "rsa"),
)  # fmt: skip


@pytest.mark.parametrize(("what", "kind", "options", "chain"), SERVERS, ids=[row[0] for row in SERVERS])
def test_server_is_verified(attempt, build, pki, servers, what, kind, options, chain):
    options = dict(options)
    server = servers.start(kind, getattr(pki, chain), *options.pop("words", ()), **options)
    secure = {"trust": [pki.root.der, pki.rsa_root.der, pki.root384.der]}
    for how in ("socket", "asyncio"):
        got = attempt(build, how=how, port=server.port, secure=secure)
        assert got.get("reply") == ("gnip\n" if kind is OpensslServer else "ping\n"), got
        assert got["authorized"] is True and got["chain"][0] == "CN=localhost"
    got = attempt(build, port=server.port, secure={"trust": pki.stranger.der})
    assert got["error"]["code"] == "unknown-issuer"


def test_page_of_openssl_is_read_to_its_end(drive, build, pki, servers):
    server = servers.start(OpensslServer, pki.ec)
    lines = """
stream = SecureSocket("localhost", PORT, {"trust": TRUST})
stream.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
head = stream.readline()
body = stream.read()
tell([head.decode(), body.decode().strip()[-7:]])
"""
    head, end = drive(lines, build=build, params={"PORT": server.port, "TRUST": pki.root.der})
    assert head.startswith("HTTP/1.0 200 ok") and end == "</HTML>"


def test_three_certificates_reach_openssl(attempt, build, pki, servers):
    server = servers.start(OpensslServer, pki.ec, "-Verify", "5", "-tls1_2", mode="-rev")
    proxy = servers.start(Proxy, server.port)
    identity = (b"".join(member.pem for member in pki.device), pki.device[0].private())
    attempt(build, port=proxy.port, secure={"trust": pki.root.der, "identity": identity})
    server.wait_for(rb"depth=2[^\n]*Device CA 1")  # it took the chain apart: no root to end at
    assert certificates(proxy.sent[0]) == [member.der for member in pki.device]


def test_server_that_demands_a_certificate_is_told(attempt, build, pki, servers):
    server = servers.start(OpensslServer, pki.ec, "-Verify", "5", "-tls1_2", mode="-rev")
    got = attempt(build, port=server.port, secure={"trust": pki.root.der})
    assert got["error"]["class"] == "HandshakeError", got
    assert got["error"]["code"] in ("alert", "connection-lost")  # the reset may overtake the alert


def test_server_with_tls_1_3_only(attempt, build, pki, servers):
    def only13(context):
        context.minimum_version = ssl.TLSVersion.TLSv1_3

    for server in (
        servers.start(OpensslServer, pki.ec, "-tls1_3"),
        servers.start(PythonServer, pki.ec, setup=only13),
    ):
        for how in ("socket", "asyncio"):
            got = attempt(build, how=how, port=server.port, secure={"trust": pki.root.der})
            error = got["error"]
            assert (error["class"], error["code"], error["alert"]) == ("HandshakeError", "alert", 70)
            assert "protocol_version" in error["found"] and "TLS 1.2" in error["remedy"]


def test_server_hello_of_tls_1_3_is_refused(attempt, build, pki, servers):
    """A server that chooses it although nobody offered: with such a tls module the chain would be hidden."""
    body = bytes.fromhex("0303" + "11" * 32 + "00" + "1301" + "00" + "0006" + "002b00020304")
    flight = b"\x16\3\3" + (len(body) + 4).to_bytes(2) + b"\2" + len(body).to_bytes(3) + body
    server = servers.start(RawServer, says(flight))
    got = attempt(build, port=server.port, secure={"trust": pki.root.der})
    assert (got["error"]["class"], got["error"]["code"]) == ("UnsupportedFeature", "tls13")


ALERTS = (
    (0, "close_notify"), (10, "unexpected_message"), (20, "bad_record_mac"), (40, "handshake_failure"),
    (42, "bad_certificate"), (44, "certificate_revoked"), (45, "certificate_expired"), (48, "unknown_ca"),
    (49, "access_denied"), (50, "decode_error"), (51, "decrypt_error"), (70, "protocol_version"),
    (71, "insufficient_security"), (80, "internal_error"), (86, "inappropriate_fallback"),
    (90, "user_canceled"), (112, "unrecognized_name"), (116, "certificate_required"),
    (120, "no_application_protocol"), (200, "200"),
)  # fmt: skip


def test_each_alert_is_named(drive, build, pki, servers):
    servers_of = [servers.start(RawServer, says(alert(number))) for number, _ in ALERTS]
    lines = "tell([attempt(port=port, secure={'trust': TRUST}) for port in PORTS])"
    params = {"PORTS": [server.port for server in servers_of], "TRUST": pki.root.der}
    for (number, name), got in zip(ALERTS, drive(lines, build=build, params=params), strict=True):
        error = got["error"]
        assert error["class"] == "HandshakeError", (number, error)
        if number:
            assert (error["code"], error["alert"], error["direction"]) == ("alert", number, "received")
            assert error["found"].startswith(name + ","), (number, error)
        assert "ClientHello sent" in error["text"]


def test_warning_does_not_end_the_handshake(attempt, build, pki, servers):
    """unrecognized_name as a warning (RFC 6066 3): the server goes on with its default certificate."""

    def warned():
        first = True
        pieces = []
        while True:
            data = yield pieces
            pieces = [alert(112, level=1) + data] if first else [data]
            first = False

    proxy = servers.start(Proxy, (servers.python(pki.ec), warned))
    got = attempt(build, port=proxy.port, secure={"trust": pki.root.der})
    assert got.get("reply") == "ping\n", got


# what the peer says first, (class, code)
NO_TLS = (
    ("HTTP", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", ("HandshakeError", "not-tls")),
    ("SMTP", b"220 mail.test ESMTP ready\r\n", ("HandshakeError", "not-tls")),
    ("MQTT", b"\x20\x02\x00\x00", None),
    ("zeros", bytes(100), ("HandshakeError", "not-tls")),
    ("SSL 2 hello", bytes.fromhex("802e0100020015000000100100800200800300800400800500800600400700c0"), ("HandshakeError", "not-tls")),
    ("nothing", b"", ("HandshakeError", "peer-closed")),
    ("half a header", b"\x16\3\3", ("HandshakeError", "peer-closed")),
    ("empty records", b"\x16\3\3\0\0" * 20, None),
    ("application data", b"\x17\3\3\0\x05hello", None),
    ("change cipher spec", b"\x14\3\3\0\1\1", None),
    ("finished at once", b"\x14\3\3\0\1\1\x16\3\3\0\x28" + bytes(40), None),
    ("hello done at once", b"\x16\3\3\0\4\x0e\0\0\0", None),
    ("certificate first", b"\x16\3\3\0\x07\x0b\0\0\3\0\0\0", None),
    ("endless message", b"\x16\3\3\0\4\x0b\xff\xff\xff", ("HandshakeError", "certificate-limit")),
    ("endless hello", b"\x16\3\3\0\4\2\xff\xff\xff", ("HandshakeError", "certificate-limit")),
    ("record of 64 KB", b"\x16\3\3\xff\xff" + bytes(300), None),
    ("record of no version", b"\x16\x07\x07\0\x05hello", ("HandshakeError", "not-tls")),
)  # fmt: skip


@pytest.mark.parametrize(("what", "data", "error"), NO_TLS, ids=[row[0] for row in NO_TLS])
def test_what_is_no_tls_is_told(attempt, build, pki, servers, what, data, error):
    server = servers.start(RawServer, says(data))
    for how in ("socket", "asyncio"):
        got = attempt(build, how=how, port=server.port, secure={"trust": pki.root.der}, timeout_ms=2000)
        assert got["error"]["code"] and "reply" not in got, got
        if error:
            assert (got["error"]["class"], got["error"]["code"]) == error, got
        assert got["error"]["class"] in ("HandshakeError", "UnsupportedFeature"), got


# what, the Certificate message's body (None: left out)
BODIES = (
    ("no message", lambda p: None),
    ("no body", lambda p: b""),
    ("no list", lambda p: b"\0\0\0"),
    ("an empty certificate", lambda p: b"\0\0\3\0\0\0"),
    ("a list that is too short", lambda p: b"\0\0\5" + (len(p.ec[0].der)).to_bytes(3) + p.ec[0].der),
    ("a list that is too long", lambda p: b"\0\x40\0" + (len(p.ec[0].der)).to_bytes(3) + p.ec[0].der),
    ("a certificate cut short", lambda p: b"\0\1\0\0\0\xfd" + p.ec[0].der[:253]),
    ("no certificate but bytes", lambda p: b"\0\0\x0d\0\0\x0a" + bytes(10)),
    ("a sequence of nothing", lambda p: b"\0\0\5\0\0\2\x30\0"),
)  # fmt: skip


@pytest.mark.parametrize(("what", "body"), BODIES, ids=[row[0] for row in BODIES])
@pytest.mark.parametrize("trust", ["root", "pins", "off"])
def test_unreadable_certificates_are_refused(attempt, build, pki, servers, what, body, trust):
    secure = {
        "root": {"trust": pki.root.der},
        "pins": {"trust": None, "pins": pki.ec[0].pin},
        "off": {"verify": False},
    }[trust]
    proxy = servers.start(Proxy, (servers.python(pki.ec), replaced(CERTIFICATE, body(pki))))
    for how in ("socket", "asyncio"):
        got = attempt(build, how=how, port=proxy.port, secure=secure)
        assert "reply" not in got and got["error"]["code"], got
        assert got["error"]["class"] in (
            "HandshakeError",
            "UnsupportedFeature",
            "FormatError",
            "CertificateError",
        )


@pytest.mark.parametrize("kind", [SERVER_KEY_EXCHANGE, SERVER_HELLO_DONE])
def test_flight_without_a_message_is_refused(attempt, build, pki, servers, kind):
    proxy = servers.start(
        Proxy, (servers.python(pki.ec), replaced(kind, None if kind == SERVER_KEY_EXCHANGE else b"x"))
    )
    got = attempt(build, port=proxy.port, secure={"trust": pki.root.der}, timeout_ms=1000)
    assert got["error"]["class"] == "HandshakeError", got


def test_key_exchange_of_another_key_is_refused(attempt, build, pki, servers):
    """The right certificate, signed for by someone who does not have its key."""
    proxy = servers.start(Proxy, (servers.python(pki.foreign), replaced(CERTIFICATE, message(pki.ec))))
    for secure in ({"trust": pki.root.der}, {"trust": None, "pins": pki.ec[0].pin}, {"trust": pki.ec[0].der}):
        for how in ("socket", "asyncio"):
            got = attempt(build, how=how, port=proxy.port, secure=secure)
            assert "reply" not in got
            assert (got["error"]["class"], got["error"]["code"]) == ("HandshakeError", "signature"), got
    got = attempt(build, port=proxy.port, secure={"trust": pki.stranger.der}, answer=True)
    assert got["asked"] and (got["error"]["class"], got["error"]["code"]) == ("HandshakeError", "signature")


def message(chain):
    entries = b"".join(len(member.der).to_bytes(3) + member.der for member in chain)
    return len(entries).to_bytes(3) + entries


# ---- time


# what, the peer
SLOW = (
    ("says nothing", lambda p, s: s.start(RawServer, silent)),
    ("stops in the certificate", lambda p, s: s.start(Proxy, (s.python(p.ec), stall_after(300)))),
    ("stops before Finished", lambda p, s: s.start(Proxy, (s.python(p.ec), stall_after(1100)))),
    ("a byte every 100 ms", lambda p, s: s.start(Proxy, (s.python(p.ec), trickle))),
)


def trickle():
    pieces = []
    while True:
        data = yield pieces
        pieces = []
        for at in range(len(data)):
            pieces += [data[at : at + 1], 0.1]


@pytest.mark.parametrize(("what", "peer"), SLOW, ids=[row[0] for row in SLOW])
@pytest.mark.parametrize("how", ["socket", "open", "wrap", "stream"])
def test_deadline_holds(attempt, build, pki, servers, how, what, peer):
    port = peer(pki, servers).port
    got = attempt(build, how=how, port=port, secure={"trust": pki.root.der}, timeout_ms=400)
    error = got["error"]
    assert (error["class"], error["code"], error["errno"]) == ("HandshakeTimeout", "timeout", 110), got
    assert "400 ms (handshake)" in error["found"] and error["stage"] == "handshake"
    assert 350 <= got["ms"] <= 1400


def test_closed_port_is_told(attempt, build, pki):
    port = free_port()
    for how in ("socket", "open"):
        got = attempt(build, how=how, port=port, secure={"trust": pki.root.der}, host="127.0.0.1")
        assert (got["error"]["class"], got["error"]["code"]) == ("HandshakeError", "connect")
        assert f"127.0.0.1 port {port}" in got["error"]["found"]


def test_name_that_does_not_resolve_is_told(attempt, build, pki):
    for how in ("socket", "open"):
        got = attempt(
            build,
            how=how,
            port=1,
            secure={"trust": pki.root.der},
            host="no such name.invalid".replace(" ", "-"),
        )
        assert (got["error"]["class"], got["error"]["code"]) == ("HandshakeError", "resolve"), got
        assert "no-such-name.invalid" in got["error"]["found"]


def test_connection_that_never_opens_meets_the_deadline(attempt, build, pki):
    """A listener whose queue is full: the kernel drops what comes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        for how in ("socket", "open"):
            got = attempt(
                build, how=how, port=port, secure={"trust": pki.root.der}, host="127.0.0.1", timeout_ms=400
            )
            assert got["error"]["class"] == "HandshakeTimeout", got
            assert "connect" in got["error"]["found"] and got["ms"] < 1400
        for filler in fillers:
            filler.close()


# ---- where the connection ends


@pytest.mark.parametrize("how", ["socket", "asyncio"])
def test_connection_cut_anywhere_in_the_handshake_is_told(drive, build, pki, servers, how):
    positions = [0, 1, 4, 5, 6, 9, 60, 100, 500, 900, 1000, 1080, 1090, 1130, 1140, 1180]
    proxy = servers.start(Proxy, *[(servers.python(pki.ec), cut_after(at)) for at in positions])
    lines = "tell([attempt(how=HOW, port=PORT, secure={'trust': TRUST}) for _ in range(COUNT)])"
    params = {"HOW": how, "PORT": proxy.port, "TRUST": pki.root.der, "COUNT": len(positions)}
    for at, got in zip(positions, drive(lines, build=build, params=params), strict=True):
        assert "reply" not in got, at
        assert got["error"]["class"] == "HandshakeError", (at, got)
        assert got["error"]["code"] in ("peer-closed", "connection-lost"), (at, got)
        assert got["error"]["found"], at

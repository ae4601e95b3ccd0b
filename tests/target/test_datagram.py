"""DtlsClient: handshakes with OpenSSL and GnuTLS, what is refused and why, and datagrams afterwards."""

import time

import pytest

from plugins.datagram_peers import (
    DtlsServed,
    GnutlsDtls,
    OpensslDtls,
    SilentPeer,
    UdpProxy,
    free_udp_port,
    identity,
)
from plugins.peers import write
from plugins.pki import DAY, NOW, make

CONNECT = """
from securesocket import DtlsClient

def row(connection):
    certificate = connection.peer_certificate
    return {
        "authorized": connection.authorized,
        "authorization_error": connection.authorization_error and connection.authorization_error.code,
        "cipher": connection.cipher(),
        "version": connection.version(),
        "certificate": certificate and bytes(certificate.der).hex(),
        "chain": connection.report.chain,
        "anchor_source": connection.report.anchor_source,
        "address": connection.remote_address,
        "room": connection.max_datagram,
        "stage": connection.stage,
        "repr": repr(connection),
    }

def connect(**how):
    try:
        return DtlsClient.bind().connect("localhost", PORT, SECURE, TIMEOUT_MS, **how), None
    except Exception as error:
        return None, describe(error)
"""

ONCE = """
connection, error = connect(mtu=MTU)
if error:
    tell({"error": error, "files": open_files()})
else:
    result = row(connection)
    connection.send(b"ping\\n")
    try:
        result["reply"] = connection.recv(timeout_ms=WAIT_MS).decode()
    except Exception as failed:
        result["reply"] = failed.code
    connection.close()
    result["after"] = [latched(connection.send, b"x"), latched(connection.recv), connection.cipher()]
    tell(result)
"""


@pytest.fixture
def peer(tmp_path):
    """peer(kind, chain, *words): a server; ended with the test."""
    running = []

    def start(kind, *about, **how):
        made = kind(*about, **how) if kind in (SilentPeer, UdpProxy) else kind(tmp_path, *about, **how)
        running.append(made)
        return made

    yield start
    for each in running:
        each.stop()


@pytest.fixture
def once(drive):
    """once(port, secure, …): a connection, a datagram there and back."""

    def run(port, secure, build="stock", timeout_ms=8000, wait_ms=3000, mtu=1232, lines=ONCE, **how):
        params = {"PORT": port, "SECURE": secure, "TIMEOUT_MS": timeout_ms, "WAIT_MS": wait_ms, "MTU": mtu}
        return drive(CONNECT + lines, build=build, params=params, **how)

    return run


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_verifies_and_echoes(once, peer, pki, build, kind):
    chain = getattr(pki, kind)
    server = peer(GnutlsDtls, chain)
    found = once(server.port, {"trust": chain[-1].issuer.der}, build)
    assert found["authorized"] is True and found["authorization_error"] is None
    assert found["version"] == "DTLSv1.2" and "GCM" in found["cipher"][0]
    assert found["certificate"] == chain[0].der.hex() and found["anchor_source"] == "certificate"
    assert [name.split("=")[1] for name in found["chain"]] == [
        member.certificate.subject.rfc4514_string()[3:] for member in chain[0].upwards()
    ]
    assert found["address"] == ["127.0.0.1", server.port] and found["room"] == 1232 - 37
    assert found["reply"] == "ping\n" and "verified" in found["repr"]
    assert found["after"] == [["SecureSocketError", "closed"], ["SecureSocketError", "closed"], None]


def test_openssl_with_a_cookie_exchange(once, peer, pki, build):
    server = peer(OpensslDtls, pki.ec)
    proxy = peer(UdpProxy, server.port)
    found = once(proxy.port, {"trust": pki.root.der}, build, wait_ms=100)
    assert found["authorized"] is True and found["reply"] == "receive-timeout"
    server.wait_for(rb"ping")
    # HelloVerifyRequest came first.
    assert proxy.passed[1][0][13] == 3


MTUS = (256, 300, 500, 800, 1400)


@pytest.mark.parametrize("mtu", MTUS)
def test_a_chain_larger_than_the_servers_datagrams(once, peer, pki, mtu):
    """The anchor is found in the fragments, whatever they are."""
    server = peer(OpensslDtls, pki.rsa, mtu=mtu)
    proxy = peer(UdpProxy, server.port)
    found = once(proxy.port, {"trust": pki.rsa_root.der}, wait_ms=1)
    assert found.get("authorized") is True, found
    assert max(len(each) for each in proxy.passed[1]) <= mtu


@pytest.mark.parametrize("mtu", MTUS)
def test_an_identity_larger_than_our_datagrams(once, peer, pki, tmp_path, mtu):
    ca, _ = write(tmp_path, [pki.device_root], "device-root")
    server = peer(OpensslDtls, pki.ec, "-Verify", "5", "-verify_return_error", "-CAfile", ca)
    proxy = peer(UdpProxy, server.port)
    secure = {"trust": pki.root.der, "identity": identity(pki.device)}
    found = once(proxy.port, secure, mtu=mtu, wait_ms=1)
    assert found.get("authorized") is True and found["room"] == mtu - 37, found
    server.wait_for(rb"device-17")
    assert max(len(each) for each in proxy.passed[0]) <= mtu
    server.wait_for(rb"ping")


REFUSED = {
    "foreign": (lambda pki: pki.foreign, {}, "UnknownIssuer", "unknown-issuer"),
    "expired": (lambda pki: pki.chain(not_after=NOW - DAY), {}, "Expired", "expired"),
    "early": (lambda pki: pki.chain(not_before=NOW + DAY), {}, "NotYetValid", "not-yet-valid"),
    "other host": (lambda pki: pki.chain(hosts=("other.example",)), {}, "HostnameMismatch", "hostname"),
    "pin": (lambda pki: pki.ec, {"pins": [bytes(32)]}, "PinMismatch", "pin"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(once, peer, pki, case):
    chain, secure, kind, code = REFUSED[case]
    server = peer(OpensslDtls, chain(pki))
    proxy = peer(UdpProxy, server.port)
    found = once(proxy.port, {"trust": pki.root.der, **secure})
    assert (found["error"]["class"], found["error"]["code"]) == (kind, code), found
    assert found["error"]["certificate"] is not None
    # Nothing behind the ClientHellos but an alert.
    assert all(each[0] == 21 or each[13] == 1 for each in proxy.passed[0])


def test_a_certificate_that_is_trusted_itself(once, peer, pki):
    server = peer(GnutlsDtls, pki.ec)
    found = once(server.port, {"trust": pki.ec[0].der})
    assert found["authorized"] is True and found["anchor_source"] == "exact" and found["reply"] == "ping\n"
    other = make("localhost", pki.middle)
    found = once(peer(GnutlsDtls, pki.ec).port, {"trust": other.der})
    assert found["error"]["code"] == "unknown-issuer"


def test_trust_by_pin_and_no_verification(once, peer, pki):
    server = peer(GnutlsDtls, pki.ec)
    found = once(server.port, {"trust": None, "pins": [pki.ec[0].pin]})
    assert found["authorized"] is True and found["reply"] == "ping\n"
    found = once(peer(GnutlsDtls, pki.ec).port, {"trust": None, "pins": [pki.root.pin]})
    assert found["error"]["code"] == "pin"
    found = once(peer(GnutlsDtls, pki.ec).port, {"verify": False})
    assert found["authorized"] is False and found["authorization_error"] == "verification-off"


ACCEPT = """
asked = []
def decide(certificate, failures):
    asked.append([failure.code for failure in failures])
    return ANSWER
SECURE["on_bad_certificate"] = decide
connection, error = connect()
if error:
    tell([asked, error["code"]])
else:
    connection.send(b"ping\\n")
    tell([asked, row(connection), connection.recv(timeout_ms=3000).decode()])
"""


def test_on_bad_certificate(once, target, pki, drive):
    server = DtlsServed(target, pki.foreign)
    how = {"PORT": server.port, "SECURE": {"trust": pki.root.der}, "TIMEOUT_MS": 8000}
    asked, found, reply = drive(CONNECT + ACCEPT, params=how | {"ANSWER": True})
    assert asked == [["unknown-issuer", "not-checked"]] and reply == "ping\n"
    assert found["authorized"] is False and found["authorization_error"] == "unknown-issuer"
    for answer in (False, None, 1):
        asked, code = drive(CONNECT + ACCEPT, params=how | {"ANSWER": answer})
        assert len(asked) == 1 and code == "unknown-issuer"


def test_nobody_answers(once, peer, pki):
    secure = {"trust": pki.root.der}
    started = time.monotonic()
    found = once(free_udp_port(), secure)["error"]
    assert found["code"] == "connect" and "nobody listens" in found["found"]
    assert time.monotonic() - started < 5
    silent = peer(SilentPeer)
    found = once(silent.port, secure, timeout_ms=1500)["error"]
    assert (found["class"], found["code"]) == ("HandshakeTimeout", "timeout")
    assert "ClientHello sent" in found["found"]
    # mbedTLS has sent it once more after a second.
    assert len(silent.received) == 2 and silent.received[0][25:] == silent.received[1][25:]


NOISE = (b"", b"x", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(13), bytes(2000), b"\x16\xfe\xfd" + bytes(10),
         b"\x16\xfe\xfd" + bytes(8) + b"\0\x0c" + b"\x0b\xff\xff\xff" + bytes(8))  # fmt: skip


def test_garbage_is_dropped_and_told(once, peer, pki):
    silent = peer(SilentPeer, *NOISE[:2])
    found = once(silent.port, {"trust": pki.root.der}, timeout_ms=2500)["error"]
    assert found["code"] == "timeout" and "2 datagrams that are not DTLS" in found["found"], found


def test_an_alert_in_the_clear(once, peer, pki):
    silent = peer(SilentPeer, b"\x15\xfe\xfd" + bytes(8) + b"\0\2\2\x28")
    found = once(silent.port, {"trust": pki.root.der})["error"]
    assert (found["code"], found["alert"], found["direction"]) == ("alert", 40, "received")


def test_no_cipher_in_common(once, peer, pki):
    server = peer(OpensslDtls, pki.ec, "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305")
    found = once(server.port, {"trust": pki.root.der})["error"]
    assert (found["code"], found["alert"]) == ("alert", 40)


def test_too_many_certificates(once, peer, pki):
    above, chain = pki.root, []
    for number in range(12):
        above = make(f"CA {number}", above, ca=True)
        chain.insert(0, above)
    server = peer(OpensslDtls, [make("localhost", above), *chain])
    found = once(server.port, {"trust": pki.root.der})["error"]
    assert found["code"] == "certificate-limit", found


LIMITS = """
connection, error = connect(mtu=600)
room = connection.max_datagram
results = [room]
for size in (0, room + 1, 5000, 70000):
    results.append(latched(connection.send, bytes(size)))
for size in (1, room):
    connection.send(bytes(size))
    results.append(len(connection.recv(timeout_ms=3000)))
buf = bytearray(100)
connection.send(bytes(100))
results.append(connection.recv_into(buf, timeout_ms=3000))
connection.send(bytes(101))
results.append(latched(connection.recv_into, buf, 3000))
connection.send(bytes(101))
results.append(latched(connection.recv, 100, 3000))
# It goes on with the next one.
connection.send(b"next")
results.append(connection.recv_into(buf, timeout_ms=3000))
results.append(bytes(buf[:4]).decode())
# Each datagram by itself, however late it is read.
for text in (b"one", b"two", b"three"):
    connection.send(text)
time.sleep_ms(300)
results.append([connection.recv_into(buf, timeout_ms=3000) for _ in range(3)])
started = time.ticks_ms()
results.append(latched(connection.recv, 100, 200))
results.append(200 <= time.ticks_diff(time.ticks_ms(), started) < 600)
results.append(latched(connection.recv, 100, 0))
connection.close()
connection.close()
tell(results)
"""


def test_sizes_and_timeouts(once, target, pki, build):
    server = DtlsServed(target, pki.ec)
    found = once(server.port, {"trust": pki.root.der}, build, lines=LIMITS)
    size, cut, late = (["DatagramError", "datagram-" + code] for code in ("size", "truncated", "x"))
    late = ["DatagramError", "receive-timeout"]
    assert found == [
        563,
        size,
        size,
        size,
        size,
        1,
        563,
        100,
        cut,
        cut,
        4,
        "next",
        [3, 3, 5],
        late,
        True,
        late,
    ]


UNTIMED = """
connection, error = connect(mtu=600)
results = []
def back(data):
    connection.send(data)
    return connection.recv
# The first one goes the long way, the others the short one.
for size in (1, 2, 563):
    results.append(len(back(bytes(size))()))
results.append(latched(back(bytes(101)), 100))
results.append(latched(back(bytes(563)), 0))
results.append(len(back(bytes(100))(100)))
for text in (b"one", b"two", b"three"):
    connection.send(text)
time.sleep_ms(300)
results.append([connection.recv().decode() for _ in range(3)])
results.append(latched(connection.recv, 100, 50))
results.append([back(text)().decode() for text in (b"four", b"five")])
back(b"six")
time.sleep_ms(100)
results.append(connection.recv(timeout_ms=0).decode())
results.append(back(b"seven")().decode())
connection.close()
results.append(latched(connection.recv))
tell(results)
"""


def test_without_a_timeout(once, target, pki, build):
    server = DtlsServed(target, pki.ec)
    cut, late = ["DatagramError", "datagram-truncated"], ["DatagramError", "receive-timeout"]
    assert once(server.port, {"trust": pki.root.der}, build, lines=UNTIMED) == [
        1,
        2,
        563,
        cut,
        cut,
        100,
        ["one", "two", "three"],
        late,
        ["four", "five"],
        "six",
        "seven",
        ["SecureSocketError", "closed"],
    ]


OPTIONS = """
results = []
def attempt(**how):
    try:
        with DtlsClient.bind(*how.pop("bind", ())) as client:
            client.connect(how.pop("host", "localhost"), how.pop("port", 9), how.pop("secure", SECURE), **how)
    except Exception as error:
        results.append([type(error).__name__, getattr(error, "code", None)])
for how in CASES:
    attempt(**how)
tell(results)
"""
BAD = (
    ({"mtu": 255}, "ConfigurationError", "option-value"),
    ({"mtu": 16385}, "ConfigurationError", "option-value"),
    ({"mtu": "1200"}, "ConfigurationError", "option-value"),
    ({"timeout_ms": -1}, "ConfigurationError", "option-value"),
    ({"host": ""}, "ConfigurationError", "address"),
    ({"port": 0}, "ConfigurationError", "address"),
    ({"port": 65536}, "ConfigurationError", "address"),
    ({"secure": 5}, "ConfigurationError", "option-value"),
    ({"secure": {"trace": True}}, "UnsupportedFeature", "feature"),
    ({"secure": {"psk": b"key"}}, "UnsupportedFeature", "feature"),
    ({"secure": {"trust": b"junk"}}, "FormatError", None),
    ({"bind": ("localhost", -1)}, "ConfigurationError", "option-value"),
    ({"bind": ("192.0.2.7", 5000)}, "DatagramError", "datagram-bind"),
    ({"host": "no.such.host.invalid"}, "HandshakeError", "resolve"),
)


def test_bad_options(drive, pki):
    found = drive(
        CONNECT + OPTIONS, params={"SECURE": {"trust": pki.root.der}, "CASES": [how for how, _, _ in BAD]}
    )
    for (how, kind, code), told in zip(BAD, found, strict=True):
        assert told[0] == kind and (code is None or told[1] == code), (how, told)


LOCAL = """
client = DtlsClient.bind("127.0.0.1", LOCAL)
first = client.connect("localhost", PORT, SECURE)
results = [latched(lambda: client.connect("localhost", PORT, SECURE)), repr(client)]
results.append(latched(lambda: DtlsClient.bind("127.0.0.1", LOCAL)))
first.close()
second = client.connect("localhost", PORT, SECURE)
second.send(b"again")
results.append(second.recv(timeout_ms=3000).decode())
client.close()
results += [latched(second.recv), latched(lambda: client.connect("localhost", PORT, SECURE)), repr(client)]
tell(results)
"""


def test_a_port_of_its_own(drive, target, peer, pki):
    server = DtlsServed(target, pki.ec)
    proxy = peer(UdpProxy, server.port)
    local = free_udp_port()
    how = {"PORT": proxy.port, "LOCAL": local, "SECURE": {"trust": pki.root.der}}
    taken, shown, bound, again, closed, no_more, gone = drive(CONNECT + LOCAL, params=how)
    assert taken == ["DatagramError", "datagram-port"] and "1 connections" in shown
    assert bound == ["DatagramError", "datagram-bind"] and again == "again"
    assert closed == no_more == ["SecureSocketError", "closed"] and "closed" in gone
    assert [address[1] for address in proxy.backs] == [local]


MANY = """
async def one(client, number):
    connection = await client.open("localhost", PORT, SECURE)
    for each in range(5):
        text = "%d of %d" % (each, number)
        connection.send(text.encode())
        assert await connection.receive(timeout_ms=5000) == text.encode()
    try:
        await connection.receive(timeout_ms=50)
    except OSError as error:
        assert error.code == "receive-timeout"
    connection.close()
    return connection.authorized

async def main():
    client = DtlsClient.bind()
    return await asyncio.gather(*[one(client, number) for number in range(6)])

async def cancelled():
    client = DtlsClient.bind()
    task = asyncio.create_task(client.open("localhost", SILENT, SECURE))
    await asyncio.sleep_ms(50)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return len(client.connections)

before = open_files()
found = asyncio.run(main())
left = asyncio.run(cancelled())
try:
    asyncio.run(DtlsClient.bind().open("localhost", SILENT, SECURE, 300))
except OSError as error:
    late = error.code
gc.collect()
tell([found, left, late, open_files() - before])
"""


def test_asyncio(drive, target, peer, pki, build):
    server = DtlsServed(target, pki.ec, max_handshakes=8)
    silent = peer(SilentPeer)
    how = {"PORT": server.port, "SILENT": silent.port, "SECURE": {"trust": pki.root.der}}
    assert drive(CONNECT + MANY, build=build, params=how) == [[True] * 6, 0, "timeout", 0]


MEMORY = """
def round():
    connection, error = connect()
    for _ in range(3):
        connection.send(b"x" * 500)
        connection.recv(timeout_ms=3000)
    connection.close()
    DtlsClient.bind()
    SECURE2 = dict(SECURE); SECURE2["trust"] = OTHER
    try:
        DtlsClient.bind().connect("localhost", PORT, SECURE2)
    except OSError as error:
        assert error.code == "unknown-issuer"

levels = []
for _ in range(6):
    round()
    gc.collect()
    levels.append(gc.mem_alloc())
tell([levels, open_files()])
"""


def test_memory_comes_back(drive, target, pki, build):
    server = DtlsServed(target, pki.ec, max_peers=100)
    how = {
        "PORT": server.port,
        "SECURE": {"trust": pki.root.der},
        "OTHER": pki.stranger.der,
        "TIMEOUT_MS": 8000,
    }
    levels, files = drive(CONNECT + MEMORY, build=build, params=how)
    assert max(levels[2:]) - levels[1] < 600, levels
    assert files < 12

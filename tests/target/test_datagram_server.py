"""DtlsServer: whom it serves, what a stranger's datagrams cost it, and what loss does to either side."""

import re
import socket
import time

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from plugins import datagram_peers
from plugins.datagram_peers import (
    TO_CLIENT,
    TO_SERVER,
    DtlsServed,
    UdpProxy,
    cookie_of,
    dropping,
    first_flight,
    gnutls_client,
    openssl_client,
    slow,
    swapping,
    with_cookie,
    with_noise,
)
from plugins.peers import HOST, write
from plugins.pki import make

# MicroPython 1.25 has no cookies for DTLS.
BUILDS = ("stock", "stock32")
FRONTS = ("blocking", "asyncio")
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)


@pytest.fixture
def serve(target, pki):
    def start(chain=None, **how):
        return DtlsServed(target, chain or pki.ec, **how)

    return start


@pytest.fixture
def clients(tmp_path, pki):
    """clients(kind, port, *words): a program that connects; ended with the test."""
    ca, _ = write(tmp_path, [pki.root], "root")
    rsa, _ = write(tmp_path, [pki.rsa_root], "rsa-root")
    running = []

    def start(kind, port, *words, root="ec"):
        made = kind(port, ca if root == "ec" else rsa, *words)
        running.append(made)
        return made

    yield start
    for each in running:
        each.stop()


@pytest.fixture
def proxies():
    running = []

    def start(port, shape=None):
        running.append(UdpProxy(port, shape))
        return running[-1]

    yield start
    for each in running:
        each.stop()


def echo(client, text=b"hello\n"):
    client.say(text)
    client.wait_for(re.escape(text.rstrip()))


@pytest.fixture(scope="module")
def hello():
    return first_flight()


def stranger():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    sock.settimeout(2)
    return sock


def cookied(hello, port):
    """(socket, ClientHello with the cookie that the server gave it)."""
    sock = stranger()
    sock.sendto(hello, (HOST, port))
    return sock, with_cookie(hello, cookie_of(sock.recv(2048)))


# ---- whom it serves


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_serves_openssl_and_gnutls(serve, clients, pki, build, front, kind):
    chain = getattr(pki, kind)
    server = serve(chain, front=front, build=build)
    first = clients(openssl_client, server.port, root=kind)
    second = clients(gnutls_client, server.port, root=kind)
    for number in range(3):
        echo(first, b"first %d\n" % number)
        echo(second, b"second %d\n" % number)
    first.say(b"stop\n")
    told = server.result()
    assert told["events"] == []
    assert [each["server_name"] for each in told["opened"]] == ["localhost"] * 2
    for each in told["opened"]:
        assert each["authorized"] is False and each["certificate"] is None and each["version"] == "DTLSv1.2"
        assert each["address"][0] == HOST
    counters = told["counters"]
    assert (counters["accepted"], counters["verify_requests"], counters["bad_cookies"]) == (2, 2, 0)
    assert counters["hellos"] == 4 and counters["failed"] == 0 and counters["connections"] == 2


@pytest.mark.parametrize("front", FRONTS)
def test_a_peer_closes(serve, clients, front):
    """close_notify of OpenSSL's client: the reader gets the end, and the peer is gone."""
    server = serve(front=front)
    first = clients(openssl_client, server.port, "-no_ign_eof")
    second = clients(openssl_client, server.port)
    echo(first)
    echo(second)
    first.popen.stdin.close()
    first.popen.wait(10)
    time.sleep(0.2)
    second.say(b"stop\n")
    told = server.result()
    assert told["events"] == [["closed", True, None]]
    assert told["counters"]["connections"] == 1


def test_a_handler_that_fails(serve, clients):
    server = serve(front="asyncio")
    first, second = clients(openssl_client, server.port), clients(openssl_client, server.port)
    echo(first)
    first.say(b"fail\n")
    echo(second)
    second.say(b"stop\n")
    told = server.result()
    assert told["events"] == [["ValueError", None, HOST]] and told["counters"]["connections"] == 1


def test_client_certificates(serve, clients, pki, tmp_path, build):
    secure = {"request_client_certificate": "required", "trust": pki.device_root.der}
    server = serve(build=build, secure=secure)
    good = write(tmp_path, pki.device, "device")
    stray = write(tmp_path, [make("stray", pki.root, hosts=(), usages=CLIENT)], "stray")
    wrong = write(tmp_path, [make("wrong", pki.device_root, hosts=())], "wrong")
    first = clients(openssl_client, server.port, "-cert", good[0], "-key", good[1], "-cert_chain", good[0])
    echo(first)
    for crt, key in (stray, wrong):
        refused = clients(openssl_client, server.port, "-cert", crt, "-key", key)
        refused.wait_for(rb"alert")
    none = clients(openssl_client, server.port)
    none.wait_for(rb"alert")
    echo(first, b"still here\n")
    first.say(b"stop\n")
    told = server.result()
    (opened,) = told["opened"]
    assert opened["authorized"] is True and opened["certificate"] == pki.device[0].der.hex()
    assert opened["anchor"] and "Device" in opened["anchor"]
    assert [event[1] for event in told["events"]] == ["unknown-issuer", "client-usage", "client-certificate"]
    assert told["counters"]["failed"] == 3


NAMED = """
server = DtlsServer.bind("127.0.0.1", PORT, IDENTITY)
server.add_context("other.example", OPTIONS["other"])
serve(server)
"""


def test_identity_by_name(serve, clients, pki):
    other = pki.chain("other.example", hosts=("other.example",))
    server = serve(lines=NAMED, other=datagram_peers.identity(other))
    first = clients(openssl_client, server.port)
    echo(first)
    second = clients(
        openssl_client, server.port, "-servername", "other.example", "-verify_hostname", "other.example"
    )
    echo(second)
    first.say(b"stop\n")
    assert [each["server_name"] for each in server.result()["opened"]] == ["localhost", "other.example"]


@pytest.mark.parametrize("mtu", [256, 300, 508, 900, 1400])
def test_a_chain_larger_than_its_datagrams(serve, clients, proxies, pki, mtu):
    server = serve(pki.rsa, mtu=mtu)
    proxy = proxies(server.port)
    client = clients(openssl_client, proxy.port, root="rsa")
    echo(client)
    client.say(b"stop\n")
    server.result()
    assert max(len(each) for each in proxy.passed[TO_CLIENT]) <= mtu


def test_1_25_has_no_cookies(target, pki):
    with pytest.raises(AssertionError, match=r"1\.26 or newer"):
        DtlsServed(target, pki.ec, build="stock-1.25")


BAD = (
    ("port=0", "ConfigurationError", "option-value"),
    ("max_peers=0", "ConfigurationError", "option-value"),
    ("max_handshakes=-1", "ConfigurationError", "option-value"),
    ("idle_timeout_ms=None", "ConfigurationError", "option-value"),
    ("mtu=100", "ConfigurationError", "option-value"),
    ("queue=0", "ConfigurationError", "option-value"),
    ("on_failure=5", "ConfigurationError", "option-value"),
    ("psk={b'a': b'b'}", "UnsupportedFeature", "feature"),
    ("secure={'trace': True}", "UnsupportedFeature", "feature"),
    ("secure={'request_client_certificate': 'optional'}", "UnsupportedFeature", "feature"),
    ("secure=5", "ConfigurationError", "option-value"),
    ("identity=None", "ConfigurationError", "identity"),
    ("address='192.0.2.1'", "DatagramError", "datagram-bind"),
)


def test_bad_options(drive, pki):
    lines = "from securesocket import DtlsServer\nresults = []\n"
    for row, _, _ in BAD:
        lines += f"""
how = {{"address": "127.0.0.1", "port": 7777, "identity": IDENTITY}}
how.update({row})
try:
    DtlsServer.bind(how.pop("address"), how.pop("port"), how.pop("identity"), **how).close()
except Exception as error:
    results.append([type(error).__name__, error.code])
"""
    found = drive(lines + "tell(results)\n", params={"IDENTITY": datagram_peers.identity(pki.ec)})
    assert found == [[kind, code] for _, kind, code in BAD]


# ---- what strangers can do


def test_noise_and_broken_hellos(serve, clients, hello, build):
    """Three clients echo, while a stranger sends everything but a ClientHello with a cookie."""
    server = serve(build=build)
    honest = [clients(openssl_client, server.port) for _ in range(3)]
    for client in honest:
        echo(client)
    sock = stranger()
    sent = [b"", b"x", bytes(13), bytes(1500), b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 2000]
    sent += [hello[:size] for size in range(len(hello))]
    for at in range(len(hello)):
        sent.append(hello[:at] + bytes((hello[at] ^ 0xFF,)) + hello[at + 1 :])
    for number, data in enumerate(sent):
        sock.sendto(data, (HOST, server.port))
        if number % 40 == 0:
            for which, client in enumerate(honest):
                echo(client, b"%d for %d\n" % (number, which))
    late = clients(openssl_client, server.port)
    echo(late)
    late.say(b"stop\n")
    told = server.result()
    counters = told["counters"]
    assert counters["accepted"] == 4 and counters["connections"] == 4 and counters["handshakes"] == 0
    # Each cut one, and what is not even the form of a ClientHello.
    assert counters["ignored"] >= len(hello), counters


def test_a_flood_of_hellos_leaves_nothing(serve, clients, hello):
    """200 addresses ask, none goes on: each gets 60 bytes, the server keeps none."""
    server = serve()
    first = clients(openssl_client, server.port)
    echo(first)
    answers = []
    for _ in range(200):
        sock = stranger()
        sock.sendto(hello, (HOST, server.port))
        answers.append(sock.recv(2048))
        sock.close()
    assert all(answer[13] == 3 and len(answer) == 60 for answer in answers)
    # A port may be given out twice within a second.
    assert len({cookie_of(answer) for answer in answers}) > 180
    echo(first, b"after the flood\n")
    first.say(b"stop\n")
    told = server.result()
    counters = told["counters"]
    assert (counters["verify_requests"], counters["accepted"], counters["handshakes"]) == (201, 1, 0)
    assert told["alloc"] - server.alloc < 40000, (told["alloc"], server.alloc)


def test_forged_cookies(serve, clients, hello):
    server = serve()
    first = clients(openssl_client, server.port)
    echo(first)
    mine, honest = cookied(hello, server.port)
    cookie = honest[honest.index(hello[27:59]) + 33 + hello[59] + 1 :][:32]
    forged = [
        with_cookie(hello, bytes(32)),
        with_cookie(hello, cookie[:-1] + bytes((cookie[-1] ^ 1,))),
        # A time to come.
        with_cookie(hello, bytes((0xFF,)) + cookie[1:]),
        honest,
    ]
    for data in forged:
        other = stranger()
        other.sendto(data, (HOST, server.port))
        assert other.recv(2048)[13] == 3
    for size in (1, 31, 33, 255):
        mine.sendto(with_cookie(hello, bytes(size)), (HOST, server.port))
    echo(first, b"unmoved\n")
    first.say(b"stop\n")
    counters = server.result()["counters"]
    assert counters["bad_cookies"] == 4 and counters["ignored"] == 4
    assert counters["accepted"] == 1 and counters["handshakes"] == 0


def test_handshakes_are_bounded_and_end(serve, clients, hello):
    """Addresses that are real, and then silent: max_handshakes of them, each for handshake_timeout_ms."""
    server = serve(max_handshakes=3, handshake_timeout_ms=1500)
    first = clients(openssl_client, server.port)
    echo(first)
    silent = [cookied(hello, server.port) for _ in range(8)]
    for sock, data in silent:
        sock.sendto(data, (HOST, server.port))
    echo(first, b"among the silent\n")
    started = time.monotonic()
    late = clients(openssl_client, server.port)
    echo(late)
    assert time.monotonic() - started < 8
    late.say(b"stop\n")
    told = server.result()
    counters = told["counters"]
    assert counters["failed"] == 3 and counters["handshakes"] == 0 and counters["accepted"] == 2
    assert counters["refused"] >= 5
    assert told["events"] == [["HandshakeTimeout", "timeout", HOST]] * 3


def test_peers_are_bounded_and_idle_ones_end(serve, clients):
    server = serve(max_peers=2, idle_timeout_ms=1500)
    first, second = clients(openssl_client, server.port), clients(openssl_client, server.port)
    echo(first)
    echo(second)
    third = clients(openssl_client, server.port)
    for number in range(12):
        echo(first, b"alive %d\n" % number)
        time.sleep(0.25)
    # The second one was silent, so there is room by now.
    echo(third)
    third.say(b"stop\n")
    counters = server.result()["counters"]
    # While the third one's ClientHello was on its way once more, the first one may have become idle too.
    assert 1 <= counters["idle"] <= 2 and counters["refused"] >= 1
    assert counters["connections"] + counters["idle"] == counters["accepted"] == 3


def test_a_peer_that_does_not_read_is_bounded(drive, target, pki):
    lines = """
from securesocket import DtlsClient, DtlsServer
server = DtlsServer.bind("127.0.0.1", PORT, IDENTITY, queue=4)
async def main():
    client = DtlsClient.bind()
    async def serve():
        async for connection in server:
            return connection
    task = asyncio.create_task(serve())
    mine = await client.open("localhost", PORT, {"trust": CA})
    peer = await task
    for number in range(10):
        mine.send(b"%d" % number)
    await asyncio.sleep_ms(100)
    got = []
    try:
        while True:
            got.append((await peer.receive(timeout_ms=50)).decode())
    except OSError as error:
        got.append(error.code)
    result = [got, server.counters["overflows"]]
    server.close()
    try:
        await peer.receive()
    except OSError as error:
        result.append(error.code)
    return result
tell(asyncio.run(main()))
"""
    params = {
        "PORT": datagram_peers.free_udp_port(),
        "IDENTITY": datagram_peers.identity(pki.ec),
        "CA": pki.root.der,
    }
    got, overflows, closed = drive(lines, params=params)
    assert got == ["0", "1", "2", "3", "receive-timeout"] and overflows == 6 and closed == "closed"


READING = """
server = DtlsServer.bind("127.0.0.1", PORT, IDENTITY)
print("READY", 0)
first = server.accept()
second = server.accept()
got = []
while got[-1:] != ["end"]:
    try:
        got.append(first.recv(100).decode())
    except OSError as error:
        got.append(error.code)
    first.send(b"next")
late = [second.recv().decode() for _ in range(4)]
tell(server, got=got, late=late)
"""
BETWEEN = """
import socket
from securesocket import DtlsClient
client = DtlsClient.bind()
first, second = [client.connect("localhost", PORT, SECURE) for _ in range(2)]
stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
stranger.connect(socket.getaddrinfo("127.0.0.1", PORT)[0][-1])
for data in (b"one", b"two", bytes(101), b"three", bytes(1195), b"four", b"end"):
    if len(data) == 3:
        second.send(data)
    stranger.send(b"\x17\xfe\xfd" + bytes(50))
    stranger.send(b"")
    first.send(data)
    assert first.recv() == b"next"
second.send(b"last")
tell(True)
"""


def test_a_peer_is_read_while_others_send(serve, drive, pki):
    """Whoever reads one peer, without a timeout, gets that peer's datagrams only, and loses none of others."""
    server = serve(lines=READING)
    assert drive(BETWEEN, params={"PORT": server.port, "SECURE": {"trust": pki.root.der}}) is True
    cut = "datagram-truncated"
    told = server.result()
    assert told["got"] == ["one", "two", cut, "three", cut, "four", "end"]
    assert told["late"] == ["one", "two", "end", "last"]
    # Each of the stranger's datagrams, and no other.
    assert (told["counters"]["ignored"], told["counters"]["overflows"]) == (14, 0)


def test_replayed_and_forged_datagrams_of_a_peer(serve, clients, proxies):
    """Everything that a peer has sent, once more and changed, from its own address."""
    server = serve()
    proxy = proxies(server.port)
    first, other = clients(openssl_client, proxy.port), clients(openssl_client, server.port)
    echo(first)
    echo(other)
    (back,) = proxy.backs.values()
    recorded = list(proxy.passed[TO_SERVER])
    for data in recorded:
        back.send(data)
        back.send(data[:-1] + bytes((data[-1] ^ 1,)))
        back.send(data[: len(data) // 2])
    for number in range(30):
        back.send(b"\x17\xfe\xfd\0\1" + bytes(4) + bytes((number, 9)) + b"\0\x20" + bytes(32))
        back.send(b"\x15\xfe\xfd" + bytes(8) + b"\0\2\2\x28")
        back.send(b"\x15\xfe\xfd\0\1" + bytes(5) + bytes((number,)) + b"\0\x1a" + bytes(26))
    time.sleep(0.2)
    echo(other, b"undisturbed\n")
    echo(first, b"unmoved\n")
    assert first.output.count(b"hello") == 1
    other.say(b"stop\n")
    told = server.result()
    assert told["events"] == [] and told["counters"]["connections"] == 2
    assert told["counters"]["accepted"] == 2 and told["counters"]["replaced"] == 0


AGAIN = """
from securesocket import DtlsClient
results = []
for number in range(3):
    client = DtlsClient.bind("127.0.0.1", LOCAL)
    connection = client.connect("localhost", PORT, {"trust": CA})
    connection.send(b"round %d" % number)
    results.append(connection.recv(timeout_ms=3000).decode())
    client.close()
tell(results)
"""


def test_a_client_comes_again_from_its_address(serve, drive, clients, pki):
    """It has no way to say that it went: the new handshake takes the place of the old, once it is over."""
    server = serve()
    params = {"LOCAL": datagram_peers.free_udp_port(), "PORT": server.port, "CA": pki.root.der}
    assert drive(AGAIN, params=params) == ["round 0", "round 1", "round 2"]
    last = clients(openssl_client, server.port)
    last.say(b"stop\n")
    counters = server.result()["counters"]
    assert counters["replaced"] == 2 and counters["connections"] == 2


def test_memory_comes_back(serve, drive, clients, pki, build):
    """After 20 connections that were closed by their clients without a word, and ended by the idle timeout."""
    server = serve(build=build, idle_timeout_ms=1000, max_peers=30)
    lines = """
from securesocket import DtlsClient
for _ in range(20):
    connection = DtlsClient.bind().connect("localhost", PORT, {"trust": CA})
    connection.send(b"x")
    connection.recv(timeout_ms=3000)
    connection.close()
tell(0)
"""
    drive(lines, params={"PORT": server.port, "CA": pki.root.der})
    time.sleep(2.5)
    last = clients(openssl_client, server.port)
    echo(last)
    last.say(b"stop\n")
    told = server.result()
    assert told["counters"]["idle"] == 20 and told["counters"]["connections"] == 1
    # One session, and what the first one has loaded.
    assert told["alloc"] - server.alloc < 60000, (told["alloc"], server.alloc)


# ---- loss

ROUND = """
from securesocket import DtlsClient
connection = DtlsClient.bind().connect("localhost", PORT, {"trust": CA}, timeout_ms=20000, mtu=MTU)
lost = 0
for number in range(5):
    while True:
        connection.send(b"datagram %d" % number)
        try:
            while connection.recv(timeout_ms=400) != b"datagram %d" % number:
                pass
            break
        except OSError as error:
            lost += 1
            assert lost < 20 and error.code == "receive-timeout"
tell([connection.authorized, lost])
"""


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("direction", [TO_SERVER, TO_CLIENT])
def test_each_datagram_is_lost_once(serve, drive, proxies, pki, direction, number):
    """Both flights of both sides: ours on either end, mbedTLS sends them again."""
    server = serve(mtu=500)
    proxy = proxies(server.port, dropping(direction, number))
    found = drive(ROUND, params={"PORT": proxy.port, "CA": pki.root.der, "MTU": 500})
    assert found[0] is True


TROUBLES = {
    "doubled": datagram_peers.doubling,
    "swapped": swapping(),
    "slow": slow(0.3),
    # Of the handshake's messages nobody can tell before its end.
    "flipped": lambda where, which, data: (
        datagram_peers.flipping(where, which, data) if data[0] == 23 else [data]
    ),
    "cut": datagram_peers.cutting,
    "noisy": with_noise(
        b"", b"x", bytes(40), b"\x16\xfe\xfd" + bytes(200), b"\x14\xfe\xfd" + bytes(8) + b"\0\1\2"
    ),
    # Fragments of a Certificate message beyond its end: mbedTLS would give up.
    "forged": with_noise(b"\x16\xfe\xfd" + bytes(8) + b"\0\x0d\x0b\0\0\1\0\2\0\0\1\0\0\1x"),
    "every third lost": lambda where, which, data: [] if which % 3 == 2 else [data],
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_troubled_ways(serve, drive, proxies, pki, trouble):
    server = serve(mtu=400)
    proxy = proxies(server.port, TROUBLES[trouble])
    found = drive(ROUND, params={"PORT": proxy.port, "CA": pki.root.der, "MTU": 400}, timeout_s=60)
    assert found[0] is True


INJECTED = """
from securesocket import DtlsClient
try:
    connection = DtlsClient.bind().connect("localhost", PORT, {"trust": CA}, timeout_ms=6000)
    connection.send(b"hello")
    tell([True, connection.recv(timeout_ms=2000).decode()])
except OSError as error:
    tell([type(error).__name__, error.code])
"""


def test_a_forged_finished_is_no_end_of_the_handshake(serve, drive, proxies, pki):
    """A record of epoch 1 that somebody else made comes first, after ChangeCipherSpec and instead of the
    server's: never is the connection open by it."""
    server = serve()
    fake = b"\x16\xfe\xfd\0\1" + bytes(6) + b"\0\x28" + bytes(40)

    def before(where, which, data):
        return [fake, data] if where == TO_CLIENT else [data]

    def instead(where, which, data):
        last = where == TO_CLIENT and data[0] == 20
        return [data[:14] + fake] if last else [data]

    for shape in (before, instead):
        proxy = proxies(server.port, shape)
        found = drive(INJECTED, params={"PORT": proxy.port, "CA": pki.root.der})
        # mbedTLS gives up where it waits for Finished and gets something else: never open, never silent.
        assert found in ([True, "hello"], ["HandshakeError", "protocol"]), found
        if shape is instead:
            assert found[0] is not True

"""SecureServerSocket and start_server: who is served, as whom, under which bounds, and what is told."""

import re
import socket
import ssl
import subprocess
import time

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from plugins.clients import HOST, Served, connected, context, identity, silent, talk
from plugins.pki import DAY, NOW, make

CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
FRONTS = ("blocking", "asyncio")
RUN = "run(FRONT, IDENTITY, **OPTIONS)"


@pytest.fixture
def serve(target, pki):
    """serve(front, build=…, chain=…, **options): a Served."""

    def start(front="blocking", build="stock", chain=None, **options):
        params = {"FRONT": front, "IDENTITY": identity(chain or pki.ec), "OPTIONS": options}
        return Served(target, RUN, build, **params)

    return start


@pytest.fixture
def client(pki):
    return context([pki.root, pki.rsa_root])


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_serves_lines_to_python(serve, client, pki, build, front, kind):
    server = serve(front, build, getattr(pki, kind))
    assert talk(server.port, client) == b"hello\n"
    assert talk(server.port, client, b"stop\n") == b"stop\n"
    told = server.result()
    first = told["opened"][0]
    assert first["authorized"] is False and first["authorization_error"] == "None"
    assert first["server_name"] == "localhost" and first["alpn"] is None and first["host"] == "127.0.0.1"
    assert first["cipher"][1] == "TLSv1.2" and kind.upper()[:2] in first["cipher"][0].replace("ECDSA", "EC")
    assert first["stage"] == "open" and first["certificate"] is None and "localhost" in first["repr"]
    assert told["events"] == []
    assert told["counters"] == {"connections": 0, "handshakes": 0, "accepted": 2, "failed": 0, "refused": 0,
                                "waited": 0, "displaced": 0}  # fmt: skip


OTHERS = (
    ("openssl", ["openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", "{ca}",
                 "-verify_hostname", "localhost", "-servername", "localhost", "-connect", "127.0.0.1:{port}"]),
    ("gnutls", ["gnutls-cli", "--x509cafile={ca}", "--verify-hostname=localhost", "--sni-hostname=localhost",
                "--no-ocsp", "-p", "{port}", "127.0.0.1"]),
)  # fmt: skip


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize(("program", "words"), OTHERS, ids=[row[0] for row in OTHERS])
def test_serves_other_programs(serve, pki, tmp_path, program, words, front):
    server = serve(front)
    ca = tmp_path / "ca.pem"
    ca.write_bytes(pki.root.pem)
    command = [word.format(ca=ca, port=server.port) for word in words]
    done = subprocess.run(command, input=b"stop\n", capture_output=True, timeout=20)
    assert b"stop\n" in done.stdout, done
    assert server.result()["opened"][0]["server_name"] == "localhost"


@pytest.mark.parametrize("front", FRONTS)
def test_a_client_that_says_nothing_holds_up_nobody(serve, client, front):
    server = serve(front, handshake_timeout_ms=1000)
    with silent(server.port, 3) as mute:
        started = time.monotonic()
        assert talk(server.port, client) == b"hello\n"
        assert time.monotonic() - started < 0.9
        with connected(server.port, client) as other:
            time.sleep(1.2)
            if front == "asyncio":
                # They are ended although another connection is open.
                assert [one.recv(1) for one in mute] == [b""] * 3
            other.sendall(b"on\n")
            assert other.recv(9) == b"on\n"
        assert talk(server.port, client, b"stop\n") == b"stop\n"
        told = server.result()
    assert [event[:2] for event in told["events"]] == [["HandshakeTimeout", "timeout"]] * 3
    assert told["events"][0][2] == "nothing after 1000 ms (hello)"
    assert told["counters"]["failed"] == 3


@pytest.mark.parametrize("front", FRONTS)
def test_more_silent_clients_than_handshakes_are_displaced(serve, client, front):
    server = serve(front, max_handshakes=4, backlog=50)
    with silent(server.port, 20):
        assert talk(server.port, client) == b"hello\n"
        assert talk(server.port, client, b"stop\n") == b"stop\n"
        told = server.result()
    assert told["counters"]["displaced"] >= 16
    assert {tuple(event[:2]) for event in told["events"]} == {("HandshakeError", "displaced")}


@pytest.mark.parametrize("front", FRONTS)
def test_clienthellos_that_are_not_whole_are_bounded_together(serve, client, front):
    """Eight announce one of 16 KB, and send 10 KB of it."""
    server = serve(front)
    with silent(server.port, 8) as clients:
        for raw in clients:
            raw.sendall(bytes((22, 3, 1, 0x40, 0, 1, 0, 0x3F, 0xFC)) + bytes(10_000))
        assert talk(server.port, client) == b"hello\n"
        assert talk(server.port, client, b"stop\n") == b"stop\n"
        told = server.result()
    displaced = [event for event in told["events"] if event[1] == "displaced"]
    # Three of them stay within 32 KB.
    assert len(displaced) == told["counters"]["displaced"] == 5, told
    assert "bytes of a ClientHello" in displaced[0][2]


# ---- by name


def test_identity_by_server_name(serve, pki, build):
    names = ("a.test", "*.b.test", "c.test")
    chains = {name: pki.chain(subject=name, hosts=[name]) for name in names}
    contexts = [(name, identity(chain)) for name, chain in chains.items()]
    server = serve(build=build, contexts=contexts)
    client = context([pki.root])
    client.check_hostname = False
    shown = {}
    for name in ("a.test", "A.Test", "x.b.test", "y.x.b.test", "b.test", "c.test", "d.test"):
        with connected(server.port, client, name) as stream:
            shown[name] = dict(pair[0] for pair in stream.getpeercert()["subject"])["commonName"]
            stream.sendall(b"hello\n")
            assert stream.recv(9) == b"hello\n"
    assert shown == {"a.test": "a.test", "A.Test": "a.test", "x.b.test": "*.b.test", "y.x.b.test": "localhost",
                     "b.test": "localhost", "c.test": "c.test", "d.test": "localhost"}  # fmt: skip
    talk(server.port, client, b"stop\n")
    told = [one["server_name"] for one in server.result()["opened"]]
    assert told == ["a.test", "a.test", "x.b.test", "y.x.b.test", "b.test", "c.test", "d.test", "localhost"]


def test_no_server_name_gets_the_first_identity(serve, pki):
    server = serve(contexts=[("a.test", identity(pki.rsa))])
    client = context([pki.root])
    client.check_hostname = False
    assert talk(server.port, client, b"stop\n", None) == b"stop\n"
    assert server.result()["opened"][0]["server_name"] is None


# ---- client certificates


@pytest.fixture
def mutual(serve, pki):
    def start(front, build="stock", trust=None, **more):
        secure = {"request_client_certificate": "required", "trust": trust or pki.device_root.der} | more
        return serve(front, build, secure=secure)

    return start


@pytest.mark.parametrize("front", FRONTS)
def test_a_client_certificate_is_verified(mutual, pki, tmp_path, build, front):
    server = mutual(front, build)
    client = context([pki.root], pki.device, tmp_path)
    assert talk(server.port, client) == b"hello\n"
    assert talk(server.port, client, b"stop\n") == b"stop\n"
    told = server.result()
    first = told["opened"][0]
    assert first["authorized"] is True
    assert first["certificate"] == pki.device[0].der.hex()
    assert first["anchor"] == "CN=Device Root"
    assert told["events"] == []


# what is wrong: the client's chain, and what the server says of it
def _refused(pki):
    root = pki.device_root
    return (
        ("none", None, ["CertificateError", "client-certificate"]),
        ("other CA", pki.foreign, ["UnknownIssuer", "unknown-issuer"]),
        ("expired", [make("device-1", root, usages=CLIENT, not_before=NOW - 9 * DAY, not_after=NOW - DAY)],
         ["Expired", "expired"]),
        ("not yet valid", [make("device-1", root, usages=CLIENT, not_before=NOW + DAY)], ["NotYetValid", "not-yet-valid"]),
        ("a server's certificate", [make("device-1", root)], ["CertificateError", "client-usage"]),
    )  # fmt: skip


@pytest.mark.parametrize("front", FRONTS)
def test_a_wrong_client_certificate_is_refused_and_the_next_client_served(
    mutual, pki, tmp_path, build, front
):
    server = mutual(front, build)
    expected = []
    for what, chain, error in _refused(pki):
        client = context([pki.root], chain, tmp_path)
        with pytest.raises(OSError):
            talk(server.port, client)
        expected.append(error)
    good = context([pki.root], pki.device, tmp_path)
    assert talk(server.port, good, b"stop\n") == b"stop\n"
    told = server.result()
    assert [event[:2] for event in told["events"]] == expected
    assert len(told["opened"]) == 1 and told["counters"]["failed"] == len(expected)


def test_a_client_is_pinned(mutual, pki, tmp_path):
    server = mutual("blocking", pins=[pki.device[0].pin])
    other = [make("device-18", pki.device_root, usages=CLIENT)]
    with pytest.raises(OSError):
        talk(server.port, context([pki.root], other, tmp_path))
    assert talk(server.port, context([pki.root], pki.device, tmp_path), b"stop\n") == b"stop\n"
    told = server.result()
    assert [event[:2] for event in told["events"]] == [["PinMismatch", "pin"]]


def test_each_name_has_its_own_clients(serve, pki, tmp_path):
    rows = [("a.test", identity(pki.ec), pki.device_root.der), ("b.test", identity(pki.ec), pki.stranger.der)]
    secure = {"request_client_certificate": "required", "trust": pki.rsa_root.der}
    server = serve(contexts=rows, secure=secure)
    ours = context([pki.root], pki.device, tmp_path)
    ours.check_hostname = False
    assert talk(server.port, ours, name="a.test") == b"hello\n"
    for name in ("b.test", "localhost"):
        with pytest.raises(OSError):
            talk(server.port, ours, name=name)
    assert talk(server.port, ours, b"stop\n", name="a.test") == b"stop\n"
    told = server.result()
    assert [event[1] for event in told["events"]] == ["unknown-issuer"] * 2


# ---- bounds


def test_max_connections_lets_clients_wait(serve, client):
    server = serve("asyncio", max_connections=2)
    with connected(server.port, client) as one, connected(server.port, client) as two:
        raw = socket.create_connection((HOST, server.port), timeout=10)
        started = time.monotonic()
        with pytest.raises(TimeoutError), raw:
            raw.settimeout(0.4)
            client.wrap_socket(raw, server_hostname="localhost")
        assert time.monotonic() - started > 0.3
        for stream in (one, two):
            stream.sendall(b"hello\n")
            assert stream.recv(9) == b"hello\n"
    assert talk(server.port, client, b"stop\n") == b"stop\n"
    assert server.result()["counters"]["refused"] == 0


def test_max_connections_refuses_if_told_so(serve, client):
    server = serve("asyncio", max_connections=1, when_full="refuse")
    with connected(server.port, client) as one:
        with pytest.raises(OSError):
            talk(server.port, client)
        one.sendall(b"hello\n")
        assert one.recv(9) == b"hello\n"
        one.sendall(b"stop\n")
        assert one.recv(9) == b"stop\n"
    told = server.result()
    assert told["counters"]["refused"] == 1
    assert told["events"][0][:2] == ["HandshakeError", "server-full"]


# ---- ends


@pytest.mark.parametrize("front", FRONTS)
def test_a_clean_end_and_a_cut_one_are_told_apart(serve, client, build, front):
    server = serve(front, build)
    with connected(server.port, client) as stream:
        stream.sendall(b"hello\n")
        assert stream.recv(9) == b"hello\n"
        stream.setblocking(False)
        with pytest.raises((ssl.SSLWantReadError, ssl.SSLEOFError)):
            stream.unwrap()  # close_notify leaves; the server's is not awaited, or it has gone already
    with connected(server.port, client) as stream:
        stream.sendall(b"hello\n")
        assert stream.recv(9) == b"hello\n"
        socket.socket.shutdown(stream, socket.SHUT_WR)
        time.sleep(0.1)
    assert talk(server.port, client, b"stop\n") == b"stop\n"
    first, second, _ = server.result()["opened"]
    assert "error" not in first and "error" not in second
    assert (first["truncated"], second["truncated"]) == (False, True)


@pytest.mark.parametrize("front", FRONTS)
def test_what_on_failure_raises_ends_no_asyncio_server(target, pki, client, front):
    lines = """
def bad(error, address):
    raise KeyError(error.code)
if FRONT == "asyncio":
    asyncio.get_event_loop().set_exception_handler(lambda loop, context: events.append(repr(context["exception"])))
    on_failure = bad
    run(FRONT, IDENTITY, handshake_timeout_ms=300)
else:
    server = SecureServerSocket.bind("127.0.0.1", PORT, IDENTITY, on_failure=bad)
    ready()
    try:
        server.accept()
    except KeyError as error:
        events.append(repr(error))
    stream = server.accept()
    stream.write(stream.readline())
    tell(server, [])
"""
    server = Served(target, lines, IDENTITY=identity(pki.ec), FRONT=front)
    with silent(server.port, 2) as [one, two]:
        one.sendall(b"GET / HTTP/1.0\r\n\r\n")
        if front == "asyncio":
            assert two.recv(1) == b""
        assert talk(server.port, client, b"stop\n") == b"stop\n"
    assert (
        sorted(server.result()["events"])[:2]
        == ["KeyError('not-tls',)", "KeyError('timeout',)"][: 1 + (front == "asyncio")]
    )


REFUSED = (
    ("port 0", "SecureServerSocket.bind('127.0.0.1', 0, IDENTITY)", "option-value", "port=0"),
    ("no identity", "SecureServerSocket.bind('127.0.0.1', PORT)", "identity", "none"),
    ("an address of nobody", "SecureServerSocket.bind('192.0.2.1', PORT, IDENTITY)", "bind", "192.0.2.1"),
    ("when_full", "SecureServerSocket.bind('127.0.0.1', PORT, IDENTITY, when_full='drop')", "option-value", "drop"),
    ("backlog", "SecureServerSocket.bind('127.0.0.1', PORT, IDENTITY, backlog=0)", "option-value", "backlog=0"),
    ("on_failure", "SecureServerSocket.bind('127.0.0.1', PORT, IDENTITY, on_failure=1)", "option-value", "on_failure=1"),
    ("optional", "ServerContext(identity=IDENTITY, request_client_certificate='optional')", "feature", "optional"),
    ("unknown request", "ServerContext(identity=IDENTITY, request_client_certificate=True)", "option-value", "True"),
    ("not rejecting", "ServerContext(identity=IDENTITY, reject_unauthorized=False)", "feature", "reject_unauthorized"),
    ("alpn", "ServerContext(identity=IDENTITY, alpn='http/1.1')", "feature", "alpn"),
    ("psk", "ServerContext(identity=IDENTITY, psk=('a', b'b'))", "feature", "psk"),
    ("trust for nobody", "ServerContext(identity=IDENTITY, trust=ROOT)", "option-conflict", "trust="),
    ("pins for nobody", "ServerContext(identity=IDENTITY, pins=[bytes(32)])", "option-conflict", "pins="),
    ("required without trust", "ServerContext(identity=IDENTITY, request_client_certificate='required')", "option-conflict", "trust="),
    ("a client's option", "ServerContext(identity=IDENTITY, server_name='a.test')", "option-value", "server_name"),
    ("verify", "ServerContext(identity=IDENTITY, verify=False)", "option-value", "verify=False"),
    ("unknown option", "ServerContext(identity=IDENTITY, request_cert=True)", "option-unknown", "request_cert"),
    ("another's key", "ServerContext(identity=(IDENTITY[0], OTHER[1]))", "identity-mismatch", None),
    ("bad wildcard", "ServerContext(identity=IDENTITY).add_context('a.*.test', IDENTITY)", "option-value", "a.*.test"),
    ("a wildcard in a label", "ServerContext(identity=IDENTITY).add_context('a*.test', IDENTITY)", "option-value", "a*.test"),
    ("wildcard alone", "ServerContext(identity=IDENTITY).add_context('*', IDENTITY)", "option-value", "*"),
    ("empty name", "ServerContext(identity=IDENTITY).add_context('', IDENTITY)", "option-value", "''"),
    ("a name's trust for nobody", "ServerContext(identity=IDENTITY).add_context('a.test', IDENTITY, ROOT)", "option-conflict", "trust="),
    ("a server's context for a client", "SecureSocket('localhost', PORT, ServerContext(identity=IDENTITY))", "option-value", "ServerContext"),
    ("a client's context for a server", "SecureContext(trust=ROOT).wrap_socket(io.BytesIO(), server_side=True)", "option-value", "server_side"),
    ("a server's context as a client's", "ServerContext(identity=IDENTITY).wrap_socket(io.BytesIO(), server_side=False)", "option-value", "server_side"),
)  # fmt: skip


@pytest.mark.parametrize(("what", "line", "code", "found"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_cannot_be_is_refused_by_name(drive, pki, what, line, code, found):
    lines = f"""
import io
from securesocket import SecureServerSocket, ServerContext
try:
    {line}
    tell("accepted")
except OSError as error:
    tell(describe(error))
"""
    params = {"IDENTITY": identity(pki.ec), "OTHER": identity(pki.rsa), "ROOT": pki.root.der, "PORT": 4777}
    told = drive(lines, params=params)
    assert told["code"] == code, told
    assert found is None or found in told["found"]
    assert "PRIVATE" not in told["text"] and identity(pki.ec)[1].hex()[:40] not in told["text"]


def test_accept_has_a_deadline(drive, pki):
    lines = """
from securesocket import SecureServerSocket
with SecureServerSocket.bind("127.0.0.1", PORT, IDENTITY) as server:
    started = time.ticks_ms()
    try:
        server.accept(200)
    except OSError as error:
        told = describe(error)
    told["ms"] = time.ticks_diff(time.ticks_ms(), started)
try:
    server.accept(200)
except OSError as error:
    told["then"] = error.code
told["list"] = list(server)
tell(told)
"""
    from plugins.peers import free_port

    told = drive(lines, params={"IDENTITY": identity(pki.ec), "PORT": free_port()})
    assert (told["class"], told["code"], told["stage"]) == ("HandshakeTimeout", "timeout", "accept")
    assert 200 <= told["ms"] < 1000
    assert told["then"] == "closed" and told["list"] == []


LEAKS = """
import gc
server = SecureServerSocket.bind("127.0.0.1", PORT, IDENTITY, on_failure=lambda error, address: None)
ready()
sizes = [0] * (COUNT // 50)
for number in range(COUNT):
    stream = server.accept()
    stream.readline()
    stream.write(b"hello\\n")
    stream.close()
    stream = None
    if number % 50 == 49:
        gc.collect()
        sizes[number // 50] = gc.mem_alloc()
print("RESULT", json.dumps({"sizes": sizes, "counters": counters(server)}))
"""


def test_connections_leave_nothing_behind(target, pki, client, build):
    server = Served(target, LEAKS, build, IDENTITY=identity(pki.ec), COUNT=160)
    for number in range(160):
        if number % 4 == 0:
            with silent(server.port) as [raw]:
                raw.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert talk(server.port, client) == b"hello\n"
    told = server.result()
    assert told["counters"]["connections"] == told["counters"]["handshakes"] == 0
    # A stale word on the C stack may keep a block or two; what a connection leaves would be a hundred times that.
    assert max(told["sizes"]) - min(told["sizes"]) <= 128, told


def test_an_ssl_context_of_asyncio(target, pki, client, build):
    lines = """
async def main():
    stop = asyncio.Event()
    async def handler(reader, writer):
        line = await reader.readline()
        writer.write(line)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        stop.set()
    server = await asyncio.start_server(handler, "127.0.0.1", PORT, ssl=ServerContext(identity=IDENTITY))
    ready()
    await stop.wait()
    server.close()
    await server.wait_closed()
    print("RESULT", 1)
asyncio.run(main())
"""
    server = Served(target, lines, build, IDENTITY=identity(pki.ec))
    assert talk(server.port, client) == b"hello\n"
    assert server.result() == 1


def test_the_trace_of_a_server_begins_with_the_clienthello(target, pki, client):
    lines = """
told = []
server = SecureServerSocket.bind("127.0.0.1", PORT, IDENTITY, secure={"trace": lambda event: told.append(event[1:3])})
ready()
stream = server.accept()
stream.write(stream.readline())
stream.close()
print("RESULT", json.dumps(told))
"""
    server = Served(target, lines, IDENTITY=identity(pki.ec))
    assert talk(server.port, client) == b"hello\n"
    names = [name for way, name in server.result() if way in "<>"]
    assert names[:2] == ["ClientHello", "ServerHello"] and "Finished" in names
    assert re.search("ClientKeyExchange.*Finished.*Finished.*ApplicationData", " ".join(names))

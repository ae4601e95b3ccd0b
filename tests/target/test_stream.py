"""A connection from the outside: each way to open one, its reads and writes, what it tells, what it
leaves behind, and how it stays failed."""

import socket

import pytest

from plugins.peers import CERTIFICATE, Proxy, PythonServer, RawServer, flipped, says
from plugins.pki import DAY, NOW

# driver.HOWS; those behind the line shake hands within the first read or write.
OPENING = ("socket", "open", "wrap", "stream", "context")
LATE = ("later", "asyncio")
HOWS = OPENING + LATE


@pytest.mark.parametrize("how", HOWS)
def test_each_way_to_connect_is_verified(attempt, build, pki, servers, how):
    got = attempt(build, how=how, port=servers.python(pki.ec), secure={"trust": pki.root.der})
    assert got["reply"] == "ping\n" and got["authorized"] is True
    assert got["latched"] == [["SecureSocketError", "closed"]] * 3
    assert got.get("closed", 1) >= 1


# what is wrong: chain, what to ask for, (class, code), the remedy that it names
FAILURES = (
    ("unknown issuer", lambda p: p.foreign, {}, ("UnknownIssuer", "unknown-issuer"), "trust="),
    ("expired", lambda p: p.chain(not_after=NOW - DAY), {}, ("Expired", "expired"), "clock"),
    ("not yet valid", lambda p: p.chain(not_before=NOW + DAY), {}, ("NotYetValid", "not-yet-valid"), "clock"),
    ("wrong host", lambda p: p.ec, {"host": "wrong.test"}, ("HostnameMismatch", "hostname"), "name"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("what", "chain", "more", "error", "remedy"), FAILURES, ids=[row[0] for row in FAILURES]
)
@pytest.mark.parametrize("how", HOWS)
def test_each_way_to_connect_fails_alike(attempt, build, pki, servers, how, what, chain, more, error, remedy):
    secure = {"trust": pki.root.der}
    if how in ("socket", "open") and more:  # its host is also the one to connect to
        secure["server_name"], more = more["host"], {}
    got = attempt(build, how=how, port=servers.python(chain(pki)), secure=secure, **more)
    assert "reply" not in got
    told = got["error"]
    assert (told["class"], told["code"]) == error
    assert told["found"] and remedy in told["remedy"]
    assert (
        told["text"]
        == f"{told['text'].partition(':')[0]}: found {told['found']}"
        + (f", expected {told['expected']}" if told["expected"] else "")
        + f"; remedy: {told['remedy']}"
    )
    assert told["repr"] == f"{told['class']}: {told['text']}"
    assert told["errno"] == 13
    if how in LATE:
        assert got["latched"] == [list(error)] * 3
    assert got.get("closed", 1) >= 1


# MicroPython's own heap, in a loop: connections of each kind, made and failed.
LEAKS = """
def once(port, secure, host):
    try:
        stream = HOW(port, secure, host)
        stream.write(b"ping\\n")
        assert stream.readline() == b"ping\\n"
        stream.close()
        return "ok"
    except OSError as error:
        return error.code

def by_socket(port, secure, host):
    return SecureSocket("127.0.0.1", port, dict(secure, server_name=host))

def by_context(port, secure, host):
    stream = SecureContext(**secure).wrap_socket(tcp(port), server_hostname=host, do_handshake_on_connect=False)
    stream.setblocking(True)
    return stream

def measure(count):
    codes = [once(*CASE) for _ in range(3)]
    gc.collect()
    gc.collect()
    files, heap = open_files(), gc.mem_alloc()
    for _ in range(count):
        once(*CASE)
    gc.collect()
    gc.collect()
    grown = gc.mem_alloc() - heap
    return [codes[-1], open_files() - files, grown]

HOW = by_socket if WAY == "socket" else by_context
tell(measure(10))
"""

LEAK_CASES = (
    ("verified", lambda p: p.ec, "localhost", "ok"),
    ("unknown issuer", lambda p: p.foreign, "localhost", "unknown-issuer"),
    ("expired", lambda p: p.chain(not_after=NOW - DAY), "localhost", "expired"),
    ("wrong host", lambda p: p.ec, "wrong.test", "hostname"),
)


@pytest.mark.parametrize("way", ["socket", "context"])
@pytest.mark.parametrize(("what", "chain", "host", "code"), LEAK_CASES, ids=[row[0] for row in LEAK_CASES])
def test_connection_leaves_neither_file_nor_heap(drive, build, pki, servers, way, what, chain, host, code):
    case = (servers.python(chain(pki)), {"trust": pki.root.der}, host)
    got, files, grown = drive(LEAKS, build=build, params={"CASE": case, "WAY": way})
    assert (got, files) == (code, 0)
    assert grown <= 0


@pytest.mark.parametrize(
    ("what", "peer", "code"),
    [
        ("garbage", lambda p, s: s.start(RawServer, says(b"\0" * 99)).port, "not-tls"),
        ("an alert", lambda p, s: s.start(RawServer, says(b"\x15\3\3\0\2\2\x28")).port, "alert"),
        (
            "a damaged certificate",
            lambda p, s: s.start(Proxy, (s.python(p.ec), flipped(CERTIFICATE, 40))).port,
            None,
        ),
    ],
)
def test_broken_handshake_leaves_neither_file_nor_heap(drive, build, pki, servers, what, peer, code):
    case = (peer(pki, servers), {"trust": pki.root.der}, "localhost")
    got, files, grown = drive(LEAKS, build=build, params={"CASE": case, "WAY": "socket"})
    assert got != "ok" and (code is None or got == code)
    assert files == 0 and grown <= 0


DROPPED = """
def drop():
    stream = SecureSocket("127.0.0.1", PORT, {"trust": TRUST})
    stream.write(b"ping\\n")

def fill():
    return [bytes(100) for _ in range(50)]

for _ in range(3):
    drop()
    fill()
    gc.collect()
files = open_files()
for _ in range(5):
    drop()
    fill()  # over what the stack still points to
    gc.collect()
tell(open_files() - files)
"""


def test_open_connection_may_be_dropped(drive, build, pki, servers):
    """Nobody closes it: the collector does, and says nothing about it. `drive` demands the silence."""
    left = drive(DROPPED, build=build, params={"PORT": servers.python(pki.ec), "TRUST": pki.root.der})
    assert left <= 1  # a pointer to the last one may still be on the stack


BULK = """
import hashlib

SIZE = 100_000
data = bytes((i * 7 + i // 251) & 255 for i in range(1000)) * (SIZE // 1000)
digest = hashlib.sha256()
"""

BULK_BLOCKING = (
    BULK
    + """
stream = SecureSocket("127.0.0.1", PORT, {"trust": TRUST})
have = 0
sent = 0
view = memoryview(data)
buf = bytearray(3000)
while sent < SIZE:
    count = stream.write(view[sent : sent + 5000])
    sent += count
    left = count
    while left:
        got = stream.readinto(buf, min(left, len(buf)))
        digest.update(memoryview(buf)[:got])
        have += got
        left -= got
stream.close()
tell([sent, have, digest.digest() == hashlib.sha256(data).digest()])
"""
)

BULK_ASYNC = (
    BULK
    + """
async def main():
    context = SecureContext(trust=TRUST)
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT, ssl=context, server_hostname="localhost")

    async def send():
        for at in range(0, SIZE, 10_000):
            writer.write(data[at : at + 10_000])
            await writer.drain()

    sending = asyncio.create_task(send())
    have = 0
    while have < SIZE:
        piece = await reader.read(4000)
        assert piece
        digest.update(piece)
        have += len(piece)
    await sending
    writer.close()
    await writer.wait_closed()
    tell([SIZE, have, digest.digest() == hashlib.sha256(data).digest()])

asyncio.run(main())
"""
)


@pytest.mark.parametrize("lines", [BULK_BLOCKING, BULK_ASYNC], ids=["blocking", "asyncio"])
@pytest.mark.parametrize("chain", ["ec", "rsa"])
def test_100_kilobytes_both_ways(drive, build, pki, servers, lines, chain):
    params = {"PORT": servers.python(getattr(pki, chain)), "TRUST": [pki.root.der, pki.rsa_root.der]}
    assert drive(lines, build=build, params=params) == [100_000, 100_000, True]


READS = """
stream = SecureSocket("127.0.0.1", PORT, {"trust": TRUST})
told = {}
stream.write(b"go\\n")
told["readline"] = stream.readline().decode()
told["readline limited"] = stream.readline(3).decode()
told["read n"] = stream.read(4).decode()
buf = bytearray(8)
told["readinto"] = [stream.readinto(buf, 5), buf.decode()]
view = memoryview(buf)
told["readinto a view"] = [stream.readinto(view[2:4]), buf.decode()]
told["write a view"] = stream.write(memoryview(b"abc\\n")[:])
told["echo"] = stream.readline().decode()
told["write a bytearray"] = stream.write(bytearray(b"end\\n"))
told["read all"] = stream.read().decode()
told["read at the end"] = [len(stream.read(1)), len(stream.read()), stream.readinto(buf), len(stream.readline())]
stream.close()
stream.close()
closed = []
for function, args in ((stream.read, (1,)), (stream.readinto, (buf,)), (stream.readline, ()), (stream.write, (b"x",)), (stream.setblocking, (True,)), (stream.settimeout, (1,))):
    try:
        function(*args)
        closed.append(None)
    except OSError as error:
        closed.append(error.code)
told["closed"] = closed
told["cipher"] = [stream.cipher(), stream.version()]
told["authorized"] = stream.authorized
told["repr"] = repr(stream)
tell(told)
"""


def test_reads_and_writes_are_those_of_a_stream(drive, build, pki, servers):
    def handler(stream):
        stream.recv(100)
        stream.sendall(b"first line\nsecond\nabcdefghijk")
        stream.sendall(stream.recv(100))
        stream.recv(100)
        stream.sendall(b"the rest")

    server = servers.start(PythonServer, pki.ec, handler)
    told = drive(READS, build=build, params={"PORT": server.port, "TRUST": pki.root.der})
    told.pop("repr")
    assert told == {
        "readline": "first line\n",
        "readline limited": "sec",
        "read n": "ond\n",
        "readinto": [5, "abcde\0\0\0"],
        "readinto a view": [2, "abfge\0\0\0"],
        "write a view": 4,
        "echo": "hijkabc\n",
        "write a bytearray": 4,
        "read all": "the rest",
        "read at the end": [0, 0, 0, 0],
        "closed": ["closed"] * 6,
        "cipher": [None, None],
        "authorized": True,
    }
    assert server.received[0] == b"go\nabc\nend\n"


FACTS = """
stream = SecureSocket("localhost", PORT, {"trust": TRUST})
report = stream.report
tell({
    "remote": stream.remote_address, "repr": repr(stream), "report": repr(report), "stage": report.stage,
    "ms": [report.resolve_ms, report.connect_ms, report.handshake_ms], "error": report.error,
    "chain": report.chain, "anchor": [report.anchor, report.anchor_source],
    "cipher": [report.cipher, report.version], "stream cipher": stream.cipher(),
    "names": stream.peer_certificate.names, "subject_equal": bytes(stream.peer_certificate.der) == LEAF,
})
"""


def test_open_connection_tells_its_facts(drive, build, pki, servers):
    port = servers.python(pki.ec)
    told = drive(FACTS, build=build, params={"PORT": port, "TRUST": pki.root.der, "LEAF": pki.ec[0].der})
    assert told["remote"] == ["127.0.0.1", port]
    assert told["repr"] == f"<SecureSocket localhost:{port} open, verified, {told['cipher'][0]}>"
    assert told["stage"] == "open" and told["error"] is None
    assert all(0 <= ms < 5000 for ms in told["ms"]) and told["ms"][2] > 0
    assert told["chain"] == ["CN=localhost", "CN=Test Intermediate", "CN=Test Root"]
    assert told["anchor"] == ["CN=Test Root", "certificate"]
    assert told["cipher"] == told["stream cipher"] == ["TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384", "TLSv1.2"]
    assert told["names"] == ["localhost", "127.0.0.1"] and told["subject_equal"]
    for part in ("handshake", "CN=Test Intermediate", "CN=Test Root (from the certificate)", "TLSv1.2"):
        assert part in told["report"]


FAILED_FACTS = """
context = SecureContext(trust=TRUST)
stream = context.wrap_socket(tcp(PORT), server_hostname="localhost", do_handshake_on_connect=False)
first = again = None
try:
    stream.write(b"secret")
except OSError as error:
    first = error
try:
    stream.read(1)
except OSError as error:
    again = error
report = stream.report
tell({"same": first is again, "error": report.error is first, "stage": report.stage, "chain": report.chain,
    "anchor": [report.anchor, report.anchor_source], "authorized": stream.authorized, "cipher": stream.cipher(),
    "leaf": bytes(stream.peer_certificate.der) == LEAF, "certificate": bytes(first.certificate.der) == LEAF,
    "repr": repr(stream), "poll": stream.ioctl(3, 1)})
"""


def test_failed_connection_tells_its_facts_and_stays_failed(drive, build, pki, servers):
    server = servers.start(PythonServer, pki.foreign)
    params = {"PORT": server.port, "TRUST": pki.root.der, "LEAF": pki.foreign[0].der}
    told = drive(FAILED_FACTS, build=build, params=params)
    assert told["same"] and told["error"] and told["leaf"] and told["certificate"]
    assert told["chain"][:2] == ["CN=localhost", "CN=Unknown Intermediate"]
    assert told["anchor"] == [None, None] and told["cipher"] is None and told["authorized"] is False
    assert "verified" not in told["repr"]
    assert told["poll"] & 1  # whoever waits is woken
    assert server.received == {}  # not a byte of application data


WAITING = """
async def main():
    context = SecureContext(trust=TRUST)
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep_ms(5)

    ticking = asyncio.create_task(tick())
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT, ssl=context, server_hostname="localhost")
    try:
        await asyncio.wait_for(reader.read(1), 0.5)
        late = False
    except asyncio.TimeoutError:
        late = True
    writer.write(b"ping\\n")
    await writer.drain()
    line = await reader.readline()
    cancelled = asyncio.create_task(reader.read(10))
    await asyncio.sleep_ms(20)
    cancelled.cancel()
    writer.close()
    await writer.wait_closed()
    ticking.cancel()
    tell([late, line.decode(), ticks > 20])

asyncio.run(main())
"""


def test_asyncio_waits_without_blocking_others(drive, build, pki, servers):
    params = {"PORT": servers.python(pki.ec), "TRUST": pki.root.der}
    assert drive(WAITING, build=build, params=params) == [True, "ping\n", True]


MANY = """
async def one(number):
    stream = await SecureSocket.open("127.0.0.1", PORT, CONTEXT)
    reader, writer = asyncio.StreamReader(stream), asyncio.StreamWriter(stream, {})
    line = b"number %d\\n" % number
    for _ in range(3):
        writer.write(line)
        await writer.drain()
        assert await reader.readline() == line
    writer.close()
    await writer.wait_closed()
    return stream.authorized

async def main():
    tell(await asyncio.gather(*[one(number) for number in range(5)]))

CONTEXT = SecureContext(trust=TRUST)
asyncio.run(main())
"""


def test_one_context_serves_connections_at_the_same_time(drive, build, pki, servers):
    params = {"PORT": servers.python(pki.ec), "TRUST": pki.root.der}
    assert drive(MANY, build=build, params=params) == [True] * 5


CHANGES = """
context = SecureContext(trust=TRUST)
told = []
for _ in range(3):
    stream = SecureSocket("localhost", PORT, context)
    told.append(stream.report.chain[-1])
    stream.write(b"x\\n")
    stream.readline()
    stream.close()
tell(told)
"""


def test_host_may_change_its_authority_between_connections(drive, build, pki, servers):
    ports = [servers.python(chain) for chain in (pki.ec, pki.rsa, pki.ec384)]
    proxy = servers.start(Proxy, *ports)
    trust = [pki.root.der, pki.rsa_root.der, pki.root384.der]
    told = drive(CHANGES, build=build, params={"PORT": proxy.port, "TRUST": trust})
    assert told == ["CN=Test Root", "CN=Test Root RSA", "CN=Test Root P-384"]


def test_nothing_is_sent_before_the_peer_is_verified(attempt, build, pki, servers):
    """The bytes that went to a server which was refused: handshake and alerts, no application data."""
    proxy = servers.start(Proxy, servers.python(pki.foreign))
    got = attempt(build, how="later", port=proxy.port, secure={"trust": pki.root.der})
    assert got["error"]["code"] == "unknown-issuer"
    sent = proxy.sent[0]
    assert b"ping" not in sent and sent[0] == 22 and b"\x17\x03\x03" not in sent[:1]


@pytest.mark.parametrize("clean", [True, False])
def test_a_server_that_is_cut_off_is_told_from_one_that_ends(drive, build, pki, servers, clean):
    """mbedTLS itself answers both with no bytes."""

    def answer(stream):
        stream.recv(100)
        stream.sendall(b"hello\n")
        if not clean:
            # As a proxy that drops the rest: TCP ends, TLS does not.
            stream.stream.unwrap = lambda: None
            socket.socket.shutdown(stream.stream, socket.SHUT_WR)

    server = servers.start(PythonServer, pki.ec, answer)
    lines = """
stream = SecureSocket("localhost", PORT, {"trust": ROOT})
stream.write(b"GET")
first = stream.readline(), stream.truncated
tell([first[0].decode(), first[1], stream.read().decode(), stream.truncated])
"""
    got = drive(lines, build=build, params={"PORT": server.port, "ROOT": pki.root.der})
    assert got == ["hello\n", False, "", not clean]

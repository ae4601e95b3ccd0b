"""What a TLS server is sent by those who mean it no good: the next honest client is served, what happened is told
and counted, open connections go on, and memory and files come back."""

import contextlib
import json
import random
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from plugins.clients import HOST, Served, connected, context, identity, silent
from plugins.interpreters import ROOT
from plugins.peers import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    SERVER_HELLO_DONE,
    messages,
    record,
    records,
)
from plugins.pki import make

# The rows of what is wrong in a ClientHello are those of the reader's own tests.
sys.path.append(str(ROOT / "tests" / "unit"))
import test_client_hello as hellos

FRONTS = ("blocking", "asyncio")
# Longer than this an honest client does not wait, on a machine that does other things too.
PATIENCE_S = 3

LINES = """
counts = {}
last = [None]

def on_failure(error, address):
    counts[error.code] = counts.get(error.code, 0) + 1
    last[0] = str(error)

def answer(line, server):
    if line != b"level\\n":
        return line
    told = {"last": last[0], "counts": counts, "counters": counters(server), "files": len(os.listdir("/proc/self/fd"))}
    last[0] = None
    gc.collect()
    gc.collect()
    told["heap"] = gc.mem_alloc()
    return json.dumps(told).encode() + b"\\n"

def blocking(server):
    kept = []
    ready()
    for stream in server:
        try:
            line = stream.readline()
        except OSError:
            line = b""  # nonsense behind the handshake
        if line == b"keep\\n":
            kept.append(stream)
        if line == b"kept\\n":
            for one in kept:
                one.write(one.readline())
        try:
            stream.write(answer(line, server))
        except OSError:
            pass  # it has gone
        if line != b"keep\\n":
            stream.close()
        if line == b"stop\\n":
            break
        stream = None
    server.close()

def with_asyncio(**options):
    async def main():
        stop = asyncio.Event()
        server = None
        async def handler(reader, writer):
            try:
                while True:
                    line = await reader.readline()
                    if not line:
                        return
                    writer.write(answer(line, server))
                    await writer.drain()
                    if line == b"stop\\n":
                        return stop.set()
            except OSError:
                pass  # it has gone, or said nonsense
        server = await start_server(handler, "127.0.0.1", PORT, **options)
        ready()
        await stop.wait()
        server.close()
        await server.wait_closed()
    asyncio.run(main())

import os
options = dict(OPTIONS, on_failure=on_failure, identity=IDENTITY)
if FRONT == "asyncio":
    with_asyncio(**options)
else:
    blocking(SecureServerSocket.bind("127.0.0.1", PORT, options.pop("identity"), **options))
print("RESULT", json.dumps(None))
"""


class Honest:
    """A server under attack, and its honest clients: one that has been there before and stays, and new ones."""

    def __init__(self, target, build, front, chain, how, heapsize="4M", **options):
        params = {"FRONT": front, "IDENTITY": identity(chain), "OPTIONS": options}
        self.server = Served(target, LINES, build, heapsize, **params)
        self.port = self.server.port
        self.how = how
        self.front = front
        self.stack = contextlib.ExitStack()
        self.kept = self.stack.enter_context(connected(self.port, how))
        self.kept.sendall(b"keep\n")
        assert self.kept.recv(99) == b"keep\n"
        self.attacks = 0

    def ask(self, line, patience_s=PATIENCE_S):
        started = time.monotonic()
        with connected(self.port, self.how) as stream:
            stream.sendall(line)
            answer = stream.makefile("rb").readline()
        assert time.monotonic() - started < patience_s
        return answer

    def still_serves(self, patience_s=PATIENCE_S):
        """A new client, and the one that was there."""
        self.kept.sendall(b"still\n")
        assert self.ask(b"kept\n", patience_s) == b"kept\n"
        assert self.kept.recv(99) == b"still\n"

    def level(self, times=3):
        """What the server tells of itself; of its heap the least in three times, for what the collector finds on
        the C stack it keeps."""
        told = [json.loads(self.ask(b"level\n")) for _ in range(times)]
        return told[0] | {"heap": min(one["heap"] for one in told)}

    def stop(self):
        assert self.ask(b"stop\n") == b"stop\n"
        self.stack.close()
        self.server.result()


@pytest.fixture
def honest(target, pki):
    started = []

    def start(front, build="stock", chain=None, how=None, **options):
        made = Honest(target, build, front, chain or pki.ec, how or context([pki.root]), **options)
        started.append(made)
        return made

    yield start
    for one in started:
        one.stack.close()
        popen = one.server.process.popen
        if popen.poll() is None:
            popen.kill()
        # Shown where the test has failed: why the server is not there any more.
        print("the server:", popen.returncode, popen.communicate())


def raw(port):
    connection = socket.create_connection((HOST, port), timeout=PATIENCE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def everything(connection):
    """What the server says until it closes."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(4096):
            data += piece
    return data


def sends(data):
    """An attack: says `data` and no more; returns what the server answers."""

    def attack(port):
        with raw(port) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            return everything(connection)

    return attack


def alert_of(answer):
    """The description of the plain alert at the end of an answer, or None."""
    found = records(answer)
    return found[-1][1][1] if found and found[-1][0] == ALERT and len(found[-1][1]) == 2 else None


def same(server, *told):
    """Memory and files are what they were: at the least behind the first two of these rounds, for what a frame or the
    C stack still points to is not always the same."""
    grown = min(one["heap"] for one in told[2:] or told[1:]) - told[0]["heap"]
    # Under asyncio a frame may hold the connections that have ended last; sixty a round would be far more.
    assert grown <= (8192 if server.front == "asyncio" else 512), [one["heap"] for one in told]
    assert len({one["files"] for one in told}) == 1


def attacked(server, attacks, repeat=2):
    """Runs all attacks `repeat` times. (codes of the first round, alerts of the first round); memory and files are
    the same after each round, and every connection is counted once."""
    server.still_serves()
    told = []
    for rounds in range(repeat + 1):
        before = server.level()
        answers = [attack(server.port) for attack in attacks] if rounds else [attacks[0](server.port)]
        server.still_serves()
        after = server.level()
        codes = {code: count - before["counts"].get(code, 0) for code, count in after["counts"].items()}
        codes = {code: count for code, count in codes.items() if count}
        ended = {
            name: after["counters"][name] - before["counters"][name]
            for name in ("failed", "refused", "displaced")
        }
        assert sum(codes.values()) == sum(ended.values()) == (len(attacks) if rounds else 1)
        assert after["counters"]["handshakes"] == 0
        told.append((codes, answers, after))
    if repeat > 1:
        same(server, *[after for _, _, after in told[1:]])
    codes, answers, _ = told[1]
    return codes, [alert_of(answer) if isinstance(answer, bytes) else None for answer in answers]


# ---- before and in the ClientHello

DICE = random.Random(17)
GARBAGE = (
    ("http", b"GET / HTTP/1.1\r\nHost: device\r\n\r\n", None),
    ("ssh", b"SSH-2.0-OpenSSH_9.2\r\n", None),
    ("smtp", b"EHLO x\r\n", None),
    ("zeros", bytes(1000), None),
    ("ones", b"\xff" * 1000, None),
    ("much", b"\x80" + DICE.randbytes(100_000), None),
    ("dtls", hellos.hello("dtls"), None),
    *(
        (f"random {n}", bytes((DICE.randrange(24, 256),)) + DICE.randbytes(DICE.randrange(4, 300)), None)
        for n in range(20)
    ),
)


@pytest.mark.parametrize("front", FRONTS)
def test_garbage(honest, build, front):
    server = honest(front, build)
    codes, alerts = attacked(server, [sends(row[1]) for row in GARBAGE])
    assert codes == {"not-tls": len(GARBAGE)}
    assert alerts == [None] * len(GARBAGE)
    server.stop()


@pytest.mark.parametrize("front", FRONTS)
def test_what_no_client_may_send_is_answered_with_its_alert(honest, build, front):
    rows = [(data, alert, code) for _, data, alert, code in hellos.RECORDS]
    rows += [(record(HANDSHAKE, hellos.message(data)), alert, "protocol") for _, data, alert in hellos.BODIES]
    server = honest(front, build)
    codes, alerts = attacked(server, [sends(data) for data, _, _ in rows], repeat=1)
    assert alerts == [alert for _, alert, _ in rows]
    assert codes == {code: sum(row[2] == code for row in rows) for code in ("not-tls", "protocol")}
    server.stop()


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("name", ["openssl12", "grease"])
def test_hello_cut_at_any_byte(honest, build, front, name):
    data = hellos.hello(name)
    stride = {"stock": 1, "stock32": 5, "stock-1.25": 7}[build] * (1 + len(data) // 300)
    server = honest(front, build)
    codes, alerts = attacked(server, [sends(data[:size]) for size in range(0, len(data), stride)], repeat=1)
    assert list(codes) == ["peer-closed"] and set(alerts) == {None}
    server.stop()


@pytest.mark.parametrize("front", FRONTS)
def test_hello_with_any_byte_changed(honest, build, front):
    """The client goes on as if nothing was: it ends by an alert, a refusal, or its own going."""
    data = hellos.hello("openssl12")
    changed = []
    for at in range(0, len(data), {"stock": 2, "stock32": 9, "stock-1.25": 13}[build]):
        changed.append(data[:at] + bytes((data[at] ^ 1 << at % 8,)) + data[at + 1 :])
    server = honest(front, build)
    codes, _ = attacked(server, [sends(one) for one in changed], repeat=1)
    assert codes.keys() <= {"not-tls", "protocol", "peer-closed", "parameters", "engine"}, codes
    server.stop()


def fragmented(server, size):
    """A TLS 1.2 client whose ClientHello is in records of `size` bytes: the line that it gets, or None."""
    how = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    how.check_hostname, how.verify_mode = False, ssl.CERT_NONE
    how.maximum_version = ssl.TLSVersion.TLSv1_2
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = how.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with raw(server.port) as connection:
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        hello = outgoing.read()[5:]
        for at in range(0, len(hello), size):
            connection.sendall(record(HANDSHAKE, hello[at : at + size], 0x0301))
        steps = [client.do_handshake, lambda: client.write(b"hello\n"), lambda: client.read(9)]
        while True:
            try:
                answer = steps[0]()
                steps.pop(0)
                if not steps:
                    return answer
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                piece = connection.recv(4096)
                if not piece:
                    return None
                incoming.write(piece)
            except ssl.SSLError:
                return None
            connection.sendall(outgoing.read())


@pytest.mark.parametrize("front", FRONTS)
def test_hello_over_several_records(honest, build, front):
    """mbedTLS wants the 4 bytes of a message's header together, as in the other direction."""
    server = honest(front, build)
    for size in (4, 5, 50, 150, 200):
        assert fragmented(server, size) == b"hello\n", size
    for size in (1, 3):
        assert fragmented(server, size) is None
        server.still_serves()
    assert server.level(1)["counts"] == {"protocol": 2}
    server.stop()


# ---- after the ServerHello


def flight(connection):
    """The server's first flight."""
    data = b""
    while SERVER_HELLO_DONE not in [kind for kind, _ in messages(data)]:
        piece = connection.recv(4096)
        assert piece, data
        data += piece
    return data


def then(*pieces, reset=False):
    """An attack: an honest ClientHello, and these instead of what should follow."""

    def attack(port):
        with raw(port) as connection:
            connection.sendall(hellos.hello("openssl12"))
            flight(connection)
            with contextlib.suppress(OSError):
                for piece in pieces:
                    connection.sendall(piece)
                if not reset:
                    connection.shutdown(socket.SHUT_WR)
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return None
            return everything(connection)

    return attack


def hello_and(data):
    """An attack: bytes in the same segment as the ClientHello."""

    def attack(port):
        with raw(port) as connection:
            connection.sendall(hellos.hello("openssl12") + data)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            return everything(connection)

    return attack


POINT = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e16"
    "2bce33576b315ececbb6406837bf51f5"
)
KEY_EXCHANGE = record(HANDSHAKE, hellos.message(bytes((len(POINT),)) + POINT, 16))
CHANGE = record(CHANGE_CIPHER_SPEC, b"\1")
LATER = (
    ("nothing", then()),
    ("reset", then(reset=True)),
    ("garbage", then(b"GET / HTTP/1.1\r\n\r\n")),
    ("the hello again", then(hellos.hello("openssl12"))),
    ("ChangeCipherSpec first", then(CHANGE)),
    ("data in the clear", then(record(APPLICATION_DATA, b"secret?"))),
    ("a fatal alert", then(record(ALERT, b"\2\x28"))),
    ("half a record", then(KEY_EXCHANGE[:20])),
    ("no point of the curve", then(record(HANDSHAKE, hellos.message(b"\x41\x04" + b"\1" * 64, 16)))),
    ("a point of no bytes", then(record(HANDSHAKE, hellos.message(b"\0", 16)))),
    ("a certificate nobody asked for", then(record(HANDSHAKE, hellos.message(b"\0\0\0", 11)))),
    ("a message of 16 MB", then(record(HANDSHAKE, b"\x10\xff\xff\xff"))),
    ("records without end", then(*[record(HANDSHAKE, b"")] * 300)),
    ("a Finished of noise", then(KEY_EXCHANGE, CHANGE, record(HANDSHAKE, bytes(40)))),
    ("a Finished in the clear", then(KEY_EXCHANGE, CHANGE, record(HANDSHAKE, hellos.message(bytes(12), 20)))),
    ("data instead of Finished", then(KEY_EXCHANGE, CHANGE, record(APPLICATION_DATA, bytes(40)))),
    ("early data", hello_and(record(APPLICATION_DATA, b"early" * 10))),
    ("early key exchange", hello_and(KEY_EXCHANGE)),
    ("early text", hello_and(b"MAIL FROM:<evil@a.example>\r\n")),
)


@pytest.mark.parametrize("front", FRONTS)
def test_what_no_client_may_send_later(honest, build, front):
    server = honest(front, build)
    seen = {}
    told = []
    for _ in range(3 if build == "stock" else 1):
        for what, attack in LATER:
            before = server.level(1)["counts"]
            attack(server.port)
            server.still_serves()
            after = server.level(1)["counts"]
            (seen[what],) = [code for code, count in after.items() if count != before.get(code)]
        told.append(server.level())
        assert told[-1]["counters"]["failed"] == len(LATER) * len(told)
        assert told[-1]["counters"]["handshakes"] == 0
    if build == "stock":
        same(server, *told)
    assert set(seen.values()) <= {
        "peer-closed",
        "connection-lost",
        "protocol",
        "not-tls",
        "alert",
        "engine",
        "parameters",
    }, seen
    assert seen["nothing"] == "peer-closed" and seen["a fatal alert"] == "alert"
    assert seen["garbage"] == seen["early text"] == "not-tls", seen
    server.stop()


@pytest.mark.parametrize("front", FRONTS)
def test_reset_at_once(honest, build, front):
    def attack(port):
        connection = raw(port)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    server = honest(front, build)
    server.still_serves()
    for _ in range(30):
        attack(server.port)
    server.still_serves()
    after = server.level()
    # Some have gone before they were accepted.
    assert (
        after["counts"].keys() <= {"connection-lost", "peer-closed"} and after["counters"]["handshakes"] == 0
    )
    server.stop()


# ---- slowly


class Dribble(threading.Thread):
    """Sends one byte every `pause_s`, after `first` at once, until the server has enough."""

    def __init__(self, port, data, first=0, pause_s=0.02):
        super().__init__(daemon=True)
        self.port, self.data, self.at, self.pause_s = port, data, first, pause_s
        self.lasted_s = None
        self.start()

    def run(self):
        started = time.monotonic()
        with raw(self.port) as connection:
            connection.sendall(self.data[: self.at])
            try:
                while True:
                    connection.sendall(self.data[self.at : self.at + 1] or b"\0")
                    self.at += 1
                    time.sleep(self.pause_s)
            except OSError:
                self.lasted_s = time.monotonic() - started


LARGE = b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03" + bytes(16373)


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize(
    ("data", "first"),
    [
        (hellos.hello("grease"), 0),
        (LARGE, 0),
        (LARGE, 3000),
        (hellos.hello("openssl12") + KEY_EXCHANGE, 232),
    ],
    ids=["hello", "large", "much", "later"],
)
def test_slow_loris(honest, build, front, data, first):
    """Each byte comes in time; all together they do not."""
    server = honest(front, build, handshake_timeout_ms=1000)
    slow = [Dribble(server.port, data, first) for _ in range(10)]
    ended = time.monotonic() + 1.6
    while time.monotonic() < ended:
        server.still_serves()
    for one in slow:
        one.join(PATIENCE_S)
        assert 0.9 < one.lasted_s < 2.5
    told = server.level()
    assert told["counts"] == {"timeout": 10} and told["counters"]["failed"] == 10
    assert told["counters"]["handshakes"] == 0 and "1000 ms" in told["last"]
    server.stop()


@pytest.mark.parametrize("front", FRONTS)
def test_slow_loris_with_large_clienthellos(honest, build, front):
    """Ten bring 16,000 bytes at once: two of them have room together, the others are displaced."""
    server = honest(front, build, handshake_timeout_ms=1000)
    slow = [Dribble(server.port, LARGE, 16000) for _ in range(10)]
    server.still_serves()
    for one in slow:
        one.join(PATIENCE_S)
    told = server.level()
    counts = told["counts"]
    # Where there is no time for all of the bytes before the deadline, a third is less than its 16,000 by then.
    assert (
        counts.keys() == {"displaced", "timeout"} and sum(counts.values()) == 10 and counts["displaced"] >= 6
    ), counts
    assert told["counters"]["handshakes"] == 0
    server.stop()


@pytest.mark.parametrize("front", FRONTS)
def test_a_hundred_that_say_nothing(honest, build, front):
    server = honest(front, build, backlog=128)
    told = []
    for _ in range(4):
        with silent(server.port, 100):
            server.still_serves()
        server.still_serves()
        told.append(server.level())
    assert told[-1]["counts"].keys() <= {"displaced", "peer-closed"}
    assert sum(told[-1]["counts"].values()) == 400 and told[-1]["counters"]["displaced"] >= 4 * 84
    same(server, *told)
    server.stop()


@pytest.mark.parametrize("front", FRONTS)
def test_a_hundred_that_stop_after_their_hello(honest, build, front):
    """They cannot be displaced, so the honest client waits until those before it have had their time."""
    server = honest(front, build, backlog=128, handshake_timeout_ms=300)
    told = []
    for _ in range(3):
        with contextlib.ExitStack() as stack:
            for _ in range(100):
                stack.enter_context(raw(server.port)).sendall(hellos.hello("openssl12"))
            # 16 at a time.
            server.still_serves(8 * 0.3 + PATIENCE_S)
        server.still_serves()
        told.append(server.level())
    assert told[-1]["counts"].keys() <= {"timeout", "peer-closed", "connection-lost"}, told
    assert sum(told[-1]["counts"].values()) == 300 and told[-1]["counts"]["timeout"] >= 3 * 80
    same(server, *told)
    server.stop()


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize(
    "say", [b"", hellos.hello("openssl12"), LARGE[:10_000]], ids=["nothing", "hello", "large"]
)
def test_a_hundred_on_a_small_heap(honest, front, say):
    """As a Pico has it. What does not fit waits or is refused, and is told as that; what is open stays."""
    # Those that have begun cannot be displaced, so the time of each is short; who comes while a hundred of them are
    # there may find no room in its own time, and has to come again.
    has_begun = say == hellos.hello("openssl12")
    server = honest(
        front, "stock32", heapsize="192k", backlog=128, handshake_timeout_ms=400 if has_begun else 2000
    )
    told = []
    in_vain = 0
    for _ in range(4):
        with contextlib.ExitStack() as stack:
            for _ in range(100):
                with contextlib.suppress(OSError):
                    stack.enter_context(raw(server.port)).sendall(say)
            # One or two at a time.
            until = time.monotonic() + 100 * 0.4 + PATIENCE_S
            while True:
                try:
                    assert server.ask(b"x\n", until - time.monotonic()) == b"x\n"
                    break
                except OSError:
                    assert has_begun and time.monotonic() < until
                    in_vain += 1
        server.still_serves()
        told.append(server.level())
    allowed = {"timeout", "displaced", "peer-closed", "connection-lost", "server-memory", "memory"}
    assert told[-1]["counts"].keys() <= allowed, told
    assert sum(told[-1]["counts"].values()) == 400 + in_vain and in_vain < 40
    same(server, *told)
    server.stop()


# ---- real programs that ask for what is not there


def runs(*words, say=b""):
    def attack(port):
        command = [word.format(port=port) for word in words]
        done = subprocess.run(command, input=say, capture_output=True, timeout=20)
        return done.stdout + done.stderr

    return attack


OPENSSL = ("openssl", "s_client", "-connect", "127.0.0.1:{port}")
PROGRAMS = (
    ("TLS 1.3 alone", runs(*OPENSSL, "-tls1_3"), {"parameters", "protocol", "engine"}, b"alert"),
    ("TLS 1.1", runs(*OPENSSL, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"), {"parameters", "protocol", "engine"}, b"alert"),
    ("another cipher", runs(*OPENSSL, "-tls1_2", "-cipher", "AES128-SHA"), {"parameters"}, b"handshake failure"),
    ("another curve", runs(*OPENSSL, "-tls1_2", "-curves", "X448"), {"parameters"}, b"handshake failure"),
    ("a name with a blank", runs(*OPENSSL, "-tls1_2", "-servername", "a b"), {"protocol"}, b"unrecognized name"),
    ("a name with a line end", runs(*OPENSSL, "-tls1_2", "-servername", "a\nb"), {"protocol"}, b"unrecognized name"),
    ("a name with two dots", runs(*OPENSSL, "-servername", "a..b"), {"protocol"}, b"unrecognized name"),
    ("a name of odd bytes", runs(*OPENSSL, "-servername", "\x1b[2J\u202e"), {"protocol"}, b"unrecognized name"),
    ("plain HTTP", runs("curl", "-s", "-m", "3", "http://127.0.0.1:{port}/"), {"not-tls"}, b""),
    ("curl with TLS 1.3", runs("curl", "-sSk", "--tlsv1.3", "https://127.0.0.1:{port}/"), {"parameters", "protocol", "engine"}, b"alert"),
    ("curl that does not trust", runs("curl", "-sS", "https://127.0.0.1:{port}/"), {"alert"}, b"certificate"),
    ("gnutls with TLS 1.3", runs("gnutls-cli", "--insecure", "--priority=NORMAL:-VERS-ALL:+VERS-TLS1.3", "-p", "{port}", "127.0.0.1"),
     {"parameters", "protocol", "engine"}, b"alert"),
    ("gnutls that does not trust", runs("gnutls-cli", "-p", "{port}", "127.0.0.1"), {"alert", "peer-closed", "connection-lost"}, b"NOT trusted"),
)  # fmt: skip


@pytest.mark.parametrize("front", FRONTS)
def test_programs_that_ask_for_what_is_not_there(honest, build, front):
    server = honest(front, build)
    for what, attack, expected, said in PROGRAMS:
        before = server.level(1)
        answer = attack(server.port)
        server.still_serves()
        after = server.level(1)
        codes = {code for code, count in after["counts"].items() if count != before["counts"].get(code)}
        assert len(codes) == 1 and codes <= expected, (what, codes, after["last"], answer)
        assert said in answer, (what, answer)
        assert after["last"].isascii() and after["last"].isprintable() and len(after["last"]) < 300
        assert after["counters"]["failed"] == before["counters"]["failed"] + 1
    server.stop()


@pytest.mark.parametrize("front", FRONTS)
def test_renegotiation_is_refused(honest, build, front):
    """openssl s_client's "R". mbedTLS answers no_renegotiation (RFC 5246 7.2.2), and openssl goes."""
    server = honest(front, build)
    server.still_serves()
    before = server.level()
    client = subprocess.Popen(
        [*(word.format(port=server.port) for word in OPENSSL), "-tls1_2"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        said = b""
        while b"Extended master secret" not in said:
            said += client.stdout.read1()
        client.stdin.write(b"R\n")
        client.stdin.flush()
        said += client.stdout.read()
    finally:
        client.kill()
        client.wait()
    assert b"RENEGOTIATING" in said and b"no renegotiation" in said, said
    server.still_serves()
    after = server.level()
    assert after["counters"]["accepted"] == before["counters"]["accepted"] + 2 + 3
    same(server, before, after)
    server.stop()


# ---- client certificates, on the wire


@pytest.mark.parametrize("front", FRONTS)
def test_client_certificates_that_are_too_much(honest, pki, tmp_path, build, front):
    """A Certificate message of more than a record, and one with more certificates than are read."""
    client = (ExtendedKeyUsageOID.CLIENT_AUTH,)
    good = context([pki.root], pki.device, tmp_path)
    secure = {"request_client_certificate": "required", "trust": pki.device_root.der}
    server = honest(front, build, how=good, secure=secure)
    leaf = make("device-1", pki.device_root, hosts=(), usages=client)
    many = [leaf, *[make(f"CA {n}", pki.stranger, ca=True) for n in range(12)]]
    hosts = [f"{n}.example" for n in range(400)]
    wide = [leaf, *[make("CA", pki.stranger, ca=True, hosts=hosts) for _ in range(3)]]
    server.still_serves()
    before = server.level()
    # More than are read on the way, none of them needed: mbedTLS finds the path.
    with connected(server.port, context([pki.root], many, tmp_path)) as stream:
        stream.sendall(b"hello\n")
        assert stream.recv(9) == b"hello\n"
    with pytest.raises(OSError), connected(server.port, context([pki.root], wide, tmp_path)) as stream:
        stream.sendall(b"hello\n")
        assert stream.recv(9)
    server.still_serves()
    after = server.level()
    assert after["counters"]["failed"] == before["counters"]["failed"] + 1
    assert after["counts"] == {"protocol": 1} and "larger handshake message (11)" in after["last"]
    assert after["files"] == before["files"]
    server.stop()

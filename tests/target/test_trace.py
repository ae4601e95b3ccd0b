"""trace=: what passes with real peers by name and size, in each way to connect; what it must never do."""

import re

import pytest

from plugins.peers import (
    APPLICATION_DATA,
    CERTIFICATE,
    CHANGE_CIPHER_SPEC,
    GnutlsServer,
    OpensslServer,
    Proxy,
    PythonServer,
    RawServer,
    alert,
    certificates,
    cut_after,
    flipped,
    fragmented,
    free_port,
    messages,
    record,
    records,
    says,
    segments,
)
from plugins.peers import (
    HANDSHAKE as HANDSHAKE_RECORD,
)
from plugins.pki import DAY, NOW

HELLO = [">ClientHello", "<ServerHello", "<Certificate"]
VERIFY = ["=verify"] * 3
REST = [
    "<ServerKeyExchange",
    "<ServerHelloDone",
    ">ClientKeyExchange",
    ">ChangeCipherSpec",
    ">Finished",
]
END = ["<ChangeCipherSpec", "<Finished", "=open"]
HANDSHAKE = HELLO + VERIFY + REST + END
DATA = [">ApplicationData", "<ApplicationData"]

# One connection, and all events; `attempt` makes it, so the trace goes through what JSON cannot carry.
TRACED = """
events = []
SECURE["trace"] = events.append
result = attempt(how=HOW, port=PORT, secure=SECURE, **MORE)
tell([result, events])
"""


@pytest.fixture
def traced(drive):
    """traced(…): (what driver.attempt tells, the events as [ms, way, name, size, free])."""

    def run(port, secure, how="socket", build="stock", heapsize="8M", **more):
        params = {"PORT": port, "SECURE": secure, "HOW": how, "MORE": more}
        return drive(TRACED, build=build, heapsize=heapsize, params=params)

    return run


# What is told before anything is opened, but with budget=None.
BUDGET = ["=budget", "=largest block"]


def names(events):
    """Of all that follow the budget's."""
    told = [way + name for _, way, name, _, _ in events]
    assert told[:2] == BUDGET
    return told[2:]


def sizes(events, way):
    return {name: size for _, one, name, size, _ in events if one == way}


# ---- each way to connect


FIRST = {"socket": ["=resolve", "=connect"], "open": ["=resolve", "=connect"]}


@pytest.mark.parametrize("how", ["socket", "open", "wrap", "stream", "context", "later", "asyncio"])
def test_each_way_to_connect_is_told(traced, build, pki, servers, how):
    got, events = traced(servers.python(pki.ec), {"trust": pki.root.der}, how, build)
    assert got["reply"] == "ping\n" and got["authorized"] is True
    told = names(events)
    assert told == FIRST.get(how, []) + HANDSHAKE + DATA + ["=close"], told
    moments = [event[0] for event in events]
    assert moments == sorted(moments) and 0 <= moments[0] and moments[-1] < 10_000
    assert all(free > 0 for *_, free in events)
    assert got["latched"] == [["SecureSocketError", "closed"]] * 3


@pytest.mark.parametrize("chain", ["ec", "rsa"])
@pytest.mark.parametrize("kind", [OpensslServer, GnutlsServer], ids=["openssl", "gnutls"])
@pytest.mark.parametrize("how", ["socket", "asyncio"])
def test_sizes_are_those_of_the_wire(traced, build, pki, servers, how, kind, chain):
    options = {"mode": "-rev"} if kind is OpensslServer else {}
    proxy = servers.start(Proxy, servers.start(kind, getattr(pki, chain), **options).port)
    got, events = traced(proxy.port, {"trust": [pki.root.der, pki.rsa_root.der]}, how, build)
    assert "reply" in got, got
    table = {1: "ClientHello", 2: "ServerHello", 11: "Certificate", 12: "ServerKeyExchange", 13: "CertificateRequest",
             14: "ServerHelloDone", 15: "CertificateVerify", 16: "ClientKeyExchange", 4: "NewSessionTicket"}  # fmt: skip
    for way, data in (("<", proxy.answered[0]), (">", proxy.sent[0])):
        plain = [[table[kind], 4 + len(body)] for kind, body in messages(data)]
        seen = [[name, size] for _, one, name, size, _ in events if one == way and name in table.values()]
        assert seen == plain
    shown = [size for _, _, name, size, _ in events if name == "verify"]
    anchor = pki.root if chain == "ec" else pki.rsa_root
    assert shown == [len(anchor.der), *(len(der) for der in reversed(certificates(proxy.answered[0])))]


# ---- what else there may be


def test_client_certificate_is_told(traced, build, pki, servers):
    server = servers.start(
        PythonServer,
        pki.ec,
        client_ca=pki.device_root.pem,
        setup=lambda context: context.set_alpn_protocols([]),
    )
    identity = (b"".join(member.pem for member in pki.device), pki.device[0].private())
    got, events = traced(server.port, {"trust": pki.root.der, "identity": identity}, build=build)
    assert got["reply"] == "ping\n"
    told = names(events)
    at = told.index("<ServerHelloDone")
    assert told[at - 1 : at + 6] == [
        "<CertificateRequest",
        "<ServerHelloDone",
        ">Certificate",
        ">ClientKeyExchange",
        ">CertificateVerify",
        ">ChangeCipherSpec",
        ">Finished",
    ]
    # 3 bytes of length before the list and before each.
    assert sizes(events, ">")["Certificate"] == 4 + 3 + sum(3 + len(member.der) for member in pki.device)


def ticketed():
    """Puts a NewSessionTicket before the server's ChangeCipherSpec. Stock firmware offers to take none, so it
    refuses the handshake; that is after the message has passed."""
    pieces = []
    while True:
        data = yield pieces
        at = data.find(b"\x14\3\3\0\1\1")
        ticket = record(22, b"\4\0\0\x16" + bytes(4) + b"\0\x10" + b"t" * 16)
        pieces = [data[:at], ticket, data[at:]] if at >= 0 else [data]


def test_new_session_ticket_is_told(traced, build, pki, servers):
    proxy = servers.start(Proxy, (servers.python(pki.ec), ticketed))
    got, events = traced(proxy.port, {"trust": pki.root.der}, build=build)
    assert sizes(events, "<")["NewSessionTicket"] == 26
    assert names(events)[-1] == f"=failed {got['error']['code']}"


@pytest.mark.parametrize("shape", [segments(1), segments(7), fragmented(64)], ids=["1", "7", "records"])
@pytest.mark.parametrize("how", ["socket", "stream", "asyncio"])
def test_pieces_of_any_size_are_told_alike(traced, build, pki, servers, how, shape):
    port = servers.python(pki.ec)
    _, whole = traced(port, {"trust": pki.root.der}, how, build)
    got, events = traced(servers.start(Proxy, (port, shape)).port, {"trust": pki.root.der}, how, build)
    assert got["reply"] == "ping\n"
    assert names(events) == names(whole)
    assert {name: size for name, size in sizes(events, "<").items() if name != "ServerKeyExchange"} == {
        name: size for name, size in sizes(whole, "<").items() if name != "ServerKeyExchange"
    }


NARROW = """
class Narrow(UserStream):
    # Takes 3 bytes at a time, and every other time none.
    turn = 0

    def readinto(self, buf):
        self.turn += 1
        return self.inner.readinto(memoryview(buf)[:3]) if self.turn % 2 else None

    def write(self, buf):
        self.turn += 1
        return self.inner.write(memoryview(buf)[:3]) if self.turn % 2 else None

told = []
for trace in (None, True):
    events = []
    inner = Narrow(tcp(PORT))
    inner.inner.setblocking(False)
    stream = SecureSocket.wrap(inner, "localhost", {"trust": TRUST, "trace": trace and events.append})
    inner.inner.setblocking(True)
    data = b"ping\\n"
    while data:
        data = data[stream.write(data) or 0:]
    line = None
    while not line:
        line = stream.readline()
    told.append([line.decode(), [event[1] + event[2] for event in events]])
    report = stream.report
    told[-1] += [report.bytes_received, report.bytes_sent]
    stream.close()
tell(told)
"""


def test_stream_that_takes_three_bytes_at_a_time(drive, build, pki, servers):
    """Partial reads and writes, and EAGAIN between them: the bytes are the same, and each is counted once."""
    proxy = servers.start(Proxy, servers.python(pki.ec))
    plain, traced = drive(NARROW, build=build, params={"PORT": proxy.port, "TRUST": pki.root.der})
    assert plain[0] == traced[0] == "ping\n" and plain[1] == []
    assert traced[1] == BUDGET + HANDSHAKE + DATA
    for number, told in enumerate((plain, traced)):
        # Without the trace they are counted up to the end of the handshake; nobody reads the server's farewell.
        for data, count in ((proxy.answered[number], told[2]), (proxy.sent[number], told[3])):
            kinds = (CHANGE_CIPHER_SPEC, HANDSHAKE_RECORD, APPLICATION_DATA)[: 2 if told is plain else 3]
            assert count == sum(5 + len(content) for kind, content in records(data) if kind in kinds)


BUDGET_TOLD = """
events = []
secure = {"trust": TRUST, "trace": events.append, "budget": HOW}
gc.collect()
free = gc.mem_free()
stream = SecureSocket("localhost", PORT, secure)
found = stream.report.budget
tell([events, free, found and [found.needed, found.free, found.largest_block, found.fits], repr(stream.report)])
"""


@pytest.mark.parametrize("how", ["raise", "warn", None])
def test_budget_is_told_and_in_the_report(drive, build, pki, servers, how):
    params = {"PORT": servers.python(pki.ec), "TRUST": pki.root.der, "HOW": how}
    events, free, found, text = drive(BUDGET_TOLD, build=build, params=params)
    if how is None:
        assert found is None and events[0][2] == "resolve" and "budget" not in text
        return
    needed, there, largest, fits = found
    assert [event[1:4] for event in events[:3]] == [
        ["=", "budget", needed],
        ["=", "largest block", largest],
        ["=", "resolve", 0],
    ]
    assert fits is True and 20_000 < needed < largest <= there <= free
    assert f"\nbudget        fits: {needed} bytes needed" in text


# ---- failures


REFUSED = (
    ("unknown issuer", lambda p: p.foreign, {}, "unknown-issuer", "unknown_ca"),
    ("expired", lambda p: p.chain(not_after=NOW - DAY), {}, "expired", "certificate_expired"),
    ("wrong host", lambda p: p.ec, {"server_name": "wrong.test"}, "hostname", "bad_certificate"),
)


@pytest.mark.parametrize(("what", "chain", "more", "code", "name"), REFUSED, ids=[row[0] for row in REFUSED])
@pytest.mark.parametrize("how", ["socket", "open", "context", "asyncio"])
def test_refusal_is_the_same_and_told(
    traced, attempt, build, pki, servers, how, what, chain, more, code, name
):
    proxy = servers.start(Proxy, servers.python(chain(pki)))
    secure = {"trust": pki.root.der, **more}
    plain = attempt(build, how=how, port=proxy.port, secure=secure)
    got, events = traced(proxy.port, secure, how, build)
    for told in (plain, got):
        told.pop("ms")
        for part in ("text", "repr", "expected"):  # an expired one's have the time
            told["error"].pop(part)
    assert got == plain and got["error"]["code"] == code
    told = names(events)
    at = told.index("<Certificate")
    shown = told[at + 1 :].count("=verify")
    assert shown >= 1
    assert told[at + 1 + shown :][-2:] == [f">Alert {name}", f"=failed {code}"], told
    assert b"ping" not in proxy.sent[1]


@pytest.mark.parametrize(
    ("number", "name"), [(40, "handshake_failure"), (70, "protocol_version"), (200, "unknown 200")]
)
def test_alert_of_the_peer_is_told(traced, build, servers, pki, number, name):
    server = servers.start(RawServer, says(alert(number)))
    got, events = traced(server.port, {"trust": pki.root.der}, build=build)
    assert got["error"]["alert"] == number
    assert names(events)[2:] == [">ClientHello", f"<Alert {name}", "=failed alert"]
    assert sizes(events, "<")[f"Alert {name}"] == 2


def test_alert_after_the_handshake_is_told(traced, build, pki, servers):
    """A server that says close_notify, encrypted: an alert without a name."""

    def once(stream):
        stream.sendall(stream.recv(100))

    _, events = traced(servers.start(PythonServer, pki.ec, once).port, {"trust": pki.root.der}, build=build)
    assert [name for name in names(events) if "Alert" in name] in ([], ["<Alert"])


BROKEN = (
    ("HTTP", lambda s, p: s.start(RawServer, says(b"HTTP/1.1 400 Bad Request\r\n\r\n")), "not-tls", ["<unknown 72"]),
    ("zeros", lambda s, p: s.start(RawServer, says(bytes(99))), "not-tls", ["<unknown 0"]),
    ("an unknown message", lambda s, p: s.start(RawServer, says(b"\x16\3\3\0\5\x63\0\0\1x")), "protocol", ["<unknown 99", ">Alert decode_error"]),
    ("an endless message", lambda s, p: s.start(RawServer, says(b"\x16\3\3\0\4\x0b\xff\xff\xff")), "certificate-limit", []),
    ("closed", lambda s, p: s.start(RawServer, says(b"")), "peer-closed", []),
    ("cut in the certificate", lambda s, p: s.start(Proxy, (s.python(p.ec), cut_after(300))), None, ["<ServerHello"]),
)  # fmt: skip


@pytest.mark.parametrize(("what", "peer", "code", "end"), BROKEN, ids=[row[0] for row in BROKEN])
@pytest.mark.parametrize("how", ["socket", "asyncio"])
def test_broken_handshake_is_told_and_the_same(
    traced, attempt, build, pki, servers, how, what, peer, code, end
):
    port = peer(servers, pki).port
    plain = attempt(build, how=how, port=port, secure={"trust": pki.root.der})
    got, events = traced(port, {"trust": pki.root.der}, how, build)
    for part in ("class", "code", "alert", "direction"):
        assert got["error"][part] == plain["error"][part]
    assert code is None or got["error"]["code"] == code
    told = names(events)
    assert told[told.index(">ClientHello") + 1 :] == [*end, f"=failed {got['error']['code']}"], told


def test_damaged_certificate_is_refused_as_without(traced, build, pki, servers):
    for at in range(40, 400, 60):
        proxy = servers.start(Proxy, (servers.python(pki.ec), flipped(CERTIFICATE, at)))
        got, events = traced(proxy.port, {"trust": pki.root.der}, build=build)
        assert "reply" not in got and names(events)[-1] == f"=failed {got['error']['code']}"


def test_what_fails_before_the_handshake_is_told(traced, build, pki):
    got, events = traced(free_port(), {"trust": pki.root.der}, build=build, host="127.0.0.1")
    assert got["error"]["code"] == "connect" and names(events) == ["=resolve", "=failed connect"]
    for how in ("socket", "open"):
        got, events = traced(1, {"trust": pki.root.der}, how, build, host="no-such-name.invalid")
        assert got["error"]["code"] == "resolve" and names(events) == ["=failed resolve"]


def test_second_connection_of_on_bad_certificate_is_told(traced, build, pki, servers):
    port = servers.python(pki.foreign)
    got, events = traced(port, {"trust": pki.root.der}, build=build, answer=True)
    assert got["reply"] == "ping\n" and got["authorized"] is False
    told = names(events)
    assert told.count(">ClientHello") == 2 and told.count("=open") == 1
    assert told.index("=failed unknown-issuer") < told.index("=open") and told[-1] == "=close"


# ---- a tracer that raises


RAISES = """
class Oops(Exception):
    pass

KINDS = {"Oops": Oops, "ValueError": ValueError, "OSError": OSError, "MemoryError": MemoryError}
calls = []

def tracer(event):
    calls.append(event[1] + event[2])
    if event[2] == AT:
        raise KINDS[KIND]("of the tracer")

told = {}
try:
    if HOW == "socket":
        stream = SecureSocket("localhost", PORT, {"trust": TRUST, "trace": tracer})
    elif HOW == "wrap":
        stream = SecureSocket.wrap(UserStream(tcp(PORT)), "localhost", {"trust": TRUST, "trace": tracer})
    else:
        stream = SecureContext(trust=TRUST, trace=tracer).wrap_socket(
            tcp(PORT), server_hostname="localhost", do_handshake_on_connect=False)
        stream.setblocking(True)
    told["connected"] = True
    stream.write(b"ping\\n")
    told["line"] = stream.readline().decode()
    stream.close()
    told["closed"] = True
except Exception as error:
    told["error"] = [type(error).__name__, str(error), getattr(error, "code", None)]
    if "stream" in globals():
        told["again"] = latched(stream.read, 1)
told["calls"] = calls
told["files"] = open_files()
tell(told)
"""


@pytest.mark.parametrize("kind", ["Oops", "ValueError", "OSError", "MemoryError"])
@pytest.mark.parametrize("how", ["socket", "wrap", "later"])
@pytest.mark.parametrize(
    "at",
    ["ClientHello", "Certificate", "verify", "Finished", "open", "ApplicationData"],
)
def test_tracer_that_raises_does_not_break_the_handshake(drive, build, pki, servers, how, at, kind):
    server = servers.start(PythonServer, pki.ec)
    params = {"HOW": how, "AT": at, "KIND": kind, "PORT": server.port, "TRUST": pki.root.der}
    told = drive(RAISES, build=build, params=params)
    assert told["error"][:2] == [kind, "of the tracer"], told
    assert told["error"][2] is None and "line" not in told
    if at != "ApplicationData":
        # The handshake came to its end, and nothing was sent then.
        assert "connected" not in told or how == "later"
        assert server.errors == {} and server.received in ({}, {0: b""})
    if how == "later" or at == "ApplicationData":
        assert told["again"] == ["SecureSocketError", "closed"]
    # It is asked no more.
    assert told["calls"].count(told["calls"][-1]) <= 2 and told["calls"][-1].endswith(at)


@pytest.mark.parametrize("kind", ["Oops", "ValueError", "OSError", "MemoryError"])
@pytest.mark.parametrize("at", ["resolve", "connect"])
def test_tracer_that_raises_before_the_handshake_ends_the_connecting(drive, build, pki, servers, at, kind):
    server = servers.start(PythonServer, pki.ec)
    params = {"HOW": "socket", "AT": at, "KIND": kind, "PORT": server.port, "TRUST": pki.root.der}
    told = drive(RAISES, build=build, params=params)
    assert told["error"] == [kind, "of the tracer", None]
    assert told["calls"][-1] == "=" + at and server.received == {}


def test_tracer_that_raises_weakens_no_refusal(drive, build, pki, servers):
    server = servers.start(PythonServer, pki.foreign)
    for at in ("Certificate", "verify", "Alert unknown_ca", "failed unknown-issuer"):
        params = {"HOW": "socket", "AT": at, "KIND": "ValueError", "PORT": server.port, "TRUST": pki.root.der}
        told = drive(RAISES, build=build, params=params)
        assert told["error"][2] == "unknown-issuer", (at, told)
        assert "connected" not in told and server.received == {}


def test_tracer_that_raises_at_the_close_is_heard(drive, build, pki, servers):
    params = {"HOW": "socket", "AT": "close", "KIND": "ValueError", "PORT": servers.python(pki.ec)}
    told = drive(RAISES, build=build, params=params | {"TRUST": pki.root.der})
    assert told["line"] == "ping\n" and told["error"][0] == "ValueError" and "closed" not in told


# ---- lines


LINES = """
s = SecureSocket("localhost", PORT, SECURE)
s.write(b"GET /very-secret HTTP/1.0\\r\\n\\r\\n")
s.readline()
s.close()
tell(None)
"""

LINE = re.compile(r" *\d+ ms  [<>=] [A-Za-z]+( [A-Za-z_\-]+)? +(\d{1,3}(,\d{3})*)? +heap +\d{1,3}(,\d{3})*")


def test_lines_have_their_form_and_no_secret(drive, target, build, pki, servers):
    server = servers.start(PythonServer, pki.ec, client_ca=pki.device_root.pem)
    key = pki.device[0].private(form="traditional", encoding="der")
    secure = {"trust": pki.root.der, "trace": True}
    secure["identity"] = (b"".join(member.pem for member in pki.device), pki.device[0].private())
    params = {"PORT": server.port, "SECURE": secure}
    done = target.run(f"{target.driver}\n{LINES}", build=build, heapsize="8M", params=params)
    assert done.returncode == 0 and done.stderr == "", done
    *lines, _ = done.stdout.splitlines()
    assert len(lines) > 20 and all(LINE.fullmatch(line) for line in lines), lines
    assert any(">" in line and "CertificateVerify" in line for line in lines)
    text = "\n".join(lines)
    assert "secret" not in text and "localhost" not in text
    # No number of the key in any form: not one run of 4 of its bytes, and no run of hexadecimal digits.
    assert not any(key[at : at + 4] in text.encode() for at in range(len(key) - 4))
    assert not re.search(r"[0-9a-f]{9,}", text)


def test_line_is_what_the_documentation_shows(drive, build):
    line = drive(
        'from securesocket.trace import line\ntell(line((12, "<", "Certificate", 1034, 61232)))', build=build
    )
    assert line == "   12 ms  < Certificate           1,034  heap  61,232"


# ---- off costs nothing


OFF = """
stream = SecureSocket("localhost", PORT, dict(OPTIONS, trust=TRUST))
import tls
ssl = stream._ssl
told = {
    "loaded": [name for name in ("trace", "records", "messages") if "securesocket." + name in sys.modules],
    "bound": [stream.read == ssl.read, stream.readinto == ssl.readinto, stream.readline == ssl.readline, stream.write == ssl.write],
    "type": type(ssl).__name__,
}
stream.write(b"ping\\n")
told["line"] = stream.readline().decode()
stream.close()
tell(told)
"""


@pytest.mark.parametrize("options", [{}, {"trace": None}, {"trace": False}])
def test_nothing_of_it_is_on_the_path_when_it_is_off(drive, build, pki, servers, options):
    params = {"PORT": servers.python(pki.ec), "TRUST": pki.root.der, "OPTIONS": options}
    told = drive(OFF, build=build, params=params)
    assert told == {"loaded": [], "bound": [True] * 4, "type": "SSLSocket", "line": "ping\n"}


INNER = """
from securesocket.engine.tap import Tap

told = []
release = Tap.release

def watched(self):
    release(self)
    told.append([type(self.stream).__name__, self.readinto == self._read_open, self.write == self.stream.write])

Tap.release = watched
for trace in (None, False, lambda event: None):
    SecureSocket("localhost", PORT, {"trust": TRUST, "trace": trace}).close()
tell(told)
"""


def test_below_mbedtls_is_the_socket_itself_but_for_the_look_at_its_end(drive, build, pki, servers):
    params = {"PORT": servers.python(pki.ec), "TRUST": pki.root.der}
    off = ["socket", True, True]
    assert drive(INNER, build=build, params=params) == [off, off, ["_Between", True, True]]

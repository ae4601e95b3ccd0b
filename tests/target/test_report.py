"""connection.report: what it says of bytes, records, heap, times and failures, beside what was on the wire."""

import pytest

from plugins.peers import (
    Proxy,
    PythonServer,
    RawServer,
    alert,
    cut_after,
    fragmented,
    free_port,
    records,
    recut,
    segments,
)
from plugins.pki import DAY, NOW

FIELDS = (
    "stage resolve_ms connect_ms handshake_ms verify_ms heap_before heap_lowest heap_after bytes_received "
    "bytes_sent largest_record chain anchor anchor_source cipher version resumed reason budget"
).split()

# At the end of the handshake, after some data, and after the close or the failure.
LINES = """
def facts(report):
    found = {name: getattr(report, name) for name in FIELDS}
    found["error"] = report.error and report.error.code
    found["budget"] = report.budget and report.budget.needed
    found["repr"] = repr(report)
    return found

def whole(stream):
    told = [facts(stream.report)]
    stream.write(b"x" * 1000)
    stream.setblocking(True)
    stream.read(1000)
    told.append(facts(stream.report))
    stream.close()
    told.append(facts(stream.report))
    return told

def failed(error):
    return [facts(error.connection.report)]

told = []
for trace in (None, lambda event: None):
    secure = dict(SECURE, trace=trace)
    try:
        if HOW == "socket":
            stream = SecureSocket("localhost", PORT, secure)
        elif HOW == "open":
            stream = asyncio.run(SecureSocket.open("localhost", PORT, secure))
        else:
            stream = SecureContext(**secure).wrap_socket(tcp(PORT), server_hostname="localhost")
        told.append(whole(stream))
    except OSError as error:
        told.append(failed(error))
tell(told)
"""


@pytest.fixture
def reports(drive):
    def run(port, secure, how="socket", **where):
        params = {"PORT": port, "SECURE": secure, "HOW": how, "FIELDS": FIELDS}
        return drive(LINES, params=params, **where)

    return run


def handshake_bytes(data):
    """Of one direction: its records to Finished."""
    return sum(5 + len(content) for kind, content in records(data) if kind in (20, 22))


def data_bytes(data):
    return sum(5 + len(content) for kind, content in records(data) if kind == 23)


@pytest.mark.parametrize("how", ["socket", "open", "context"])
@pytest.mark.parametrize("chain", ["ec", "rsa"])
def test_bytes_are_those_of_the_wire(reports, build, pki, servers, how, chain):
    proxy = servers.start(Proxy, servers.python(getattr(pki, chain)))
    trust = [pki.root.der, pki.rsa_root.der]
    plain, traced = reports(proxy.port, {"trust": trust}, how, build=build)
    for number, told in enumerate((plain, traced)):
        received, sent = proxy.answered[number], proxy.sent[number]
        more = data_bytes(received) if told is traced else 0
        for report, data in zip(told, (0, more, more), strict=True):
            assert report["bytes_received"] == handshake_bytes(received) + data
        more = data_bytes(sent) if told is traced else 0
        assert told[1]["bytes_sent"] == told[2]["bytes_sent"] == handshake_bytes(sent) + more
        assert told[0]["largest_record"] == max(
            len(content) for kind, content in records(received) if kind == 22
        )


PIECES = """
async def main():
    stream = await SecureSocket.open("localhost", PORT, {"trust": TRUST})
    report = stream.report
    tell([report.bytes_received, report.bytes_sent, report.largest_record])

asyncio.run(main())
"""


@pytest.mark.parametrize("size", [1, 7, 64])
def test_bytes_are_counted_once_however_they_come(drive, build, pki, servers, size):
    """Under asyncio reads end early, and mbedTLS asks for the rest again."""
    proxy = servers.start(Proxy, (servers.python(pki.ec), segments(size, 0.0005)))
    told = drive(PIECES, build=build, params={"PORT": proxy.port, "TRUST": pki.root.der}, timeout_s=30)
    received = proxy.answered[0]
    largest = max(len(content) for kind, content in records(received) if kind == 22)
    assert told == [handshake_bytes(received), handshake_bytes(proxy.sent[0]), largest]


# how it comes, what the largest record then is of the records that were sent
SHAPES = (
    (segments(1), max),
    (fragmented(300), lambda sizes: 300),
    (recut(16384), sum),
)


@pytest.mark.parametrize(("shape", "largest"), SHAPES, ids=["bytes", "short records", "one record"])
def test_largest_record_is_known_however_it_comes(reports, build, pki, servers, shape, largest):
    port = servers.python(pki.rsa)
    straight = servers.start(Proxy, port)
    reports(straight.port, {"trust": pki.rsa_root.der}, build=build)
    *sizes, _ = (len(content) for kind, content in records(straight.answered[0]) if kind == 22)
    proxy = servers.start(Proxy, (port, shape))
    for told in reports(proxy.port, {"trust": pki.rsa_root.der}, build=build):
        assert told[0]["largest_record"] == largest(sizes)


def test_heap_and_times_are_in_their_order(reports, pki, servers):
    """On a heap as small as a board's: the large buffers are in what is taken."""
    plain, traced = reports(servers.python(pki.ec), {"trust": pki.root.der}, build="stock32", heapsize="160k")
    # What it was reckoned with is kept where somebody looks.
    assert plain[0]["budget"] is None and 28_000 < traced[0]["budget"] < 36_000
    for opened, later, closed in (plain, traced):
        assert opened["heap_lowest"] <= opened["heap_after"] <= opened["heap_before"] - 20_000
        assert 0 < opened["heap_lowest"] < opened["heap_before"] < 160_000
        assert 0 <= opened["verify_ms"] <= opened["handshake_ms"] < 10_000
        assert later["heap_before"] == closed["heap_before"] == opened["heap_before"]
        assert opened["resumed"] is False
        assert opened["reason"] is opened["error"] is None and closed["reason"] == closed["error"] == "closed"
        assert (opened["cipher"], closed["cipher"]) == ("TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384", None)


# what, chain or port, stage, reason, certificates in the chain
FAILURES = (
    ("resolve", lambda p, s: None, "resolve", "resolve", 0),
    ("connect", lambda p, s: free_port(), "connect", "connect", 0),
    ("an alert", lambda p, s: s.start(RawServer, says_alert).port, "handshake", "alert", 0),
    ("cut", lambda p, s: s.start(Proxy, (s.python(p.ec), cut_after(300))).port, "handshake", None, 0),
    ("unknown issuer", lambda p, s: s.python(p.foreign), "handshake", "unknown-issuer", 2),
    ("expired", lambda p, s: s.python(p.chain(not_after=NOW - DAY)), "handshake", "expired", 3),
)  # fmt: skip


def says_alert(connection):
    connection.recv(4096)
    connection.sendall(alert(40))
    connection.recv(4096)


@pytest.mark.parametrize(
    ("what", "peer", "stage", "reason", "count"), FAILURES, ids=[row[0] for row in FAILURES]
)
@pytest.mark.parametrize("how", ["socket", "open"])
def test_failed_connection_tells_stage_and_reason(
    reports, drive, build, pki, servers, how, what, peer, stage, reason, count
):
    port = peer(pki, servers)
    secure = {"trust": pki.root.der}
    if port is None:
        told = drive(LINES.replace('"localhost"', '"no-such-name.invalid"'), build=build,
                     params={"PORT": 1, "SECURE": secure, "HOW": how, "FIELDS": FIELDS})  # fmt: skip
    else:
        told = reports(port, secure, how, build=build)
    for (report,) in told:
        assert report["stage"] == stage
        assert report["reason"] == report["error"] and reason in (None, report["reason"])
        assert len(report["chain"]) == count and report["anchor"] is None
        assert f"reason        {report['reason']}" in report["repr"]
        before = stage != "handshake"
        assert (report["bytes_sent"] is None) == (report["heap_before"] is None) == before
        if not before:
            assert report["bytes_sent"] > 50 and 0 <= report["handshake_ms"] < 10_000
        if count:
            assert 0 < report["heap_lowest"] < report["heap_before"] and report["heap_after"] is None
            assert report["verify_ms"] >= 0 and report["largest_record"] > 500


SECOND = """
stream = SecureSocket("localhost", PORT, {"trust": TRUST, "on_bad_certificate": lambda certificate, failures: True})
report = stream.report
tell([report.bytes_received, report.bytes_sent, report.stage, report.anchor, report.error])
"""


def test_report_of_a_second_connection_is_its_own(drive, build, pki, servers):
    proxy = servers.start(Proxy, servers.python(pki.foreign))
    told = drive(SECOND, build=build, params={"PORT": proxy.port, "TRUST": pki.root.der})
    assert told == [handshake_bytes(proxy.answered[1]), handshake_bytes(proxy.sent[1]), "open", None, None]


BEFORE = """
context = SecureContext(trust=TRUST, trace=TRACE)
stream = context.wrap_socket(tcp(PORT), server_hostname="localhost", do_handshake_on_connect=False)
first = stream.report
repr(first)
tell([first.stage, first.handshake_ms, first.verify_ms, first.bytes_sent, first.reason, first.heap_after])
"""


@pytest.mark.parametrize("trace", [None, False])
def test_report_before_the_handshake_has_what_there_is(drive, build, pki, servers, trace):
    params = {"PORT": servers.start(PythonServer, pki.ec).port, "TRUST": pki.root.der, "TRACE": trace}
    assert drive(BEFORE, build=build, params=params) == ["handshake", None, None, 0, None, None]

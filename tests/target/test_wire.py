"""How bytes are cut on their way changes nothing; what they are changes everything."""

import pytest

from plugins.peers import (
    CERTIFICATE,
    SERVER_KEY_EXCHANGE,
    Proxy,
    flight,
    flipped,
    fragmented,
    messages,
    one_record_each,
    recut,
    segments,
    split_at,
)

EACH = "tell([attempt(how=HOW, port=PORT, secure=SECURE) for _ in range(COUNT)])"


def verified(drive, build, proxy, pki, count=1, hows=("socket", "asyncio")):
    for how in hows:
        proxy.count = 0
        params = {"HOW": how, "PORT": proxy.port, "COUNT": count}
        params["SECURE"] = {"trust": [pki.root.der, pki.rsa_root.der]}
        for number, got in enumerate(drive(EACH, build=build, params=params)):
            assert got.get("reply") == "ping\n", (how, number, got)
            assert got["authorized"] is True


@pytest.mark.parametrize("chain", ["ec", "rsa"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_segments_of_any_size(drive, build, pki, servers, chain, size):
    proxy = servers.start(Proxy, (servers.python(getattr(pki, chain)), segments(size)))
    verified(drive, build, proxy, pki)


def test_flight_split_at_any_byte(drive, build, pki, servers):
    """The first bytes, all borders of records and messages with their neighbours, and a stride between."""
    port = servers.python(pki.ec)
    recorder = servers.start(Proxy, port)
    verified(drive, build, recorder, pki, hows=("socket",))
    data = recorder.answered[0]
    borders, at = set(), 0
    while at < len(data):
        borders |= {at - 1, at, at + 1, at + 4, at + 5, at + 6, at + 8, at + 9, at + 10}
        at += 5 + int.from_bytes(data[at + 3 : at + 5])
    positions = sorted(one for one in borders | set(range(0, len(data), 97)) if 0 < one < len(data))
    proxy = servers.start(Proxy, *[(port, split_at(one)) for one in positions])
    verified(drive, build, proxy, pki, len(positions))


@pytest.mark.parametrize("chain", ["ec", "rsa"])
@pytest.mark.parametrize("size", [4, 5, 16, 64, 300, 1000])
def test_messages_over_several_records(drive, build, pki, servers, chain, size):
    """mbedTLS joins them since 3.6.3, which the builds have."""
    proxy = servers.start(Proxy, (servers.python(getattr(pki, chain)), fragmented(size)))
    verified(drive, build, proxy, pki)


OLDER = """
from securesocket.engine import stock
stock.version = lambda: VERSION
tell([attempt(how=how, port=PORT, secure={"trust": TRUST}) for how in ("socket", "asyncio")])
"""


@pytest.mark.parametrize(("version", "works"), [((3, 6, 2), False), ((2, 28, 8), False), ((3, 6, 3), True), ((0, 0, 0), True)])  # fmt: skip
def test_older_mbedtls_says_that_it_cannot_join_messages(drive, build, pki, servers, version, works):
    """(0, 0, 0): a firmware that does not tell its version is let try."""
    proxy = servers.start(Proxy, (servers.python(pki.ec), fragmented(300)))
    params = {"PORT": proxy.port, "TRUST": pki.root.der, "VERSION": version}
    for got in drive(OLDER, build=build, params=params):
        if works:
            assert got["reply"] == "ping\n"
        else:
            assert (got["error"]["class"], got["error"]["code"]) == ("UnsupportedFeature", "fragmented")
            assert "3.6.3" in got["error"]["remedy"]
    port = servers.start(Proxy, (servers.python(pki.ec), flight(one_record_each))).port
    for got in drive(OLDER, build=build, params=params | {"PORT": port}):
        assert got["reply"] == "ping\n"


def test_whole_flight_in_one_record(drive, build, pki, servers):
    for chain in (pki.ec, pki.rsa):
        verified(drive, build, servers.start(Proxy, (servers.python(chain), recut(16384))), pki)


def test_records_and_segments_of_a_few_bytes(drive, build, pki, servers):
    def both():
        inner = fragmented(4)()
        next(inner)
        pieces = []
        while True:
            data = b"".join(inner.send((yield pieces)))
            pieces = [data[at : at + 1] for at in range(len(data))]

    verified(drive, build, servers.start(Proxy, (servers.python(pki.ec), both)), pki, hows=("socket",))


def test_header_of_a_message_over_two_records_is_refused(drive, build, pki, servers):
    """mbedTLS wants the 4 bytes of it together; nothing of ours is in the way of a later one that does not."""
    for size in (1, 3):
        proxy = servers.start(Proxy, (servers.python(pki.ec), recut(size)))
        params = {"HOW": "socket", "PORT": proxy.port, "COUNT": 1, "SECURE": {"trust": pki.root.der}}
        (got,) = drive(EACH, build=build, params=params)
        assert (got["error"]["class"], got["error"]["code"]) == ("HandshakeError", "protocol"), got


def sizes(drive, build, pki, servers):
    recorder = servers.start(Proxy, servers.python(pki.ec))
    verified(drive, build, recorder, pki, hows=("socket",))
    return {kind: len(body) for kind, body in messages(recorder.answered[0])}


# what is asked of the connection
ASKED = (
    ("trust", lambda p: {"trust": p.root.der}),
    ("exact", lambda p: {"trust": p.ec[0].der}),
    ("pins alone", lambda p: {"trust": None, "pins": p.ec[0].pin}),
)


@pytest.mark.parametrize(("what", "secure"), ASKED, ids=[row[0] for row in ASKED])
@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_changed_byte_is_never_accepted(drive, build, pki, servers, what, secure, mask):
    """A sample of tools/campaign/flip.py, which does every position."""
    length = sizes(drive, build, pki, servers)
    stride = {"stock": 13, "stock32": 29, "stock-1.25": 61}[build]
    rows = [
        (kind, at)
        for kind in (CERTIFICATE, SERVER_KEY_EXCHANGE)
        for at in range(mask & 1, length[kind], stride)
    ]
    if what != "trust":  # nobody looks at the certificates above the leaf
        end = 6 + len(pki.ec[0].der)
        rows = [(kind, at) for kind, at in rows if kind != CERTIFICATE or at < end]
    # Straight and changed in turn: the harness itself must not be why they fail.
    port = servers.python(pki.ec)
    hops = [(port, flight(one_record_each)), *[(port, flipped(kind, at, mask)) for kind, at in rows]]
    proxy = servers.start(Proxy, *hops)
    params = {"HOW": "socket", "PORT": proxy.port, "SECURE": secure(pki), "COUNT": len(hops)}
    straight, *changed = drive(EACH, build=build, params=params)
    assert straight.get("reply") == "ping\n"
    for (kind, at), got in zip(rows, changed, strict=True):
        assert "reply" not in got and got["error"]["code"], (kind, at, got)
        assert got["error"]["class"] != "MemoryBudgetError", (kind, at, got)

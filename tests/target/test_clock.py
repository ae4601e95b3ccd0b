"""The clock: one that was never set, and one that is ahead. libfaketime sets it, for 64-bit builds."""

import pytest

from plugins.peers import Proxy, PythonServer
from plugins.pki import AFTER, BEFORE, DAY, NOW

BUILDS = ("stock", "stock-1.25")


YEAR_2000 = NOW.replace(year=2000, month=1, day=1)


@pytest.mark.parametrize("how", ["socket", "open", "wrap", "context", "later", "asyncio"])
def test_clock_that_was_never_set_is_told_before_any_handshake(attempt, build, pki, servers, clock, how):
    server = servers.start(PythonServer, pki.ec)
    proxy = servers.start(Proxy, server.port)
    for secure in ({"trust": pki.root.der}, {}):  # floor: the anchor's first day, the store's build time
        got = attempt(build, how=how, port=proxy.port, secure=secure, env=clock(YEAR_2000))
        error = got["error"]
        assert (error["class"], error["code"]) == ("ClockNotSet", "clock-not-set")
        assert error["found"].startswith("2000-01-01 ") and "securesocket.set_clock()" in error["remedy"]
        assert not any(proxy.sent.values()), "bytes were sent"
    if how in ("socket", "open"):
        assert proxy.count == 0, "a connection was made"


def test_clock_of_2000_does_not_matter_where_no_date_is_checked(attempt, build, pki, servers, clock):
    for secure in ({"trust": None, "pins": pki.ec[0].pin}, {"verify": False}):
        got = attempt(build, port=servers.python(pki.ec), secure=secure, env=clock(YEAR_2000))
        assert got["reply"] == "ping\n"


def test_floor_is_the_anchor_s_first_day(attempt, build, pki, servers, clock):
    port = servers.python(pki.ec)
    got = attempt(build, port=port, secure={"trust": pki.root.der}, env=clock(BEFORE - DAY / 24))
    assert got["error"]["class"] == "ClockNotSet"
    assert BEFORE.strftime("%Y-%m-%d %H:%M:%S") in got["error"]["expected"]
    got = attempt(build, port=port, secure={"trust": pki.root.der}, env=clock(BEFORE + DAY / 24))
    assert got.get("reply") == "ping\n", got


@pytest.mark.parametrize("how", ["socket", "asyncio"])
def test_clock_that_is_ahead_makes_certificates_expire(attempt, build, pki, servers, clock, how):
    port = servers.python(pki.ec)
    got = attempt(build, how=how, port=port, secure={"trust": pki.root.der}, env=clock(AFTER - DAY / 24))
    assert got.get("reply") == "ping\n", got
    got = attempt(build, how=how, port=port, secure={"trust": pki.root.der}, env=clock(AFTER + DAY / 24))
    assert (got["error"]["class"], got["error"]["code"]) == ("Expired", "expired")
    assert AFTER.strftime("%Y-%m-%d %H:%M:%S") in got["error"]["found"]
    assert "clock" in got["error"]["remedy"]


def test_exact_certificate_has_its_dates_checked_by_the_same_clock(attempt, build, pki, servers, clock):
    leaf = pki.foreign[0]
    got = attempt(build, port=servers.python(pki.foreign), secure={"trust": leaf.der}, env=clock(AFTER + DAY))
    assert got["error"]["class"] == "Expired"


def test_clock_is_not_asked_about(attempt, build, pki, servers, clock):
    got = attempt(
        build, port=servers.python(pki.ec), secure={"trust": pki.root.der}, env=clock(YEAR_2000), answer=True
    )
    assert got["error"]["class"] == "ClockNotSet" and got["asked"] == []

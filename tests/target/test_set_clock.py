"""securesocket.set_clock() against a real time server, and against one that lies."""

import socket
import time

import pytest

from plugins.peers import HOST
from plugins.pki import NOW
from plugins.time_servers import ChronyServer, UdpServer, answer

DAY = 86400
YEAR_2000 = NOW.replace(year=2000, month=1, day=1)

# The Unix port has no machine.RTC: this one keeps what is written.
SCRIPT = """
import gc, json, sys, time
import securesocket
from certstore.compat import unix_time

written = []

class Machine:
    class RTC:
        def datetime(self, value):
            written.append(value)

def ask(**how):
    told = {"before": unix_time()}
    started = time.ticks_ms()
    try:
        told["set"] = securesocket.set_clock(**how)
    except OSError as error:
        told["error"] = [type(error).__name__, getattr(error, "code", None), getattr(error, "found", None)]
        told["text"] = str(error)
    told["ms"] = time.ticks_diff(time.ticks_ms(), started)
    told["written"] = written
    return told

if RTC:
    sys.modules["machine"] = Machine
print("RESULT", json.dumps(ask(**HOW)))
"""


@pytest.fixture
def ask(target):
    def run(build, env=None, rtc=True, **how):
        done = target.run(SCRIPT, build=build, env=env, params={"RTC": rtc, "HOW": how}, timeout_s=30)
        assert done.returncode == 0 and done.stderr == "", done
        return done.result

    return run


@pytest.fixture
def lies(servers, ask):
    """lies(answer, …): what becomes of a request to a server that answers so."""

    def run(build, made, **how):
        server = servers.start(UdpServer, made)
        told = ask(build, host=HOST, port=server.port, **({"timeout_ms": 600} | how))
        told["requests"] = server.requests
        return told

    return run


def refused(told, code):
    kind = "UnsupportedFeature" if code == "host-clock" else "ClockError"
    assert told["error"][:2] == [kind, code], told
    assert told["written"] == []
    return told["error"][2]


def test_a_real_server_sets_the_clock(ask, build, servers):
    server = servers.start(ChronyServer, servers.folder)
    told = ask(build, host=HOST, port=server.port)
    assert abs(told["set"] - time.time()) < 5, told
    (written,) = told["written"]
    date = time.gmtime(told["set"])
    assert written == [*date[:3], date[6] + 1, *date[3:6], 0]


def test_a_port_without_a_clock_of_its_own_says_so_after_the_checks(ask, lies, build, servers):
    server = servers.start(ChronyServer, servers.folder)
    found = refused(ask(build, rtc=False, host=HOST, port=server.port), "host-clock")
    assert abs(int(found.split()[2])) <= 2
    ahead = lambda request, _: [answer(request, time.time() + 3600)]  # noqa: E731
    assert -3605 < int(refused(lies(build, ahead, rtc=False), "host-clock").split()[2]) < -3595
    refused(lies(build, lambda request, _: [answer(request, time.time() + 3 * DAY)], rtc=False), "clock-jump")


def test_the_request_has_a_fresh_nonce_and_nothing_of_the_clock(lies, build):
    seen = set()
    for _ in range(3):
        (request,) = lies(build, lambda request, _: [answer(request)])["requests"]
        assert len(request) == 48 and request[:40] == b"\x23" + bytes(39)
        seen.add(request[40:])
    assert len(seen) == 3


def test_what_does_not_answer_the_request_is_not_listened_to(lies, build):
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    other.bind((HOST, 0))
    strays = {
        "another nonce": lambda request: answer(request, nonce=b"12345678"),
        "no nonce": lambda request: answer(request, nonce=bytes(8)),
        "one byte less": lambda request: answer(request)[:-1],
        "one byte more": lambda request: answer(request) + b"\0",
        "nothing": lambda request: b"",
        "one byte": lambda request: b"\x24",
        "its own request": lambda request: request,
        "another address": lambda request: (answer(request), other),
        "64 KB": lambda request: bytes(60000),
    }
    with other:
        for name, stray in strays.items():
            told = lies(build, lambda request, _, stray=stray: [stray(request)])
            found = refused(told, "sntp-timeout")
            count = "" if name == "another address" else " but 2 datagrams that are no answers"
            assert found == "nothing after 600 ms" + count, name
            assert 590 < told["ms"] < 3000, name
            # A true answer behind it is taken.
            told = lies(build, lambda request, _, stray=stray: [stray(request), answer(request)])
            assert abs(told["set"] - time.time()) < 5, (name, told)


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("sntp-refused", {"stratum": 0, "kiss": b"RATE"}),
        ("sntp-refused", {"stratum": 0, "kiss": b"\x1b[2J", "leap": 3}),
        ("sntp-unset", {"stratum": 16}),
        ("sntp-unset", {"stratum": 255}),
        ("sntp-unset", {"leap": 3}),
        ("sntp-answer", {"mode": 3}),
        ("sntp-answer", {"mode": 5}),
        ("sntp-answer", {"version": 2}),
        ("sntp-answer", {"version": 5}),
        ("sntp-answer", {"now": -2208988800}),
    ],
)
def test_a_server_that_should_not_be_believed(lies, build, code, how):
    told = lies(build, lambda request, _: [answer(request, **how)])
    found = refused(told, code)
    assert "\x1b" not in told["text"]
    if how.get("kiss") == b"RATE":
        assert "RATE" in found
    assert told["ms"] < 500


@pytest.mark.parametrize("how", [{"stratum": 1}, {"stratum": 15}, {"version": 3}, {"leap": 1}, {"leap": 2}])
def test_a_server_that_may_be_believed(lies, build, how):
    assert "set" in lies(build, lambda request, _: [answer(request, **how)])


def test_a_lost_datagram_is_asked_for_again(lies, build):
    told = lies(build, lambda request, number: [answer(request)] if number == 1 else [])
    assert "set" in told and len(told["requests"]) == 2 and 250 < told["ms"] < 2000
    assert told["requests"][0] == told["requests"][1]


def test_a_silent_server_ends_at_the_deadline(lies, build):
    told = lies(build, lambda request, number: [])
    refused(told, "sntp-timeout")
    assert len(told["requests"]) == 2 and 590 < told["ms"] < 3000


def test_an_answer_that_comes_too_late_is_not_waited_for(lies, build):
    def late(request, number):
        time.sleep(0.9)
        return [answer(request)]

    refused(lies(build, late), "sntp-timeout")


def test_a_flood_does_not_hold_it_up(lies, build):
    told = lies(build, lambda request, _: [bytes(48)] * 20000)
    refused(told, "sntp-timeout")
    assert told["ms"] < 5000


def test_a_port_that_nobody_listens_on(ask, build):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind((HOST, 0))
        port = nobody.getsockname()[1]
    assert f"{HOST} port {port}" in refused(ask(build, host=HOST, port=port), "sntp-network")


def test_a_name_that_is_not_known(ask, build):
    told = ask(build, host="time.invalid")
    assert "time.invalid" in refused(told, "sntp-network") and "network.WLAN" in told["text"]


def test_a_jump_of_more_than_a_day_is_refused_unless_forced(lies, build):
    for offset in (DAY + 10, -DAY - 10):
        made = lambda request, _, offset=offset: [answer(request, time.time() + offset)]  # noqa: E731
        refused(lies(build, made), "clock-jump")
        told = lies(build, made, force=True)
        assert abs(told["set"] - time.time() - offset) < 5 and len(told["written"]) == 1
    for offset in (DAY - 10, 10 - DAY):
        told = lies(build, lambda request, _, offset=offset: [answer(request, time.time() + offset)])
        assert abs(told["set"] - time.time() - offset) < 5


def test_a_clock_that_was_never_set_takes_any_time_past_the_floor(lies, build, clock):
    if build == "stock32":
        pytest.skip("libfaketime is here for 64-bit programs only")
    floor = 1792281600  # the day of the roots that are frozen in these builds
    for now in (floor, floor + 400 * DAY, 2**32 - 2208988800 - 1, 2**32 - 2208988800 + 1, 4000000000):
        told = lies(build, lambda request, _, now=now: [answer(request, now)], env=clock(YEAR_2000))
        assert told.get("set") == now, told
    told = lies(build, lambda request, _: [answer(request, floor - 1)], env=clock(YEAR_2000))
    refused(told, "clock-floor")
    assert "2026-10-17 23:59:59 UTC" in told["text"] and "force=True" in told["text"]
    told = lies(build, lambda request, _: [answer(request, floor - 1)], env=clock(YEAR_2000), force=True)
    assert told["set"] == floor - 1
    # Past 2099 no board's clock goes; forced or not.
    for force in (False, True):
        told = lies(
            build, lambda request, _: [answer(request, 4102444800)], env=clock(YEAR_2000), force=force
        )
        refused(told, "clock-value")


def test_the_nonce_needs_randomness(target, build):
    script = """
import json, os, securesocket
from certstore import entropy

class Constant:
    def urandom(size):
        return bytes(size)

entropy.os = Constant
# The emulator accepts it at its start.
entropy.is_weak_accepted = False
try:
    securesocket.set_clock(host="127.0.0.1", port=9)
except securesocket.EntropyError as error:
    print("RESULT", json.dumps(error.code))
"""
    assert target.run(script, build=build).result == "entropy-weak"

"""securesocket.clock: what a time may look like, and which are refused; tests/target has the time servers."""

import sys

import securesocket.clock as clock
from certstore.errors import SecureSocketError, StoreError
from folder import Patched
from securesocket.clock import ClockError
from securesocket.errors import ConfigurationError, UnsupportedFeature
from support import raises

DAY = 86400
MADE = 1792281600  # 2026-10-18 00:00:00 UTC
DATE = (2026, 10, 18, 0, 0, 0)


class Machine:
    """In place of the module `machine`: its clock keeps what is written."""

    def __init__(self):
        self.written = written = []

        class RTC:
            def datetime(self, value):
                written.append(value)

        self.RTC = RTC


class Store:
    def __init__(self, build_time):
        self.build_time = build_time


class Device:
    """A board whose clock shows `now`, with a store of this age; None for none."""

    def __init__(self, now, built=None):
        def trusted():
            if isinstance(built, SecureSocketError):
                raise built
            if built is None:
                raise ConfigurationError("no-store")
            return Store(built)

        import securesocket.stores  # noqa: F401

        stores = sys.modules["securesocket.stores"]
        self._patches = [Patched(clock, "unix_time", lambda: now), Patched(stores, "trusted", trusted)]

    def __enter__(self):
        for patch in self._patches:
            patch.__enter__()
        self._known = sys.modules.get("machine")
        sys.modules["machine"] = machine = Machine()
        return machine.written

    def __exit__(self, *_):
        if self._known is None:
            del sys.modules["machine"]
        else:
            sys.modules["machine"] = self._known
        for patch in self._patches:
            patch.__exit__()


def test_what_is_given_is_written_and_returned():
    with Device(0) as written:
        for when in (MADE, DATE, list(DATE), DATE + (6, 291)):
            assert clock.set_clock(when) == MADE
            assert written.pop() == (2026, 10, 18, 7, 0, 0, 0, 0)
        assert clock.set_clock((2032, 2, 29, 23, 59, 58)) == 1961711998
        assert written == [(2032, 2, 29, 7, 23, 59, 58, 0)]


def forced(when):
    clock.set_clock(when, force=True)


def test_what_is_no_time():
    rtc = (2026, 10, 18, 6, 0, 0, 0, 0)  # machine.RTC().datetime(): the weekday comes fourth
    for when in (
        -1, 0, 946684799, 4102444800, 2**70, True, 1.8e9, "now", b"", (), DATE[:5], DATE + (6,), rtc,
        DATE + (6, 290), DATE + (5, 291), DATE + (6, 291, 0), ("2026", 1, 1, 0, 0, 0),
        (2026, 2, 29, 0, 0, 0), (2026, 0, 1, 0, 0, 0),
        (2026, 13, 1, 0, 0, 0), (2026, 1, 1, 24, 0, 0), (2026, 1, 1, 0, 60, 0), (2026, 1, 1, 0, 0, 60),
        (2026, 1, 1, -1, 0, 0), (1999, 12, 31, 23, 59, 59), (2100, 1, 1, 0, 0, 0),
    ):  # fmt: skip
        with Device(0) as written:
            raises(ClockError, "clock-value", clock.set_clock, when)
            raises(ClockError, "clock-value", forced, when)
            assert written == []


def test_the_first_and_the_last_time():
    with Device(0) as written:
        for when in (946684800, 4102444799):
            assert clock.set_clock(when, force=True) == when
        assert written == [(2000, 1, 1, 6, 0, 0, 0, 0), (2099, 12, 31, 4, 23, 59, 59, 0)]


def test_the_floor():
    # The day of the roots, and the store, if it is younger; no store is none of the older.
    for built, floor in ((None, MADE), (MADE - 5, MADE), (0, MADE), (MADE + 5, MADE + 5)):
        with Device(0, built) as written:
            assert clock.floor() == floor
            error = raises(ClockError, "clock-floor", clock.set_clock, floor - 1)
            assert "force=True" in error.remedy and written == []
            assert clock.set_clock(floor) == floor
            assert clock.set_clock(floor - 1, force=True) == floor - 1
            assert len(written) == 2


def test_a_damaged_store_has_no_floor_that_could_be_passed():
    with Device(0, StoreError("store-file")) as written:
        raises(StoreError, "store-file", clock.set_clock, MADE + 1)
        assert written == []
        clock.set_clock(MADE + 1, force=True)


def test_a_clock_that_is_set_moves_by_a_day_at_most():
    now = MADE + 100 * DAY
    for offset in (-DAY, -1, 0, 1, DAY):
        with Device(now):
            assert clock.set_clock(now + offset) == now + offset
    for offset in (-DAY - 1, DAY + 1, 3650 * DAY):
        with Device(now) as written:
            raises(ClockError, "clock-jump", clock.set_clock, now + offset)
            assert written == []
            assert clock.set_clock(now + offset, force=True) == now + offset


def test_a_clock_before_the_floor_is_not_set():
    for now in (0, 946684800, MADE - 1):
        with Device(now):
            assert clock.set_clock(MADE + 3650 * DAY) == MADE + 3650 * DAY
    with Device(MADE):
        raises(ClockError, "clock-jump", clock.set_clock, MADE + 3650 * DAY)


def test_a_port_without_a_clock_says_how_far_its_clock_is():
    class Nothing:
        pass

    with Device(MADE + 60):
        sys.modules["machine"] = Nothing()
        error = raises(UnsupportedFeature, "host-clock", clock.set_clock, MADE + 100)
        assert error.found == "it is -40 s from this time"


NONCE = b"\x01\x02\x03\x04\xfa\xfb\xfc\xfd"


def packet(seconds=0xE0000000, fraction=0, first=0x24, stratum=2):
    head = bytes((first, stratum)) + bytes(22)
    return head + NONCE + bytes(8) + seconds.to_bytes(4, "big") + fraction.to_bytes(4, "big")


def test_an_answer_is_known_by_its_nonce_and_length():
    good = packet()
    assert len(good) == 48 and clock.is_answer(good, NONCE)
    for at in range(24, 32):
        changed = bytearray(good)
        changed[at] ^= 1
        assert not clock.is_answer(bytes(changed), NONCE)
    for size in range(48):
        assert not clock.is_answer(good[:size], NONCE)
    assert not clock.is_answer(good + b"\0", NONCE)


def test_the_eras_of_ntp():
    # 2036-02-07 06:28:15 and the second after it.
    for seconds, when in (
        (0xFFFFFFFF, 2085978495),
        (0, 2085978496),
        (1, 2085978497),
        (0x80000000, -61505152),
        (0x7FFFFFFF, 4233462143),
    ):
        assert clock.moment(packet(seconds, 1 if seconds == 0 else 0), 0) == when


def test_the_second_is_the_nearest():
    base = 0xE0000000 - 2208988800
    for fraction, waited_ms, more in (
        (0, 0, 0), (0x7FFFFFFF, 0, 0), (0x80000000, 0, 1), (0xFFFFFFFF, 0, 1), (0, 998, 0), (0, 1000, 1),
        (0x40000000, 500, 1), (0x40000000, 498, 0), (0, 5000, 3),
    ):  # fmt: skip
        assert clock.moment(packet(fraction=fraction), waited_ms) == base + more, (fraction, waited_ms)


def test_the_fields_of_an_answer():
    for first in range(256):
        leap, version, mode = first >> 6, first >> 3 & 7, first & 7
        for stratum in (0, 1, 15, 16, 255):
            data = packet(first=first, stratum=stratum)
            if mode != 4 or version not in (3, 4):
                raises(ClockError, "sntp-answer", clock.moment, data, 0)
            elif stratum == 0:
                raises(ClockError, "sntp-refused", clock.moment, data, 0)
            elif leap == 3 or stratum > 15:
                raises(ClockError, "sntp-unset", clock.moment, data, 0)
            else:
                assert clock.moment(data, 0) == 0xE0000000 - 2208988800
    raises(ClockError, "sntp-answer", clock.moment, packet(0, 0), 0)

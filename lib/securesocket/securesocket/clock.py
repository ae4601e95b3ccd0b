"""set_clock: the time, given or from the network by SNTP (RFC 4330), under rules.

SNTP is not authenticated: whoever controls the network chooses the time. So a time is refused, unless forced,
  1. before the floor: the later one of the store's build time and the day of this version's roots
  2. more than a day from a clock that is set already, that is, past the floor
Checked of an answer (RFC 4330 5), in this order:
  1. it comes from where it was asked (the socket is connected), has 48 bytes, and brings the request's random
     number back as originate timestamp; others are no answers, and waiting goes on
  2. mode 4 (server), version 3 or 4
  3. stratum 1 to 15; 0 is a refusal (kiss-o'-death)
  4. its leap indicator is not 3 (a server whose clock is not set), its transmit timestamp not 0
Not checked: who answered, and how exact the server is. The clock has whole seconds.
"""

from certstore.compat import const, unix_time
from certstore.dates import date, text
from certstore.errors import SecureSocketError
from certstore.times import of_date

# 2026-10-18, the day of the roots that this version is made with: no clock was right before.
_MADE = const(1792281600)
_DAY = const(86400)
# What the clocks of all boards hold: some have two digits for the year.
_FROM_2000 = const(946684800)
_UNTIL_2099 = const(4102444799)

_PACKET = const(48)
_NONCE = const(8)
_AT_STRATUM = const(1)
_AT_KISS = const(12)
_AT_ORIGINATE = const(24)
_AT_TRANSMIT = const(40)
# Version 4, mode 3 (client).
_REQUEST = b"\x23" + bytes(39)
_SERVER = const(4)
# From 1900 to 1970. A timestamp whose first bit is 0 lies after 2036-02-07 (RFC 4330 3).
_NTP_TO_1970 = const(2208988800)
_ERA = const(0x100000000)

_POLLIN = const(1)
_EAGAIN = const(11)


_EACCES = const(13)
_EINVAL = const(22)
_EPROTO = const(71)
_ETIMEDOUT = const(110)
_EHOSTUNREACH = const(113)


class ClockError(SecureSocketError):
    """securesocket.set_clock() did not set the clock."""

    package = "securesocket"

    numbers = (
        (_EHOSTUNREACH, "sntp-network"),
        (_ETIMEDOUT, "sntp-timeout"),
        (_EACCES, "sntp-refused"),
        (_EPROTO, "sntp-unset sntp-answer"),
        (_EINVAL, None),
    )


def set_clock(when=None, *, host="pool.ntp.org", port=123, timeout_ms=5000, force=False):
    """Set the clock to `when`, or to what the time server answers; returns it, in seconds since 1970.

    when: seconds since 1970, or what time.gmtime() gives, in UTC. timeout_ms: for the answer; the request is
    sent again after half of it, and getaddrinfo comes before. force: without the rules above. Raises
    ClockError, EntropyError, StoreError; UnsupportedFeature "host-clock", after all checks, where there is no
    machine.RTC.
    """
    if when is None:
        when = _ask(host, port, timeout_ms)
    elif isinstance(when, (tuple, list)):
        when = _of_tuple(when)
    if type(when) is not int or not _FROM_2000 <= when <= _UNTIL_2099:
        raise _error("clock-value", repr(when))
    if not force:
        _judge(when, unix_time())
    _write(when)
    return when


def _error(code, found, expected=None):
    return ClockError(code, found=found, expected=expected)


def _of_tuple(when):
    # Of 8, the last two are weekday and day of the year: what machine.RTC gives has another order, and must
    # not be taken for it.
    known = None
    if len(when) in (6, 8) and all(type(part) is int for part in when):
        known = of_date(*when[:6])
    if known is not None and len(when) == 8:
        new_year = of_date(when[0], 1, 1, 0, 0, 0)
        if tuple(when[6:]) != (_weekday(known), (known - new_year) // _DAY + 1):
            known = None
    if known is None:
        raise _error("clock-value", repr(when))
    return known


def _weekday(seconds):
    # 0 is Monday; 1970 began with a Thursday.
    return (seconds // _DAY + 3) % 7


def _judge(when, now):
    earliest = floor()
    if when < earliest:
        raise _error("clock-floor", text(when), "after " + text(earliest))
    if now >= earliest and abs(when - now) > _DAY:
        raise _error("clock-jump", text(when), "at most a day from " + text(now))


def floor():
    """The time that a clock which is set has passed, in seconds since 1970. Raises StoreError."""
    from .stores import trusted

    try:
        return max(trusted().build_time, _MADE)
    except SecureSocketError as error:
        if error.code != "no-store":
            raise
        return _MADE


def _write(when):
    try:
        from machine import RTC
    except ImportError:
        from .errors import UnsupportedFeature

        raise UnsupportedFeature("host-clock", found="it is %d s from this time" % (unix_time() - when))
    year, month, day, hour, minute, second = date(when)
    RTC().datetime((year, month, day, _weekday(when) + 1, hour, minute, second, 0))


def _ask(host, port, timeout_ms):
    import socket

    from certstore.entropy import random

    nonce = random(_NONCE)
    try:
        found = socket.getaddrinfo(host, port)[0]
        sock = socket.socket(found[0], socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            # From here on, datagrams from elsewhere do not arrive.
            sock.connect(found[-1])
            return _exchange(sock, nonce, timeout_ms)
        finally:
            sock.close()
    except OSError as error:
        if isinstance(error, SecureSocketError):
            raise
        raise _error("sntp-network", "%s port %s (%s)" % (host, port, error))


def _exchange(sock, nonce, timeout_ms):
    import select
    from time import ticks_diff, ticks_ms

    poller = select.poll()
    poller.register(sock, _POLLIN)
    others = 0
    # A datagram may get lost: asked again when half of the time is over.
    for wait_ms in (timeout_ms // 2, timeout_ms - timeout_ms // 2):
        sent = ticks_ms()
        sock.send(_REQUEST + nonce)
        left_ms = wait_ms
        while left_ms > 0 and poller.poll(left_ms):
            try:
                # One byte more than an answer has, to tell a longer datagram.
                answer = sock.recv(_PACKET + 1)
            except OSError as error:
                if error.errno != _EAGAIN:
                    raise
                answer = None
            waited_ms = ticks_diff(ticks_ms(), sent)
            if answer is not None:
                if is_answer(answer, nonce):
                    return moment(answer, waited_ms)
                others += 1
            left_ms = wait_ms - waited_ms
    found = "nothing after %d ms" % timeout_ms
    if others:
        found += " but %d datagrams that are no answers" % others
    raise _error("sntp-timeout", found)


def is_answer(data, nonce):
    """Whether a datagram answers the request with these 8 bytes as its transmit timestamp."""
    return len(data) == _PACKET and data[_AT_ORIGINATE : _AT_ORIGINATE + _NONCE] == nonce


def moment(answer, waited_ms):
    """The time in an answer to which `waited_ms` passed since the request, to the nearest second since 1970.
    Raises ClockError."""
    version = answer[0] >> 3 & 7
    if answer[0] & 7 != _SERVER or not 3 <= version <= 4:
        raise _error(
            "sntp-answer", "mode %d, version %d" % (answer[0] & 7, version), "mode 4, version 3 or 4"
        )
    stratum = answer[_AT_STRATUM]
    if stratum == 0:
        raise _error("sntp-refused", repr(bytes(answer[_AT_KISS : _AT_KISS + 4])))
    if answer[0] >> 6 == 3 or stratum > 15:
        raise _error(
            "sntp-unset", "leap indicator %d, stratum %d" % (answer[0] >> 6, stratum), "stratum 1 to 15"
        )
    seconds = int.from_bytes(answer[_AT_TRANSMIT : _AT_TRANSMIT + 4], "big")
    fraction = int.from_bytes(answer[_AT_TRANSMIT + 4 : _PACKET], "big")
    if seconds == 0 and fraction == 0:
        raise _error("sntp-answer", "no time")
    if seconds < _ERA >> 1:
        seconds += _ERA
    # Half of the way there and back is the way of the answer.
    return seconds - _NTP_TO_1970 + ((fraction * 1000 >> 32) + waited_ms // 2 + 500) // 1000

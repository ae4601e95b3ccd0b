"""Times of certificates to seconds (RFC 5280 4.1.2.5); `dates` has the way back."""

from .compat import const
from .errors import FormatError

_UTC_TIME = const(0x17)
_GENERALIZED_TIME = const(0x18)
_ZULU = const(0x5A)
_DAYS_TO_1970 = const(719162)

# Days before each month of a year that is no leap year.
_DAYS_BEFORE = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365)


def seconds(walk):
    """The current element of a Der as s since 1970: YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ.

    Two digits of a year mean 1950 to 2049. Raises FormatError for anything else, fractions and
    other zones too, as RFC 5280 4.1.2.5.1 and 4.1.2.5.2 demand.
    """
    if walk.tag == _UTC_TIME:
        digits = 2
    elif walk.tag == _GENERALIZED_TIME:
        digits = 4
    else:
        raise FormatError("der-tag", "tag 0x%02x at byte %d" % (walk.tag, walk.at), "a time")
    text = walk.content()
    if len(text) != digits + 11 or text[digits + 10] != _ZULU:
        raise _refusal(walk)
    for i in range(digits + 10):
        if not 0x30 <= text[i] <= 0x39:
            raise _refusal(walk)
    year = int(bytes(text[:digits]))
    if digits == 2:
        year += 2000 if year < 50 else 1900
    month, day, hour, minute, second = (int(bytes(text[i : i + 2])) for i in range(digits, digits + 10, 2))
    found = of_date(year, month, day, hour, minute, second)
    if found is None:
        raise _refusal(walk)
    return found


def of_date(year, month, day, hour, minute, second):
    """s since 1970 of a date in UTC, or None where there is no such date (a leap second is none)."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= month <= 12 or not 0 <= hour <= 23 or not 0 <= minute <= 59 or not 0 <= second <= 59:
        return None
    length = _DAYS_BEFORE[month] - _DAYS_BEFORE[month - 1] + (leap and month == 2)
    if not 1 <= day <= length:
        return None
    past = year - 1
    days = 365 * past + past // 4 - past // 100 + past // 400 - _DAYS_TO_1970
    days += _DAYS_BEFORE[month - 1] + (leap and month > 2) + day - 1
    return ((days * 24 + hour) * 60 + minute) * 60 + second


def _refusal(walk):
    return FormatError("der-value", "byte %d" % walk.at, "a time as YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ")

"""Times and durations as a user types and reads them."""

import datetime

from certstore import names

from .errors import CommandError

# 9999-12-31 23:59:59, the last time that a certificate can name.
_LAST_SECOND = 253402300799
DAY_S = 86400
_UNITS = {"d": 1, "w": 7, "y": 365}
# Longer than any certificate is valid.
_MAX_DAYS = 36500


def moment(seconds):
    """Seconds since 1970 as ISO 8601 in UTC."""
    start = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (start + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text, what):
    """Seconds since 1970 from a number, or a date or time in ISO 8601 (UTC unless it says otherwise)."""
    try:
        seconds = int(text)
    except ValueError:
        try:
            parsed = datetime.datetime.fromisoformat(text)
        except ValueError:
            raise CommandError(
                f'{what} "{names.escape(text)}": expected seconds since 1970, or 2026-01-31'
            ) from None
        if parsed.tzinfo is None:
            parsed = parsed.replace(tzinfo=datetime.UTC)
        seconds = int(parsed.timestamp())
    if not 0 <= seconds <= _LAST_SECOND:
        raise CommandError(f"{what} {seconds}: expected a time of the years 1970 to 9999")
    return seconds


def parse_days(text):
    """Days from a number with its unit: 90d, 12w, 2y (of 365 days). Raises ValueError."""
    count, unit = text[:-1], text[-1:].lower()
    if not (count.isascii() and count.isdigit() and unit in _UNITS):
        raise ValueError("expected days, weeks or years, as 90d, 12w or 2y")
    days = int(count) * _UNITS[unit]
    if days > _MAX_DAYS:
        raise ValueError(f"{days} days: expected at most {_MAX_DAYS}")
    return days

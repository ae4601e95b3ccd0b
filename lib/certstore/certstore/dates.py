"""Seconds since 1970 as dates and as text."""


def date(seconds):
    """(year, month, day, hour, minute, second) in UTC of s since 1970."""
    days, rest = divmod(seconds, 86400)
    # H. Hinnant, "chrono-compatible low-level date algorithms": eras of 400 years that begin in March.
    era, day = divmod(days + 719468, 146097)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5 - 1
    month += 3 if month < 10 else -9
    return year + 400 * era + (month <= 2), month, day, rest // 3600, rest // 60 % 60, rest % 60


def text(seconds):
    """s since 1970 as YYYY-MM-DD HH:MM:SS UTC."""
    return "%04d-%02d-%02d %02d:%02d:%02d UTC" % date(seconds)

"""certstore.times: seconds to dates. Times of certificates are in test_certstore_certificate."""

from certstore import dates

ROWS = (
    (0, (1970, 1, 1, 0, 0, 0), "1970-01-01 00:00:00 UTC"),
    (-1, (1969, 12, 31, 23, 59, 59), "1969-12-31 23:59:59 UTC"),
    (-631152000, (1950, 1, 1, 0, 0, 0), "1950-01-01 00:00:00 UTC"),
    (951782400, (2000, 2, 29, 0, 0, 0), "2000-02-29 00:00:00 UTC"),
    (951868800, (2000, 3, 1, 0, 0, 0), "2000-03-01 00:00:00 UTC"),
    (1792281599, (2026, 10, 17, 23, 59, 59), "2026-10-17 23:59:59 UTC"),
    (4107542400, (2100, 3, 1, 0, 0, 0), "2100-03-01 00:00:00 UTC"),
    (253402300799, (9999, 12, 31, 23, 59, 59), "9999-12-31 23:59:59 UTC"),
)


def test_dates():
    for seconds, date, _ in ROWS:
        assert dates.date(seconds) == date


def test_dates_are_written_as_people_read_them():
    for seconds, _, text in ROWS:
        assert dates.text(seconds) == text

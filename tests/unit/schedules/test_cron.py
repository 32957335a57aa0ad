"""When cron expressions are due, in many zones, over the days on which clocks are set."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest

from penstock.errors import UsageError
from penstock.schedules.cron import Cron

# Zone, expression, after when (UTC), the next times (UTC). In 2026 clocks are set
#   in Berlin at 01:00 UTC on 29 March (02:00 to 03:00) and on 25 October (03:00 to 02:00),
#   in New York at 07:00 UTC on 8 March (02:00 to 03:00) and at 06:00 UTC on 1 November (02:00 to 01:00),
#   in Sydney at 16:00 UTC on 4 April (03:00 to 02:00) and on 3 October (02:00 to 03:00),
#   on Lord Howe Island by half an hour at 15:00 UTC on 4 April (02:00 to 01:30) and 15:30 UTC on 3 October.
CASES = [
    # every so many minutes and hours
    ("UTC", "* * * * *", "2026-01-01 00:00", "2026-01-01 00:01, 2026-01-01 00:02"),
    ("UTC", "*/15 * * * *", "2026-01-01 00:00", "2026-01-01 00:15, 2026-01-01 00:30, 2026-01-01 00:45"),
    ("UTC", "*/7 * * * *", "2026-01-01 00:50", "2026-01-01 00:56, 2026-01-01 01:00, 2026-01-01 01:07"),
    ("UTC", "5-20/5 * * * *", "2026-01-01 00:00", "2026-01-01 00:05, 2026-01-01 00:10, 2026-01-01 00:15"),
    ("UTC", "0 */6 * * *", "2026-01-01 00:00", "2026-01-01 06:00, 2026-01-01 12:00, 2026-01-01 18:00"),
    ("UTC", "30 8-10 * * *", "2026-01-01 08:30", "2026-01-01 09:30, 2026-01-01 10:30, 2026-01-02 08:30"),
    ("UTC", "0,30 9,17 * * *", "2026-01-01 09:10", "2026-01-01 09:30, 2026-01-01 17:00, 2026-01-01 17:30"),
    ("UTC", "10/20 * * * *", "2026-01-01 00:00", "2026-01-01 00:10, 2026-01-01 00:30, 2026-01-01 00:50"),
    # days, weeks, months, years
    ("UTC", "0 6 * * MON-FRI", "2026-11-20 06:00", "2026-11-23 06:00, 2026-11-24 06:00"),
    ("UTC", "0 6 * * 1-5", "2026-11-20 06:00", "2026-11-23 06:00, 2026-11-24 06:00"),
    ("UTC", "0 6 * * 0", "2026-11-20 00:00", "2026-11-22 06:00, 2026-11-29 06:00"),
    ("UTC", "0 6 * * 7", "2026-11-20 00:00", "2026-11-22 06:00, 2026-11-29 06:00"),
    ("UTC", "0 6 * * sun,wed", "2026-11-20 00:00", "2026-11-22 06:00, 2026-11-25 06:00"),
    ("UTC", "0 0 1 * *", "2026-11-01 00:00", "2026-12-01 00:00, 2027-01-01 00:00"),
    ("UTC", "0 0 31 * *", "2026-01-31 00:00", "2026-03-31 00:00, 2026-05-31 00:00, 2026-07-31 00:00"),
    ("UTC", "0 0 30 2,4 *", "2026-01-01 00:00", "2026-04-30 00:00, 2027-04-30 00:00"),
    ("UTC", "0 0 29 2 *", "2026-01-01 00:00", "2028-02-29 00:00, 2032-02-29 00:00"),
    ("UTC", "0 0 29 2 *", "2096-03-01 00:00", "2104-02-29 00:00"),
    ("UTC", "0 0 1 JAN *", "2026-06-01 00:00", "2027-01-01 00:00"),
    ("UTC", "0 0 1 */3 *", "2026-01-01 00:00", "2026-04-01 00:00, 2026-07-01 00:00, 2026-10-01 00:00"),
    ("UTC", "0 0 13 * 5", "2026-11-01 00:00", "2026-11-06 00:00, 2026-11-13 00:00, 2026-11-20 00:00"),
    ("UTC", "0 0 13 * *", "2026-11-01 00:00", "2026-11-13 00:00, 2026-12-13 00:00"),
    ("UTC", "0 0 L * *", "2026-02-01 00:00", "2026-02-28 00:00, 2026-03-31 00:00"),
    ("UTC", "0 0 * * MON#1", "2026-11-03 00:00", "2026-12-07 00:00, 2027-01-04 00:00"),
    ("UTC", "0 0 * * 5L", "2026-11-01 00:00", "2026-11-27 00:00, 2026-12-25 00:00"),
    ("UTC", "59 23 31 12 *", "2026-12-31 23:58", "2026-12-31 23:59, 2027-12-31 23:59"),
    # nicknames
    ("UTC", "@hourly", "2026-01-01 00:30", "2026-01-01 01:00, 2026-01-01 02:00"),
    ("UTC", "@daily", "2026-01-01 00:30", "2026-01-02 00:00, 2026-01-03 00:00"),
    ("UTC", "@weekly", "2026-11-20 00:00", "2026-11-22 00:00, 2026-11-29 00:00"),
    ("UTC", "@monthly", "2026-11-20 00:00", "2026-12-01 00:00, 2027-01-01 00:00"),
    ("UTC", "@yearly", "2026-11-20 00:00", "2027-01-01 00:00"),
    # zones
    ("Europe/Berlin", "0 6 * * *", "2026-01-15 00:00", "2026-01-15 05:00, 2026-01-16 05:00"),
    ("Europe/Berlin", "0 6 * * *", "2026-07-15 00:00", "2026-07-15 04:00, 2026-07-16 04:00"),
    ("America/New_York", "0 6 * * *", "2026-01-15 12:00", "2026-01-16 11:00"),
    ("Asia/Kolkata", "0 6 * * *", "2026-01-15 00:00", "2026-01-15 00:30, 2026-01-16 00:30"),
    ("Asia/Kathmandu", "0 6 * * *", "2026-01-15 00:00", "2026-01-15 00:15"),
    ("Pacific/Kiritimati", "0 0 1 * *", "2026-01-15 00:00", "2026-01-31 10:00"),
    ("Pacific/Pago_Pago", "0 0 1 * *", "2026-01-15 00:00", "2026-02-01 11:00"),
    ("Asia/Tokyo", "0 9 * * MON", "2026-11-20 00:00", "2026-11-23 00:00, 2026-11-30 00:00"),
    ("America/Sao_Paulo", "30 23 * * *", "2026-11-20 00:00", "2026-11-20 02:30, 2026-11-21 02:30"),
    # an hour that is skipped: what is fixed to it is due right after the skip
    ("Europe/Berlin", "30 2 * * *", "2026-03-28 00:00", "2026-03-28 01:30, 2026-03-29 01:00, 2026-03-30 00:30"),
    ("Europe/Berlin", "0 2 * * *", "2026-03-28 02:00", "2026-03-29 01:00, 2026-03-30 00:00"),
    ("Europe/Berlin", "0 3 * * *", "2026-03-28 12:00", "2026-03-29 01:00, 2026-03-30 01:00"),
    ("Europe/Berlin", "59 1 * * *", "2026-03-28 12:00", "2026-03-29 00:59, 2026-03-29 23:59"),
    ("Europe/Berlin", "0 12 * * *", "2026-03-28 12:00", "2026-03-29 10:00, 2026-03-30 10:00"),
    ("America/New_York", "30 2 * * *", "2026-03-07 12:00", "2026-03-08 07:00, 2026-03-09 06:30"),
    ("America/New_York", "15 2 8 3 *", "2026-03-01 00:00", "2026-03-08 07:00, 2027-03-08 07:15"),
    ("Australia/Sydney", "30 2 * * *", "2026-10-02 20:00", "2026-10-03 16:00, 2026-10-04 15:30"),
    ("Australia/Lord_Howe", "10 2 * * *", "2026-10-03 00:00", "2026-10-03 15:30, 2026-10-04 15:10"),
    # and what is due every so often goes on
    ("Europe/Berlin", "*/30 * * * *", "2026-03-29 00:20", "2026-03-29 00:30, 2026-03-29 01:00, 2026-03-29 01:30"),
    ("Europe/Berlin", "0 * * * *", "2026-03-28 23:30", "2026-03-29 00:00, 2026-03-29 01:00, 2026-03-29 02:00"),
    ("America/New_York", "0 * * * *", "2026-03-08 05:30", "2026-03-08 06:00, 2026-03-08 07:00, 2026-03-08 08:00"),
    # an hour that comes twice: what is fixed to it is due the first time
    ("Europe/Berlin", "30 2 * * *", "2026-10-24 12:00", "2026-10-25 00:30, 2026-10-26 01:30"),
    ("Europe/Berlin", "0 2 * * *", "2026-10-24 12:00", "2026-10-25 00:00, 2026-10-26 01:00"),
    ("Europe/Berlin", "0 3 * * *", "2026-10-24 12:00", "2026-10-25 02:00, 2026-10-26 02:00"),
    ("Europe/Berlin", "0 12 * * *", "2026-10-24 12:00", "2026-10-25 11:00, 2026-10-26 11:00"),
    ("America/New_York", "30 1 * * *", "2026-10-31 12:00", "2026-11-01 05:30, 2026-11-02 06:30"),
    ("Australia/Sydney", "30 2 * * *", "2026-04-04 00:00", "2026-04-04 15:30, 2026-04-05 16:30"),
    # and what is due every so often is due in both
    ("Europe/Berlin", "0 * * * *", "2026-10-24 23:30", "2026-10-25 00:00, 2026-10-25 01:00, 2026-10-25 02:00"),
    ("Europe/Berlin", "*/30 * * * *", "2026-10-25 00:20", "2026-10-25 00:30, 2026-10-25 01:00, 2026-10-25 01:30"),
    ("America/New_York", "0 * * * *", "2026-11-01 04:30", "2026-11-01 05:00, 2026-11-01 06:00, 2026-11-01 07:00"),
    ("Europe/Berlin", "30 * * * *", "2026-10-25 00:00", "2026-10-25 00:30, 2026-10-25 01:30, 2026-10-25 02:30"),
    # a zone that changed its mind: Moscow without summer time since 2014
    ("Europe/Moscow", "30 2 * * *", "2026-03-28 12:00", "2026-03-28 23:30, 2026-03-29 23:30"),
]  # fmt: skip


def moment(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.strptime(text.strip(), "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


@pytest.mark.parametrize(("zone", "expression", "after", "expected"), CASES)
def test_due(zone: str, expression: str, after: str, expected: str) -> None:
    times = [moment(text) for text in expected.split(",")]
    assert list(islice(Cron.parse(expression, zone).after(moment(after)), len(times))) == times


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "has 0 fields; wanted are five"),
        ("* * * *", "has 4 fields; wanted are five"),
        ("* * * * * *", "has 6 fields; wanted are five"),
        ("60 * * * *", "the minute is wrong"),
        ("* 24 * * *", "the hour is wrong"),
        ("* * 0 * *", "the day-of-month is wrong"),
        ("* * * 13 *", "the month is wrong"),
        ("* * * * 8", "the day-of-week is wrong"),
        ("* * * FEBR *", "the month is wrong"),
        ("5-1 * * * *", "the minute is wrong"),
        ("*/0 * * * *", "the minute is wrong"),
        ("0 0 30 2 *", "the day-of-month is wrong"),
        ("-1 * * * *", "the minute is wrong"),
        ("99999999999999999999 * * * *", "the minute is wrong"),
        ("@dialy", "Did you mean '@daily'?"),
        ("@reboot", "is no nickname"),
        ("٣ * * * *", "the minute is wrong"),
    ],
)
def test_what_is_no_expression(expression: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        Cron.parse(expression)
    assert said in str(caught.value)


def test_what_is_no_zone() -> None:
    with pytest.raises(UsageError, match=r"'Europe/Berln' is no time zone.*Did you mean 'Europe/Berlin'\?"):
        Cron.parse("@daily", "Europe/Berln")
    with pytest.raises(UsageError, match="is no time zone"):
        Cron.parse("@daily", "../../etc/passwd")

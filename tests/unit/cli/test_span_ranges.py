"""What `--spans` may say."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli.span_ranges import LARGEST_SPAN, MOST_SPANS, parse
from penstock.errors import UsageError

SPANS = st.integers(0, LARGEST_SPAN)


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("0", [0]),
        ("12", [12]),
        ("007", [7]),
        ("10..13", [10, 11, 12, 13]),
        ("5..5", [5]),
        ("7,3, 10..12", [7, 3, 10, 11, 12]),
        (" 1 .. 2 ", [1, 2]),
        ("3,1..4", [3, 1, 2, 4]),
        (str(LARGEST_SPAN), [LARGEST_SPAN]),
        ("1970-01-01..1970-01-03", [0, 1, 2]),
        ("2026-11-01", [20758]),
    ],
)
def test_spans(text: str, spans: list[int]) -> None:
    assert parse(text) == spans


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("20..10", "20..10 ends before it begins; write 10..20"),
        ("2026-11-02..2026-11-01", "ends before it begins"),
        ("-1", "'-1' is no span. Allowed: numbers from 0 on"),
        ("-3..5", "'-3' is no span"),
        ("", "'' is no span"),
        ("1,,2", "'' is no span"),
        ("1,", "'' is no span"),
        ("..5", "'' is no span"),
        ("5..", "'' is no span"),
        ("1...3", "'.3' is no span"),
        ("1..2..3", "'2..3' is no span"),
        ("1-3", "'1-3' is no span"),
        ("1.5", "'1.5' is no span"),
        ("1e3", "'1e3' is no span"),
        ("0x10", "'0x10' is no span"),
        ("1_000", "'1_000' is no span"),
        ("٣", "'٣' is no span"),
        ("latest", "'latest' is no span"),
        ("*", "'*' is no span"),
        (str(LARGEST_SPAN + 1), "is too large; the largest span is 2147483647"),
        ("9" * 5000, "is no span"),
        ("0..10000", "more than 10,000 spans"),
        ("0..2147483647", "more than 10,000 spans"),
        ("0..9998,20000..20001", "more than 10,000 spans"),
        ("2026-02-30", "there is no day 2026-02-30"),
        ("2026-13-01", "there is no day 2026-13-01"),
        ("1969-12-31", "1969-12-31 is before 1970-01-01"),
        ("2026-1-1", "'2026-1-1' is no span"),
    ],
)
def test_what_is_no_span(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text)
    assert said in str(refused.value)
    assert refused.value.exit_status == 2


@given(SPANS, st.integers(0, MOST_SPANS - 1))
def test_a_range_holds_both_ends_and_all_between(first: int, more: int) -> None:
    last = min(first + more, LARGEST_SPAN)
    assert parse(f"{first}..{last}") == list(range(first, last + 1))


@given(st.lists(SPANS, min_size=1, max_size=50))
def test_a_list_is_taken_as_it_stands_but_for_what_is_named_twice(spans: list[int]) -> None:
    assert parse(",".join(map(str, spans))) == list(dict.fromkeys(spans))


@given(st.dates(datetime.date(1970, 1, 1), datetime.date(9999, 12, 1)), st.integers(0, 30))
def test_dates_are_days(first: datetime.date, more: int) -> None:
    last = first + datetime.timedelta(days=more)
    days = (first - datetime.date(1970, 1, 1)).days
    assert parse(f"{first}..{last}") == list(range(days, days + more + 1))


@given(st.text(alphabet="0123456789.,- x", max_size=40))
def test_whatever_is_said_is_read_or_refused(text: str) -> None:
    try:
        spans = parse(text)
    except UsageError:
        return
    assert spans
    assert len(spans) == len(set(spans)) <= MOST_SPANS
    assert all(0 <= span <= LARGEST_SPAN for span in spans)

"""Reads which spans a person means: `10..20`, `3,7,10..20`, or dates."""

from __future__ import annotations

import datetime
import re

from penstock.errors import UsageError

# What TFX can hold, an int32.
LARGEST_SPAN = 2**31 - 1
MOST_SPANS = 10_000
_EPOCH = datetime.date(1970, 1, 1)
_ALLOWED = "Allowed: numbers from 0 on, dates, and ranges of them: 12; 10..20; 3,7,10..20; 2026-11-01..2026-11-20"


def parse(text: str) -> list[int]:
    """Returns the spans that a text means, each once, in the order in which they are named.

    Args:
        text: numbers, dates (YYYY-MM-DD, the days since 1970-01-01) and inclusive ranges of them, with commas between.

    Raises:
        UsageError: it is none of that, a range ends before it begins, or there are more than MOST_SPANS.
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        first, separator, last = (piece.strip() for piece in part.partition(".."))
        begin = _span(first, text)
        end = _span(last, text) if separator else begin
        if end < begin:
            raise UsageError(f"--spans {text}: {first}..{last} ends before it begins; write {last}..{first}.")
        if end - begin >= MOST_SPANS or len(found) + end - begin >= MOST_SPANS:
            raise UsageError(
                f"--spans {text}: more than {MOST_SPANS:,} spans, which is the most at once. Ask for them in parts."
            )
        found.update(dict.fromkeys(range(begin, end + 1)))
    return list(found)


def _span(text: str, whole: str) -> int:
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        try:
            days = (datetime.date.fromisoformat(text) - _EPOCH).days
        except ValueError as error:
            raise UsageError(f"--spans {whole}: there is no day {text} ({error}).") from error
        if days < 0:
            raise UsageError(f"--spans {whole}: {text} is before 1970-01-01, which is span 0.")
        return days
    # A number too long to be converted is not converted.
    if not re.fullmatch(r"[0-9]+", text) or (len(text) > 10 and text.strip("0")):
        raise UsageError(f"--spans {whole}: {text!r} is no span. {_ALLOWED}.")
    number = int(text[-10:])
    if number > LARGEST_SPAN:
        raise UsageError(f"--spans {whole}: {text} is too large; the largest span is {LARGEST_SPAN}.")
    return number

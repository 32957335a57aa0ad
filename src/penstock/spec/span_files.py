"""The files of spans: what a pattern with a span, a date or a version finds in a folder."""

from __future__ import annotations

import contextlib
import datetime
import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

_SPEC = re.compile(r"\{(SPAN|VERSION)(?::([0-9]+))?\}|\{(YYYY|MM|DD)\}")
_DIGITS = {"YYYY": 4, "MM": 2, "DD": 2}


def present(folder: str, pattern: str) -> set[int]:
    """Returns the spans that a folder of this machine has files of; what only looks like one is left out."""
    found = set()
    for _, tokens in matches(folder, pattern):
        if all(re.fullmatch("[0-9]+", token) for token in tokens.values()):
            with contextlib.suppress(ValueError):
                found.add(number(tokens))
    return found


def has_spec(pattern: str) -> bool:
    """Whether a pattern has a span, a date or a version."""
    return bool(_SPEC.search(pattern))


def matches(
    folder: str, pattern: str, find: Callable[[str], Iterable[str]] = glob.glob
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields the files that fit a pattern with anything in the place of its specs, and what stands there.

    Args:
        folder: where the pattern starts.
        pattern: the pattern of a split.
        find: returns the files that fit a pattern of the shell's.
    """
    expression, end = "", 0
    for spec in _SPEC.finditer(pattern):
        name = spec[1] or spec[3]
        digits = f"{{{_DIGITS.get(name) or spec[2]}}}" if _DIGITS.get(name) or spec[2] else "+"
        expression += f"{_expression(pattern[end : spec.start()])}(?P<{name}>[^/]{digits})"
        end = spec.end()
    expression += _expression(pattern[end:])
    for file in sorted(find(os.path.join(folder, _SPEC.sub("*", pattern)))):
        found = re.fullmatch(expression, os.path.relpath(file, folder))
        if found:
            yield file, found.groupdict()


def number(tokens: Mapping[str, str]) -> int:
    """Returns the span that a match stands for; of a date, as in TFX, the days since 1970-01-01.

    Raises:
        ValueError: what stands in its place is no number, or no date.
    """
    if "SPAN" in tokens:
        return int(tokens["SPAN"])
    date = datetime.date(*(int(tokens[name]) for name in _DIGITS))
    return (date - datetime.date(1970, 1, 1)).days


def _expression(text: str) -> str:
    return re.escape(text).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")

"""Collects the problems of a declaration."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from penstock.errors import Problem
from penstock.spec.yaml_source import Place, Source, ValuePath

MAX_ALLOWED = 40
MAX_FOUND = 80


class Problems:
    """Every problem found so far; each method adds one at the place of a value or key of the source."""

    def __init__(self, source: Source):
        self.source = source
        self.found: list[Problem] = []

    def at_value(self, path: ValuePath, message: str, **details: Any) -> None:
        """Adds a problem at the value at `path`; `details` as for `at`."""
        self.at(self.source.place(path), message, **details)

    def at_key(self, path: ValuePath, message: str, **details: Any) -> None:
        """Adds a problem at the key at `path`; `details` as for `at`."""
        self.at(self.source.key_place(path), message, **details)

    def at(
        self,
        place: Place | None,
        message: str,
        *,
        found: str | None = None,
        allowed: Iterable[str] = (),
        name: str | None = None,
    ) -> None:
        """Adds a problem.

        Args:
            place: where; None where no place in the file is to blame.
            message: what is wrong, in one sentence.
            found: what stands there.
            allowed: what could stand there.
            name: the wrong name, if it is one; the nearest of `allowed` is suggested for it.
        """
        names = list(allowed)
        if name is not None and found is None:
            found = name
        problem = Problem(
            printable(message),
            self.source.file,
            place.line if place else 0,
            place.column if place else 0,
            found=printable(found) if found is not None else None,
            allowed=(*map(printable, names[:MAX_ALLOWED]), *(("…",) if len(names) > MAX_ALLOWED else ())),
            suggestion=nearest(name, names) if name is not None else None,
        )
        if problem not in self.found:
            self.found.append(problem)

    def sorted(self) -> list[Problem]:
        """Returns all problems by line and column, those without a place first."""
        return sorted(self.found, key=lambda problem: (problem.line, problem.column))


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Returns the name most like the given one, upper and lower case alike, None if none is."""
    by_lower = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[close[0]] if close else None


def printable(text: str) -> str:
    """Returns text with characters a terminal would obey, like escapes and line breaks, written as escapes."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def describe(value: Any) -> str:
    """Returns a value as it is named in a problem, with its type."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return f"{str(value).lower()} (true or false)"
    if isinstance(value, str):
        short = value if len(value) <= MAX_FOUND else value[: MAX_FOUND - 1] + "…"
        return f"{short!r} (text)"
    if isinstance(value, int):
        return f"{short_number(value)} (a whole number)"
    if isinstance(value, float):
        return f"{value!r} (a number)"
    return str(value)


def short_number(value: int) -> str:
    """Returns a whole number's digits, cut where there are very many."""
    text = f"{value:d}" if abs(value) < 10**40 else f"{float(value):.6g}" if abs(value) < 10**300 else "a huge number"
    return text

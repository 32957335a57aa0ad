"""Checks what stands in a page's address. What does not fit is answered with 400, saying what is allowed."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from penstock.errors import UsageError

PAGE_SIZE = 50
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PERIOD = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400}
_LONGEST_TEXT = 200


class BadQueryError(UsageError):
    """Indicates that an address asks for something there cannot be."""


def choice(name: str, value: str | None, allowed: Collection[str]) -> str | None:
    """A value that is one of some, or None where it is empty."""
    if not value:
        return None
    if value not in allowed:
        names = ", ".join(list(allowed)[:30]) or "none yet"
        raise BadQueryError(f"{name} cannot be {value[:_LONGEST_TEXT]!r}. Allowed: {names}.")
    return value


def run_token(name: str, value: str | None) -> str | None:
    """A run's id that a page goes on from, or None where it is empty."""
    if not value:
        return None
    if not _RUN_ID.fullmatch(value):
        raise BadQueryError(f"{name} is no run's id: {value[:_LONGEST_TEXT]!r}.")
    return value


def whole(name: str, value: str | None, least: int = 0, most: int = 2**53) -> int | None:
    """A whole number, or None where it is empty."""
    if not value:
        return None
    if not re.fullmatch(r"[0-9]{1,16}", value) or not least <= int(value) <= most:
        raise BadQueryError(f"{name} must be a whole number from {least} to {most}, not {value[:_LONGEST_TEXT]!r}.")
    return int(value)


def fraction(name: str, value: str | None) -> float | None:
    """A number from 0 to 1, or None where it is empty."""
    if not value:
        return None
    if not re.fullmatch(r"[0-9]{0,3}(\.[0-9]{0,12})?", value) or value == "." or not 0 <= float(value) <= 1:
        raise BadQueryError(f"{name} must be a number from 0 to 1, not {value[:_LONGEST_TEXT]!r}.")
    return float(value)


def text(name: str, value: str | None) -> str | None:
    """A text to search for, or None where it is empty."""
    if not value or not value.strip():
        return None
    if len(value) > _LONGEST_TEXT or "\0" in value:
        raise BadQueryError(f"{name} is a text of up to {_LONGEST_TEXT} characters without NUL.")
    return value.strip()


def period(name: str, value: str | None) -> int | None:
    """How far back, in seconds, or None where it is empty: 30m, 12h, 7d."""
    if not value:
        return None
    found = _PERIOD.fullmatch(value)
    if found is None:
        raise BadQueryError(f"{name} must be a time like 30m, 12h or 7d, not {value[:_LONGEST_TEXT]!r}.")
    return int(found[1]) * _SECONDS[found[2]]


def digest(name: str, value: str | None) -> str | None:
    """The hexadecimal SHA-256 that names a version, or None where it is empty."""
    if not value:
        return None
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise BadQueryError(f"{name} is the 64 hexadecimal digits that name a version, not {value[:_LONGEST_TEXT]!r}.")
    return value


def names(name: str, values: Sequence[str], allowed: Collection[str]) -> list[str]:
    """Values that are each one of some, without empty ones and repetitions."""
    chosen = [choice(name, value, allowed) for value in values]
    return list(dict.fromkeys(value for value in chosen if value is not None))

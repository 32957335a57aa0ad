"""The one error that input data can cause."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

_SHOWN_CHARACTERS = 80
_BEAMS_ADDITION = re.compile(r" \[while running '[^']*'\]$")


class DataError(ValueError):
    """Indicates that input data cannot be taken; the message names the file, and the line where there are lines."""


@contextlib.contextmanager
def as_raised() -> Iterator[None]:
    """Takes off what Beam adds to the message of a DataError: the name of the step that was running."""
    try:
        yield
    except DataError as error:
        raise DataError(_BEAMS_ADDITION.sub("", str(error))) from error


def shown(value: bytes | str) -> str:
    """Returns a piece of data as one short line of text, for a message."""
    text = value[: 8 * _SHOWN_CHARACTERS].decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
    line = "".join(character if character.isprintable() else " " for character in text.strip("\r\n"))
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[: _SHOWN_CHARACTERS - 2]} …"


def counted(count: int, noun: str) -> str:
    """Returns `1 value` or `3 values`."""
    return f"{count} {noun}{'s' if count != 1 else ''}"

"""Looks CSV files over before TFX's CsvExampleGen reads them, which names neither the file nor the line of a mistake.

A file is read the way CsvExampleGen does: the first line holds the names, cut at commas; a record goes on over the next
line while its quotes are open; blank lines are skipped.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tfx.dsl.io import fileio

from penstock.errors import PenstockError

_SHOWN_CHARACTERS = 80


class DataError(PenstockError):
    """Indicates that a file of input data cannot be read; the message names file and line."""


def check(input_base: str, patterns: Iterable[str]) -> None:
    """Reads all CSV files of all splits once.

    Args:
        input_base: folder that the patterns start from.
        patterns: each split's glob pattern; the files of one split must have the same header.

    Raises:
        DataError: a file is empty, is no UTF-8 text, has another header than the first, or a record that has more or
            fewer values than the header has names.
    """
    for pattern in patterns:
        first: tuple[str, list[str]] | None = None
        for path in sorted(fileio.glob(os.path.join(input_base, pattern))):
            if fileio.isdir(path):
                raise DataError(f"{path}: is a folder; the pattern {pattern!r} must match files only")
            names = _check_file(path, first)
            first = first or (path, names)


def _check_file(path: str, first: tuple[str, list[str]] | None) -> list[str]:
    """Checks one file against the path and header of the first one, and returns its header."""
    with _open(path) as lines:
        names: list[str] | None = None
        for number, record in _records(path, lines):
            if names is None:
                names = record.strip().split(",")
                if not any(names):
                    raise DataError(f"{path}:1: the first line is blank; it must hold the names of the columns")
                if first is not None and names != first[1]:
                    raise DataError(_other_header(path, names, *first))
                continue
            # Most records have no quotes, and counting commas is all there is to parse.
            plain = '"' not in record and "\r" not in record.rstrip("\r\n") and len(record) < csv.field_size_limit()
            count = record.count(",") + 1 if plain else len(_parse(path, number, record))
            if count != len(names) and record.strip("\r\n"):
                raise DataError(
                    f"{path}:{number}: {_values(count)}, but the header names {_columns(len(names))}\n"
                    f"  found:   {_shown(record)}\n"
                    f"  allowed: {_shown(','.join(names))}\n"
                    "  Mend the line, or put quotes around a value that holds a comma."
                )
    if names is None:
        raise DataError(f"{path}: the file is empty; it must begin with a line that holds the names of the columns")
    return names


def _records(path: str, lines: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """Yields the header, then each record with the number of its first line."""
    pending: list[str] = []
    began = quotes = 0
    for number, content in enumerate(lines, start=1):
        try:
            line = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}:{number}: is no UTF-8 text: byte {error.start + 1} of the line is"
                f" {content[error.start]:#04x}. Save the file as UTF-8."
            ) from error
        if number == 1:
            yield number, line
            continue
        if not pending:
            began, quotes = number, 0
        pending.append(line)
        quotes += line.count('"')
        if quotes % 2 == 0:
            yield began, "".join(pending)
            pending.clear()
    if pending:
        raise DataError(
            f"{path}:{began}: the quotes that open on this line are never closed\n  found:   {_shown(pending[0])}"
        )


def _parse(path: str, number: int, record: str) -> Sequence[str]:
    try:
        return next(csv.reader([record]), [])
    except csv.Error as error:
        raise DataError(f"{path}:{number}: cannot be read as CSV: {error}\n  found:   {_shown(record)}") from error


def _other_header(path: str, names: list[str], first_path: str, first_names: list[str]) -> str:
    parts = [f"{path}:1: the header differs from that of {first_path}; all files of a split must have the same columns"]
    missing = [name for name in first_names if name not in names]
    added = [name for name in names if name not in first_names]
    if missing:
        parts.append(f"  missing: {_shown(', '.join(missing))}")
    if added:
        parts.append(f"  added:   {_shown(', '.join(added))}")
    if not missing and not added:
        parts += [f"  found:   {_shown(','.join(names))}", f"  allowed: {_shown(','.join(first_names))}"]
    return "\n".join(parts)


def _open(path: str) -> Any:
    # TensorFlow's files know more file systems and are slow to read by line.
    return fileio.open(path, "rb") if "://" in path else open(path, "rb")


def _values(count: int) -> str:
    return f"{count} value{'s' if count != 1 else ''}"


def _columns(count: int) -> str:
    return f"{count} column{'s' if count != 1 else ''}"


def _shown(text: str) -> str:
    line = "".join(character if character.isprintable() else " " for character in text.strip())
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[: _SHOWN_CHARACTERS - 2]} …"

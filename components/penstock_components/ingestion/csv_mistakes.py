"""What is wrong with a piece of CSV: found again, a record at a time, once reading it has failed."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator

from penstock_components.ingestion.columns import NAMES, ColumnType
from penstock_components.ingestion.errors import DataError, counted, shown
from penstock_components.ingestion.sources import Chunk


def ragged_row(chunk: Chunk, text: bytes, first_line: int) -> DataError:
    """Returns the error that names the first record with more or fewer values than there are columns."""
    for line, record, values in _records(text, first_line):
        if len(values) != len(chunk.names):
            return DataError(
                f"{chunk.path}:{line}: {counted(len(values), 'value')}, but the header names"
                f" {counted(len(chunk.names), 'column')}\n"
                f"  found:   {shown(record)}\n"
                f"  allowed: {shown(','.join(chunk.names))}\n"
                "  Mend the line, put quotes around a value that holds a comma, or set ragged_rows to skip."
            )
    return DataError(f"{chunk.path}:{first_line}: a row from this line on has too many or too few values")


def wrong_value(
    chunk: Chunk, text: bytes, first_line: int, name: str, column_type: ColumnType, value: bytes
) -> DataError:
    """Returns the error that names the first record in which a column has this value."""
    place = chunk.names.index(name)
    found = next(
        (
            line
            for line, _, values in _records(text, first_line)
            if len(values) == len(chunk.names) and values[place].encode() == value
        ),
        first_line,
    )
    type_name = next(known for known, each in NAMES.items() if each is column_type)
    return DataError(
        f"{chunk.path}:{found}: column {name!r} holds {shown(value)!r}, which is no {type_name} of"
        f" {64 if column_type is ColumnType.INT else 32} bits\n  Mend the value, or set the column's type to bytes."
    )


def _records(text: bytes, first_line: int) -> Iterator[tuple[int, str, list[str]]]:
    """Yields each record that is not blank with the number of its first line and its values."""
    pending: list[str] = []
    began = quotes = 0
    most = csv.field_size_limit(sys.maxsize)
    try:
        for number, line in enumerate(text.decode().split("\n"), start=first_line):
            if not pending:
                began, quotes = number, 0
            pending.append(line)
            quotes += line.count('"')
            if quotes % 2 == 0:
                record = "\n".join(pending).removesuffix("\r")
                pending.clear()
                if record:
                    yield began, record, next(csv.reader([record + "\n"]))
    finally:
        csv.field_size_limit(most)

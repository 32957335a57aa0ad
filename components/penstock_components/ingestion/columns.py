"""What a column of examples can hold, and how what a source holds becomes that."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

from tensorflow_metadata.proto.v0 import schema_pb2

from penstock_components.ingestion.errors import DataError


class ColumnType(enum.IntEnum):
    """The type of a column's values. Of two types found for one column the greater one holds all its values."""

    UNKNOWN = 0
    INT = 1
    FLOAT = 2
    BYTES = 3


ColumnTypes = Mapping[str, ColumnType]

_OF_SCHEMA = {
    schema_pb2.INT: ColumnType.INT,
    schema_pb2.FLOAT: ColumnType.FLOAT,
    schema_pb2.BYTES: ColumnType.BYTES,
}

NAMES = {"int": ColumnType.INT, "float": ColumnType.FLOAT, "bytes": ColumnType.BYTES}


def of_schema(schema: schema_pb2.Schema) -> dict[str, ColumnType]:
    """Returns the types that a schema gives to columns."""
    return {feature.name: _OF_SCHEMA[feature.type] for feature in schema.feature if feature.type in _OF_SCHEMA}


def combine(found: Iterable[ColumnTypes]) -> dict[str, ColumnType]:
    """Returns for each column the type that holds all its values."""
    combined: dict[str, ColumnType] = {}
    for types in found:
        for name, column_type in types.items():
            combined[name] = max(combined.get(name, ColumnType.UNKNOWN), column_type)
    return combined


def selected(names: Iterable[str], keep: Iterable[str], drop: Iterable[str], where: str) -> list[str]:
    """Returns those of a source's column names that are to be read.

    Raises:
        DataError: a name to keep or to drop is not a column of the source, which `where` names.
    """
    present, kept, dropped = list(names), set(keep), set(drop)
    missing = sorted((kept | dropped) - set(present))
    if missing:
        raise DataError(
            f"{where}: has no column {', '.join(map(repr, missing))}, which `columns` or `drop_columns` names;"
            f" it has {', '.join(map(repr, present[:20]))}{' and more' if len(present) > 20 else ''}"
        )
    return [name for name in present if name not in dropped and (not kept or name in kept)]

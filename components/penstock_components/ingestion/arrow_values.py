"""Columns of Arrow's many types as columns of examples.

| Arrow | examples |
|---|---|
| integers, booleans, decimals without such places | INT |
| floats, decimals with places after the point | FLOAT, rounded to 32 bits |
| text, binary, dictionaries of these | BYTES |
| lists of the above | the same, any number of values |
| null | no type; a feature without a kind |
| timestamps, dates, times, durations | INT, FLOAT or BYTES, as an option must say |
| structs, maps, lists of lists, lists that hold a null | refused |

As numbers, points in time are seconds since 1970 UTC, and times of day and durations are seconds.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from penstock_components.ingestion import csv_numbers
from penstock_components.ingestion.columns import ColumnType
from penstock_components.ingestion.errors import DataError

TARGETS = {
    ColumnType.UNKNOWN: pa.null(),
    ColumnType.INT: pa.int64(),
    ColumnType.FLOAT: pa.float32(),
    ColumnType.BYTES: pa.large_binary(),
}
_DAY_SECONDS = 86400


def type_of(name: str, arrow_type: pa.DataType, given: ColumnType | None, where: str) -> ColumnType:
    """Returns the type that a column has in examples.

    Args:
        name: the column's name, for the message.
        arrow_type: what its source says.
        given: the type that an option gives it.
        where: the source, for the message.

    Raises:
        DataError: examples cannot hold such a column, or only if its type is given.
    """
    item = item_type(arrow_type)
    if pa.types.is_nested(item):
        raise DataError(
            f"{where}: column {name!r} is {arrow_type}, which an example cannot hold; leave it out with"
            " drop_columns, or take it apart before"
        )
    found = _plain_type(item)
    if given is not None:
        return given
    if found is None:
        raise DataError(
            f"{where}: column {name!r} is {arrow_type}, which can become several things; say which in column_types"
            " (int, float or bytes), or leave it out with drop_columns"
        )
    return found


def item_type(arrow_type: pa.DataType) -> pa.DataType:
    """Returns the type of a list's items, or of what a dictionary encodes, or the type itself."""
    if pa.types.is_dictionary(arrow_type):
        return item_type(arrow_type.value_type)
    if is_list(arrow_type):
        item = arrow_type.value_type
        return item.value_type if pa.types.is_dictionary(item) else item
    return arrow_type


def is_list(arrow_type: pa.DataType) -> bool:
    """Returns whether this is one of Arrow's kinds of lists."""
    return bool(
        pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type) or pa.types.is_fixed_size_list(arrow_type)
    )


def convert(name: str, column: pa.Array, target: ColumnType, given: bool, where: str) -> pa.Array:
    """Returns a column as `example_encoder.encode` takes it.

    Args:
        name: the column's name, for the message.
        column: what the source holds.
        target: the type of the column over all sources.
        given: whether an option says so; then text is made of numbers and numbers of text, where that goes.
        where: the source, for the message.

    Raises:
        DataError: the column cannot become of this type.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type) or target is ColumnType.UNKNOWN:
        if column.null_count < len(column):
            raise DataError(f"{where}: column {name!r} has values here, and a type in no file")
        return pa.nulls(len(column), TARGETS[target])
    try:
        if not is_list(column.type):
            return _convert_plain(column, target, given)
        items = column.flatten()
        if items.null_count:
            raise DataError(f"{where}: column {name!r} has a list that holds a null; an example cannot")
        lengths = pc.fill_null(pc.list_value_length(column), 0)
        ends = pc.cumulative_sum(pc.cast(lengths, pa.int64()))
        offsets = pa.concat_arrays([pa.array([0], pa.int64()), ends])
        mask = column.is_null() if column.null_count else None
        converted = _convert_plain(
            items.dictionary_decode() if pa.types.is_dictionary(items.type) else items, target, given
        )
        return pa.LargeListArray.from_arrays(offsets, converted, mask=mask)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, _Unfit) as error:
        raise DataError(
            f"{where}: column {name!r}, which is {column.type}, cannot become {target.name.lower()}: {error}\n"
            "  Set another type in column_types, or leave the column out with drop_columns."
        ) from error


class _Unfit(Exception):
    """Indicates values that another source has of another type."""


def _plain_type(arrow_type: pa.DataType) -> ColumnType | None:
    if pa.types.is_null(arrow_type):
        return ColumnType.UNKNOWN
    if pa.types.is_integer(arrow_type) or pa.types.is_boolean(arrow_type):
        return ColumnType.INT
    if pa.types.is_floating(arrow_type):
        return ColumnType.FLOAT
    if pa.types.is_decimal(arrow_type):
        return ColumnType.FLOAT if arrow_type.scale > 0 else ColumnType.INT
    return ColumnType.BYTES if _is_text(arrow_type) else None


def _is_text(arrow_type: pa.DataType) -> bool:
    return any(
        check(arrow_type)
        for check in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_fixed_size_binary,
            pa.types.is_string_view,
            pa.types.is_binary_view,
        )
    )


def _convert_plain(column: pa.Array, target: ColumnType, given: bool) -> pa.Array:
    found = _plain_type(column.type)
    if target is ColumnType.BYTES:
        if found is not ColumnType.BYTES:
            if not given:
                raise _Unfit("elsewhere it is text")
            column = pc.cast(column, pa.string())
        if pa.types.is_string_view(column.type):
            column = pc.cast(column, pa.large_string())
        return pc.cast(column, pa.large_binary())
    if found is ColumnType.BYTES:
        if not given:
            raise _Unfit("elsewhere it is a number")
        column = pc.cast(pc.cast(column, pa.large_string()), pa.int64() if target is ColumnType.INT else pa.float64())
    elif found is None:
        column = _plain_number(column)
    if target is ColumnType.INT:
        return pc.cast(column, pa.int64())
    return csv_numbers.to_float32(pc.cast(column, pa.float64(), safe=False))


def _plain_number(column: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(column.type):
        return pc.cast(pc.cast(column, pa.timestamp("s", column.type.tz), safe=False), pa.int64())
    if pa.types.is_date(column.type):
        return pc.multiply(pc.cast(pc.cast(column, pa.date32()), pa.int32()).cast(pa.int64()), _DAY_SECONDS)
    if pa.types.is_time(column.type):
        seconds = pc.cast(column, pa.time32("s"), safe=False)
        return pc.cast(pc.cast(seconds, pa.int32()), pa.int64())
    if pa.types.is_duration(column.type):
        return pc.cast(pc.cast(column, pa.duration("s"), safe=False), pa.int64())
    return column

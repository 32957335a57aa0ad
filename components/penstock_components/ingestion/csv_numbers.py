"""Text to numbers as Python's `int` and `float` read it, which is how TFX reads CSV; a column at a time.

Arrow reads plain numbers fast and takes nearly what Python takes. Where it refuses a value, or takes one that Python
would refuse, Python decides, once for each different value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock_components.ingestion.columns import ColumnType

_LEAST, _MOST = -(2**63), 2**63 - 1
_SAMPLED = 64
# Arrow reads 0x… as an integer and nan(…) as a float, and Python neither; +… is an integer to Python alone.
_NOT_ALIKE = r"^\+|[xX(]"


class NotANumber(ValueError):
    """Indicates a value that is not of the type asked for."""

    def __init__(self, value: bytes):
        self.value = value
        super().__init__(value)


def type_of(value: bytes) -> ColumnType:
    """Returns the type of one value, which is not empty.

    An integer that 64 bits do not hold is text (`_InferValueType` in tfx_bsl/coders/csv_decoder.py).
    """
    try:
        return ColumnType.INT if _LEAST <= int(value) <= _MOST else ColumnType.BYTES
    except ValueError:
        pass
    try:
        float(value)
    except ValueError:
        return ColumnType.BYTES
    return ColumnType.FLOAT


def infer(values: pa.LargeBinaryArray) -> ColumnType:
    """Returns the type that holds all values; empty ones hold nothing."""
    values = values.filter(pc.greater(pc.binary_length(values), 0))
    if not len(values):
        return ColumnType.UNKNOWN
    sample = values.slice(0, _SAMPLED).to_pylist()
    found = max(map(type_of, sample))
    if found is ColumnType.BYTES:
        return found
    if found is ColumnType.INT and _as_arrow(values, pa.int64()) is not None:
        return found
    floats = _as_arrow(values, pa.float64())
    if floats is not None:
        # Not all are integers to Arrow, and all are numbers: floats, or integers beyond 64 bits, which are text.
        found = ColumnType.FLOAT
        values = values.filter(pc.invert(pc.less(pc.abs(floats), 2.0**62)))
    for value in values.unique().to_pylist():
        found = max(found, type_of(value))
        if found is ColumnType.BYTES:
            break
    return found


def to_ints(values: pa.LargeBinaryArray) -> pa.Int64Array:
    """Returns values, none of them empty, as integers.

    Raises:
        NotANumber: a value is no integer, or 64 bits do not hold it.
    """
    fast = _as_arrow(values, pa.int64())
    return fast if fast is not None else _one_by_one(values, _int, pa.int64())


def to_floats(values: pa.LargeBinaryArray) -> pa.FloatArray:
    """Returns values, none of them empty, as floats of 32 bits, rounded from 64 bits as protobuf does.

    Raises:
        NotANumber: a value is no number.
    """
    fast = _as_arrow(values, pa.float64())
    return to_float32(fast if fast is not None else _one_by_one(values, float, pa.float64()))


def to_float32(values: pa.DoubleArray) -> pa.FloatArray:
    """Returns floats of 64 bits, some perhaps null, as ones of 32 bits; what is too large becomes infinite."""
    with np.errstate(over="ignore"):
        numbers = values.fill_null(0.0).to_numpy(zero_copy_only=False).astype(np.float32)
    mask = values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None
    return pa.array(numbers, mask=mask)


def _as_arrow(values: pa.LargeBinaryArray, number: pa.DataType) -> pa.Array | None:
    try:
        numbers = pc.cast(pc.cast(values, pa.large_string()), number)
    except pa.ArrowInvalid:
        return None
    return None if pc.any(pc.match_substring_regex(values, _NOT_ALIKE)).as_py() else numbers


def _one_by_one(values: pa.LargeBinaryArray, convert: Callable[[bytes], float], number: pa.DataType) -> pa.Array:
    encoded = values.dictionary_encode()
    converted = []
    for value in encoded.dictionary.to_pylist():
        try:
            converted.append(convert(value))
        except ValueError as error:
            raise NotANumber(value) from error
    return pa.array(converted, number).take(encoded.indices)


def _int(value: bytes) -> int:
    number = int(value)
    if not _LEAST <= number <= _MOST:
        raise ValueError(value)
    return number

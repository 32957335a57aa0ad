"""Record batches to serialised `tf.train.Example`s, a column at a time.

The result has the form of protobuf's deterministic serialisation, whose hash decides on a row's split: features sorted
by the bytes of their names, each map entry with key and value, numbers packed. Message layout:
`tensorflow/core/example/feature.proto`; encoding: https://protobuf.dev/programming-guides/encoding.

A row of one column is a prefix (tags, lengths and the feature's name), which depends only on how many bytes the values
take, and the values' bytes. So both are made for a whole column at once, and Arrow joins the columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = b"\x0a", b"\x12", b"\x1a"
_EMPTY = pa.scalar(b"", pa.large_binary())
_MOST_COUNTED = 1 << 16
# The length that stands for a feature without a kind.
_NO_KIND = -1


def encode(batch: pa.RecordBatch, null_is_empty: bool) -> pa.LargeBinaryArray:
    """Returns one serialised Example for each row.

    Args:
        batch: columns of the types null, int64, float32 or large_binary, or large_list of one of the latter three
            whose items are not null. Names are unique.
        null_is_empty: whether a null becomes a list without values, as CsvExampleGen has it, rather than a feature
            without a kind. A column of type null is always the latter.
    """
    pieces: list[pa.Array] = []
    lengths = np.zeros(batch.num_rows, np.int64)
    named = sorted(zip(batch.schema.names, batch.columns, strict=True), key=lambda column: _order(column[0]))
    for name, column in named:
        prefixes, values, row_lengths = _entries(name.encode(), column, null_is_empty)
        pieces.append(prefixes)
        if values is not None:
            pieces.append(values)
        lengths += row_lengths
    heads, _ = _by_length(lengths, lambda length: b"\x0a" + _varint(length))
    return pc.binary_join_element_wise(heads, *pieces, _EMPTY) if pieces else heads


def encode_feature(column: pa.Array, null_is_empty: bool) -> pa.LargeBinaryArray:
    """Returns one serialised `tf.train.Feature` for each row of a column; see `encode`."""
    prefixes, values, _ = _entries(None, column, null_is_empty)
    return prefixes if values is None else pc.binary_join_element_wise(prefixes, values, _EMPTY)


def _order(name: str) -> bytes:
    # Of two names one of which the other begins with, protobuf (upb) puts the longer one first. No UTF-8 has this byte.
    return name.encode() + b"\xff"


def _entries(
    name: bytes | None, column: pa.Array, null_is_empty: bool
) -> tuple[pa.LargeBinaryArray, pa.LargeBinaryArray | None, np.ndarray]:
    """Returns prefixes, the values' bytes, and the length of both together, for each row."""
    if pa.types.is_null(column.type):
        prefix = _prefix(name, b"", _NO_KIND)
        return pa.repeat(pa.scalar(prefix, pa.large_binary()), len(column)), None, np.full(len(column), len(prefix))
    item_type, offsets, items = _as_list(column)
    if pa.types.is_large_binary(item_type):
        kind = _BYTES_LIST
        value_prefixes, _ = _by_length(_lengths(items), lambda length: b"\x0a" + _varint(length))
        joined = pc.binary_join_element_wise(value_prefixes, items, _EMPTY)
        ends = _offsets(joined)[offsets]
        values = _binary(ends, joined.buffers()[2])
    elif pa.types.is_int64(item_type):
        kind = _INT64_LIST
        data, positions = _varints(_numbers(items, np.int64))
        ends = positions[offsets]
        values = _binary(ends, pa.py_buffer(data))
    else:
        kind = _FLOAT_LIST
        ends = offsets * 4
        values = _binary(ends, pa.py_buffer(np.ascontiguousarray(_numbers(items, np.float32))))
    lengths = np.diff(ends)
    codes = lengths
    if not null_is_empty and column.null_count:
        codes = np.where(column.is_null().to_numpy(zero_copy_only=False), _NO_KIND, lengths)
    prefixes, prefix_lengths = _by_length(codes, lambda length: _prefix(name, kind, length))
    return prefixes, values, prefix_lengths + lengths


def _as_list(column: pa.Array) -> tuple[pa.DataType, np.ndarray, pa.Array]:
    """Returns the items' type, offsets that begin with 0, and the items without nulls."""
    if pa.types.is_large_list(column.type):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        items = column.flatten()
        if items.null_count:
            raise ValueError("a list holds a null")
        return column.type.value_type, _ends(lengths), items
    if not column.null_count:
        return column.type, np.arange(len(column) + 1, dtype=np.int64), column
    return column.type, _ends(column.is_valid().to_numpy(zero_copy_only=False)), column.drop_null()


def _ends(lengths: np.ndarray) -> np.ndarray:
    ends: np.ndarray = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    return ends


def _offsets(array: pa.LargeBinaryArray) -> np.ndarray:
    return np.frombuffer(array.buffers()[1], np.int64, len(array) + 1, array.offset * 8)


def _lengths(array: pa.LargeBinaryArray) -> np.ndarray:
    return np.diff(_offsets(array)) if len(array) else np.zeros(0, np.int64)


def _numbers(array: pa.Array, number: type[np.generic]) -> np.ndarray:
    if not len(array):
        return np.zeros(0, number)
    return np.frombuffer(array.buffers()[1], number, len(array), array.offset * np.dtype(number).itemsize)


def _binary(ends: np.ndarray, data: pa.Buffer) -> pa.LargeBinaryArray:
    offsets = pa.py_buffer(np.ascontiguousarray(ends))
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(ends) - 1, [None, offsets, data])


def _by_length(lengths: np.ndarray, make: Callable[[int], bytes]) -> tuple[pa.LargeBinaryArray, np.ndarray]:
    """Returns `make` of each length, and how long that is; made once for each different length."""
    if not len(lengths):
        return pa.array([], pa.large_binary()), lengths
    low, high = int(lengths.min()), int(lengths.max())
    if high - low < _MOST_COUNTED:
        shifted: np.ndarray = lengths - low
        distinct = np.flatnonzero(np.bincount(shifted))
        numbers: np.ndarray = np.zeros(high - low + 1, np.int32)
        numbers[distinct] = np.arange(len(distinct), dtype=np.int32)
        index, distinct = numbers[shifted], distinct + low
    else:
        distinct, index = np.unique(lengths, return_inverse=True)
    made = [make(int(length)) for length in distinct]
    return pa.array(made, pa.large_binary()).take(pa.array(index)), np.array([len(each) for each in made])[index]


def _prefix(name: bytes | None, kind: bytes, values_length: int) -> bytes:
    """Returns what stands before the values' bytes: of the map entry, or without a name of the Feature alone."""
    if values_length == _NO_KIND:
        values_length, feature = 0, b""
    else:
        # Bytes values carry their own tags; numbers are packed in one field, left out when there are none.
        packed = b"\x0a" + _varint(values_length) if kind != _BYTES_LIST and values_length else b""
        feature = kind + _varint(len(packed) + values_length) + packed
    if name is None:
        return feature
    key = b"\x0a" + _varint(len(name)) + name
    value = b"\x12" + _varint(len(feature) + values_length) + feature
    return b"\x0a" + _varint(len(key) + len(value) + values_length) + key + value


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _varints(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers' varints one after the other, and where each begins, with the end of the last."""
    unsigned: np.ndarray = numbers.view(np.uint64)
    if not len(unsigned):
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    width = max(1, (int(unsigned.max()).bit_length() + 6) // 7)
    digits: np.ndarray = np.empty((len(unsigned), width), np.uint8)
    lengths: np.ndarray = np.ones(len(unsigned), np.int64)
    rest = unsigned
    for place in range(width):
        digits[:, place] = (rest & np.uint64(127)).astype(np.uint8) | np.uint8(128)
        rest = rest >> np.uint64(7)
        if place + 1 < width:
            lengths += rest > 0
    digits[np.arange(len(unsigned)), lengths - 1] &= 127
    data = digits.ravel() if width == 1 else digits[np.arange(width) < lengths[:, None]]
    return data, _ends(lengths)


def records(encoded: pa.LargeBinaryArray) -> Sequence[bytes]:
    """Returns the array's items as Python bytes."""
    return encoded.to_numpy(zero_copy_only=False).tolist() if len(encoded) else []

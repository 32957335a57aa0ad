"""Which rows belong to which slices, for a batch at a time.

A row belongs to a slice as in TFMA's `slicer_lib.SingleSliceSpec`: a feature with several values puts it in several
slices, one without a value in none, and features of a model's preprocessing are looked at before raw ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorflow_model_analysis.api import types
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from penstock_components.arrow_evaluator.coverage import NotCovered
from penstock_components.arrow_evaluator.sums import starts_of

# Combinations of values in a batch are numbered in 64 bits.
_MOST_COMBINATIONS = 1 << 62

SliceKey = tuple[tuple[str, str | int | float], ...]


@dataclass(frozen=True)
class SliceSpec:
    """One slicing specification: the features whose values make the slices, and the (feature, value) pairs required."""

    columns: tuple[str, ...]
    values: tuple[tuple[str, str | int | float], ...]

    @property
    def features(self) -> set[str]:
        """Names of all features the specification looks at."""
        return {*self.columns, *(name for name, _ in self.values)}


@dataclass(frozen=True)
class Membership:
    """Pairs of a row and a slice it belongs to, ordered by row. `starts[row]` is the place of a row's first pair."""

    rows: np.ndarray
    slices: np.ndarray
    starts: np.ndarray


@dataclass(frozen=True)
class _Values:
    """A feature's distinct values by row: row r has `values[codes[starts[r]:starts[r + 1]]]`."""

    values: list[Any]
    codes: np.ndarray
    starts: np.ndarray


def slice_specs(eval_config: config_pb2.EvalConfig) -> list[SliceSpec]:
    """Returns the evaluation's distinct slicing specifications; the overall slice where it names none."""
    if any(spec.slice_keys_sql for spec in eval_config.slicing_specs):
        raise NotCovered("slices given in SQL")
    if eval_config.cross_slicing_specs:
        raise NotCovered("comparisons between slices (cross_slicing_specs)")
    found: dict[SliceSpec, None] = {}
    for spec in eval_config.slicing_specs:
        # Numbers given as text stand for numbers, as in `SingleSliceSpec`.
        parsed = slicer_lib.SingleSliceSpec(spec=spec)
        columns = tuple(sorted(set(spec.feature_keys)))
        found[SliceSpec(columns, tuple(parsed._value_matches))] = None
    return list(found) or [SliceSpec((), ())]


class Slicer:
    """Numbers the slices it meets and tells each batch's members."""

    def __init__(self, specs: Sequence[SliceSpec]) -> None:
        self._specs = specs
        self._numbers: dict[SliceKey, int] = {}

    @property
    def keys(self) -> list[SliceKey]:
        """The slices met so far, by number."""
        return list(self._numbers)

    def members(self, rows: int, transformed: Sequence[Mapping[str, Any]], raw: Mapping[str, Any]) -> Membership:
        """Returns the members of a batch of `rows` rows with the given features (TFMA tensor values by name)."""
        features = {
            name: _values(name, rows, transformed, raw) for spec in self._specs for name in sorted(spec.features)
        }
        pairs = [self._of_spec(spec, rows, features) for spec in self._specs]
        member_rows = np.concatenate([pair[0] for pair in pairs])
        member_slices = np.concatenate([pair[1] for pair in pairs])
        if len(self._specs) > 1:
            # Two specifications can name the same slice; a row is in it once.
            joined = np.unique(member_rows * np.int64(len(self._numbers) or 1) + member_slices)
            member_rows, member_slices = np.divmod(joined, len(self._numbers) or 1)
        return Membership(member_rows, member_slices, starts_of(member_rows, rows))

    def _of_spec(
        self, spec: SliceSpec, rows: int, features: Mapping[str, _Values | None]
    ) -> tuple[np.ndarray, np.ndarray]:
        members = np.arange(rows)
        nothing: np.ndarray = np.zeros(0, np.int64)
        for name, value in spec.values:
            found = features[name]
            if found is None:
                return nothing, nothing
            members = members[_having(found, value)[members]]
        combined: np.ndarray = np.zeros(len(members), np.int64)
        stride = 1
        columns: list[list[Any]] = []
        for name in spec.columns:
            found = features[name]
            if found is None:
                return nothing, nothing
            counts = np.diff(found.starts)[members]
            offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            codes = found.codes[np.repeat(found.starts[members], counts) + offsets]
            members = np.repeat(members, counts)
            combined = np.repeat(combined, counts) + stride * codes
            stride *= max(len(found.values), 1)
            if stride > _MOST_COMBINATIONS:
                raise NotCovered(f"a cross of {len(spec.columns)} features with so many values")
            columns.append(found.values)
        distinct, inverse = np.unique(combined, return_inverse=True)
        numbers = np.array([self._number(spec, columns, int(code)) for code in distinct], np.int64)
        return members, numbers[inverse] if len(numbers) else nothing

    def _number(self, spec: SliceSpec, columns: Sequence[list[Any]], code: int) -> int:
        pairs = list(spec.values)
        for name, values in zip(spec.columns, columns, strict=True):
            code, index = divmod(code, len(values))
            pairs.append((name, _text(name, values[index])))
        return self._numbers.setdefault(tuple(sorted(pairs)), len(self._numbers))


def _having(found: _Values, value: str | int | float) -> np.ndarray:
    """Returns for each row whether the feature has `value`, compared as `SingleSliceSpec` compares."""
    equals = {value, value.encode() if isinstance(value, str) else str(value)}
    wanted = [code for code, own in enumerate(found.values) if own in equals]
    hits = np.concatenate(([0], np.cumsum(np.isin(found.codes, wanted))))
    return hits[found.starts[1:]] > hits[found.starts[:-1]]


def _values(name: str, rows: int, transformed: Sequence[Mapping[str, Any]], raw: Mapping[str, Any]) -> _Values | None:
    sources = [features[name] for features in transformed if features.get(name) is not None]
    if not sources and raw.get(name) is not None:
        sources = [raw[name]]
    if not sources:
        return None
    pairs = [row_values(name, source) for source in sources]
    row_of = np.concatenate([pair[0] for pair in pairs])
    distinct, codes = np.unique(np.concatenate([pair[1] for pair in pairs]), return_inverse=True)
    values = distinct.tolist()
    if any(value != value for value in values):
        raise NotCovered(f"not-a-number as a value of the slicing feature {name!r}")
    # A row's value counts once, however often the row has it.
    stride = max(len(values), 1)
    row_of, codes = np.divmod(np.unique(row_of * stride + codes), stride)
    return _Values(values, codes, starts_of(row_of, rows))


def row_values(name: str, source: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns the values of a batch's feature (a TFMA tensor value) and the row of each, ordered by row."""
    if isinstance(source, types.VarLenTensorValue | types.SparseTensorValue):
        return np.asarray(source.indices)[:, 0].astype(np.int64), np.asarray(source.values)
    if isinstance(source, types.RaggedTensorValue) and len(source.nested_row_splits) == 1:
        splits = np.asarray(source.nested_row_splits[0])
        return np.repeat(np.arange(len(splits) - 1), np.diff(splits)), np.asarray(source.values)
    if not isinstance(source, np.ndarray):
        raise NotCovered(f"feature {name!r} as {type(source).__name__}")
    if source.dtype == object and source.ndim == 1 and not all(isinstance(value, bytes | str) for value in source):
        lists = [() if value is None else value for value in source]
        rows: np.ndarray = np.repeat(np.arange(len(lists)), [len(value) for value in lists])
        return rows, np.concatenate([np.asarray(value) for value in lists if len(value)] or [np.zeros(0)])
    flat = source.reshape(len(source), -1)
    return np.repeat(np.arange(len(flat)), flat.shape[1]), flat.ravel()


def _text(name: str, value: Any) -> str | int | float:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise NotCovered(f"a value of the slicing feature {name!r} that is not UTF-8") from None

"""Sums by slice and bucket: what every metric is accumulated in, and how accumulators merge.

An accumulation describes each row by entries `(bucket, values)`; the state of a slice is the sum of the values of its
rows' entries for each bucket. Buckets are any non-negative integers (a histogram's bucket, a cell of a confusion
matrix, zero for a plain sum), only those that occurred are kept. Merging adds the values of equal buckets, so bundles
may be cut anywhere.

Resampling (bootstrap, jackknife) multiplies each row's values by one factor a sample, so all values have a last axis of
samples; without resampling its length is one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

# Chunks are summed up again as soon as this many rows of them wait.
_COMPACT_AT = 1 << 19


@dataclass(frozen=True)
class Sums:
    """The state of one accumulation for one slice.

    `buckets` is int64 `[n]`, ascending and distinct; `values` is float64 `[n, columns, samples]`.
    """

    buckets: np.ndarray
    values: np.ndarray

    def sample(self, values: np.ndarray) -> Sums:
        """Returns the same buckets with `values` of shape `[n, columns]` as those of the only sample."""
        return Sums(self.buckets, values[:, :, np.newaxis])

    def dense(self, size: int) -> np.ndarray:
        """Returns the values of buckets 0 to `size - 1` for the only sample, shape `[size, columns]`."""
        result = np.zeros((size, self.values.shape[1]))
        result[self.buckets] = self.values[:, :, 0]
        return result


def merge(parts: Sequence[Sums]) -> Sums:
    """Returns the sum of states of the same accumulation."""
    if len(parts) == 1:
        return parts[0]
    buckets = np.concatenate([part.buckets for part in parts])
    values = np.concatenate([part.values for part in parts])
    order, starts = _groups(buckets)
    if not len(order):
        return Sums(buckets, values)
    return Sums(buckets[order][starts], np.add.reduceat(values[order], starts, axis=0))


def _groups(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns an order that sorts `keys`, and where in it each distinct key starts."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))) if len(keys) else order
    return order, starts


def starts_of(numbers: np.ndarray, count: int) -> np.ndarray:
    """Returns where in ascending `numbers` each of 0 to `count - 1` starts, and the end, `[count + 1]`."""
    return np.concatenate(([0], np.cumsum(np.bincount(numbers, minlength=count))))


class SumsBySlice:
    """Adds up one accumulation for many slices at a time. Slices are numbered by the caller."""

    def __init__(self, columns: int, samples: int) -> None:
        self._columns = columns
        self._samples = samples
        self._chunks: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._waiting = 0

    def add(
        self, slices: np.ndarray, buckets: np.ndarray | None, values: np.ndarray, factors: np.ndarray | None
    ) -> None:
        """Adds entries: their slices `[n]`, buckets `[n]` (None for all zero), values `[n, columns]`.

        `factors` of shape `[n, samples]` multiply the values; None stands for one sample and a factor of one.
        """
        if not len(slices):
            return
        self._append(*_summed(slices, buckets, values, factors))

    def _append(self, slices: np.ndarray, buckets: np.ndarray, values: np.ndarray) -> None:
        self._chunks.append((slices, buckets, values))
        self._waiting += len(slices)
        if self._waiting > _COMPACT_AT and len(self._chunks) > 1:
            self._compact()
            self._waiting = 0

    def _compact(self) -> None:
        if len(self._chunks) < 2:
            return
        slices, buckets, values = (np.concatenate(parts) for parts in zip(*self._chunks, strict=True))
        order = np.lexsort((buckets, slices))
        slices, buckets = slices[order], buckets[order]
        changes = (slices[1:] != slices[:-1]) | (buckets[1:] != buckets[:-1])
        starts = np.flatnonzero(np.concatenate(([True], changes)))
        self._chunks = [(slices[starts], buckets[starts], np.add.reduceat(values[order], starts, axis=0))]

    def by_slice(self, count: int) -> Iterable[Sums]:
        """Yields the state of each of the slices 0 to `count - 1`."""
        self._compact()
        if not self._chunks:
            empty = Sums(np.zeros(0, np.int64), np.zeros((0, self._columns, self._samples)))
            yield from (empty for _ in range(count))
            return
        slices, buckets, values = self._chunks[0]
        for start, end in itertools.pairwise(starts_of(slices, count)):
            yield Sums(buckets[start:end], values[start:end])


def _summed(
    slices: np.ndarray, buckets: np.ndarray | None, values: np.ndarray, factors: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns distinct (slice, bucket) pairs in ascending order with the sums of their values."""
    stride = 1 if buckets is None else int(buckets.max()) + 1
    keys = slices.astype(np.int64) if buckets is None else slices.astype(np.int64) * stride + buckets
    if factors is None:
        size = int(keys.max()) + 1
        if size <= 4 * len(keys):
            present = np.flatnonzero(np.bincount(keys, minlength=size))
            sums = np.stack([np.bincount(keys, column, minlength=size)[present] for column in values.T], axis=1)[
                :, :, np.newaxis
            ]
            return present // stride, present % stride, sums
    order, starts = _groups(keys)
    ordered = values[order][:, :, np.newaxis]
    if factors is not None:
        ordered = ordered * factors[order][:, np.newaxis, :]
    distinct = keys[order][starts]
    return distinct // stride, distinct % stride, np.add.reduceat(ordered, starts, axis=0)

"""Confidence intervals: the samples a slice's rows are drawn into, by TFMA's definitions.

Jackknife puts each row of a slice into one of 20 parts and leaves one part out at a time. Poisson bootstrap gives each
row of a slice a Poisson(1) number of copies in each of 20 samples. Draws depend on a batch's place among the files
only, so they are the same however the work is spread.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
from tensorflow_model_analysis.evaluators import jackknife, poisson_bootstrap
from tensorflow_model_analysis.evaluators import metrics_plots_and_validations_evaluator as evaluator
from tensorflow_model_analysis.evaluators.confidence_intervals_util import SampleCombineFn, SampleMetrics
from tensorflow_model_analysis.proto import config_pb2

from penstock_components.arrow_evaluator.accumulation import Metrics
from penstock_components.arrow_evaluator.sums import Sums

# The number TFMA gives to the sample that holds every row once.
_FULL = -1


class Resampling(ABC):
    """Which samples are computed. `columns` is the length of the last axis of `Sums.values`."""

    columns: int

    @abstractmethod
    def factors(self, members: int, place: str) -> np.ndarray | None:
        """Returns the factors `[members, columns]` of a batch's pairs of row and slice; None for ones."""

    @abstractmethod
    def samples(self, rows: np.ndarray, sums: Sequence[Sums]) -> Iterator[tuple[int, list[Sums]]]:
        """Yields the number and the sums of each sample that has rows, the full one first."""

    @abstractmethod
    def size(self, rows: np.ndarray) -> int:
        """Returns a slice's number of rows from its `rows` of shape `[columns]`."""

    @abstractmethod
    def combine(self, samples: Sequence[tuple[int, Metrics]], skipped: frozenset) -> Metrics:
        """Returns the metrics with their distribution over the samples."""


def resampling(options: config_pb2.Options) -> Resampling:
    """Returns the resampling an evaluation asks for."""
    params = evaluator._get_confidence_interval_params(config_pb2.EvalConfig(options=options), [])
    if params.num_bootstrap_samples:
        return _Bootstrap(params.num_bootstrap_samples)
    if params.num_jackknife_samples:
        return _Jackknife(params.num_jackknife_samples)
    return _Full()


class _Full(Resampling):
    columns = 1

    def factors(self, members: int, place: str) -> np.ndarray | None:
        return None

    def samples(self, rows: np.ndarray, sums: Sequence[Sums]) -> Iterator[tuple[int, list[Sums]]]:
        yield _FULL, list(sums)

    def size(self, rows: np.ndarray) -> int:
        return int(rows[0])

    def combine(self, samples: Sequence[tuple[int, Metrics]], skipped: frozenset) -> Metrics:
        return samples[0][1]


class _Jackknife(Resampling):
    def __init__(self, parts: int) -> None:
        self.columns = parts

    def factors(self, members: int, place: str) -> np.ndarray | None:
        return np.eye(self.columns)[_generator(place).integers(self.columns, size=members)]

    def samples(self, rows: np.ndarray, sums: Sequence[Sums]) -> Iterator[tuple[int, list[Sums]]]:
        yield _FULL, [one.sample(one.values.sum(axis=2)) for one in sums]
        for part in range(self.columns):
            # Added up rather than subtracted from the total, so that what nobody is in stays exactly zero.
            others = [index for index in range(self.columns) if index != part]
            if rows[others].any():
                yield part, [one.sample(one.values[:, :, others].sum(axis=2)) for one in sums]

    def size(self, rows: np.ndarray) -> int:
        return int(rows.sum())

    def combine(self, samples: Sequence[tuple[int, Metrics]], skipped: frozenset) -> Metrics:
        return _combined(jackknife._JackknifeSampleCombineFn(self.columns, skipped), samples)


class _Bootstrap(Resampling):
    def __init__(self, samples: int) -> None:
        self._samples = samples
        self.columns = samples + 1

    def factors(self, members: int, place: str) -> np.ndarray | None:
        drawn = _generator(place).poisson(1.0, size=(members, self._samples))
        return np.concatenate((np.ones((members, 1)), drawn), axis=1)

    def samples(self, rows: np.ndarray, sums: Sequence[Sums]) -> Iterator[tuple[int, list[Sums]]]:
        yield _FULL, [one.sample(one.values[:, :, 0]) for one in sums]
        for sample in range(1, self.columns):
            if rows[sample]:
                yield sample - 1, [one.sample(one.values[:, :, sample]) for one in sums]

    def size(self, rows: np.ndarray) -> int:
        return int(rows[0])

    def combine(self, samples: Sequence[tuple[int, Metrics]], skipped: frozenset) -> Metrics:
        return _combined(poisson_bootstrap._BootstrapSampleCombineFn(self._samples, skipped), samples)


def _generator(place: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(place.encode()).digest()[:8], "big"))


def _combined(combiner: SampleCombineFn, samples: Sequence[tuple[int, Metrics]]) -> Metrics:
    accumulator = combiner.create_accumulator()
    for number, metrics in samples:
        accumulator = combiner.add_input(accumulator, SampleMetrics(metrics=metrics, sample_id=number))
    return combiner.extract_output(accumulator)

"""Histograms of predictions: what AUC, precision, recall, calibration plots and confusion matrices are read from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from tensorflow_model_analysis.contrib.aggregates import binary_confusion_matrices as aggregates
from tensorflow_model_analysis.metrics import binary_confusion_matrices, calibration_histogram, metric_util
from tensorflow_model_analysis.metrics.binary_confusion_matrices import Matrices
from tensorflow_model_analysis.metrics.calibration_histogram import Bucket

from penstock_components.arrow_evaluator.accumulation import Accumulation, Entries, Metrics, inputs_of
from penstock_components.arrow_evaluator.batch import Batch
from penstock_components.arrow_evaluator.coverage import NotCovered
from penstock_components.arrow_evaluator.sums import Sums

_EPSILON = 1e-7


class Histogram(Sequence[Bucket]):
    """A calibration histogram as arrays, a sequence of TFMA's buckets to whoever reads it as one."""

    def __init__(self, sums: Sums) -> None:
        self.ids = sums.buckets
        self.labels, self.predictions, self.examples = (sums.values[:, column, 0] for column in range(3))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]

    def __iter__(self) -> Iterator[Bucket]:
        arrays = (self.ids, self.labels, self.predictions, self.examples)
        return (Bucket(*values) for values in zip(*(array.tolist() for array in arrays), strict=True))


class CalibrationHistogram(Accumulation):
    """`calibration_histogram._CalibrationHistogramCombiner`: weighted labels, predictions and examples by bucket."""

    columns = 3

    def __init__(self, combiner: Any) -> None:
        self._key = combiner._key
        self._inputs = inputs_of(combiner, combiner._key, fractional_labels=combiner._fractional_labels)
        self._buckets = combiner._num_buckets
        self._left, self._range = combiner._left, combiner._range
        self._by_prediction = combiner._prediction_based_bucketing

    def entries(self, batch: Batch) -> Entries:
        pairs = batch.pairs(self._inputs)
        predictions: np.ndarray = pairs.predictions.astype(np.float64)
        labels: np.ndarray = pairs.labels.astype(np.float64)
        value = predictions if self._by_prediction else labels
        if np.isnan(value).any():
            raise NotCovered("predictions or labels that are not numbers")
        place = (value - self._left) / self._range * self._buckets + 1
        # Below the first bucket is bucket 0, and so is the whole unit before it that truncation leaves there.
        ids = np.clip(place, 0, self._buckets + 1).astype(np.int64)
        weights = pairs.weights
        # Top k leaves minus infinity for the others; its product with a weight of zero is TFMA's too.
        with np.errstate(invalid="ignore"):
            values = np.stack([labels * weights, predictions * weights, weights], axis=1)
        return Entries(values, pairs.rows, ids)

    def output(self, sums: Sums) -> Metrics:
        return {self._key: Histogram(sums)}


class BinaryConfusionMatrix(Accumulation):
    """`binary_confusion_matrices._BinaryConfusionMatrixCombiner`: positives and negatives between given thresholds."""

    columns = 1

    def __init__(self, combiner: Any) -> None:
        if combiner._extract_label_prediction_and_weight is not metric_util.to_label_prediction_example_weight:
            raise NotCovered("a metric that extracts labels and predictions in its own way")
        if combiner._example_id_key:
            raise NotCovered("sampled example ids")
        self._combiner = combiner
        self._fractional = combiner._enable_fractional_labels
        self._inputs = inputs_of(combiner, combiner._key, fractional_labels=self._fractional)
        self._thresholds = list(combiner._binary_confusion_matrices._thresholds)
        self._sorted = np.array(sorted(set(self._thresholds)))
        if len(self._sorted) != len(self._thresholds):
            raise NotCovered("a threshold that is named twice")

    def entries(self, batch: Batch) -> Entries:
        pairs = batch.pairs(self._inputs)
        size = len(self._sorted) + 1
        predicted = self._exceeded(pairs.predictions)
        # With fractional labels a label is positive or not whatever the threshold.
        actual = (pairs.labels == 1) * (size - 1) if self._fractional else self._exceeded(pairs.labels)
        return Entries(pairs.weights[:, np.newaxis], pairs.rows, actual * size + predicted)

    def _exceeded(self, values: np.ndarray) -> np.ndarray:
        """Returns how many thresholds each value is greater than; not a number exceeds none."""
        values = values.astype(np.float64)
        return np.where(np.isnan(values), 0, np.searchsorted(self._sorted, values, side="left"))

    def output(self, sums: Sums) -> Metrics:
        size = len(self._sorted) + 1
        table = sums.dense(size * size)[:, 0].reshape(size, size)
        accumulator = {}
        for threshold in self._thresholds:
            above = int(np.searchsorted(self._sorted, threshold)) + 1
            matrix = aggregates.Matrix(
                tp=float(table[above:, above:].sum()),
                tn=float(table[:above, :above].sum()),
                fp=float(table[:above, above:].sum()),
                fn=float(table[above:, :above].sum()),
            )
            accumulator[threshold] = aggregates._ThresholdEntry(matrix, [], [], [], [])
        return self._combiner.extract_output(accumulator)


def fast_result(result: Callable[[Metrics], Metrics]) -> Callable[[Metrics], Metrics]:
    """Returns a derived computation's function, an equal one on arrays if it makes matrices of a histogram.

    TFMA walks through the histogram's 10,000 buckets in Python for each slice.
    """
    if getattr(result, "__qualname__", "") != "binary_confusion_matrices.<locals>.result":
        return result
    settings = inspect.getclosurevars(result).nonlocals
    if not settings["use_histogram"]:
        return result
    return _MatricesOfHistogram(settings["input_metric_key"], settings["matrices_key"], settings["thresholds"])


class _MatricesOfHistogram:
    """`binary_confusion_matrices` from a calibration histogram of the default range, with its treatment of edges."""

    def __init__(self, histogram_key: Any, matrices_key: Any, thresholds: list[float]) -> None:
        self._histogram_key = histogram_key
        self._matrices_key = matrices_key
        self._thresholds = thresholds
        # A single negative threshold takes the histogram as it is (top k).
        self._as_it_is = len(thresholds) == 1 and thresholds[0] < 0
        fences = [threshold + _EPSILON if threshold != 0 else threshold for threshold in thresholds]
        if thresholds[0] >= 0:
            fences = [-_EPSILON, *fences]
        if thresholds[-1] < 1.0:
            fences = [*fences, 1.0 + _EPSILON]
        self._fences = np.array(fences)

    def __call__(self, metrics: Metrics) -> Metrics:
        histogram: Histogram = metrics[self._histogram_key]
        if self._as_it_is:
            return {self._matrices_key: _matrices(self._thresholds, histogram)}
        buckets = calibration_histogram.DEFAULT_NUM_BUCKETS
        predictions = (histogram.ids - 1) / buckets
        predictions[histogram.ids == 0] = -np.inf
        predictions[histogram.ids >= buckets + 1] = np.inf
        place = np.searchsorted(self._fences[1:], predictions, side="right")
        size = len(self._fences)
        # Of nothing, `bincount` makes integers.
        positives = np.bincount(place, histogram.labels, size).astype(np.float64)
        negatives = np.bincount(place, histogram.examples, size) - positives
        return {self._matrices_key: _cumulated(self._thresholds, positives, negatives)}


def _cumulated(thresholds: list[float], positives: np.ndarray, negatives: np.ndarray) -> Matrices:
    """As TFMA's `_histogram_to_binary_confusion_matrices`, from the rebinned histogram's positives and negatives."""
    offset = 1 if (thresholds[0] >= 0 or len(thresholds) == 1) and len(positives) > 1 else 0
    part = slice(offset, offset + len(thresholds))
    tp, fp = (np.cumsum(values[::-1])[::-1][part] for values in (positives, negatives))
    fn, tn = (np.concatenate(([0.0], np.cumsum(values)[:-1]))[part] for values in (positives, negatives))
    beyond = np.array(thresholds[: len(tp)]) >= 1.0 + _EPSILON
    if beyond.any():
        first_tp, first_fp = (0.0, 0.0) if beyond[0] else (tp[0], fp[0])
        tp[beyond] = fp[beyond] = 0.0
        fn[beyond], tn[beyond] = first_tp, first_fp
    return Matrices(thresholds, tp.tolist(), tn.tolist(), fp.tolist(), fn.tolist())


def _matrices(thresholds: list[float], histogram: Sequence[Bucket]) -> Matrices:
    return binary_confusion_matrices._histogram_to_binary_confusion_matrices(thresholds, list(histogram))

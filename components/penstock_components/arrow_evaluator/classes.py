"""Confusion matrices over classes, and the share of each class among the labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow_model_analysis.metrics import (
    metric_util,
    multi_class_confusion_matrix_metrics,
    multi_label_confusion_matrix_plot,
)

from penstock_components.arrow_evaluator.accumulation import Accumulation, Entries, Metrics, inputs_of, row_totals
from penstock_components.arrow_evaluator.batch import Batch, one_hot
from penstock_components.arrow_evaluator.coverage import NotCovered
from penstock_components.arrow_evaluator.sums import Sums

# A cell of a matrix is one bucket: (threshold * side + actual class + 1) * side + predicted class + 1.
_SIDE = 1 << 20


class MultiClassConfusionMatrix(Accumulation):
    """`multi_class_confusion_matrix_metrics._MultiClassConfusionMatrixCombiner`."""

    columns = 1

    def __init__(self, combiner: Any) -> None:
        if combiner._extract_label_prediction_and_weight is not metric_util.to_label_prediction_example_weight:
            raise NotCovered("a metric that extracts labels and predictions in its own way")
        self._combiner = combiner
        self._inputs = inputs_of(combiner, combiner._key)
        self._thresholds: list[float] = list(combiner._thresholds)

    def entries(self, batch: Batch) -> Entries:
        rows = batch.rows(self._inputs)
        labels, predictions = rows.labels, rows.predictions
        if predictions.shape[1] == 1:
            raise NotCovered("a confusion matrix of a single prediction")
        actual = np.argmax(labels, axis=1) if labels.shape[1] > 1 else labels[:, 0].astype(np.int64)
        if len(actual) and (actual.min() < -1 or max(actual.max(), predictions.shape[1]) >= _SIDE - 1):
            raise NotCovered(f"class ids from {actual.min()} to {actual.max()}")
        best = np.argmax(predictions, axis=1)
        predicted, buckets = best, []
        for index, threshold in enumerate(self._thresholds):
            # Once no class was predicted, TFMA compares the last class's prediction with the next threshold.
            current = np.take_along_axis(predictions, predicted[:, np.newaxis], 1)[:, 0]
            predicted = np.where(current <= threshold, -1, predicted)
            buckets.append((index * _SIDE + actual + 1) * _SIDE + predicted + 1)
        count = len(self._thresholds)
        weights: np.ndarray = np.repeat(batch.row_weights(self._inputs), count)[:, np.newaxis]
        return Entries(weights, np.repeat(np.arange(batch.size), count), np.stack(buckets, axis=1).ravel())

    def output(self, sums: Sums) -> Metrics:
        matrices = multi_class_confusion_matrix_metrics.Matrices()
        for bucket, value in zip(sums.buckets.tolist(), sums.values[:, 0, 0].tolist(), strict=True):
            rest, predicted = divmod(bucket, _SIDE)
            index, actual = divmod(rest, _SIDE)
            key = multi_class_confusion_matrix_metrics.MatrixEntryKey(actual - 1, predicted - 1)
            matrices.setdefault(self._thresholds[index], {})[key] = value
        return self._combiner.extract_output(matrices)


class MultiLabelConfusionMatrix(Accumulation):
    """`multi_label_confusion_matrix_plot._MultiLabelConfusionMatrixPlotCombiner`."""

    columns = 4

    def __init__(self, combiner: Any) -> None:
        self._combiner = combiner
        self._inputs = inputs_of(combiner, combiner._key)
        self._thresholds: list[float] = list(combiner._thresholds)

    def entries(self, batch: Batch) -> Entries:
        rows = batch.rows(self._inputs)
        labels, predictions = one_hot(rows.labels, rows.predictions), rows.predictions
        classes = predictions.shape[1]
        if classes == 1 or classes >= _SIDE - 1:
            raise NotCovered(f"a confusion matrix of {classes} predictions")
        row, actual = np.nonzero(labels)
        label = (labels[row] != 0).ravel()
        weights: np.ndarray = np.repeat(batch.row_weights(self._inputs)[row], classes)
        cell = (np.repeat(actual, classes) + 1) * _SIDE + np.tile(np.arange(classes), len(row)) + 1
        values, buckets = [], []
        for index, threshold in enumerate(self._thresholds):
            at_most, above = (predictions[row] <= threshold).ravel(), (predictions[row] > threshold).ravel()
            outcomes = (label & at_most, ~label & at_most, ~label & above, label & above)
            values.append(np.stack([outcome * weights for outcome in outcomes], axis=1))
            buckets.append(index * _SIDE * _SIDE + cell)
        count = len(self._thresholds)
        return Entries(np.concatenate(values), np.tile(np.repeat(row, classes), count), np.concatenate(buckets))

    def output(self, sums: Sums) -> Metrics:
        # A threshold has its matrix as soon as there is an example, and be it one of no class.
        matrices: dict[float, dict[Any, Any]] = {threshold: {} for threshold in self._thresholds}
        for bucket, values in zip(sums.buckets.tolist(), sums.values[:, :, 0].tolist(), strict=True):
            rest, predicted = divmod(bucket, _SIDE)
            index, actual = divmod(rest, _SIDE)
            matrix = multi_label_confusion_matrix_plot._ConfusionMatrix()
            matrix.false_negatives, matrix.true_negatives, matrix.false_positives, matrix.true_positives = values
            key = multi_label_confusion_matrix_plot._MatrixEntryKey(actual - 1, predicted - 1)
            matrices.setdefault(self._thresholds[index], {})[key] = matrix
        return self._combiner.extract_output(matrices)


class ClassWeightsFromLabels(Accumulation):
    """`aggregation._ClassWeightsFromLabelsCombiner`: the weighted count of each class among the labels."""

    def __init__(self, combiner: Any) -> None:
        self._combiner = combiner
        self._inputs = inputs_of(combiner, combiner._key)
        self._classes: list[int] = list(combiner._class_ids)
        self.columns = max(len(self._classes), 1)

    def entries(self, batch: Batch) -> Entries:
        labels = batch.rows(self._inputs).labels
        weights: np.ndarray = batch.row_weights(self._inputs)
        if labels.shape[1] == 1:
            of_class = (labels == np.array(self._classes)[np.newaxis, :]).astype(np.float64)
        elif max(self._classes, default=0) < labels.shape[1]:
            of_class = labels[:, self._classes].astype(np.float64)
        else:
            raise NotCovered(f"class {max(self._classes)} of {labels.shape[1]} labels")
        return Entries(of_class * weights[:, np.newaxis])

    def output(self, sums: Sums) -> Metrics:
        totals = row_totals(sums, self.columns).tolist()
        return self._combiner.extract_output(dict(zip(self._classes, totals, strict=True)))

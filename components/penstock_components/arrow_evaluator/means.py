"""Metrics that are sums over rows: counts, means of labels and predictions, mean errors, cross entropies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tensorflow_model_analysis.metrics import calibration, cross_entropy_metrics, mean_regression_error
from tensorflow_model_analysis.utils.keras_lib import tf_keras

from penstock_components.arrow_evaluator.accumulation import Accumulation, Entries, Metrics, inputs_of, row_totals
from penstock_components.arrow_evaluator.batch import Batch, Inputs, one_hot
from penstock_components.arrow_evaluator.coverage import NotCovered
from penstock_components.arrow_evaluator.sums import Sums


class ExampleCount(Accumulation):
    """`example_count._ExampleCountCombiner`."""

    columns = 1

    def __init__(self, combiner: Any) -> None:
        self._combiner = combiner
        self._inputs = Inputs(
            model_name=combiner._model_name,
            output_name=combiner._output_name,
            example_weighted=combiner._example_weighted,
        )

    def entries(self, batch: Batch) -> Entries:
        return Entries(batch.total_weights(self._inputs)[:, np.newaxis])

    def output(self, sums: Sums) -> Metrics:
        return self._combiner.extract_output(float(row_totals(sums, 1)[0]))


class LabelsPredictionsExamples(Accumulation):
    """`calibration._WeightedLabelsPredictionsExamplesCombiner`."""

    columns = 3

    def __init__(self, combiner: Any) -> None:
        if combiner._key.sub_key and combiner._key.sub_key.top_k is not None:
            raise NotCovered("calibration of the top k")
        self._combiner = combiner
        self._inputs = inputs_of(combiner, combiner._key)

    def entries(self, batch: Batch) -> Entries:
        pairs = batch.pairs(self._inputs)
        weights = pairs.weights
        return Entries(np.stack([pairs.labels * weights, pairs.predictions * weights, weights], axis=1), pairs.rows)

    def output(self, sums: Sums) -> Metrics:
        accumulator = calibration._WeightedLabelsPredictionsExamples()
        (
            accumulator.total_weighted_labels,
            accumulator.total_weighted_predictions,
            accumulator.total_weighted_examples,
        ) = row_totals(sums, 3).tolist()
        return self._combiner.extract_output(accumulator)


class MeanRegressionError(Accumulation):
    """`mean_regression_error`'s combiners; a pair whose error is not a number counts for nothing."""

    columns = 2

    def __init__(self, combiner: Any, error: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
        self._combiner = combiner
        self._inputs = inputs_of(combiner, combiner._metric_key)
        self._error = error

    def entries(self, batch: Batch) -> Entries:
        pairs = batch.pairs(self._inputs)
        with np.errstate(divide="ignore", invalid="ignore"):
            error: np.ndarray = self._error(pairs.labels, pairs.predictions).astype(np.float64)
        valid = ~np.isnan(error)
        weights = np.where(valid, pairs.weights, 0.0)
        return Entries(np.stack([np.where(valid, error, 0.0) * weights, weights], axis=1), pairs.rows)

    def output(self, sums: Sums) -> Metrics:
        error, weight = row_totals(sums, 2).tolist()
        accumulator = mean_regression_error._MeanRegressionErrorAccumulator(weight, error)
        return self._combiner.extract_output(accumulator)


def absolute_error(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """|y - x|"""
    return np.absolute(labels - predictions)


def squared_error(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """(y - x)²"""
    return np.absolute(labels - predictions).astype(np.float64) ** 2


def absolute_percentage_error(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """100 |(y - x) / y|, not a number where y is zero"""
    return np.where(labels == 0, np.nan, 100 * np.absolute((labels - predictions) / labels))


def squared_logarithmic_error(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """(log(y + 1) - log(x + 1))²"""
    return np.absolute(np.log(labels + 1) - np.log(predictions + 1)).astype(np.float64) ** 2


class CrossEntropy(Accumulation):
    """`cross_entropy_metrics`'s combiners."""

    columns = 2

    def __init__(self, combiner: Any, categorical: bool) -> None:
        self._combiner = combiner
        self._inputs = inputs_of(combiner, combiner._metric_key)
        self._categorical = categorical
        self._smoothing = combiner._label_smoothing
        self._from_logits = combiner._from_logits

    def entries(self, batch: Batch) -> Entries:
        rows = batch.rows(self._inputs)
        labels, predictions = rows.labels, rows.predictions
        if labels.shape != predictions.shape or rows.weights.shape[1] != 1:
            raise NotCovered("cross entropy of labels and predictions of different shapes")
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = (self._of_classes if self._categorical else self._of_outcomes)(labels, predictions)
        weights: np.ndarray = rows.weights[:, 0].astype(np.float64)
        return Entries(np.stack([entropy.astype(np.float64) * weights, weights], axis=1))

    def _of_outcomes(self, labels: np.ndarray, x: np.ndarray) -> np.ndarray:
        y = labels * (1.0 - self._smoothing) + 0.5 * self._smoothing
        if self._from_logits:
            return np.mean(np.maximum(x, 0) - x * y + np.log(1 + np.exp(-np.abs(x))), axis=1)
        return np.mean(-(y * np.log(x)) - (1 - y) * np.log(1 - x), axis=1)

    def _of_classes(self, labels: np.ndarray, x: np.ndarray) -> np.ndarray:
        y = labels * (1.0 - self._smoothing) + self._smoothing / x.shape[1]
        if self._from_logits:
            x = np.exp(x)
        x = x / np.sum(x, axis=1, keepdims=True)
        return -np.sum(np.where(x > 0, y * np.log(x), 0.0), axis=1)

    def output(self, sums: Sums) -> Metrics:
        entropy, weight = row_totals(sums, 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._combiner.extract_output(cross_entropy_metrics._CrossEntropyAccumulator(entropy, weight))


def _is_mean_of_rows(metric: Any) -> bool:
    wrapper = tf_keras.metrics.MeanMetricWrapper
    as_wrapped = isinstance(metric, wrapper) and type(metric).update_state is wrapper.update_state
    return as_wrapped or type(metric) is tf_keras.metrics.RootMeanSquaredError


class KerasMeans(Accumulation):
    """`tf_metric_wrapper._CompilableMetricsCombiner` for Keras metrics that are the mean of a function of each row."""

    def __init__(self, combiner: Any) -> None:
        if any(combiner._loss_configs[index] for index in range(len(combiner._output_names))):
            raise NotCovered("a Keras loss as a metric")
        if combiner._aggregation_type and combiner._aggregation_type.micro_average:
            raise NotCovered("the micro average of a Keras metric")
        combiner.setup()
        self._metrics: list[tuple[Any, Inputs]] = []
        for name in combiner._output_names:
            for metric in combiner._metrics[name]:
                if not _is_mean_of_rows(metric):
                    raise NotCovered(f"the Keras metric {type(metric).__name__}")
                inputs = Inputs(
                    model_name=combiner._model_name,
                    output_name=name,
                    sub_key=None if combiner._sub_key_in_config else combiner._sub_key,
                    aggregated=combiner._aggregation_type is not None,
                    class_weights=tuple(sorted((combiner._class_weights or {}).items())),
                    example_weighted=combiner._example_weighted,
                )
                self._metrics.append((metric, inputs))
        self._combiner = combiner
        self.columns = 2 * len(self._metrics)

    def entries(self, batch: Batch) -> Entries:
        columns: list[np.ndarray] = []
        for metric, inputs in self._metrics:
            rows = batch.rows(inputs)
            labels = one_hot(rows.labels, rows.predictions) if self._combiner._sub_key_in_config else rows.labels
            if rows.weights.shape[1] != 1:
                raise NotCovered("several example weights in a row with a Keras metric")
            # Keras computes in its metric's own type.
            y_true, y_pred = (np.asarray(array, metric.dtype) for array in (labels, rows.predictions))
            if isinstance(metric, tf_keras.metrics.RootMeanSquaredError):
                value: np.ndarray = (y_true - y_pred).astype(np.float64) ** 2
            else:
                value = np.asarray(metric._fn(y_true, y_pred, **metric._fn_kwargs), np.float64)
            if value.shape not in ((batch.size,), (batch.size, 1)):
                raise NotCovered(f"the Keras metric {type(metric).__name__} with values of shape {list(value.shape)}")
            weights: np.ndarray = rows.weights[:, 0].astype(np.float64)
            columns += [value.reshape(batch.size) * weights, weights]
        return Entries(np.stack(columns, axis=1))

    def output(self, sums: Sums) -> Metrics:
        totals: np.ndarray = row_totals(sums, self.columns).astype(np.float32)
        accumulator = self._combiner.create_accumulator()
        place = 0
        for output_index, name in enumerate(self._combiner._output_names):
            for metric_index in range(len(self._combiner._metrics[name])):
                accumulator.add_weights(output_index, metric_index, [totals[place], totals[place + 1]])
                place += 2
        return self._combiner.extract_output(accumulator)

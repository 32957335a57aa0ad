"""Metrics that compare a model's predictions with the baseline model's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from tensorflow_model_analysis.metrics import flip_metrics, prediction_difference_metrics

from penstock_components.arrow_evaluator.accumulation import Accumulation, Entries, Metrics, row_totals
from penstock_components.arrow_evaluator.batch import Batch, Inputs, Pairs
from penstock_components.arrow_evaluator.coverage import NotCovered
from penstock_components.arrow_evaluator.sums import Sums


class _Comparison(Accumulation):
    """A combiner of the predictions of two models; the weights are those of the baseline."""

    def __init__(self, combiner: Any) -> None:
        self._combiner = combiner
        self._model = Inputs(
            model_name=combiner._model_name,
            output_name=combiner._output_name,
            example_weighted=combiner._example_weighted,
        )
        self._baseline = replace(self._model, model_name=combiner._baseline_model_name)

    def _pairs(self, batch: Batch) -> tuple[Pairs, np.ndarray]:
        """Returns the baseline's pairs, and the model's prediction for each."""
        baseline, model = batch.pairs(self._baseline), batch.pairs(self._model)
        if len(baseline.rows) != len(model.rows):
            raise NotCovered("models with different numbers of predictions")
        return baseline, model.predictions


class BooleanFlipCounts(_Comparison):
    """`flip_metrics._BooleanFlipCountsCombiner`."""

    columns = 5

    def entries(self, batch: Batch) -> Entries:
        baseline, predictions = self._pairs(batch)
        before, after = baseline.predictions > self._combiner._threshold, predictions > self._combiner._threshold
        outcomes = (np.ones(len(before)), ~before & ~after, ~before & after, before & ~after, before & after)
        return Entries(np.stack(outcomes, axis=1) * baseline.weights[:, np.newaxis], baseline.rows)

    def output(self, sums: Sums) -> Metrics:
        accumulator = flip_metrics._BooleanFlipCountsAccumulator(*row_totals(sums, 5).tolist())
        return self._combiner.extract_output(accumulator)


class SymmetricPredictionDifference(_Comparison):
    """`prediction_difference_metrics._SymmetricPredictionDifferenceCombiner`."""

    columns = 2

    def entries(self, batch: Batch) -> Entries:
        baseline, predictions = self._pairs(batch)
        if len(baseline.rows) != batch.size:
            raise NotCovered("the difference of several predictions")
        difference: np.ndarray = 2 * np.abs(baseline.predictions - predictions)
        total: np.ndarray = np.abs(baseline.predictions + predictions)
        epsilon = prediction_difference_metrics._K_EPSILON
        nothing = (difference < epsilon) & (total < epsilon)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(nothing, 0.0, difference / total)
        return Entries(np.stack([np.ones(batch.size), relative], axis=1) * baseline.weights[:, np.newaxis])

    def output(self, sums: Sums) -> Metrics:
        accumulator = prediction_difference_metrics._SymmetricPredictionDifferenceAccumulator(
            *row_totals(sums, 2).tolist()
        )
        return self._combiner.extract_output(accumulator)

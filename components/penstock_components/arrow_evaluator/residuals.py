"""Histograms of residuals."""

from __future__ import annotations

import numpy as np

from penstock_components.arrow_evaluator.accumulation import Accumulation, Entries, Metrics, inputs_of
from penstock_components.arrow_evaluator.batch import Batch
from penstock_components.arrow_evaluator.coverage import NotCovered
from penstock_components.arrow_evaluator.sums import Sums
from penstock_components.residuals import ResidualCombiner


class ResidualHistogram(Accumulation):
    """`penstock_components.residuals.ResidualCombiner`: weighted examples, labels and predictions by bucket."""

    columns = 3

    def __init__(self, combiner: ResidualCombiner) -> None:
        self._combiner = combiner
        self._inputs = inputs_of(combiner, combiner.key)

    def entries(self, batch: Batch) -> Entries:
        pairs = batch.pairs(self._inputs)
        predictions: np.ndarray = pairs.predictions.astype(np.float64)
        labels: np.ndarray = pairs.labels.astype(np.float64)
        residuals = labels - predictions
        if np.isnan(residuals).any():
            raise NotCovered("predictions or labels that are not numbers")
        weights = pairs.weights
        values = np.stack([weights, labels * weights, predictions * weights], axis=1)
        return Entries(values, pairs.rows, self._combiner.places(residuals))

    def output(self, sums: Sums) -> Metrics:
        rows = sums.values[:, :, 0].tolist()
        return self._combiner.extract_output(dict(zip(sums.buckets.tolist(), rows, strict=True)))

"""Metrics of how labels and predictions go together: correlation, discrimination, exact matches."""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow_model_analysis.metrics import exact_match, squared_pearson_correlation, tjur_discrimination

from penstock_components.arrow_evaluator.accumulation import Accumulation, Entries, Metrics, inputs_of, row_totals
from penstock_components.arrow_evaluator.batch import Batch, Inputs
from penstock_components.arrow_evaluator.coverage import NotCovered
from penstock_components.arrow_evaluator.sums import Sums


class _PairSums(Accumulation):
    """A combiner whose accumulator holds sums over pairs of label and prediction, in attributes of these names."""

    totals: tuple[str, ...]
    make_accumulator: type

    def __init__(self, combiner: Any) -> None:
        self._combiner = combiner
        self._inputs: Inputs = inputs_of(combiner, combiner._key)
        self.columns = len(self.totals)

    def output(self, sums: Sums) -> Metrics:
        accumulator = self.make_accumulator()
        for name, value in zip(self.totals, row_totals(sums, self.columns).tolist(), strict=True):
            setattr(accumulator, name, value)
        return self._combiner.extract_output(accumulator)


class SquaredPearsonCorrelation(_PairSums):
    """`squared_pearson_correlation._SquaredPearsonCorrelationCombiner`."""

    totals = (
        "total_weighted_labels",
        "total_weighted_predictions",
        "total_weighted_squared_labels",
        "total_weighted_squared_predictions",
        "total_weighted_labels_times_predictions",
        "total_weighted_examples",
    )
    make_accumulator = squared_pearson_correlation._SquaredPearsonCorrelationAccumulator

    def __init__(self, combiner: Any) -> None:
        if combiner._key.sub_key is not None:
            raise NotCovered("the correlation of single classes")
        super().__init__(combiner)

    def entries(self, batch: Batch) -> Entries:
        pairs = batch.pairs(self._inputs)
        y: np.ndarray = pairs.labels.astype(np.float64)
        x: np.ndarray = pairs.predictions.astype(np.float64)
        terms: tuple[np.ndarray, ...] = (y, x, y**2, x**2, y * x, np.ones(len(y)))
        return Entries(np.stack(terms, axis=1) * pairs.weights[:, np.newaxis], pairs.rows)


class TjurDiscrimination(_PairSums):
    """`tjur_discrimination._TjurDiscriminationCombiner`."""

    totals = (
        "total_negative_weighted_labels",
        "total_positive_weighted_labels",
        "total_negative_weighted_predictions",
        "total_positive_weighted_predictions",
    )
    make_accumulator = tjur_discrimination._TjurDiscriminationAccumulator

    def entries(self, batch: Batch) -> Entries:
        pairs = batch.pairs(self._inputs)
        y: np.ndarray = pairs.labels.astype(np.float64)
        x: np.ndarray = pairs.predictions.astype(np.float64)
        terms = (1.0 - y, y, (1.0 - y) * x, y * x)
        return Entries(np.stack(terms, axis=1) * pairs.weights[:, np.newaxis], pairs.rows)


class ExactMatch(_PairSums):
    """`exact_match._ExactMatchCombiner`."""

    totals = ("total_weighted_exact_match_scores", "total_weighted_examples")
    make_accumulator = exact_match._ExactMatchAccumulator

    def __init__(self, combiner: Any) -> None:
        if combiner._convert_to:
            raise NotCovered("exact matches of converted values")
        super().__init__(combiner)

    def entries(self, batch: Batch) -> Entries:
        pairs = batch.pairs(self._inputs)
        matches = pairs.labels == pairs.predictions
        return Entries(np.stack([matches, np.ones(len(matches))], axis=1) * pairs.weights[:, np.newaxis], pairs.rows)

"""What a metric is computed from: entries of each batch, added up by slice and turned into TFMA's intermediate results.

An accumulation stands for one of TFMA's combiners. It has the combiner's settings, adds up the same quantities for all
rows of a batch at once, and its output is what the combiner's `extract_output` returns, so that everything TFMA derives
from there stays TFMA's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorflow_model_analysis.metrics import metric_types

from penstock_components.arrow_evaluator.batch import Batch, Inputs
from penstock_components.arrow_evaluator.sums import Sums

Metrics = dict[metric_types.MetricKey, Any]


@dataclass(frozen=True)
class Entries:
    """Values `[n, columns]` to be added up; the row of each (None: one a row) and its bucket (None: all zero)."""

    values: np.ndarray
    rows: np.ndarray | None = None
    buckets: np.ndarray | None = None


class Accumulation(ABC):
    """One combiner of TFMA, on vectors. `columns` is how many values an entry has."""

    columns: int

    @abstractmethod
    def entries(self, batch: Batch) -> Entries:
        """Returns what the batch adds; raises NotCovered for data it cannot take."""

    @abstractmethod
    def output(self, sums: Sums) -> Metrics:
        """Returns the results for one slice. `sums` has one sample."""


def inputs_of(combiner: Any, key: metric_types.MetricKey, **more: Any) -> Inputs:
    """Returns the inputs of a combiner that keeps its settings as most of TFMA's do."""
    class_weights = getattr(combiner, "_class_weights", None) or {}
    return Inputs(
        model_name=key.model_name,
        output_name=key.output_name,
        sub_key=key.sub_key,
        aggregated=getattr(combiner, "_aggregation_type", None) is not None,
        class_weights=tuple(sorted(class_weights.items())),
        example_weighted=combiner._example_weighted,
        **more,
    )


def row_totals(sums: Sums, columns: int) -> np.ndarray:
    """Returns the sums of an accumulation without buckets, shape `[columns]`."""
    return sums.values[0, :, 0] if len(sums.values) else np.zeros(columns)

"""A metric of TFMA for regressions: how their residuals are distributed.

In an `eval_config` it is `{class_name: ResidualPlot, module: penstock_components.residuals}`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.proto import metrics_for_slice_pb2

RESIDUAL_PLOT_NAME = "residual_plot"

# [weighted examples, weighted labels, weighted predictions] by bucket.
Buckets = dict[int, list[float]]


class ResidualPlot(metric_types.Metric):
    """Counts examples by their residual, label minus prediction, in buckets of equal width.

    The result has TFMA's layout of a calibration plot; its thresholds are residuals. Two more buckets hold what lies
    below `left`, and at or above `right`.

    Args:
        left: The lowest residual of the first bucket.
        right: Where the last bucket ends.
        num_buckets: How many buckets there are between them.
        name: The plot's name.
    """

    def __init__(self, left: float, right: float, num_buckets: int = 40, name: str = RESIDUAL_PLOT_NAME) -> None:
        if not (math.isfinite(left) and math.isfinite(right) and left < right and num_buckets > 0):
            raise ValueError(
                f"ResidualPlot cannot count between left={left} and right={right} in num_buckets={num_buckets}. "
                "Give two numbers, the smaller one first, and one bucket or more."
            )
        super().__init__(
            metric_util.merge_per_key_computations(_computations),
            left=left,
            right=right,
            num_buckets=num_buckets,
            name=name,
        )


metric_types.register_metric(ResidualPlot)


def _computations(
    left: float,
    right: float,
    num_buckets: int,
    name: str,
    eval_config: Any = None,
    model_name: str = "",
    output_name: str = "",
    sub_key: metric_types.SubKey | None = None,
    aggregation_type: metric_types.AggregationType | None = None,
    class_weights: dict[int, float] | None = None,
    example_weighted: bool = False,
) -> metric_types.MetricComputations:
    key = metric_types.PlotKey(
        name=name, model_name=model_name, output_name=output_name, sub_key=sub_key, example_weighted=example_weighted
    )
    combiner = ResidualCombiner(
        key, left, right, num_buckets, eval_config, aggregation_type, class_weights, example_weighted
    )
    return [metric_types.MetricComputation(keys=[key], preprocessors=None, combiner=combiner)]


class ResidualCombiner(beam.CombineFn):
    """Adds up examples, labels and predictions by the bucket of their residual."""

    def __init__(
        self,
        key: metric_types.PlotKey,
        left: float,
        right: float,
        buckets: int,
        eval_config: Any,
        aggregation_type: metric_types.AggregationType | None,
        class_weights: dict[int, float] | None,
        example_weighted: bool,
    ) -> None:
        self._key = key
        self.left, self.right, self.buckets = left, right, buckets
        self._eval_config = eval_config
        self._aggregation_type = aggregation_type
        self._class_weights = class_weights
        self._example_weighted = example_weighted

    @property
    def key(self) -> metric_types.PlotKey:
        """The plot's key."""
        return self._key

    def create_accumulator(self) -> Buckets:
        return {}

    def add_input(self, accumulator: Buckets, element: metric_types.StandardMetricInputs) -> Buckets:
        for values in metric_util.to_label_prediction_example_weight(
            element,
            eval_config=self._eval_config,
            model_name=self._key.model_name,
            output_name=self._key.output_name,
            sub_key=self._key.sub_key,
            aggregation_type=self._aggregation_type,
            class_weights=self._class_weights,
            example_weighted=self._example_weighted,
            flatten=True,
        ):
            label, prediction, weight = (float(np.asarray(value).item()) for value in values)
            place = int(self.places(np.array(label - prediction)))
            _add(accumulator, place, [weight, label * weight, prediction * weight])
        return accumulator

    def places(self, residuals: np.ndarray) -> np.ndarray:
        """Returns the bucket of each residual: 0 below `left`, 1 to `buckets`, and one more from `right` on."""
        place = np.floor((residuals - self.left) / (self.right - self.left) * self.buckets) + 1
        return np.clip(place, 0, self.buckets + 1).astype(np.int64)

    def merge_accumulators(self, accumulators: Iterable[Buckets]) -> Buckets:
        merged: Buckets = {}
        for accumulator in accumulators:
            for place, sums in accumulator.items():
                _add(merged, place, sums)
        return merged

    def extract_output(self, accumulator: Buckets) -> dict[metric_types.PlotKey, Any]:
        width = (self.right - self.left) / self.buckets
        edges = [-math.inf, *(self.left + width * step for step in range(self.buckets + 1)), math.inf]
        found = metrics_for_slice_pb2.CalibrationHistogramBuckets()
        for place in range(self.buckets + 2):
            examples, labels, predictions = accumulator.get(place, (0.0, 0.0, 0.0))
            found.buckets.add(
                lower_threshold_inclusive=edges[place],
                upper_threshold_exclusive=edges[place + 1],
                num_weighted_examples={"value": examples},
                total_weighted_label={"value": labels},
                total_weighted_refined_prediction={"value": predictions},
            )
        return {self._key: found}


def _add(accumulator: Buckets, place: int, sums: list[float]) -> None:
    known = accumulator.setdefault(place, [0.0, 0.0, 0.0])
    for index, value in enumerate(sums):
        known[index] += value

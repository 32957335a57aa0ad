"""What an evaluation's plots are drawn from, made small.

Layout of the plots of one slice, by name; the plots of one output, class or `k` have its label before and after their
name (`OUTPUT/calibration/classId:2`):
    calibration: [[low, high, count, sum of labels, sum of predictions], …] of the buckets that hold examples; None
        stands for an open end
    residuals: the same, of examples by label minus prediction (`penstock_components.residuals`)
    confusion: {"thresholds", "tp", "fp", "tn", "fn"}: lists of the same length, predictions above a threshold positive
    classes: {"threshold": [[actual class, predicted class, count], …]} of several classes; class None stands for
        "none above the threshold"

Counts are sums of weights where examples have weights. The source's layout is TFMA's `metrics_for_slice.proto`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_RESIDUAL_PLOT = "residual_plot"


@dataclass(frozen=True)
class Plot:
    """One plot of a slice: what it is of, its name ("" for those that need none), and TFMA's message `PlotData`."""

    output: str
    sub_key: object
    name: str
    data: Any


def views(plots: Iterable[Plot]) -> dict[str, Any]:
    """Returns the plots of one slice in the layout above; of several that would have one name the first is kept."""
    found: dict[str, Any] = {}
    # Those with a name of their own stand behind those that have none.
    for plot in sorted(plots, key=lambda plot: plot.name):
        for name, view in _views(plot):
            found.setdefault(label(plot.output, name, plot.sub_key), view)
    return found


def _views(plot: Plot) -> Iterable[tuple[str, Any]]:
    if buckets := plot.data.calibration_histogram_buckets.buckets:
        yield "residuals" if plot.name == _RESIDUAL_PLOT else "calibration", _calibration(buckets)
    if matrices := plot.data.confusion_matrix_at_thresholds.matrices:
        yield "confusion", _confusion(matrices)
    if matrices := plot.data.multi_class_confusion_matrix_at_thresholds.matrices:
        yield "classes", _classes(matrices)


def label(output: str, name: str, sub_key: object) -> str:
    """Returns the name of a metric or plot with the output and sub-key it is of."""
    return "/".join(str(part) for part in (output, name, sub_key) if part)


def _calibration(buckets: Iterable[Any]) -> list[list[float | None]]:
    return [
        [
            _finite(bucket.lower_threshold_inclusive),
            _finite(bucket.upper_threshold_exclusive),
            _short(count),
            _short(bucket.total_weighted_label.value),
            bucket.total_weighted_refined_prediction.value,
        ]
        for bucket in buckets
        if (count := bucket.num_weighted_examples.value)
    ]


def _confusion(matrices: Iterable[Any]) -> dict[str, list[float]]:
    view: dict[str, list[float]] = {name: [] for name in ("thresholds", "tp", "fp", "tn", "fn")}
    for matrix in matrices:
        view["thresholds"].append(_short(matrix.threshold))
        view["tp"].append(_short(matrix.true_positives))
        view["fp"].append(_short(matrix.false_positives))
        view["tn"].append(_short(matrix.true_negatives))
        view["fn"].append(_short(matrix.false_negatives))
    return view


def _classes(matrices: Iterable[Any]) -> dict[str, list[list[float | None]]]:
    return {
        f"{matrix.threshold:g}": [
            [_class(entry.actual_class_id), _class(entry.predicted_class_id), _short(entry.num_weighted_examples)]
            for entry in matrix.entries
        ]
        for matrix in matrices
    }


def _class(number: int) -> int | None:
    """A class's number; TFMA's -1 is no class."""
    return None if number < 0 else number


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _short(value: float) -> float:
    return int(value) if value.is_integer() else value

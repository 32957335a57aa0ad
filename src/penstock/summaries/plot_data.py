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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_COUNTS = {
    "tp": "truePositives",
    "fp": "falsePositives",
    "tn": "trueNegatives",
    "fn": "falseNegatives",
}
_RESIDUAL_PLOT = "residual_plot"


@dataclass(frozen=True)
class Plot:
    """One plot of a slice: what it is of, its name ("" for those that need none), and TFMA's `PlotData` as JSON."""

    output: str
    sub_key: object
    name: str
    data: Mapping[str, Any]


def views(plots: Iterable[Plot]) -> dict[str, Any]:
    """Returns the plots of one slice in the layout above; of several that would have one name the first is kept."""
    found: dict[str, Any] = {}
    # Those with a name of their own stand behind those that have none.
    for plot in sorted(plots, key=lambda plot: plot.name):
        for name, view in _views(plot):
            found.setdefault(label(plot.output, name, plot.sub_key), view)
    return found


def _views(plot: Plot) -> Iterable[tuple[str, Any]]:
    buckets = plot.data.get("calibrationHistogramBuckets", {}).get("buckets")
    if buckets:
        yield "residuals" if plot.name == _RESIDUAL_PLOT else "calibration", _calibration(buckets)
    matrices = plot.data.get("confusionMatrixAtThresholds", {}).get("matrices")
    if matrices:
        yield "confusion", _confusion(matrices)
    matrices = plot.data.get("multiClassConfusionMatrixAtThresholds", {}).get("matrices")
    if matrices:
        yield "classes", _classes(matrices)


def label(output: str, name: str, sub_key: object) -> str:
    """Returns the name of a metric or plot with the output and sub-key it is of."""
    return "/".join(str(part) for part in (output, name, sub_key) if part)


def _calibration(buckets: Sequence[Mapping[str, Any]]) -> list[list[float | None]]:
    rows: list[list[float | None]] = []
    for bucket in buckets:
        count = _number(bucket, "numWeightedExamples")
        if count:
            rows.append(
                [
                    _finite(_number(bucket, "lowerThresholdInclusive")),
                    _finite(_number(bucket, "upperThresholdExclusive")),
                    _short(count),
                    _short(_number(bucket, "totalWeightedLabel")),
                    _number(bucket, "totalWeightedRefinedPrediction"),
                ]
            )
    return rows


def _confusion(matrices: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    view: dict[str, list[float]] = {"thresholds": [_short(_number(matrix, "threshold")) for matrix in matrices]}
    for name, key in _COUNTS.items():
        view[name] = [_short(_number(matrix, key)) for matrix in matrices]
    return view


def _classes(matrices: Sequence[Mapping[str, Any]]) -> dict[str, list[list[float | None]]]:
    return {
        f"{_number(matrix, 'threshold'):g}": [
            [
                _class(entry, "actualClassId"),
                _class(entry, "predictedClassId"),
                _short(_number(entry, "numWeightedExamples")),
            ]
            for entry in matrix.get("entries", ())
        ]
        for matrix in matrices
    }


def _class(entry: Mapping[str, Any], key: str) -> int | None:
    """A class's number; TFMA's -1 is no class. protobuf's JSON leaves a field out that is 0."""
    number = int(entry.get(key, 0))
    return None if number < 0 else number


def _number(entry: Mapping[str, Any], key: str) -> float:
    return float(entry.get(key, 0.0))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _short(value: float) -> float:
    return int(value) if value.is_integer() else value

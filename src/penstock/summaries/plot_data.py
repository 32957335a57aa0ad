"""What an evaluation's plots are drawn from, made small.

Layout of the plots of one slice, by name; the plots of one output, class or `k` have its label before their name:
    calibration: [[low, high, count, sum of labels, sum of predictions], …] of the buckets that hold examples; None
        stands for an open end
    confusion: {"thresholds", "tp", "fp", "tn", "fn"}: lists of the same length, predictions above a threshold positive
    classes: {"threshold": [[actual class, predicted class, count], …]} of several classes; class None stands for
        "none above the threshold"

Counts are sums of weights where examples have weights. The source's layout is TFMA's `metrics_for_slice.proto`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

_COUNTS = {
    "tp": "truePositives",
    "fp": "falsePositives",
    "tn": "trueNegatives",
    "fn": "falseNegatives",
}


def views(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the plots of one slice, as TFMA's `EvalResult.plots` has them, in the layout above."""
    found: dict[str, Any] = {}
    for output, by_sub_key in values.items():
        for sub_key, plots in by_sub_key.items():
            buckets = plots.get("calibrationHistogramBuckets", {}).get("buckets")
            if buckets:
                found[label(output, "calibration", sub_key)] = _calibration(buckets)
            matrices = plots.get("confusionMatrixAtThresholds", {}).get("matrices")
            if matrices:
                found[label(output, "confusion", sub_key)] = _confusion(matrices)
            matrices = plots.get("multiClassConfusionMatrixAtThresholds", {}).get("matrices")
            if matrices:
                found[label(output, "classes", sub_key)] = _classes(matrices)
    return found


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

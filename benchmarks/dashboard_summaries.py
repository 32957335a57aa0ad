"""Contents of summaries and plots as evaluations and statistics leave them, made up."""

from __future__ import annotations

import json
from typing import Any

_HOURS = 24


def slices() -> list[tuple[dict[str, str], int]]:
    """The slices of an evaluation of `DAILY`, with their numbers of examples."""
    return [({}, 100 * sum(range(1, _HOURS + 1)))] + [
        ({"trip_start_hour": str(hour)}, 100 * (hour + 1)) for hour in range(_HOURS)
    ]


def evaluation(quality: float, is_sliced: bool) -> str:
    rows = []
    for features, size in slices() if is_sliced else [({}, 5000)]:
        better = quality + 0.001 * int(features.get("trip_start_hour", 12))
        metrics = {"example_count": float(size), "binary_accuracy": better, "auc": better + 0.05, "loss": 1 - better}
        rows.append({"slice": features, "metrics": metrics, "changes": {}})
    gate = {"metric": "binary_accuracy", "slice": {}, "bound": "≥ 0.75", "value": quality, "baseline": None}
    passed = quality >= 0.75
    return json.dumps({"model": None, "slices": rows, "thresholds": [{**gate, "passed": passed}], "blessed": passed})


def plots_of(size: int) -> str:
    """Plots of a slice whose predictions are spread evenly and right on the whole, see `summaries.plot_data`."""
    thresholds = [round(index / 100, 2) for index in range(101)]
    half = size / 2
    confusion = {
        "thresholds": thresholds,
        "tp": [round(half * (1 - t * t)) for t in thresholds],
        "fp": [round(half * (1 - t) ** 2) for t in thresholds],
        "tn": [size - round(half) - round(half * (1 - t) ** 2) for t in thresholds],
        "fn": [round(half) - round(half * (1 - t * t)) for t in thresholds],
    }
    tenth = size / 10
    calibration = [[i / 10, (i + 1) / 10, tenth, tenth * (i + 0.4) / 10, tenth * (i + 0.5) / 10] for i in range(10)]
    return json.dumps({"plots": {"confusion": confusion, "calibration": calibration}})


def statistics(quality: float) -> str:
    """Statistics of twenty features in two splits, see `summaries.writer`."""

    def feature(index: int) -> dict[str, Any]:
        low, width = index * quality, 1 + index
        return {
            "name": f"feature_{index:02d}", "type": "FLOAT", "missing": index, "values": 10_000 - index,
            "mean": low + width / 2, "deviation": width / 4, "zeros": 0,
            "minimum": low, "median": low + width / 2, "maximum": low + width,
            "histogram": [[low + width * i / 10, low + width * (i + 1) / 10, 1000.0] for i in range(10)],
            "quantiles": [low + width * i / 10 for i in range(11)],
        }  # fmt: skip

    features = [feature(index) for index in range(20)]
    return json.dumps({"splits": {split: {"examples": 10_000, "features": features} for split in ("train", "eval")}})

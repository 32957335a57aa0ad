"""The view of a TFMA evaluation: sliced metrics, and each threshold with what it was measured against.

Layout:
    model: name of the model the metrics belong to, None where there is one only
    slices: [{"slice": {feature: value}, "metrics": {name: value}}], the overall slice first with an empty "slice"
    thresholds: [{"metric", "slice", "bound", "value", "baseline", "passed"}]
    blessed: whether all thresholds held; None if the evaluation validated nothing
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_specs, metric_types

View = dict[str, Any]


def view(uri: str) -> View:
    """Returns the view of the evaluation at `uri`, an Evaluator's `evaluation` output."""
    result = tfma.load_eval_result(uri)
    slices = [
        {"slice": {str(name): str(value) for name, value in slice_key}, "metrics": _scalars(metrics)}
        for slice_key, metrics in result.slicing_metrics
    ]
    slices.sort(key=lambda entry: (len(entry["slice"]), sorted(entry["slice"].items())))
    validation = None
    if os.path.exists(os.path.join(uri, "validations.tfrecord")) or _has_validations(uri):
        validation = tfma.load_validation_result(uri)
    return {
        "model": result.model_location or None,
        "slices": slices,
        "thresholds": [] if validation is None else _thresholds(result, slices, validation),
        "blessed": None if validation is None else bool(validation.validation_ok),
    }


def _has_validations(uri: str) -> bool:
    return os.path.isdir(uri) and any(name.startswith("validations") for name in os.listdir(uri))


def _scalars(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """Flattens output name, sub key and metric name; values that are no number (plots, arrays) are left out."""
    found: dict[str, float | None] = {}
    for output, by_sub_key in metrics.items():
        for sub_key, by_metric in by_sub_key.items():
            for name, value in by_metric.items():
                number = value.get("doubleValue")
                if number is None and "boundedValue" in value:
                    number = value["boundedValue"].get("value")
                if number is None:
                    continue
                label = "/".join(part for part in (output, name, sub_key) if part)
                found[label] = float(number) if math.isfinite(float(number)) else None
    return found


def _thresholds(result: Any, slices: Iterable[View], validation: Any) -> list[View]:
    by_slice = {tuple(sorted(entry["slice"].items())): entry["metrics"] for entry in slices}
    failed = {
        (_slice_of(per_slice.slice_key), failure.metric_key.name): failure
        for per_slice in validation.metric_validations_per_slice
        for failure in per_slice.failures
    }
    found = []
    declared = metric_specs.metric_thresholds_from_metrics_specs(result.config.metrics_specs, result.config)
    for key, thresholds in declared.items():
        for slicing, threshold in thresholds:
            for slice_key in _slices_of(slicing, by_slice):
                failure = failed.get((slice_key, key.name))
                kinds = [
                    kind
                    for kind in ("value_threshold", "change_threshold")
                    if (kind == "change_threshold") == key.is_diff and threshold.HasField(kind)
                ]
                for kind in kinds:
                    value = by_slice.get(slice_key, {}).get(_label(key))
                    found.append(
                        {
                            "metric": key.name,
                            "slice": dict(slice_key),
                            "bound": _bound(threshold, kind),
                            "value": value,
                            "baseline": None,
                            "passed": failure is None,
                        }
                    )
    return found


def _label(key: metric_types.MetricKey) -> str:
    sub_key = str(key.sub_key) if key.sub_key else ""
    return "/".join(part for part in (key.output_name, key.name, sub_key) if part)


def _slices_of(slicing: Any, by_slice: Mapping[tuple[tuple[str, str], ...], Any]) -> list[tuple[tuple[str, str], ...]]:
    if slicing is None or not (slicing.feature_keys or slicing.feature_values):
        return [()]
    wanted = dict(slicing.feature_values)
    names = set(slicing.feature_keys) | set(wanted)
    return [
        key
        for key in by_slice
        if {name for name, _ in key} == names and all(dict(key)[name] == value for name, value in wanted.items())
    ]


def _slice_of(slice_key: Any) -> tuple[tuple[str, str], ...]:
    pairs = []
    for single in slice_key.single_slice_keys:
        kind = single.WhichOneof("kind")
        value = getattr(single, kind)
        pairs.append((single.column, value.decode() if isinstance(value, bytes) else str(value)))
    return tuple(sorted(pairs))


def _bound(threshold: Any, kind: str) -> str:
    if kind == "value_threshold":
        parts = []
        if threshold.value_threshold.HasField("lower_bound"):
            parts.append(f"≥ {threshold.value_threshold.lower_bound.value:g}")
        if threshold.value_threshold.HasField("upper_bound"):
            parts.append(f"≤ {threshold.value_threshold.upper_bound.value:g}")
        return " and ".join(parts)
    change = threshold.change_threshold
    higher = change.direction == tfma.MetricDirection.HIGHER_IS_BETTER
    sign = "≥" if higher else "≤"
    parts = []
    if change.HasField("absolute"):
        parts.append(f"change {sign} {change.absolute.value:g}")
    if change.HasField("relative"):
        parts.append(f"relative change {sign} {change.relative.value:g}")
    return " and ".join(parts)

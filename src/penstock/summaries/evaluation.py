"""The view of a TFMA evaluation: sliced metrics, and each threshold with what it was measured against.

Layout:
    model: name of the model the metrics belong to, None where there is one only
    slices: [{"slice": {feature: value}, "metrics": {name: value}}], the overall slice first with an empty "slice"
    thresholds: [{"metric", "slice", "bound", "value", "baseline", "passed"}]; "baseline" is that model's value, None for
        a bound on the value itself; a bound on the change is left out where there is no baseline model
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
        (_slice_of(per_slice.slice_key), failure.metric_key.name.removesuffix("_diff"), failure.metric_key.is_diff)
        for per_slice in validation.metric_validations_per_slice
        for failure in per_slice.failures
    }
    found = []
    declared = metric_specs.metric_thresholds_from_metrics_specs(result.config.metrics_specs, result.config)
    for key, thresholds in declared.items():
        for slicing, threshold in thresholds:
            for slice_key in _slices_of(slicing, by_slice):
                metrics = by_slice.get(slice_key, {})
                value = metrics.get(_label(key))
                candidate = metrics.get(_label(key, is_diff=False))
                has_baseline = key.is_diff and value is not None and candidate is not None
                if key.is_diff and not has_baseline:
                    continue  # no baseline model to compare with
                found.append(
                    {
                        "metric": key.name,
                        "slice": dict(slice_key),
                        "bound": _bound(threshold),
                        "value": candidate,
                        "baseline": candidate - value if has_baseline else None,
                        "passed": (slice_key, key.name, key.is_diff) not in failed,
                    }
                )
    return found


def _label(key: metric_types.MetricKey, is_diff: bool | None = None) -> str:
    """The name `_scalars` gives a metric; the difference to the baseline is a metric of its own."""
    name = key.name + ("_diff" if (key.is_diff if is_diff is None else is_diff) else "")
    return "/".join(part for part in (key.output_name, name, str(key.sub_key) if key.sub_key else "") if part)


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


def _bound(threshold: Any) -> str:
    if isinstance(threshold, tfma.GenericValueThreshold):
        bounds = [("≥", "lower_bound", ""), ("≤", "upper_bound", "")]
    else:
        sign = "≥" if threshold.direction == tfma.MetricDirection.HIGHER_IS_BETTER else "≤"
        bounds = [(sign, "absolute", "change "), (sign, "relative", "relative change ")]
    return " and ".join(
        f"{prefix}{sign} {getattr(threshold, name).value:g}" for sign, name, prefix in bounds if threshold.HasField(name)
    )

"""The view of a TFMA evaluation: sliced metrics, and each threshold with what it was measured against.

Layout:
    model: name of the model the metrics belong to, None where there is one only
    slices: [{"slice": {feature: value}, "metrics": {name: value}, "changes": {name: value - baseline's value}}], the
        overall slice first with an empty "slice"; "changes" is empty where there is no baseline model; "intervals":
        {name: [lower, upper]} are there where confidence intervals were computed
    thresholds: [{"metric", "slice", "bound", "value", "baseline", "passed"}]; "baseline" is that model's value, None
        for a bound on the value itself; a bound on the change is left out where there is no baseline model
    blessed: whether all thresholds held; None if the evaluation validated nothing
    plots: see `plot_data`; kept apart from the rest, for readers who want one slice's
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_specs, metric_types
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.slicer import slicer_lib
from tensorflow_model_analysis.view import util as view_util
from tensorflow_model_analysis.writers import eval_config_writer, metrics_plots_and_validations_writer

from penstock.summaries import plot_data

View = dict[str, Any]

# What TFMA ends the names of differences to the baseline with.
_CHANGE = "_diff"


def view(uri: str) -> View:
    """Returns the view of the evaluation at `uri`, an Evaluator's `evaluation` output."""
    config, _, _, model_locations = eval_config_writer.load_eval_run(uri)
    slices: list[View] = []
    # Not by `load_eval_result`, which makes JSON of all plots besides; they take longer than all the rest.
    for record in metrics_plots_and_validations_writer.load_and_deserialize_metrics(uri):
        read = view_util.convert_metrics_proto_to_dict(record)
        if read is None:
            continue
        slice_key, values = read
        metrics, changes, intervals = _scalars(values)
        entry: View = {"slice": _features(slice_key), "metrics": metrics, "changes": changes}
        slices.append({**entry, "intervals": intervals} if intervals else entry)
    slices.sort(key=lambda entry: (len(entry["slice"]), sorted(entry["slice"].items())))
    validation = None
    if _has_validations(uri):
        validation = tfma.load_validation_result(uri)
    return {
        "model": next(iter(model_locations.values()), "") or None,
        "slices": slices,
        "thresholds": [] if validation is None else _thresholds(config, slices, validation),
        "blessed": None if validation is None else bool(validation.validation_ok),
        "plots": [
            {"slice": _features(slice_key), "plots": found}
            for slice_key, plots in _plots(uri, config)
            if (found := plot_data.views(plots))
        ],
    }


def _plots(uri: str, config: config_pb2.EvalConfig) -> Iterator[tuple[Any, list[plot_data.Plot]]]:
    """Returns the candidate's plots by slice.

    They are read as they were written: TFMA's own reader keeps one of several plots of an output, whatever their names.
    """
    specs = config.model_specs
    candidates = {spec.name for spec in specs if not spec.is_baseline} if len(specs) > 1 else None
    if not (os.path.isdir(uri) and any(name.startswith("plots") for name in os.listdir(uri))):
        return
    for record in metrics_plots_and_validations_writer.load_and_deserialize_plots(uri):
        yield (
            slicer_lib.deserialize_slice_key(record.slice_key),
            [
                plot_data.Plot(
                    output=pair.key.output_name,
                    sub_key=metric_types.SubKey.from_proto(pair.key.sub_key) if pair.key.HasField("sub_key") else "",
                    name=pair.key.name,
                    data=pair.value,
                )
                for pair in record.plot_keys_and_values
                if candidates is None or pair.key.model_name in candidates
            ],
        )


def _has_validations(uri: str) -> bool:
    return os.path.isdir(uri) and any(name.startswith("validations") for name in os.listdir(uri))


def _features(slice_key: Iterable[tuple[Any, Any]]) -> dict[str, str]:
    return {str(key): str(value) for key, value in slice_key}


def _scalars(
    values: Mapping[str, Any],
) -> tuple[dict[str, float | None], dict[str, float | None], dict[str, list[float]]]:
    """Returns the metrics, their changes against the baseline, and their confidence intervals, by label."""
    metrics: dict[str, float | None] = {}
    changes: dict[str, float | None] = {}
    intervals: dict[str, list[float]] = {}
    for output, by_sub_key in values.items():
        for sub_key, by_metric in by_sub_key.items():
            for name, value in by_metric.items():
                number = value.get("doubleValue")
                bounded = value.get("boundedValue")
                if number is None and bounded is not None:
                    # protobuf's JSON leaves a field out that is 0.
                    number = bounded.get("value", 0.0)
                if number is None:
                    continue
                label = plot_data.label(output, name.removesuffix(_CHANGE), sub_key)
                found = changes if name.endswith(_CHANGE) else metrics
                found[label] = float(number) if math.isfinite(float(number)) else None
                if bounded is not None and found is metrics:
                    bounds = [float(bounded.get(key, 0.0)) for key in ("lowerBound", "upperBound")]
                    if all(map(math.isfinite, bounds)):
                        intervals[label] = bounds
    return metrics, changes, intervals


def _thresholds(config: config_pb2.EvalConfig, slices: Iterable[View], validation: Any) -> list[View]:
    by_slice = {tuple(sorted(entry["slice"].items())): entry for entry in slices}
    failed = {
        (_slice_of(per_slice.slice_key), failure.metric_key.name.removesuffix(_CHANGE), failure.metric_key.is_diff)
        for per_slice in validation.metric_validations_per_slice
        for failure in per_slice.failures
    }
    found: list[View] = []
    declared = metric_specs.metric_thresholds_from_metrics_specs(config.metrics_specs, config)
    for key, thresholds in declared.items():
        for slicing, threshold in thresholds:
            for slice_key in _slices_of(slicing, by_slice):
                entry = by_slice.get(slice_key)
                label = plot_data.label(key.output_name, key.name, key.sub_key)
                value = entry["metrics"].get(label) if entry else None
                change = entry["changes"].get(label) if entry and key.is_diff else None
                if key.is_diff and change is None:
                    continue  # no baseline model to compare with
                gate = {
                    "metric": key.name,
                    "slice": dict(slice_key),
                    "bound": _bound(threshold),
                    "value": value,
                    "baseline": None if change is None or value is None else value - change,
                    "passed": (slice_key, key.name, key.is_diff) not in failed,
                }
                if gate not in found:  # TFMA lists a threshold once for the candidate and once for the baseline
                    found.append(gate)
    return found


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
    if isinstance(threshold, config_pb2.GenericValueThreshold):
        bounds = [("≥", "lower_bound", ""), ("≤", "upper_bound", "")]
    else:
        sign = "≥" if threshold.direction == config_pb2.MetricDirection.HIGHER_IS_BETTER else "≤"
        bounds = [(sign, "absolute", "change "), (sign, "relative", "relative change ")]
    return " and ".join(
        f"{prefix}{sign} {getattr(threshold, name).value:g}"
        for sign, name, prefix in bounds
        if threshold.HasField(name)
    )

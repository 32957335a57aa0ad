"""From a slice's sums to what TFMA writes of it: metrics, plots and validation."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.evaluators import metrics_plots_and_validations_evaluator as evaluator
from tensorflow_model_analysis.evaluators import metrics_validator
from tensorflow_model_analysis.metrics import metric_specs, metric_types
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import model_util
from tensorflow_model_analysis.writers import metrics_plots_and_validations_writer as writer

from penstock_components.arrow_evaluator.accumulation import Metrics
from penstock_components.arrow_evaluator.plan import Group, Plan
from penstock_components.arrow_evaluator.resampling import resampling
from penstock_components.arrow_evaluator.slicing import SliceKey
from penstock_components.arrow_evaluator.sums import Sums, merge


@dataclass(frozen=True)
class GroupState:
    """What was added up for one slice and group of metrics: rows in each sample, and each accumulation's sums."""

    rows: np.ndarray
    sums: Sequence[Sums]


# A slice's state: that of each of the plan's groups, by its place there.
SliceState = dict[int, GroupState]


def merge_states(states: Sequence[SliceState]) -> SliceState:
    """Returns the state of all the rows of several states of one slice."""
    merged: SliceState = {}
    for group in sorted({group for state in states for group in state}):
        parts = [state[group] for state in states if group in state]
        sums = [merge(one) for one in zip(*(part.sums for part in parts), strict=True)]
        merged[group] = GroupState(np.sum([part.rows for part in parts], axis=0), sums)
    return merged


@dataclass(frozen=True)
class SliceResult:
    """One slice's MetricsForSlice, PlotsForSlice and ValidationResult, serialized."""

    metrics: bytes
    plots: bytes
    validation: bytes


class Results:
    """Computes slices' results. Made once a worker: reading the configuration costs more than a slice does."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._resampling = resampling(plan.eval_config.options)
        baseline = model_util.get_baseline_model_spec(plan.eval_config)
        self._baseline = baseline.name if baseline else None
        self._smallest = plan.eval_config.options.min_slice_size.value
        self._thresholds = with_thresholds_only(plan.eval_config)
        self._without_interval = metric_specs.metric_keys_to_skip_for_confidence_intervals(
            plan.eval_config.metrics_specs, eval_config=plan.eval_config
        )

    def of_slice(self, key: SliceKey, state: SliceState) -> SliceResult:
        """Returns what is written of one slice."""
        metrics: dict[Any, Any] = {}
        for index, group in enumerate(self._plan.groups):
            if index not in state:
                continue
            if key and self._resampling.size(state[index].rows) < self._smallest:
                text = f"The slice has fewer than the {self._smallest} examples that min_slice_size asks for."
                metrics[constants.ERROR_METRIC_NAME] = text
            else:
                metrics.update(self._metrics(group, state[index]))
        plots = {name: value for name, value in metrics.items() if isinstance(name, metric_types.PlotKey)}
        values = {name: value for name, value in metrics.items() if not isinstance(name, metric_types.PlotKey)}
        return SliceResult(
            metrics=writer.convert_slice_metrics_to_proto((key, values), []).SerializeToString(),
            plots=writer.convert_slice_plots_to_proto((key, plots), []).SerializeToString(),
            validation=metrics_validator.validate_metrics((key, values), self._thresholds).SerializeToString(),
        )

    def _metrics(self, group: Group, state: GroupState) -> Metrics:
        """Returns metrics and plots by key, with their distributions where intervals are asked for."""
        samples = [
            (number, self._of_sample(group, sums)) for number, sums in self._resampling.samples(state.rows, state.sums)
        ]
        metrics = self._resampling.combine(samples, self._without_interval)
        for derive in group.ci_derived:
            metrics.update(derive(metrics))
        return _public(metrics)

    def _of_sample(self, group: Group, sums: Sequence[Sums]) -> Metrics:
        metrics: Metrics = {}
        for accumulation, own in zip(group.accumulations, sums, strict=True):
            metrics.update(accumulation.output(own))
        for derive in group.derived:
            metrics.update(derive(metrics))
        if self._baseline:
            metrics.update(self._changes(metrics, self._baseline))
        # The distribution of an intermediate result would cost more than everything else, and few ask for it.
        return metrics if group.ci_derived else _public(metrics)

    def _changes(self, metrics: Metrics, baseline: str) -> Metrics:
        """Returns the differences to the baseline model's metrics."""
        changes: Metrics = {}
        for key, value in metrics.items():
            if key.is_diff or key.model_name == baseline or evaluator._is_private_metrics(key):
                continue
            counterpart = key.make_baseline_key(baseline)
            if counterpart in metrics and evaluator._is_metric_diffable(value):
                changes[key.make_diff_key()] = value - metrics[counterpart]
        return changes


def _public(metrics: Metrics) -> Metrics:
    return {key: value for key, value in metrics.items() if not evaluator._is_private_metrics(key)}


def with_thresholds_only(eval_config: config_pb2.EvalConfig) -> config_pb2.EvalConfig:
    """Returns the configuration without the metrics that validation does not look at.

    TFMA makes every metric anew for each slice it validates.
    """
    result = copy.deepcopy(eval_config)
    for spec in result.metrics_specs:
        kept = [
            metric
            for metric in spec.metrics
            if metric.HasField("threshold") or metric.per_slice_thresholds or metric.cross_slice_thresholds
        ]
        del spec.metrics[:]
        spec.metrics.extend(kept)
    return result

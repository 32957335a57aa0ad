"""An evaluation's slices by one feature: which are worst, how sure that is, and how groups' error rates compare."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.dashboard import intervals
from penstock.dashboard.intervals import Counts, Interval, Rate
from penstock.dashboard.parts import WHOLE, part_of
from penstock.metadata import plots
from penstock.metadata.metrics import EXAMPLE_COUNT, Evaluation, SliceMetrics, slices_by

Slice = Mapping[str, str]
# Of what is in neither, the value farthest from overall is looked at first.
_BETTER_HIGH = ("accuracy", "auc", "precision", "recall", "f1", "specificity", "sensitivity", "ndcg", "map", "r2")
_BETTER_LOW = ("loss", "error", "crossentropy", "false_", "fpr", "fnr", "rmse", "mae", "mse", "hinge", "divergence")


@dataclass(frozen=True)
class SliceRow:
    """One slice and the chosen metric on it.

    Attributes:
        slice: the features' values; empty for overall.
        examples: the number of examples, if it was counted.
        value: the metric's value.
        interval: its confidence interval.
        difference: how much the value is above overall's.
        other: the value in the evaluation compared with.
        metrics: all metrics of the slice.
    """

    slice: Slice
    examples: float | None
    value: float | None
    interval: Interval | None
    difference: float | None
    other: float | None
    metrics: Mapping[str, float | None]

    @property
    def key(self) -> str:
        """The slice as text, as addresses name it."""
        return plots.slice_key(self.slice)

    @property
    def change(self) -> float | None:
        """How much the value is above that of the evaluation compared with."""
        return None if self.value is None or self.other is None else self.value - self.other


@dataclass(frozen=True)
class GroupRate:
    """One group's rate at one threshold, in this evaluation and in the one compared with."""

    threshold: float
    rate: Rate
    difference: float | None
    is_significant: bool
    other: Rate | None


@dataclass(frozen=True)
class Group:
    """A slice's error rates: by the name of the rate one entry a threshold."""

    slice: Slice
    examples: float | None
    rates: Mapping[str, Sequence[GroupRate]]


@dataclass(frozen=True)
class Crossing:
    """Slices by two features: the values of both, and the slices by them, None where there is none to be shown."""

    features: tuple[str, str]
    columns: Sequence[str]
    lines: Sequence[tuple[str, Sequence[SliceRow | None]]]


def direction(metric: str) -> int:
    """1 where more is better, -1 where less is, 0 where neither."""
    name = metric.lower()
    if any(part in name for part in _BETTER_LOW):
        return -1
    return 1 if any(part in name for part in _BETTER_HIGH) else 0


def rows(
    evaluation: Evaluation,
    features: Sequence[str],
    metric: str,
    drawn: Mapping[str, Mapping[str, Any]],
    other: Evaluation | None = None,
) -> list[SliceRow]:
    """Overall, if it was evaluated, and the slices by exactly these features.

    Args:
        evaluation: the evaluation.
        features: the slicing features.
        metric: the chosen metric.
        drawn: what is known of the slices' plots, by `plots.slice_key`.
        other: an evaluation to compare with, slice by slice.
    """
    found = slices_by(evaluation, features)
    overall = next((row.metrics.get(metric) for row in found if not row.slice), None)
    others = {plots.slice_key(row.slice): row.metrics.get(metric) for row in other.slices} if other else {}
    return [_row(row, metric, overall, drawn.get(plots.slice_key(row.slice)), others) for row in found]


def _row(
    row: SliceMetrics,
    metric: str,
    overall: float | None,
    drawn: Mapping[str, Any] | None,
    others: Mapping[str, float | None],
) -> SliceRow:
    value, examples = row.metrics.get(metric), row.metrics.get(EXAMPLE_COUNT)
    recorded = row.intervals.get(metric)
    return SliceRow(
        slice=row.slice,
        examples=examples,
        value=value,
        interval=intervals.interval(metric, value, examples, recorded, intervals.confusion_of(drawn, part_of(metric))),
        difference=None if value is None or overall is None or not row.slice else value - overall,
        other=others.get(plots.slice_key(row.slice)),
        metrics=row.metrics,
    )


def worst_first(found: Sequence[SliceRow], metric: str) -> list[SliceRow]:
    """The slices in the order a worried person looks at them; without a value last."""
    way = direction(metric)

    def badness(row: SliceRow) -> tuple[bool, float]:
        if row.value is None or not math.isfinite(row.value):
            return True, 0.0
        return False, way * row.value if way else -abs(row.difference or 0.0)

    return sorted(found, key=badness)


def ordered(found: Sequence[SliceRow], order: str, is_descending: bool) -> list[SliceRow]:
    """The slices by one column: `slice`, `examples`, `value`, `difference`, `other`, `change`, or a metric's name."""

    def cell(row: SliceRow) -> Any:
        if order == "slice":
            return [_natural(value) for _, value in sorted(row.slice.items())]
        if order in ("examples", "value", "difference", "other", "change"):
            return getattr(row, order)
        return row.metrics.get(order)

    known = [row for row in found if cell(row) is not None]
    return sorted(known, key=cell, reverse=is_descending) + [row for row in found if cell(row) is None]


def crossing(found: Sequence[SliceRow], features: Sequence[str]) -> Crossing | None:
    """The slices by two features as a table, the feature with fewer values across; None of fewer or more features."""
    if len(features) != 2 or not found:
        return None
    values = {name: sorted({row.slice[name] for row in found}, key=_natural) for name in features}
    down, across = sorted(features, key=lambda name: -len(values[name]))
    by_values = {(row.slice[down], row.slice[across]): row for row in found}
    return Crossing(
        (down, across),
        values[across],
        [(one, [by_values.get((one, other)) for other in values[across]]) for one in values[down]],
    )


def groups(
    found: Sequence[SliceRow],
    drawn: Mapping[str, Mapping[str, Any]],
    thresholds: Sequence[float],
    names: Sequence[str],
    baseline: str,
    other_drawn: Mapping[str, Mapping[str, Any]],
    part: str = WHOLE,
) -> list[Group]:
    """Error rates of the slices at some thresholds, each against those of a baseline slice.

    Where that is overall, a slice is compared with all examples outside of it: the samples of a test must not overlap.

    Args:
        found: the slices.
        drawn: their plots, by `plots.slice_key`.
        thresholds: predictions above them count as positive.
        names: which of `intervals.RATES`.
        baseline: the `plots.slice_key` of the slice to compare with.
        other_drawn: the plots of an evaluation to show beside, or nothing.
        part: what of the model the rates are of; a class is called where its prediction is above the threshold.
    """
    found_groups = []
    for row in found:
        confusion = intervals.confusion_of(drawn.get(row.key), part)
        if confusion is None:
            continue
        rates: dict[str, list[GroupRate]] = {name: [] for name in names}
        for threshold in thresholds:
            counts = intervals.counts_at(confusion, threshold)
            reference = _counts(drawn, baseline, threshold, part)
            other = _counts(other_drawn, row.key, threshold, part)
            if counts is None:
                continue
            if reference is not None and baseline == plots.slice_key({}) and row.slice:
                rest: Counts | None = reference.without(counts)
            else:
                rest = None if row.key == baseline else reference
            for name in names:
                own = intervals.rate(counts, name)
                against = None if reference is None else intervals.rate(reference, name).value
                rates[name].append(
                    GroupRate(
                        threshold=threshold,
                        rate=own,
                        difference=None
                        if own.value is None or against is None or row.key == baseline
                        else own.value - against,
                        is_significant=rest is not None and intervals.differ(own, intervals.rate(rest, name)),
                        other=None if other is None else intervals.rate(other, name),
                    )
                )
        found_groups.append(Group(row.slice, row.examples, rates))
    return found_groups


def _counts(drawn: Mapping[str, Mapping[str, Any]], key: str, threshold: float, part: str) -> Counts | None:
    confusion = intervals.confusion_of(drawn.get(key), part)
    return None if confusion is None else intervals.counts_at(confusion, threshold)


def _natural(value: str) -> tuple[int, float, str]:
    """Values that are numbers by their size, before those that are not."""
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value

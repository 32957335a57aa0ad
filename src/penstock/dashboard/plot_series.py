"""What the plots of chosen slices are drawn from: of the whole model, of one output or class, or of each class.

The layout of a slice's plots is told in `penstock.summaries.plot_data`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.dashboard import words
from penstock.dashboard.intervals import Counts, Rate, counts_at
from penstock.dashboard.parts import EACH, WHOLE, Plots, class_parts, of_part, part_name, parts_of

# More lines than these cannot be told apart.
_MOST_SERIES = 14
# The plots in the order of a page, and what each is drawn from.
_KINDS = {
    "roc": ("ROC", "confusion"),
    "pr": ("Precision and recall", "confusion"),
    "calibration": ("Calibration", "calibration"),
    "distribution": ("Predictions", "calibration"),
    "mean_residuals": ("Residuals over predictions", "calibration"),
    "residuals": ("Residuals", "residuals"),
}


@dataclass(frozen=True)
class Series:
    """One line in each plot: a slice, of one part, in one evaluation."""

    name: str
    key: str
    plots: Plots


@dataclass(frozen=True)
class ClassRow:
    """One class against all others: how many are, how many were called so, and how many of both."""

    label: int
    actual: float
    predicted: float
    right: float

    @property
    def precision(self) -> Rate:
        """The share of those called so that are."""
        return Rate(self.right, self.predicted)

    @property
    def recall(self) -> Rate:
        """The share of those that are that were called so."""
        return Rate(self.right, self.actual)

    @property
    def f1(self) -> float | None:
        """The harmonic mean of both."""
        both = self.actual + self.predicted
        return 2 * self.right / both if both else None


@dataclass(frozen=True)
class ClassMatrix:
    """The confusion matrix of several classes at one threshold.

    Attributes:
        name: the slice's.
        series: its place among the series.
        threshold: the recorded one that is nearest to what was asked for.
        labels: the classes.
        predicted: what examples can be called: the classes, and None for none above the threshold.
        cells: number of examples by actual and predicted class.
        rows: each class against all others.
        is_movable: whether more than one threshold is recorded.
    """

    name: str
    series: int
    threshold: float
    labels: Sequence[int]
    predicted: Sequence[int | None]
    cells: Mapping[tuple[int, int | None], float]
    rows: Sequence[ClassRow]
    is_movable: bool

    def share(self, actual: int, predicted: int | None) -> float | None:
        """Which share of a class was called another one."""
        total = self.rows[self.labels.index(actual)].actual
        return self.cells.get((actual, predicted), 0) / total if total else None


def series(
    keys: Sequence[str],
    part: str,
    by_key: Mapping[str, Mapping[str, str]],
    drawn: Mapping[str, Mapping[str, Any]],
    suffix: str = "",
) -> list[Series]:
    """The series of some slices that have plots.

    Args:
        keys: the slices' keys, see `penstock.metadata.plots.slice_key`.
        part: a part, or `EACH`.
        by_key: the slices by key.
        drawn: what is recorded of their plots by key.
        suffix: added to the names.
    """
    found = []
    for key in keys:
        plots = drawn.get(key, {}).get("plots", {})
        for one in class_parts(parts_of(plots)) if part == EACH else [part]:
            own = of_part(plots, one)
            if own:
                name = words.slice_name(by_key[key]) + suffix
                if part == EACH:
                    name = part_name(one) if len(keys) == 1 and not suffix else f"{name}, {part_name(one)}"
                found.append(Series(name, key, own))
    return found[:_MOST_SERIES]


def kinds(found: Sequence[Series]) -> list[tuple[str, str]]:
    """The plots that can be drawn, with their titles."""
    return [
        (kind, title)
        for kind, (title, source) in _KINDS.items()
        if any(source in one.plots for one in found)
        # A label that is either 0 or 1 has two residuals for each prediction; calibration tells the same better.
        and not (kind == "mean_residuals" and any("confusion" in one.plots for one in found))
    ]


def matrices(found: Sequence[Series], threshold: float) -> list[tuple[int, str, Counts]]:
    """The confusion matrix of each series that has any: its place, its name, and the counts."""
    return [
        (place, one.name, counts)
        for place, one in enumerate(found)
        if "confusion" in one.plots and (counts := counts_at(one.plots["confusion"], threshold)) is not None
    ]


def chosen_part(part: str | None, plots: Plots) -> str:
    """The part to draw: the one asked for, or what the plots of overall have most to say of."""
    if part is not None:
        return part
    parts = parts_of(plots)
    if {"confusion", "calibration", "residuals"} & set(of_part(plots, WHOLE)) or not parts:
        return WHOLE
    return EACH if class_parts(parts) else parts[0]


def class_matrices(found: Sequence[Series], threshold: float) -> list[ClassMatrix]:
    """The confusion matrix of several classes of each series that has any."""
    return [
        class_matrix(one.name, place, one.plots["classes"], threshold)
        for place, one in enumerate(found)
        if one.plots.get("classes")
    ]


def class_matrix(
    name: str, place: int, by_threshold: Mapping[str, Sequence[tuple[int, int | None, float]]], threshold: float
) -> ClassMatrix:
    """The confusion matrix of several classes at the recorded threshold that is nearest to one."""
    nearest = min(by_threshold, key=lambda text: abs(float(text) - threshold))
    cells: dict[tuple[int, int | None], float] = {}
    for actual, predicted, count in by_threshold[nearest]:
        cells[actual, predicted] = cells.get((actual, predicted), 0) + count
    pairs = [(actual, predicted) for entries in by_threshold.values() for actual, predicted, _ in entries]
    labels = sorted({label for pair in pairs for label in pair if label is not None})
    return ClassMatrix(
        name=name,
        series=place,
        threshold=float(nearest),
        labels=labels,
        predicted=[*labels, *([None] if any(predicted is None for _, predicted in pairs) else [])],
        cells=cells,
        rows=[
            ClassRow(
                label=label,
                actual=sum(count for (actual, _), count in cells.items() if actual == label),
                predicted=sum(count for (_, predicted), count in cells.items() if predicted == label),
                right=cells.get((label, label), 0),
            )
            for label in labels
        ],
        is_movable=len(by_threshold) > 1,
    )

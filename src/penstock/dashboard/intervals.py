"""95 % confidence intervals of metrics, from counts where the evaluation computed none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.dashboard.parts import WHOLE, label_of, split

# The 97.5 % point of the normal distribution.
Z = 1.959963984540054
_HALF = 0.5


@dataclass(frozen=True)
class Interval:
    """Bounds, and how they came about: `evaluation`, `Wilson` or `Hanley-McNeil`."""

    low: float
    high: float
    method: str


@dataclass(frozen=True)
class Counts:
    """Numbers of examples right and wrong at one threshold; sums of weights where examples have weights."""

    tp: float
    fp: float
    tn: float
    fn: float

    @property
    def positives(self) -> float:
        """Examples whose label is positive."""
        return self.tp + self.fn

    @property
    def negatives(self) -> float:
        """Examples whose label is negative."""
        return self.fp + self.tn

    def without(self, other: Counts) -> Counts:
        """What is left when a part is taken away."""
        return Counts(self.tp - other.tp, self.fp - other.fp, self.tn - other.tn, self.fn - other.fn)


@dataclass(frozen=True)
class Rate:
    """A share of examples: how many of how many."""

    part: float
    whole: float

    @property
    def value(self) -> float | None:
        """The share; None of nothing."""
        return self.part / self.whole if self.whole > 0 else None

    @property
    def interval(self) -> Interval | None:
        """Its Wilson interval."""
        return wilson(self.part, self.whole)


# Shares a threshold gives: what counts as part, and of how many.
RATES = {
    "false_positive_rate": (lambda c: c.fp, lambda c: c.negatives),
    "false_negative_rate": (lambda c: c.fn, lambda c: c.positives),
    "precision": (lambda c: c.tp, lambda c: c.tp + c.fp),
    "recall": (lambda c: c.tp, lambda c: c.positives),
}
_SHARES_OF_ALL = ("binary_accuracy", "accuracy", "sparse_categorical_accuracy", "categorical_accuracy")
_RATE_NAMES = {"fpr": "false_positive_rate", "fnr": "false_negative_rate", "true_positive_rate": "recall"}


def rate(counts: Counts, name: str) -> Rate:
    """One of `RATES`."""
    part, whole = RATES[name]
    return Rate(part(counts), whole(counts))


def counts_at(confusion: Mapping[str, Sequence[float]], threshold: float) -> Counts | None:
    """The counts at the recorded threshold nearest to one; None where none is recorded."""
    thresholds = confusion.get("thresholds") or []
    if not thresholds:
        return None
    index = min(range(len(thresholds)), key=lambda number: abs(thresholds[number] - threshold))
    return Counts(*(float(confusion[key][index]) for key in ("tp", "fp", "tn", "fn")))


def interval(
    metric: str,
    value: float | None,
    examples: float | None,
    recorded: tuple[float, float] | None,
    confusion: Mapping[str, Sequence[float]] | None,
) -> Interval | None:
    """A metric's interval, or None where there is no way to tell.

    Args:
        metric: its name, with output and sub-key or without.
        value: its value.
        examples: the number of examples of the slice.
        recorded: the interval that the evaluation computed.
        confusion: the confusion matrices of what the metric is of, by threshold; see `penstock.summaries.plot_data`.
    """
    if recorded is not None:
        return Interval(*recorded, "evaluation")
    if value is None or not math.isfinite(value):
        return None
    name = base_name(metric)
    if name in _SHARES_OF_ALL and examples and 0 <= value <= 1:
        return wilson(value * examples, examples)
    if confusion is None:
        return None
    counts = counts_at(confusion, _HALF)
    if counts is None:
        return None
    if name in ("precision", "recall", "false_positive_rate", "false_negative_rate"):
        found = rate(counts, name)
        # Another threshold than one half, or weights, and the counts are not those the metric was made of.
        if found.value is not None and abs(found.value - value) < 1e-6:
            return found.interval
        return None
    return hanley_mcneil(value, counts.positives, counts.negatives) if name == "auc" else None


def base_name(metric: str) -> str:
    """A metric's name without output and sub-key."""
    name = split(metric)[1]
    return _RATE_NAMES.get(name, name)


def wilson(part: float, whole: float) -> Interval | None:
    """The score interval of a share (E. B. Wilson, 1927); None of nothing."""
    if whole <= 0:
        return None
    share = part / whole
    middle = (share + Z * Z / (2 * whole)) / (1 + Z * Z / whole)
    half = Z / (1 + Z * Z / whole) * math.sqrt(share * (1 - share) / whole + Z * Z / (4 * whole * whole))
    # At the ends the bounds are exact, which floating point misses by a hair.
    low = 0.0 if part <= 0 else max(0.0, middle - half)
    high = 1.0 if part >= whole else min(1.0, middle + half)
    return Interval(low, high, "Wilson")


def hanley_mcneil(area: float, positives: float, negatives: float) -> Interval | None:
    """The interval of an area under the ROC curve (J. A. Hanley, B. J. McNeil, 1982); None without both labels."""
    if positives <= 0 or negatives <= 0 or not 0 <= area <= 1:
        return None
    one, two = area / (2 - area), 2 * area * area / (1 + area)
    variance = area * (1 - area) + (positives - 1) * (one - area * area) + (negatives - 1) * (two - area * area)
    half = Z * math.sqrt(max(0.0, variance) / (positives * negatives))
    return Interval(max(0.0, area - half), min(1.0, area + half), "Hanley-McNeil")


def differ(first: Rate, second: Rate) -> bool:
    """Whether two shares of different examples differ at the 5 % level (z-test with pooled variance)."""
    if first.value is None or second.value is None:
        return False
    pooled = (first.part + second.part) / (first.whole + second.whole)
    variance = pooled * (1 - pooled) * (1 / first.whole + 1 / second.whole)
    return variance > 0 and abs(first.value - second.value) > Z * math.sqrt(variance)


def confusion_of(entry: Mapping[str, Any] | None, part: str = WHOLE) -> Mapping[str, Sequence[float]] | None:
    """The confusion matrices of a slice's plots, of one part of the model, if it has them."""
    found: Mapping[str, Sequence[float]] | None = (entry or {}).get("plots", {}).get(label_of(part, "confusion"))
    return found

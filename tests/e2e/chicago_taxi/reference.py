"""Metrics of a binary classifier from scores and labels alone, by their definitions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Evaluator sorts scores into 10,000 bins for its curves: two scores nearer than two bins may count as equal.
BIN = 2e-4

METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "example_count": lambda scores, labels: len(labels),
    "binary_accuracy": lambda scores, labels: float(np.mean((scores > 0.5) == labels)),
    "precision": lambda scores, labels: _ratio(np.sum(labels[scores > 0.5]), np.sum(scores > 0.5)),
    "recall": lambda scores, labels: _ratio(np.sum(scores[labels == 1] > 0.5), np.sum(labels)),
    "calibration": lambda scores, labels: _ratio(np.sum(scores), np.sum(labels)),
    "mean_label": lambda scores, labels: float(np.mean(labels)),
    "mean_prediction": lambda scores, labels: float(np.mean(scores)),
}
"""Metric to its value; NaN where it is not defined."""


def area_under_roc(scores: np.ndarray, labels: np.ndarray) -> float:
    """How often a positive example has the higher score of a pair; half of that where both have the same."""
    positive, negative = np.sort(scores[labels == 1]), np.sort(scores[labels == 0])
    if not len(positive) or not len(negative):
        return float("nan")
    lower = np.searchsorted(negative, positive, side="left") + np.searchsorted(negative, positive, side="right")
    return float(np.sum(lower) / 2 / len(positive) / len(negative))


def area_under_precision_recall(scores: np.ndarray, labels: np.ndarray) -> float:
    """With true and false positives growing in proportion between two thresholds: Davis and Goadrich, 2006."""
    if not np.sum(labels):
        return float("nan")
    thresholds = np.unique(scores)[::-1]
    true = np.array([0, *(np.sum(labels[scores >= threshold]) for threshold in thresholds)], np.float64)
    false = np.array([0, *(np.sum(1 - labels[scores >= threshold]) for threshold in thresholds)], np.float64)
    area = 0.0
    for t0, t1, f0, f1 in zip(true[:-1], true[1:], false[:-1], false[1:], strict=True):
        if t1 == t0:
            continue
        # Precision at t true positives is t / (a t + b).
        a = 1 + (f1 - f0) / (t1 - t0)
        b = f0 - (a - 1) * t0
        logarithm = np.log((a * t1 + b) / (a * t0 + b)) if b else 0.0
        area += ((t1 - t0) - b / a * logarithm) / a
    return float(area / np.sum(labels))


CURVES = {"auc": area_under_roc, "auc_precision_recall": area_under_precision_recall}


def bounds(
    area: Callable[[np.ndarray, np.ndarray], float], scores: np.ndarray, labels: np.ndarray
) -> tuple[float, float]:
    """Returns the least and the largest area that scores sorted into bins can have."""
    scores = scores.astype(np.float64)
    shift = BIN / 2 * (2 * labels - 1)
    return area(scores - shift, labels), area(scores + shift, labels)


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else float("nan")

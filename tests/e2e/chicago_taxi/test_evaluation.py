"""Sliced metrics against the same computed from the pushed model's scores with numpy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.e2e.chicago_taxi import reference
from tests.e2e.chicago_taxi.conftest import Observed, Run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

SLICINGS = ((), ("trip_start_hour",), ("payment_type",), ("trip_start_hour", "payment_type"))

Slice = frozenset[tuple[str, str]]


@pytest.fixture(scope="module")
def found(first: Run) -> dict[Slice, dict[str, float | None]]:
    """What `penstock metrics` answers, by slice."""
    [evaluation] = first.taxi.read("metrics", first.run_id)
    return {frozenset(row["slice"].items()): row["metrics"] for row in evaluation["slices"]}


def slices(observed: Observed) -> Iterator[tuple[Slice, np.ndarray, np.ndarray]]:
    """Every slice of the eval split with its scores and labels."""
    raw = observed.group("raw/eval")
    columns = {"trip_start_hour": raw["trip_start_hour"].astype(int).astype(str), "payment_type": raw["payment_type"]}
    scores: np.ndarray = observed.arrays["served_examples"].astype(np.float64)
    labels = observed.group("pushed_features/eval")["big_tip"]
    for features in SLICINGS:
        rows = list(zip(*(columns[feature].tolist() for feature in features), strict=True)) or [()] * len(labels)
        for values in sorted(set(rows)):
            chosen = np.array([row == values for row in rows])
            yield frozenset(zip(features, values, strict=True)), scores[chosen], labels[chosen]


def test_the_overall_example_count_is_the_size_of_the_eval_split(
    first: Run, observed: Observed, found: dict[Slice, dict[str, float | None]]
) -> None:
    size = len(observed.group("raw/eval")["fare"])
    assert found[frozenset()]["example_count"] == size
    assert first.summary("examples", "examples")["splits"]["eval"] == size


def test_there_is_a_slice_for_each_value_and_each_pair_in_the_data(
    observed: Observed, found: dict[Slice, dict[str, float | None]]
) -> None:
    expected = {key for key, _, _ in slices(observed)}
    assert set(found) == expected
    hours = {dict(key)["trip_start_hour"] for key in expected if len(key) == 1 and "trip_start_hour" in dict(key)}
    assert hours == {str(hour) for hour in range(24)}


def test_each_metric_of_each_slice_follows_from_the_scores(
    observed: Observed, found: dict[Slice, dict[str, float | None]]
) -> None:
    for key, scores, labels in slices(observed):
        for metric, definition in reference.METRICS.items():
            expected, value = definition(scores, labels), found[key][metric]
            if np.isnan(expected):
                assert value is None, f"{metric} of {dict(key)}"
            else:
                assert value == pytest.approx(expected, rel=1e-5, abs=1e-6), f"{metric} of {dict(key)}"


def test_the_areas_of_each_slice_follow_from_the_scores(
    observed: Observed, found: dict[Slice, dict[str, float | None]]
) -> None:
    for key, scores, labels in slices(observed):
        for metric, area in reference.CURVES.items():
            value = found[key][metric]
            low, high = reference.bounds(area, scores, labels)
            if np.isnan(low):
                assert not value, f"{metric} of {dict(key)}"  # Evaluator writes 0 for an area that is not defined
            else:
                assert value is not None, f"{metric} of {dict(key)}"
                assert low - 1e-6 <= value <= high + 1e-6, f"{metric} of {dict(key)}: {low} {value} {high}"
    for area in reference.CURVES.values():
        low, high = reference.bounds(
            area, observed.arrays["offline"], observed.group("pushed_features/eval")["big_tip"]
        )
        assert high - low < 0.01, "the bounds are too wide to tell anything"


def test_metrics_by_one_feature_are_what_was_asked_for(first: Run) -> None:
    [evaluation] = first.taxi.read("metrics", first.run_id, "--slice", "trip_start_hour")
    features = [tuple(row["slice"]) for row in evaluation["slices"]]
    assert features == [(), *[("trip_start_hour",)] * 24]

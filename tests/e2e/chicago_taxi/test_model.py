"""The trained model, and the pushed one away from everything it was made with."""

from __future__ import annotations

import numpy as np
import pytest

from tests.e2e.chicago_taxi.conftest import Observed, Run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

RAW = {
    "company": "string",
    "payment_type": "string",
    "fare": "float32",
    "trip_miles": "float32",
    "pickup_latitude": "float32",
    "pickup_longitude": "float32",
    "dropoff_latitude": "float32",
    "dropoff_longitude": "float32",
    "trip_seconds": "int64",
    "trip_start_hour": "int64",
    "trip_start_day": "int64",
    "trip_start_month": "int64",
    "pickup_community_area": "int64",
    "dropoff_community_area": "int64",
}


def test_the_trainer_reads_the_transformed_examples_and_the_graph(first: Run) -> None:
    for output in ("transformed_examples", "transform_graph"):
        consumers = first.artifact("transform", output)["consumers"]
        assert first.run_id in {use["run"] for use in consumers if use["node"] == "trainer"}
    raw = first.artifact("examples", "examples")["consumers"]
    assert "trainer" not in {use["node"] for use in raw if use["run"] == first.run_id}


def test_the_model_is_wide_and_deep(observed: Observed) -> None:
    shapes = [tuple(shape) for shape in observed.facts["variables"]]
    ids = {name: values for name, values in observed.group("pushed_features/train").items() if values.dtype == np.int64}
    del ids["big_tip"]
    wide = [rows for rows, *rest in (shape for shape in shapes if len(shape) == 2) if rest == [1]]
    deep = [rows for rows, *rest in (shape for shape in shapes if len(shape) == 2) if rest == [4]]
    for name, values in ids.items():
        assert any(rows > values.max() for rows in wide), name
        assert any(rows > values.max() for rows in deep), name
    # Each id has a weight of its own and an embedding; the embeddings and three numbers enter the first dense layer.
    assert (4 * len(ids) + 3, 64) in shapes and (64, 32) in shapes and (32, 1) in shapes


def test_training_beats_a_constant_answer(observed: Observed) -> None:
    labels, scores = observed.group("pushed_features/eval")["big_tip"], observed.arrays["offline"]
    rate = labels.mean()
    constant = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    loss = -np.mean(np.log(np.where(labels == 1, scores, 1 - scores).clip(1e-7)))
    assert loss < 0.75 * constant


def test_there_is_a_signature_for_each_kind_of_caller(first: Run, observed: Observed) -> None:
    signatures = observed.facts["signatures"]
    assert signatures["serving_default"] == {"inputs": {"examples": "string"}, "outputs": {"probability": "float32"}}
    assert signatures["raw"] == {"inputs": RAW, "outputs": {"probability": "float32"}}
    assert signatures["transform_features"]["inputs"] == {"examples": "string"}
    assert signatures["transform_features"]["outputs"]["big_tip"] == "int64"
    assert set(first.summary("trainer", "model")["signatures"]) == set(signatures)


def test_evaluation_reaches_the_label_and_serving_does_not_need_it(observed: Observed) -> None:
    labels = observed.group("pushed_features/eval")["big_tip"]
    assert set(labels.tolist()) == {0, 1}
    # These scores are of examples without tips, from which the label is derived.
    scores = observed.arrays["served_examples"]
    assert len(scores) == len(labels) and ((scores > 0) & (scores < 1)).all()
    assert scores[labels == 1].mean() > scores[labels == 0].mean() + 0.3


def test_served_scores_equal_offline_scores(observed: Observed) -> None:
    served, offline = observed.arrays["served_raw"], observed.arrays["offline"]
    assert len(served) == 1_000
    np.testing.assert_allclose(served, offline[: len(served)], atol=1e-6)
    np.testing.assert_allclose(observed.arrays["served_examples"], offline, atol=1e-6)


def test_a_row_alone_gets_the_score_it_gets_among_others(observed: Observed) -> None:
    alone = observed.arrays["served_one_by_one"]
    np.testing.assert_allclose(alone, observed.arrays["served_raw"][: len(alone)], atol=1e-6)


def test_the_model_folder_and_tensorflow_suffice(observed: Observed) -> None:
    # The scores come from a process that had a copy of the pushed folder, raw values, and none of these.
    modules = set(observed.facts["modules"])
    assert "tensorflow" in modules
    assert not modules & {"chicago_taxi", "penstock", "tfx", "tensorflow_transform", "tfx_bsl", "apache_beam"}

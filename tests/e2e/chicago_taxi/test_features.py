"""What Transform makes of the raw columns, held against numpy."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from tests.e2e.chicago_taxi.conftest import Observed, Run
from tests.e2e.chicago_taxi.table import sorted_rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

SPLITS = ("train", "eval")
Z_SCORED = ("fare", "trip_miles", "trip_seconds")
BUCKETED = ("pickup_latitude", "pickup_longitude", "dropoff_latitude", "dropoff_longitude")
BATCH = 64


def test_the_label_is_derived_in_transform(observed: Observed) -> None:
    for split in SPLITS:
        raw = observed.group(f"raw/{split}")
        assert "big_tip" not in raw
        cents = (
            (Fraction(f"{tip:.2f}"), Fraction(f"{fare:.2f}"))
            for tip, fare in zip(raw["tips"], raw["fare"], strict=True)
        )
        expected = [tip > fare / 5 for tip, fare in cents]
        assert 0.1 < np.mean(expected) < 0.5
        np.testing.assert_array_equal(observed.group(f"pushed_features/{split}")["big_tip"], expected)


def test_transform_writes_what_its_graph_computes(observed: Observed) -> None:
    for split in SPLITS:
        written, computed = observed.group(f"transformed/{split}"), observed.group(f"pushed_features/{split}")
        assert written.keys() == computed.keys()
        assert not written.keys() & observed.group(f"raw/{split}").keys()
        names = sorted(written)
        np.testing.assert_array_equal(sorted_rows(written, names), sorted_rows(computed, names))


def test_z_scores_use_mean_and_deviation_of_the_whole_split(observed: Observed) -> None:
    train = observed.group("raw/train")
    for column in Z_SCORED:
        mean, deviation = np.nanmean(train[column]), np.nanstd(train[column])
        for split in SPLITS:
            values = observed.group(f"raw/{split}")[column]
            expected = np.nan_to_num((values - mean) / deviation, nan=0.0)
            found = observed.group(f"pushed_features/{split}")[f"{column}_z"]
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_the_mean_of_a_batch_would_give_other_z_scores(observed: Observed) -> None:
    train, found = observed.group("raw/train"), observed.group("pushed_features/train")
    for column in Z_SCORED:
        batches = train[column][: len(train[column]) // BATCH * BATCH].reshape(-1, BATCH)
        means, deviations = np.nanmean(batches, axis=1, keepdims=True), np.nanstd(batches, axis=1, keepdims=True)
        by_batch = np.nan_to_num((batches - means) / deviations, nan=0.0).ravel()
        assert np.abs(by_batch - found[f"{column}_z"][: by_batch.size]).mean() > 0.01


def test_vocabularies_are_text_files_of_the_commonest_words(first: Run, observed: Observed) -> None:
    graph = first.folder("transform", "transform_graph")
    summary = {asset["name"]: asset["lines"] for asset in first.summary("transform", "transform_graph")["assets"]}
    for column, size in {"payment_type": 10, "company": 20}.items():
        words = (graph / "transform_fn" / "assets" / column).read_text().splitlines()
        counts = Counter(word for word in observed.group("raw/train")[column].tolist() if word)
        assert len(words) == len(set(words)) == min(size, len(counts)) == summary[column]
        assert [counts[word] for word in words] == sorted(counts.values(), reverse=True)[:size]
        places = {word: place for place, word in enumerate(words)}
        expected = [places.get(word, len(words)) for word in observed.group("raw/eval")[column].tolist()]
        np.testing.assert_array_equal(observed.group("pushed_features/eval")[f"{column}_id"], expected)


def test_bucket_boundaries_can_be_read_and_are_the_deciles(first: Run, observed: Observed) -> None:
    shown = first.summary("transform", "transform_graph")["buckets"]
    boundaries = {bucket["name"]: np.array(bucket["boundaries"]) for bucket in shown}
    assert set(boundaries) == set(BUCKETED)
    for column, found in boundaries.items():
        values = observed.group("raw/train")[column]
        present = np.sort(values[~np.isnan(values)])
        assert len(found) == 9 and (np.diff(found) > 0).all()
        below = np.searchsorted(present, found, side="left") / len(present)
        up_to = np.searchsorted(present, found, side="right") / len(present)
        deciles = np.arange(1, 10) / 10
        assert (below - 0.02 <= deciles).all() and (deciles <= up_to + 0.02).all()
        for split in SPLITS:
            values = observed.group(f"raw/{split}")[column]
            expected = np.where(np.isnan(values), 10, np.searchsorted(found, values, side="right"))
            np.testing.assert_array_equal(observed.group(f"pushed_features/{split}")[f"{column}_bucket"], expected)


def test_boundaries_and_vocabularies_are_told_by_artifacts_show(first: Run) -> None:
    taxi = first.taxi
    identifier = first.artifact("transform", "transform_graph")["artifact_id"]
    shown = taxi.penstock("artifacts", "show", str(identifier), "--store", taxi.store).stdout
    for name in ("payment_type", *BUCKETED):
        assert name in shown


def test_without_materialization_transform_writes_its_graph_only(unmaterialized: Run) -> None:
    states = unmaterialized.states()
    assert (states["transform"], states["trainer"]) == ("succeeded", "succeeded")
    producers = [artifact["producer"] for artifact in unmaterialized.artifacts]
    made = {producer["key"] for producer in producers if producer["node"] == "transform"}
    assert "transform_graph" in made and "transformed_examples" not in made


def test_without_materialization_features_and_model_are_the_same(observed: Observed) -> None:
    for split in SPLITS:
        features = observed.group(f"pushed_features/{split}")
        others = observed.group(f"unmaterialized_features/{split}")
        assert features.keys() == others.keys()
        for name in features:
            np.testing.assert_array_equal(features[name], others[name], name)
    # The same features in the same order train the same network, up to rounding.
    np.testing.assert_allclose(observed.arrays["unmaterialized"], observed.arrays["offline"], atol=0.02)

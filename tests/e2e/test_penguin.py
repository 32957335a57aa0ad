"""The penguin pipeline: three species, and birds of which something was not measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import REPOSITORY, Penstock, Result

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

BIRDS = 344
SPECIES = ("Adelie", "Chinstrap", "Gentoo")
SECONDS = 900


@dataclass(frozen=True)
class Penguin:
    """A run that has ended, and what its pushed model says of each bird; see `penguin_scores.py`."""

    penstock: Penstock
    store: Path
    push_folder: Path
    result: Result

    def read(self, *arguments: str) -> Any:
        result = self.penstock(*arguments, "--store", self.store, "--json", timeout=60)
        assert result.status == 0, result.stderr
        return result.json

    def artifact(self, node: str, output: str) -> Any:
        for artifact in self.read("artifacts", "list", "--run", "latest", "--limit", "100"):
            if (artifact["producer"]["node"], artifact["producer"]["key"]) == (node, output):
                return self.read("artifacts", "show", str(artifact["artifact_id"]))
        raise LookupError(f"{node} has no output {output}")


@pytest.fixture(scope="module")
def penguin(penstock: Penstock, tmp_path_factory: pytest.TempPathFactory) -> Penguin:
    folder = tmp_path_factory.mktemp("penguin")
    store, push_folder = folder / "store", folder / "pushed"
    pipeline = REPOSITORY / "pipelines" / "penguin"
    result = penstock("run", pipeline, "--store", store, "-p", f"push_to={push_folder}", timeout=SECONDS)
    assert result.status == 0, result.stderr[-8000:]
    return Penguin(penstock, store, push_folder, result)


@pytest.fixture(scope="module")
def said(penguin: Penguin) -> Any:
    script = Path(__file__).with_name("penguin_scores.py")
    examples = penguin.artifact("examples", "examples")["uri"]
    [model] = penguin.push_folder.iterdir()
    done = subprocess.run(
        [sys.executable, "-I", script, model, examples],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr[-8000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def slices(penguin: Penguin) -> dict[frozenset[tuple[str, str]], dict[str, float | None]]:
    """What `penstock metrics` answers, by slice."""
    [evaluation] = penguin.read("metrics", "latest")
    return {frozenset(row["slice"].items()): row["metrics"] for row in evaluation["slices"]}


def test_it_runs_green_and_pushes_a_blessed_model(penguin: Penguin) -> None:
    record = penguin.read("runs", "show", "latest")
    assert record["state"] == "succeeded" and record["blessed"] is True
    assert {node["state"] for node in record["nodes"]} == {"succeeded"}
    assert Path(record["pushed_to"]).parent == penguin.push_folder
    assert (Path(record["pushed_to"]) / "saved_model.pb").is_file()
    assert "Blessed" in penguin.result.stderr


def test_every_bird_is_in_one_split(penguin: Penguin, said: Any) -> None:
    splits = penguin.artifact("examples", "examples")["summary"]["content"]["splits"]
    assert sum(splits.values()) == BIRDS
    assert splits == {split: len(answers["birds"]) for split, answers in said.items()}


def test_each_metric_of_each_slice_follows_from_the_models_answers(
    said: Any, slices: dict[frozenset[tuple[str, str]], dict[str, float | None]]
) -> None:
    birds = said["eval"]["birds"]
    probabilities = np.array(said["eval"]["offline"]["probabilities"])
    labels = np.array([SPECIES.index(bird["species"]) for bird in birds])
    expected = {frozenset[tuple[str, str]](): np.full(len(labels), True)}
    for feature in ("island", "sex"):
        values = np.array([bird[feature] for bird in birds])
        expected |= {frozenset({(feature, value)}): values == value for value in sorted(set(values.tolist()))}
    assert set(slices) == set(expected)
    assert {next(iter(key)) for key in expected if key} >= {("island", "Biscoe"), ("sex", "male"), ("sex", "NA")}

    for key, chosen in expected.items():
        found, truth, scores = slices[key], labels[chosen], probabilities[chosen]
        assert found["example_count"] == len(truth)
        assert found["sparse_categorical_accuracy"] == pytest.approx(np.mean(scores.argmax(1) == truth))
        entropy = -np.log(scores[np.arange(len(truth)), truth].clip(1e-7, 1)).mean()
        assert found["sparse_categorical_crossentropy"] == pytest.approx(entropy, rel=1e-3, abs=1e-6)
        for species in range(len(SPECIES)):
            called, is_it = scores[:, species] > 0.5, truth == species
            for metric, base in (("precision", called), ("recall", is_it)):
                value = found[f"{metric}/classId:{species}"]
                if base.any():
                    assert value == pytest.approx(np.sum(called & is_it) / np.sum(base)), (key, metric, species)
                else:
                    assert value is None, (key, metric, species)


def test_birds_of_which_something_was_not_measured_still_get_an_answer(said: Any) -> None:
    for answers in said.values():
        unmeasured = [n for n, bird in enumerate(answers["birds"]) if "NA" in bird.values()]
        assert unmeasured, "the split has no bird with a missing value"
        probabilities = np.array(answers["offline"]["probabilities"])[unmeasured]
        assert np.isfinite(probabilities).all()
        np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
        assert {answers["offline"]["species"][n] for n in unmeasured} <= set(SPECIES)


def test_z_scores_leave_missing_numbers_out_and_put_the_mean_in_their_place(said: Any) -> None:
    for column in ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"):
        train = np.array([float(bird[column].replace("NA", "nan") or "nan") for bird in said["train"]["birds"]])
        assert np.isnan(train).any(), "no bird of the split misses the number"
        expected = np.nan_to_num((train - np.nanmean(train)) / np.nanstd(train), nan=0.0)
        np.testing.assert_allclose(said["train"]["features"][f"{column}_z"], expected, rtol=1e-5, atol=1e-5)


def test_raw_values_get_the_answer_of_their_example(said: Any) -> None:
    for answers in said.values():
        served, offline = answers["served"], answers["offline"]
        np.testing.assert_allclose(served["probabilities"], offline["probabilities"], atol=1e-6)
        assert served["species"] == offline["species"]


def test_the_metrics_by_island_are_a_table_of_islands(penguin: Penguin) -> None:
    shown = penguin.penstock("metrics", "latest", "--slice", "island", "--store", penguin.store, timeout=60)
    assert shown.status == 0
    heads, *rows = shown.stdout.splitlines()
    assert "sparse_categorical_accuracy" in heads and "recall/classId:2" in heads
    assert [row.split()[0] for row in rows] == ["Overall", "island=Biscoe", "island=Dream", "island=Torgersen"]

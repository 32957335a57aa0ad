"""What the run finds in the data: every row once, its statistics, its schema, and what is wrong with it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.chicago_taxi.conftest import Observed, Run
from tests.e2e.chicago_taxi.table import sorted_rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

ROWS = 15_002

CHECK = """\
penstock: 1
name: check-trips
parameters:
  data: {type: path}
  schema: {type: str}
nodes:
  examples:
    component: CsvExampleGen
    input_base: ${parameters.data}
  statistics:
    component: StatisticsGen
    examples: ${nodes.examples.examples}
  schema:
    component: Importer
    source_uri: ${parameters.schema}
    artifact_type: Schema
  example_validator:
    component: ExampleValidator
    statistics: ${nodes.statistics.statistics}
    schema: ${nodes.schema.result}
environments:
  local: {backend: local, runner: direct}
"""


@pytest.fixture(scope="module")
def check_trips(first: Run, data_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that holds damaged trips against the first run's schema."""
    folder = tmp_path_factory.mktemp("damaged")
    with data_file.open(newline="", encoding="utf-8") as lines:
        every = list(csv.DictReader(lines))
    # One row alone has a pickup_census_tract; without it the column has no type.
    rows = every[:2_000] + [row for row in every[2_000:] if row["pickup_census_tract"]]
    for row in rows[::20]:
        row["payment_type"] = "Barter"
    rows[7]["trip_start_hour"] = "noon"
    (folder / "data").mkdir()
    with (folder / "data" / "trips.csv").open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (folder / "pipeline.yaml").write_text(CHECK)
    schema = first.artifact("schema", "schema")["uri"]
    return first.taxi.run(folder / "pipeline.yaml", "-p", f"data={folder / 'data'}", "-p", f"schema={schema}")


def test_train_and_eval_hold_every_row_of_the_csv_once(observed: Observed, trips: dict[str, np.ndarray]) -> None:
    train, evaluation = observed.group("raw/train"), observed.group("raw/eval")
    assert len(train["fare"]) + len(evaluation["fare"]) == len(trips["fare"]) == ROWS
    numbers = [name for name, values in trips.items() if values.dtype.kind == "f" and name in train]
    both = {name: np.concatenate([train[name], evaluation[name]]) for name in numbers}
    # Examples hold single precision.
    expected = sorted_rows(trips, numbers, np.float32)
    np.testing.assert_array_equal(sorted_rows(both, numbers, np.float32), expected)
    for name in ("payment_type", "company"):
        np.testing.assert_array_equal(np.sort(np.concatenate([train[name], evaluation[name]])), np.sort(trips[name]))
    assert 0.6 < len(train["fare"]) / ROWS < 0.73  # two hash buckets of three


def test_the_run_reports_the_sizes_of_both_splits(first: Run, observed: Observed) -> None:
    sizes = {split: len(observed.group(f"raw/{split}")["fare"]) for split in ("train", "eval")}
    assert first.summary("examples", "examples")["splits"] == sizes
    [node] = [node for node in first.record["nodes"] if node["node_id"] == "examples"]
    assert node["detail"] == {"examples": ROWS}


def test_statistics_equal_numpys(first: Run, observed: Observed) -> None:
    for split, found in first.summary("statistics", "statistics")["splits"].items():
        raw = observed.group(f"raw/{split}")
        assert found["examples"] == len(raw["fare"])
        features = {feature["name"]: feature for feature in found["features"]}
        for name in ("fare", "trip_miles", "trip_seconds", "pickup_latitude"):
            values = raw[name]
            assert features[name]["missing"] == np.isnan(values).sum()
            assert features[name]["mean"] == pytest.approx(np.nanmean(values), rel=1e-6)
            assert features[name]["deviation"] == pytest.approx(np.nanstd(values), rel=1e-6)
            assert features[name]["maximum"] == np.nanmax(values)
        assert features["payment_type"]["distinct"] == len(np.unique(raw["payment_type"]))


def test_the_schema_names_every_column_its_type_and_its_words(
    first: Run, observed: Observed, trips: dict[str, np.ndarray]
) -> None:
    features = {feature["name"]: feature for feature in first.summary("schema", "schema")["features"]}
    assert set(features) == set(trips)
    types = {name: feature["type"] for name, feature in features.items()}
    assert {types[name] for name in ("fare", "tips", "pickup_latitude")} == {"FLOAT"}
    assert {types[name] for name in ("trip_seconds", "trip_start_hour")} == {"INT"}
    never_missing = {name for name, values in trips.items() if (values != "").all() and not (values != values).any()}
    assert {name for name, feature in features.items() if feature["required"]} == never_missing
    words = set(observed.group("raw/train")["payment_type"]) | set(observed.group("raw/eval")["payment_type"])
    assert set(features["payment_type"]["domain"]) == words


def test_the_data_has_no_anomalies_against_its_own_schema(first: Run) -> None:
    assert first.summary("example_validator", "anomalies") == {"count": 0, "anomalies": []}


def test_a_new_category_and_a_wrong_type_are_found(check_trips: Run) -> None:
    found: list[dict[str, Any]] = check_trips.summary("example_validator", "anomalies")["anomalies"]
    by_feature: dict[str, str] = {}
    for anomaly in found:
        assert anomaly["severity"] == "ERROR"
        by_feature[anomaly["feature"]] = f"{by_feature.get(anomaly['feature'], '')}{anomaly['description']}"
    assert set(by_feature) == {"payment_type", "trip_start_hour"}
    assert "Barter" in by_feature["payment_type"]
    assert "STRING" in by_feature["trip_start_hour"] or "BYTES" in by_feature["trip_start_hour"]


def test_anomalies_are_told_at_the_end_of_the_run(check_trips: Run) -> None:
    told = check_trips.result.stderr
    [line] = [line for line in told.splitlines() if "example_validator" in line and "succeeded" in line]
    assert "anomalies" in line and "no anomalies" not in line
    [line] = [line for line in told.splitlines() if "payment_type" in line]
    assert "Barter" in line and "(train, eval)" in line
    assert any(line.startswith("  trip_start_hour (train, eval):") for line in told.splitlines())


def test_anomalies_are_told_by_artifacts_show(check_trips: Run) -> None:
    taxi = check_trips.taxi
    identifier = check_trips.artifact("example_validator", "anomalies")["artifact_id"]
    shown = taxi.penstock("artifacts", "show", str(identifier), "--store", taxi.store).stdout
    assert "payment_type" in shown and "Barter" in shown and "trip_start_hour" in shown

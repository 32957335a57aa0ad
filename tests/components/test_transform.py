"""Transform as Penstock's workers run it makes what TFX's makes: examples, graph, statistics, schemas, cache."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from google.protobuf import json_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from tests.components.ingestion_helpers import TAXI
from tests.conftest import REPOSITORY

ROWS = 4_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What both made of the same rows."""
    made = tmp_path_factory.mktemp("transform")
    (made / "rows.csv").write_bytes(b"".join(TAXI.read_bytes().splitlines(keepends=True)[: ROWS + 1]))
    paths = [REPOSITORY / name for name in ("src", "components", "pipelines", ".")]
    done = subprocess.run(
        [sys.executable, "-m", "tests.components.transform_runs", str(made)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-8000:]
    return made


def both(folder: Path, pattern: str, ours_in: str = "penstock") -> tuple[list[Path], list[Path]]:
    """The files of TFX and of Penstock, of the same names."""
    who = ("tfx", ours_in)
    theirs, ours = (sorted(path for path in (folder / each).glob(pattern) if path.is_file()) for each in who)
    assert [path.relative_to(folder / who[0]) for path in theirs] == [
        path.relative_to(folder / who[1]) for path in ours
    ]
    assert theirs
    return theirs, ours


OURS = ["penstock", "penstock-cached"]


@pytest.mark.parametrize("ours_in", OURS)
def test_the_same_examples_in_the_same_order(folder: Path, ours_in: str) -> None:
    count = 0
    for theirs, ours in zip(*both(folder, "transformed_examples/*/*.gz", ours_in), strict=True):
        pairs = [list(tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator()) for path in (theirs, ours)]
        assert len(pairs[0]) == len(pairs[1])
        count += len(pairs[0])
        for their_record, our_record in zip(*pairs, strict=True):
            expected, found = map(tf.train.Example.FromString, (their_record, our_record))
            assert expected.features.feature.keys() == found.features.feature.keys()
            for name, feature in expected.features.feature.items():
                kind = feature.WhichOneof("kind")
                assert kind == found.features.feature[name].WhichOneof("kind")
                values = [list(getattr(each.features.feature[name], kind).value) for each in (expected, found)]
                if kind == "float_list":
                    np.testing.assert_allclose(values[1], values[0], rtol=1e-6, atol=1e-6)
                else:
                    assert values[1] == values[0], name
    assert count == ROWS


@pytest.mark.parametrize("ours_in", OURS)
def test_the_same_graph(folder: Path, ours_in: str) -> None:
    theirs, ours = (tft.TFTransformOutput(str(folder / who / "transform_graph")) for who in ("tfx", ours_in))
    assert ours.transformed_metadata.schema == theirs.transformed_metadata.schema
    assert ours.raw_metadata.schema == theirs.raw_metadata.schema
    for name in ("company", "payment_type"):
        assert ours.vocabulary_by_name(name) == theirs.vocabulary_by_name(name)
    examples = sorted((folder / "examples/Split-eval").iterdir())
    records = next(iter(tf.data.TFRecordDataset(list(map(str, examples)), "GZIP").batch(500)))
    features = tf.io.parse_example(records, theirs.raw_feature_spec())
    expected, found = (dict(each.transform_features_layer()(dict(features))) for each in (theirs, ours))
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name].numpy(), values.numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("which", ["pre_transform_stats", "post_transform_stats"])
def test_the_same_statistics(folder: Path, which: str) -> None:
    [theirs], [ours] = both(folder, f"{which}/*.pb")
    expected, found = (
        statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes()) for path in (theirs, ours)
    )
    assert_close(message(found), message(expected))


@pytest.mark.parametrize("which", ["pre_transform_schema", "post_transform_schema"])
def test_the_same_schemas(folder: Path, which: str) -> None:
    [theirs], [ours] = both(folder, f"{which}/*")
    assert ours.read_bytes() == theirs.read_bytes()


def test_the_same_anomalies(folder: Path) -> None:
    [theirs], [ours] = both(folder, "post_transform_anomalies/*")
    expected, found = (anomalies_pb2.Anomalies.FromString(path.read_bytes()) for path in (theirs, ours))
    assert found.anomaly_info == expected.anomaly_info and found.baseline == expected.baseline


def test_the_same_entries_in_the_analyzer_cache(folder: Path) -> None:
    for theirs, ours in zip(*both(folder, "updated_analyzer_cache/**/*"), strict=True):
        contents = [
            gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in (theirs, ours)
        ]
        assert bool(contents[0]) == bool(contents[1])


def message(statistics: statistics_pb2.DatasetFeatureStatisticsList) -> dict[str, Any]:
    """Statistics as nested dictionaries, the features by name."""
    [dataset] = json_format.MessageToDict(statistics)["datasets"]
    return {**dataset, "features": {feature["path"]["step"][0]: feature for feature in dataset["features"]}}


def assert_close(found: Any, expected: Any, place: str = "") -> None:
    """Fails where two nested structures differ by more than the order of adding floats explains."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), place
        for key, value in expected.items():
            assert_close(found[key], value, f"{place}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), place
        for index, value in enumerate(expected):
            assert_close(found[index], value, f"{place}/{index}")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9), place
    else:
        assert found == expected, place

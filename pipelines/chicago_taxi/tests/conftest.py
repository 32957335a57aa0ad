"""What the tests of this pipeline share: its data, what Transform makes of it, and an exported model."""

from __future__ import annotations

import csv
import gc
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

TESTS = Path(__file__).resolve().parent
PACKAGE = "chicago_taxi"
ROWS = 2_000

sys.path.insert(0, str(next(folder for folder in TESTS.parents if (folder / PACKAGE / "__init__.py").is_file())))


@dataclass(frozen=True)
class Analyzed:
    """The first rows of the data and what Transform made of them.

    Attributes:
        columns: raw column to its values in the rows' order, None where the cell is empty.
        examples: the rows as serialized `tf.Example`s.
        transformed: transformed feature to its values in the rows' order.
        transform: the `TFTransformOutput`.
    """

    columns: dict[str, list[Any]]
    examples: list[bytes]
    transformed: dict[str, np.ndarray]
    transform: Any


@pytest.fixture(scope="session")
def data_file() -> Path:
    """The CSV file in the folder that the declaration's parameter `data` names."""
    declaration = yaml.safe_load((TESTS.parent / "pipeline.yaml").read_text(encoding="utf-8"))
    folder = declaration["parameters"]["data"]["default"]
    if folder.startswith("package://"):
        package, _, rest = folder.removeprefix("package://").partition("/")
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.submodule_search_locations, f"the package {package} is not installed"
        root = Path(spec.submodule_search_locations[0]) / rest
    else:
        root = TESTS.parent / Path(folder).expanduser()
    files = sorted(root.glob("*.csv"))
    assert files, f"no *.csv in {root}"
    return files[0]


@pytest.fixture(scope="session")
def columns(data_file: Path) -> dict[str, list[Any]]:
    """The first rows by column; a column is of whole numbers, of numbers or of text, as CsvExampleGen takes it."""
    with data_file.open(newline="", encoding="utf-8") as file:
        rows = [row for row, _ in zip(csv.DictReader(file), range(ROWS), strict=False)]
    return {column: _typed([row[column] for row in rows]) for column in rows[0]}


@pytest.fixture(scope="session")
def analyzed(columns: dict[str, list[Any]], tmp_path_factory: pytest.TempPathFactory) -> Analyzed:
    import apache_beam as beam
    import tensorflow as tf
    import tensorflow_transform as tft
    import tensorflow_transform.beam as tft_beam
    from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io, schema_utils

    from chicago_taxi.features import preprocessing_fn

    kinds = {int: tf.int64, float: tf.float32, str: tf.string}
    spec = {
        column: tf.io.VarLenFeature(kinds[next((type(value) for value in values if value is not None), str)])
        for column, values in columns.items()
    }
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    rows = [
        {column: [] if value is None else [value] for column, value in zip(columns, values, strict=True)}
        for values in zip(*columns.values(), strict=True)
    ]
    folder = tmp_path_factory.mktemp("transform")
    options = beam.pipeline.PipelineOptions(["--direct_running_mode=in_memory", "--direct_num_workers=1"])
    with beam.Pipeline(options=options) as pipeline, tft_beam.Context(temp_dir=str(folder / "temporary")):
        graph = (pipeline | beam.Create(rows), metadata) | tft_beam.AnalyzeDataset(preprocessing_fn)
        graph | tft_beam.WriteTransformFn(str(folder / "graph"))
    # Beam's pipelines refer to themselves; what they hold of protobuf must not outlive it, or Python crashes at exit.
    del graph, pipeline
    gc.collect()
    metadata_io.write_metadata(metadata, str(folder / "graph" / tft.TFTransformOutput.RAW_METADATA_DIR))

    examples = [_example(row) for row in rows]
    transform = tft.TFTransformOutput(str(folder / "graph"))
    raw = tf.io.parse_example(tf.constant(examples), transform.raw_feature_spec())
    transformed = {name: values.numpy() for name, values in transform.transform_features_layer()(raw).items()}
    return Analyzed(columns, examples, transformed, transform)


@pytest.fixture(scope="session")
def exported(analyzed: Analyzed, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The model after one batch of training, exported and loaded again."""
    import tensorflow as tf

    from chicago_taxi.features import LABEL
    from chicago_taxi.model import DEFAULTS, build_model, category_sizes
    from chicago_taxi.serving import ServingModel

    network = build_model(category_sizes(analyzed.transform), DEFAULTS)
    network.train_on_batch(
        {name: analyzed.transformed[name][:64] for name in network.input}, analyzed.transformed[LABEL][:64]
    )
    folder = str(tmp_path_factory.mktemp("export"))
    serving = ServingModel(network, analyzed.transform)
    tf.saved_model.save(serving, folder, signatures=serving.signatures())
    return tf.saved_model.load(folder)


def _typed(cells: list[str]) -> list[Any]:
    for kind in (int, float):
        try:
            return [kind(cell) if cell else None for cell in cells]
        except ValueError:
            continue
    return [cell or None for cell in cells]


def _example(row: dict[str, list[Any]]) -> bytes:
    import tensorflow as tf

    example = tf.train.Example()
    for column, values in row.items():
        for value in values:
            feature = example.features.feature[column]
            if isinstance(value, str):
                feature.bytes_list.value.append(value.encode())
            elif isinstance(value, int):
                feature.int64_list.value.append(value)
            else:
                feature.float_list.value.append(value)
    return example.SerializeToString()

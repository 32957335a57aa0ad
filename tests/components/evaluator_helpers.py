"""Runs one evaluation twice, with TFMA and on vectors, and compares every value the two write."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_model_analysis as tfma
from apache_beam.options.pipeline_options import PipelineOptions
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.writers import metrics_plots_and_validations_writer as writer
from tfx_bsl.tfxio import tensor_adapter, tf_example_record

from penstock_components.arrow_evaluator.pipeline import Evaluation, evaluate

IN_MEMORY = ["--runner=DirectRunner", "--direct_running_mode=in_memory"]
FOUR_THREADS = ["--runner=DirectRunner", "--direct_running_mode=multi_threading", "--direct_num_workers=4"]

Models = Mapping[str, tfma.types.EvalSharedModel]


def example(**features: Any) -> bytes:
    """Returns a serialized example; None and empty lists are missing features."""
    found: dict[str, tf.train.Feature] = {}
    for name, value in features.items():
        values = [] if value is None else list(value) if isinstance(value, list | tuple | np.ndarray) else [value]
        if not values:
            continue
        if isinstance(values[0], str):
            texts = tf.train.BytesList(value=[text.encode() for text in values])
            found[name] = tf.train.Feature(bytes_list=texts)
        elif isinstance(values[0], int | np.integer):
            found[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        else:
            found[name] = tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Example(features=tf.train.Features(feature=found)).SerializeToString()


def write(folder: Path, rows: Sequence[bytes], cuts: Sequence[int] = ()) -> list[str]:
    """Writes rows to one file, or to several that begin at `cuts`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    edges = [0, *sorted(cuts), len(rows)]
    paths = []
    for number, (start, end) in enumerate(itertools.pairwise(edges)):
        path = str(folder / f"data_tfrecord-{number:05d}-of-{len(edges) - 1:05d}.gz")
        with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions(compression_type="GZIP")) as file:
            for row in rows[start:end]:
                file.write(row)
        paths.append(path)
    return paths


def config(**fields: Any) -> tfma.EvalConfig:
    """Returns an EvalConfig from its fields as in JSON; a metric is a class name, or a pair with its settings."""
    for spec in fields.get("metrics_specs", ()):
        spec["metrics"] = [_metric(metric) for metric in spec["metrics"]]
    result = json_format.ParseDict(fields, tfma.EvalConfig())
    baseline = any(spec.is_baseline for spec in result.model_specs)
    return tfma.utils.update_eval_config_with_defaults(result, has_baseline=baseline, rubber_stamp=True)


def _metric(metric: Any) -> dict[str, Any]:
    if isinstance(metric, str):
        return {"class_name": metric}
    name, settings, *more = metric
    return {"class_name": name, "config": json.dumps(settings), **(more[0] if more else {})}


def by_tfma(
    files: Sequence[str],
    eval_config: tfma.EvalConfig,
    output: Path,
    models: Models | None = None,
    schema: schema_pb2.Schema | None = None,
) -> str:
    """Evaluates with TFMA's own pipeline, as TFX's Evaluator calls it; returns the folder of results."""
    source = tf_example_record.TFExampleRecord(
        list(files), ["test"], schema=schema, raw_record_column_name=tfma.constants.ARROW_INPUT_COLUMN
    )
    adapter = None
    if schema is not None:
        adapter = tensor_adapter.TensorAdapterConfig(source.ArrowSchema(), source.TensorRepresentations())
    shared = list((models or {}).values())
    with beam.Pipeline(options=PipelineOptions(IN_MEMORY)) as pipeline:
        _ = (
            pipeline
            | source.BeamSource()
            | tfma.ExtractEvaluateAndWriteResults(
                eval_shared_model=shared[0] if len(shared) == 1 else shared or None,
                eval_config=eval_config,
                output_path=str(output),
                tensor_adapter_config=adapter,
            )
        )
    return str(output)


def on_vectors(
    files: Sequence[str],
    eval_config: tfma.EvalConfig,
    output: Path,
    models: Models | None = None,
    schema: schema_pb2.Schema | None = None,
    options: Sequence[str] = IN_MEMORY,
) -> str:
    """Evaluates on vectors; returns the folder of results, or the reason why there are none."""
    output.mkdir(parents=True, exist_ok=True)
    reason = output / "reason.txt"
    with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
        evaluate(pipeline, files, Evaluation(eval_config, models or {}, schema), str(output), str(reason))
    return reason.read_text() if reason.exists() else str(output)


class Results:
    """What an evaluation wrote: values by slice and metric key, plots by slice, and the validation."""

    def __init__(self, folder: str) -> None:
        self.metrics: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
        for record in writer.load_and_deserialize_metrics(folder):
            values = {str(pair.key): pair for pair in record.metric_keys_and_values}
            values.update(record.metrics)
            self.metrics[_slice(record)] = values
        self.plots = {_slice(record): record for record in writer.load_and_deserialize_plots(folder)}
        self.validation = tfma.load_validation_result(folder) if os.path.isdir(folder) else None

    def names(self) -> set[str]:
        """Returns the names of all metrics."""
        return {pair.key.name for values in self.metrics.values() for pair in values.values() if hasattr(pair, "key")}

    def value(self, name: str, of: tuple[tuple[str, str], ...] = ()) -> float:
        """Returns the value of the only metric of this name in a slice."""
        (found,) = [pair for pair in self.metrics[of].values() if pair.key.name == name]
        return float(found.value.double_value.value)


def _slice(record: Any) -> tuple[tuple[str, str], ...]:
    keys = record.slice_key.single_slice_keys
    return tuple((key.column, str(getattr(key, key.WhichOneof("kind")))) for key in keys)


def differences(expected: Results, found: Results, tolerance: float = 1e-6, name: str | None = None) -> list[str]:
    """Returns what differs: slices, keys, values of metrics (of one `name`, or all) and of plots."""
    if set(expected.metrics) != set(found.metrics):
        return [f"slices: {sorted(set(expected.metrics) ^ set(found.metrics))}"]
    result = []
    for of, values in expected.metrics.items():
        others = found.metrics[of]
        chosen = {key for key, pair in (values | others).items() if name in (None, pair.key.name)}
        for key in sorted(chosen):
            if key not in values or key not in others:
                result.append(
                    f"{of}: {key} is missing in {'what TFMA found' if key in others else 'what vectors found'}"
                )
            elif not near(values[key].value, others[key].value, tolerance):
                result.append(f"{of}: {key}: expected {values[key].value}, found {others[key].value}")
    if name is None:
        result += [
            f"plots of {of}" for of, plot in expected.plots.items() if not near(plot, found.plots[of], tolerance)
        ]
    return result


def near(one: Any, other: Any, tolerance: float) -> bool:
    """Tells whether two values are equal up to `tolerance`, which is absolute for numbers below one."""
    if isinstance(one, Message):
        names = {field.name for message in (one, other) for field, _ in message.ListFields()}
        return all(near(getattr(one, name), getattr(other, name), tolerance) for name in names)
    if isinstance(one, float):
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        return one == other or abs(one - other) <= tolerance * max(1.0, abs(one), abs(other))
    if hasattr(one, "__len__") and not isinstance(one, str | bytes):
        return len(one) == len(other) and all(near(a, b, tolerance) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def failures(results: Results) -> Iterator[tuple[Any, ...]]:
    """Yields each failed threshold: slice, metric, whether on the change, value."""
    assert results.validation is not None
    for per_slice in results.validation.metric_validations_per_slice:
        for failure in per_slice.failures:
            value = failure.metric_value.double_value.value
            yield _slice(per_slice), failure.metric_key.name, failure.metric_key.is_diff, round(value, 6)

"""What the analyzer cache knows an analysis by: all that its result depends on, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.beam import analysis_graph_builder
from tensorflow_transform.beam.analyzer_cache import DatasetKey
from tfx.components.transform import executor
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from penstock.beam import analysis_keys

analysis_keys.install({"/data/1": "one", "/data/2": "two", "/data/3": "one"})
SPECS = {"x": tf.TensorSpec([None], tf.float32), "y": tf.TensorSpec([None], tf.float32),
         "s": tf.TensorSpec([None], tf.string)}


def keys(preprocessing_fn, process=b"this"):
    analysis_keys._HERE_ALONE = process
    return analysis_graph_builder.get_analysis_cache_entry_keys(preprocessing_fn, SPECS, [DatasetKey("a")], False)


def scaled(make):
    return lambda inputs: {"out": tft.scale_to_z_score(make(inputs))}


def through_function(factor):
    @tf.function
    def multiplied(value):
        return value * factor

    return scaled(lambda inputs: multiplied(inputs["x"]))


def through_python(inputs):
    value = tf.numpy_function(np.sqrt, [inputs["x"]], tf.float32)
    value.set_shape([None])
    return value


def through_table(inputs):
    with open("words", "w") as stream:
        stream.write("a\\n")
    words = tf.lookup.TextFileInitializer(
        "words", tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    return tf.cast(tf.lookup.StaticVocabularyTable(words, 1).lookup(inputs["s"]), tf.float32)


def what_is_computed_counts():
    different = [
        scaled(lambda inputs: inputs["x"]),
        scaled(lambda inputs: inputs["y"]),
        scaled(lambda inputs: tf.math.log(inputs["x"])),
        scaled(lambda inputs: tf.sqrt(inputs["x"])),
        scaled(lambda inputs: inputs["x"] + 1.0),
        scaled(lambda inputs: inputs["x"] - 1.0),
        scaled(lambda inputs: inputs["x"] - 2.0),
        through_function(2.0),
        through_function(3.0),
    ]
    found = [frozenset(keys(each)) for each in different]
    assert len(set(found)) == len(found) and all(found)


def another_process_finds_what_the_graph_says_in_full():
    for each in (scaled(lambda inputs: tf.math.log(inputs["x"])), through_function(2.0)):
        assert keys(each, b"one") == keys(each, b"another")


def another_process_does_not_find_what_the_graph_does_not_say():
    for make in (through_python, through_table, lambda inputs: tf.random.uniform([1]) * inputs["x"]):
        assert not set(keys(scaled(make), b"one")) & set(keys(scaled(make), b"another")), make


def dataset_key(folder, schema, split="train"):
    dataset = executor._Dataset(f"{folder}/Split-{split}/*", "tfrecords_gzip", example_gen_pb2.FORMAT_TF_EXAMPLE, None)
    executor.TransformProcessor()._CreateTFXIO(dataset, text_format.Parse(schema, schema_pb2.Schema()))
    return dataset.dataset_key.key


ONE = 'feature { name: "x" type: FLOAT presence { min_fraction: 1 } shape {} }'


def content_and_decoding_of_the_data_count():
    first = dataset_key("/data/1", ONE)
    assert "one" in first and "train" in first
    assert dataset_key("/data/1", ONE, "eval") != first != dataset_key("/data/2", ONE)
    sparse = 'feature { name: "x" type: FLOAT }'
    defaults = (
        ONE + 'tensor_representation_group { key: "" value { tensor_representation { key: "x" value { dense_tensor'
        ' { column_name: "x" shape {} default_value { float_value: %d } } } } } }'
    )
    found = {dataset_key("/data/2", schema) for schema in (sparse, defaults % 1, defaults % 2)}
    assert len(found) == 3
    analysis_keys.install({"/data/1": "one", "/data/3": "one"})
    # What only checks the data does not count, nor where they lie.
    assert dataset_key("/data/3", ONE[:-1] + " float_domain { min: 1 } }") == first
    # The same rows twice count twice.
    assert dataset_key("/data/1", ONE) == first + "-2"
    assert dataset_key("/elsewhere", ONE) == executor._Dataset("/elsewhere/Split-train/*", "", 6, None).dataset_key.key


for check in [
    what_is_computed_counts,
    another_process_finds_what_the_graph_says_in_full,
    another_process_does_not_find_what_the_graph_does_not_say,
    content_and_decoding_of_the_data_count,
]:
    check()
    print(check.__name__, "held")
"""


def test_what_an_analysis_is_known_by(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert len(done.stdout.splitlines()) == 4

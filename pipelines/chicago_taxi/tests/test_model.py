"""The model: what it takes, and that its export answers without label and without any file beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from chicago_taxi import features, inputs, model

BATCH = 50
MISSING = {tf.string: "", tf.float32: float("nan"), tf.int64: -1}


def probabilities(exported: Any, examples: list[bytes]) -> np.ndarray:
    return exported.signatures["serving_default"](examples=tf.constant(examples))["probability"].numpy()


def test_the_model_takes_every_transformed_feature(analyzed: Any) -> None:
    network = model.build_model(model.category_sizes(analyzed.transform), model.DEFAULTS)
    assert set(network.input) == set(analyzed.transformed) - {features.LABEL}
    output = network({name: analyzed.transformed[name][:BATCH] for name in network.input}).numpy()
    assert output.shape == (BATCH,)
    assert ((output > 0) & (output < 1)).all()


def test_ids_fit_the_embeddings(analyzed: Any) -> None:
    for name, size in model.category_sizes(analyzed.transform).items():
        assert analyzed.transformed[name].min() >= 0 and analyzed.transformed[name].max() < size, name


def test_serving_needs_no_label(analyzed: Any, exported: Any) -> None:
    with_label = analyzed.examples[:BATCH]
    without_label = []
    for serialized in with_label:
        example = tf.train.Example.FromString(serialized)
        del example.features.feature[features.TIPS]
        without_label.append(example.SerializeToString())
    np.testing.assert_array_equal(probabilities(exported, with_label), probabilities(exported, without_label))


def test_raw_values_get_the_answer_of_their_example(analyzed: Any, exported: Any) -> None:
    signature = exported.signatures["raw"]
    kinds = {name: spec.dtype for name, spec in signature.structured_input_signature[1].items()}
    assert set(kinds) == set(features.RAW_FEATURES)
    # Whole table, so that rows with missing values are among them.
    columns = {
        name: tf.constant([MISSING[kind] if value is None else value for value in analyzed.columns[name]], kind)
        for name, kind in kinds.items()
    }
    answer = signature(**columns)["probability"].numpy()
    np.testing.assert_allclose(answer, probabilities(exported, analyzed.examples), atol=1e-6)


def test_an_example_without_any_value_still_gets_an_answer(exported: Any) -> None:
    answer = probabilities(exported, [tf.train.Example().SerializeToString()])
    assert np.isfinite(answer).all()


def test_evaluation_reaches_the_label(analyzed: Any, exported: Any) -> None:
    answer = exported.signatures["transform_features"](examples=tf.constant(analyzed.examples))
    for name, values in analyzed.transformed.items():
        np.testing.assert_array_equal(answer[name].numpy(), values, name)


def test_training_reads_the_same_features_from_raw_and_from_transformed_examples(analyzed: Any, tmp_path: Path) -> None:
    spec = analyzed.transform.transformed_feature_spec()
    with (
        tf.io.TFRecordWriter(str(tmp_path / "raw.gz"), "GZIP") as raw,
        tf.io.TFRecordWriter(str(tmp_path / "transformed.gz"), "GZIP") as transformed,
    ):
        for place, serialized in enumerate(analyzed.examples[:BATCH]):
            raw.write(serialized)
            example = tf.train.Example()
            for name in spec:
                feature, value = example.features.feature[name], analyzed.transformed[name][place]
                (feature.float_list if spec[name].dtype == tf.float32 else feature.int64_list).value.append(value)
            transformed.write(example.SerializeToString())

    from_raw, raw_labels = next(iter(inputs.batches([str(tmp_path / "raw.gz")], analyzed.transform, BATCH)))
    from_transformed, labels = next(iter(inputs.batches([str(tmp_path / "transformed*")], analyzed.transform, BATCH)))
    np.testing.assert_array_equal(raw_labels, labels)
    assert from_raw.keys() == from_transformed.keys() == set(spec) - {features.LABEL}
    for name in from_raw:
        np.testing.assert_array_equal(from_raw[name], from_transformed[name], name)


def test_no_examples_is_said_plainly(analyzed: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no examples in"):
        inputs.training_batches([str(tmp_path / "*.gz")], analyzed.transform, BATCH)

"""The exported model: the trained network behind its transform graph, with one signature for each kind of caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft

from penguin.features import RAW_FEATURES, SPECIES_NAMES, Z_SCORED

PROBABILITIES = "probabilities"
PREDICTED = "species"


class ServingModel(tf.Module):
    """Turns raw birds into species; needs neither the label nor any file outside the export."""

    def __init__(self, model: keras.Model, transform: tft.TFTransformOutput):
        super().__init__()
        self._model = model
        self._transform = transform.transform_features_layer()
        self._all_columns = transform.raw_feature_spec()
        self._columns = {column: self._all_columns[column] for column in RAW_FEATURES}

    def signatures(self) -> dict[str, Any]:
        """Returns the export's signatures.

        `serving_default`: serialized `tf.Example`s, shape [batch], to `probabilities`, shape [batch, species], and
            `species`, the name of the likeliest, shape [batch].
        `raw`: one tensor of shape [batch] for each raw column, numbers as float32, to the same. NaN or an empty string
            says that the value is missing.
        `transform_features`: serialized `tf.Example`s to every transformed feature and the label, for evaluation.
        """
        examples = tf.TensorSpec([None], tf.string, "examples")
        columns = {
            name: tf.TensorSpec([None], tf.float32 if name in Z_SCORED else tf.string, name) for name in RAW_FEATURES
        }
        return {
            "serving_default": tf.function(self._serve_examples).get_concrete_function(examples),
            "raw": tf.function(self._serve_raw).get_concrete_function(columns),
            "transform_features": tf.function(self._transform_examples).get_concrete_function(examples),
        }

    def _serve_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._predict(tf.io.parse_example(examples, self._columns))

    def _serve_raw(self, columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return self._predict({name: _as_parsed(values, self._columns[name]) for name, values in columns.items()})

    def _transform_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(self._transform(tf.io.parse_example(examples, self._all_columns)))

    def _predict(self, raw: Mapping[str, tf.Tensor | tf.SparseTensor]) -> dict[str, tf.Tensor]:
        transformed = self._transform(raw)
        probabilities = self._model({name: transformed[name] for name in self._model.input}, training=False)
        species = tf.gather(tf.constant(SPECIES_NAMES), tf.argmax(probabilities, axis=1))
        return {PROBABILITIES: probabilities, PREDICTED: species}


def _as_parsed(values: tf.Tensor, column: Any) -> tf.Tensor | tf.SparseTensor:
    """Returns values of shape [batch] in the form in which `tf.io.parse_example` gives this column."""
    present = values != "" if values.dtype == tf.string else ~tf.math.is_nan(values)
    if column.dtype == tf.string and values.dtype != tf.string:
        values = tf.strings.as_string(values, shortest=True)
    values = tf.cast(values, column.dtype) if values.dtype != column.dtype else values
    if isinstance(column, tf.io.FixedLenFeature):
        return tf.reshape(values, [-1, *column.shape])
    rows = tf.where(present)
    indices = tf.concat([rows, tf.zeros_like(rows)], axis=1)
    return tf.SparseTensor(indices, tf.boolean_mask(values, present), [tf.size(values, tf.int64), 1])

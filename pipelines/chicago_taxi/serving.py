"""The exported model: the trained network behind its transform graph, with one signature for each kind of caller."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft

from chicago_taxi.features import RAW_FEATURES

PROBABILITY = "probability"


class ServingModel(tf.Module):
    """Turns raw trips into probabilities; needs neither the label nor any file outside the export."""

    def __init__(self, model: keras.Model, transform: tft.TFTransformOutput):
        super().__init__()
        self._model = model
        self._transform = transform.transform_features_layer()
        self._all_columns = transform.raw_feature_spec()
        self._columns = {column: self._all_columns[column] for column in RAW_FEATURES}

    def signatures(self) -> dict[str, Any]:
        """Returns the export's signatures.

        `serving_default`: serialized `tf.Example`s, shape [batch], to `probability`, shape [batch].
        `raw`: one tensor of shape [batch] for each raw column, to the same. NaN, an empty string or a negative whole
            number says that the value is missing.
        `transform_features`: serialized `tf.Example`s to every transformed feature and the label, for evaluation.
        """
        examples = tf.TensorSpec([None], tf.string, "examples")
        columns = {name: tf.TensorSpec([None], column.dtype, name) for name, column in self._columns.items()}
        # Nothing below has control flow on tensors, which AutoGraph would be needed for.
        trace = functools.partial(tf.function, autograph=False)
        return {
            "serving_default": trace(self._serve_examples).get_concrete_function(examples),
            "raw": trace(self._serve_raw).get_concrete_function(columns),
            "transform_features": trace(self._transform_examples).get_concrete_function(examples),
        }

    def _serve_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._predict(tf.io.parse_example(examples, self._columns))

    def _serve_raw(self, columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return self._predict({name: _as_parsed(values, self._columns[name]) for name, values in columns.items()})

    def _transform_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(self._transform(tf.io.parse_example(examples, self._all_columns)))

    def _predict(self, raw: Mapping[str, tf.Tensor | tf.SparseTensor]) -> dict[str, tf.Tensor]:
        transformed = self._transform(raw)
        return {PROBABILITY: self._model({name: transformed[name] for name in self._model.input}, training=False)}


def _as_parsed(values: tf.Tensor, column: Any) -> tf.Tensor | tf.SparseTensor:
    """Returns values of shape [batch] in the form in which `tf.io.parse_example` gives this column."""
    if isinstance(column, tf.io.FixedLenFeature):
        return tf.reshape(values, [-1, *column.shape])
    if values.dtype == tf.string:
        present = values != ""
    elif values.dtype.is_floating:
        present = ~tf.math.is_nan(values)
    else:
        present = values >= 0
    rows = tf.where(present)
    indices = tf.concat([rows, tf.zeros_like(rows)], axis=1)
    return tf.SparseTensor(indices, tf.boolean_mask(values, present), [tf.size(values, tf.int64), 1])

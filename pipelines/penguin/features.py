"""What the model sees of a bird, and how each value is derived from the raw columns.

The data says `NA` where something was not measured. CsvExampleGen therefore takes a column of numbers with an `NA` in
it for text, and one without for numbers. Both are understood here, so that data in which nothing is missing needs no
change.

A number that is missing becomes the mean (z-score 0); a word that is missing becomes the out-of-vocabulary id.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf
import tensorflow_transform as tft

Z_SCORED = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
VOCABULARIES = ("island", "sex")
NOT_MEASURED = "NA"

SPECIES = "species"
SPECIES_NAMES = ("Adelie", "Chinstrap", "Gentoo")
"""The classes in the order of their ids."""
LABEL = "species_label"
UNUSED = ("year",)

RAW_FEATURES = (*Z_SCORED, *VOCABULARIES)
"""Every raw column a prediction needs."""

# A transformed feature never has the name of a raw column: Evaluator looks for a slice's feature among the transformed
# ones first, and would slice by vocabulary ids instead of words.


def z_score_name(column: str) -> str:
    return f"{column}_z"


def id_name(column: str) -> str:
    return f"{column}_id"


def preprocessing_fn(inputs: Mapping[str, tf.Tensor | tf.SparseTensor]) -> dict[str, tf.Tensor]:
    """Returns the transformed features and the label of a batch of raw birds.

    Args:
        inputs: raw column to its values, one or none for each bird.

    Returns:
        Transformed feature to a tensor of shape [batch]: float32 for z-scores, int64 for ids and the label. The label
        of a species that is not one of `SPECIES_NAMES` is -1.
    """
    outputs = {}
    for column in Z_SCORED:
        # Transform leaves NaN out of means and deviations.
        scaled = tf.cast(tft.scale_to_z_score(_numbers(inputs[column])), tf.float32)
        outputs[z_score_name(column)] = tf.where(tf.math.is_nan(scaled), 0.0, scaled)
    for column in VOCABULARIES:
        # Transform leaves the empty word out of vocabularies.
        outputs[id_name(column)] = tft.compute_and_apply_vocabulary(
            _words(inputs[column]), num_oov_buckets=1, vocab_filename=column
        )
    is_species = _words(inputs[SPECIES])[:, tf.newaxis] == tf.constant(SPECIES_NAMES)
    ids = tf.range(len(SPECIES_NAMES), dtype=tf.int64)
    outputs[LABEL] = tf.reduce_max(tf.where(is_species, ids, -tf.ones_like(ids)), axis=1)
    return outputs


def _words(column: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    words = _one_value(column, "")
    return tf.where(words == NOT_MEASURED, "", words)


def _numbers(column: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    if column.dtype == tf.string:
        words = _words(column)
        return tf.strings.to_number(tf.where(words == "", "nan", words), tf.float64)
    return _one_value(tf.cast(column, tf.float64), float("nan"))


def _one_value(column: tf.Tensor | tf.SparseTensor, missing: float | str) -> tf.Tensor:
    """Returns a column of shape [batch] in which `missing` stands for each value that is not there."""
    if isinstance(column, tf.SparseTensor):
        one_wide = tf.SparseTensor(column.indices, column.values, [column.dense_shape[0], 1])
        column = tf.sparse.to_dense(one_wide, tf.constant(missing, column.dtype))
    return tf.squeeze(column, axis=1)

"""What the model sees of a taxi trip, and how each value is derived from the raw columns.

`preprocessing_fn` is traced by Transform: it looks at the whole training split to find means, deviations, vocabularies
and quantiles, writes them into a graph, and that same graph runs in training, evaluation and serving.

A missing raw value becomes: the mean (z-score 0) for a number, the out-of-vocabulary id for a word, and an id of its
own, one past the last, for a bucket or a category.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf
import tensorflow_transform as tft

Z_SCORED = ("fare", "trip_miles", "trip_seconds")
VOCABULARIES = {"payment_type": 10, "company": 20}
"""Column to the largest number of words kept, the most frequent first."""
BUCKETED = ("pickup_latitude", "pickup_longitude", "dropoff_latitude", "dropoff_longitude")
BUCKETS = 10
CATEGORIES = {
    "trip_start_hour": 24,
    "trip_start_day": 8,
    "trip_start_month": 13,
    "pickup_community_area": 78,
    "dropoff_community_area": 78,
}
"""Column of whole numbers to one more than its largest value."""
CROSSED = ("trip_start_day", "trip_start_hour")
CROSS_BUCKETS = 256

TIPS = "tips"
FARE = "fare"
LABEL = "big_tip"
UNUSED = ("trip_start_timestamp", "pickup_census_tract", "dropoff_census_tract")

RAW_FEATURES = (*Z_SCORED, *VOCABULARIES, *BUCKETED, *CATEGORIES)
"""Every raw column a prediction needs."""

# A transformed feature never has the name of a raw column: Evaluator looks for a slice's feature among the transformed
# ones first, and would slice by vocabulary ids instead of words.
CROSS_ID = "day_hour_id"


def z_score_name(column: str) -> str:
    return f"{column}_z"


def id_name(column: str) -> str:
    return f"{column}_id"


def bucket_name(column: str) -> str:
    return f"{column}_bucket"


def preprocessing_fn(inputs: Mapping[str, tf.Tensor | tf.SparseTensor]) -> dict[str, tf.Tensor]:
    """Returns the transformed features and the label of a batch of raw trips.

    Args:
        inputs: raw column to its values, one or none for each trip.

    Returns:
        Transformed feature to a tensor of shape [batch]: float32 for z-scores, int64 for ids and the label.
    """
    outputs = {}
    for column in Z_SCORED:
        # The deviation is found in double precision: float32 sums drift over a large data set.
        scaled = tft.scale_to_z_score(tf.cast(inputs[column], tf.float64))
        outputs[z_score_name(column)] = tf.cast(_one_value(scaled, 0.0), tf.float32)
    for column, size in VOCABULARIES.items():
        outputs[id_name(column)] = tft.compute_and_apply_vocabulary(
            _one_value(inputs[column], ""), top_k=size, num_oov_buckets=1, vocab_filename=column
        )
    for column in BUCKETED:
        outputs[bucket_name(column)] = _one_value(tft.bucketize(inputs[column], BUCKETS, name=column), BUCKETS)
    for column, size in CATEGORIES.items():
        value = _one_value(inputs[column], -1)
        outputs[id_name(column)] = tf.where((value >= 0) & (value < size), value, size)

    words = [tf.strings.as_string(outputs[id_name(column)]) for column in CROSSED]
    outputs[CROSS_ID] = tft.hash_strings(tf.strings.join(words, "x"), CROSS_BUCKETS)
    outputs[LABEL] = tf.cast(_cents(inputs[TIPS]) * 5 > _cents(inputs[FARE]), tf.int64)
    return outputs


def _cents(dollars: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    # Whole cents: many tips are exactly 20 %, and rounding of binary fractions must not decide them.
    return tf.cast(tf.round(tf.cast(_one_value(dollars, 0), tf.float64) * 100), tf.int64)


def _one_value(column: tf.Tensor | tf.SparseTensor, missing: float | str) -> tf.Tensor:
    """Returns a column of shape [batch] in which `missing` stands for each value that is not there."""
    if isinstance(column, tf.SparseTensor):
        one_wide = tf.SparseTensor(column.indices, column.values, [column.dense_shape[0], 1])
        column = tf.sparse.to_dense(one_wide, tf.constant(missing, column.dtype))
    return tf.squeeze(column, axis=1)

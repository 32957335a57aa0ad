"""Examples from files as batches for training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from penguin.features import LABEL

SHUFFLE_BUFFER = 1_000
SEED = 20_260


def batches(
    patterns: Sequence[str], transform: tft.TFTransformOutput, batch_size: int, limit: int | None = None
) -> tf.data.Dataset:
    """Returns every example once, in the files' order, as (features, label); no more than `limit` batches.

    Reads the transformed examples Transform writes. With Transform's `materialize: false` there are only raw ones: then
    the transform graph is applied here and the batches hold the same features.

    Raises:
        ValueError: the files hold no example.
    """
    dataset = _read(_records(patterns), transform, batch_size).take(limit or -1)
    # Keras warns of a lack of data at the end of a data set that does not know its length.
    length = _records(patterns).batch(batch_size).take(limit or -1).reduce(np.int64(0), lambda count, _: count + 1)
    return dataset.apply(tf.data.experimental.assert_cardinality(length))


def training_batches(patterns: Sequence[str], transform: tft.TFTransformOutput, batch_size: int) -> tf.data.Dataset:
    """Returns examples as (features, label) without end, in a new order each round, the same in every run."""
    records = _records(patterns).shuffle(SHUFFLE_BUFFER, seed=SEED).repeat()
    return _read(records, transform, batch_size)


def _records(patterns: Sequence[str]) -> tf.data.Dataset:
    files = sorted(name for pattern in patterns for name in tf.io.gfile.glob(pattern))
    compression = "GZIP" if all(name.endswith(".gz") for name in files) else ""
    records = tf.data.TFRecordDataset(files, compression_type=compression) if files else None
    if records is None or next(iter(records), None) is None:
        raise ValueError(f"no examples in {', '.join(patterns)}")
    return records


def _read(records: tf.data.Dataset, transform: tft.TFTransformOutput, batch_size: int) -> tf.data.Dataset:
    first = tf.train.Example.FromString(next(iter(records)).numpy())
    is_transformed = LABEL in first.features.feature
    layer = None if is_transformed else transform.transform_features_layer()
    spec = transform.transformed_feature_spec() if is_transformed else transform.raw_feature_spec()

    def parse(serialized: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        features = tf.io.parse_example(serialized, spec)
        if layer is not None:
            features = dict(layer(features))
        label = features.pop(LABEL)
        return features, label

    return records.batch(batch_size).map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

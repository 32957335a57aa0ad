"""Reads serialized examples in large batches and decodes the features an evaluation looks at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.utils import util
from tfx_bsl.coders import example_coder
from tfx_bsl.tfxio import tf_example_record

# Large enough for the cost of a call to vanish, small enough for a batch's features to stay in the processor's cache.
BATCH_SIZE = 4096
_READ_BYTES = 1 << 22


def read(path: str, batch_size: int = BATCH_SIZE) -> Iterator[np.ndarray]:
    """Yields a TFRecord file's records in order, as object arrays of bytes; gzip is told by the name's ending."""
    compression = "GZIP" if path.endswith(".gz") else ""
    records = tf.data.TFRecordDataset(path, compression_type=compression, buffer_size=_READ_BYTES)
    yield from records.batch(batch_size).as_numpy_iterator()


class Decoder:
    """Decodes some features of serialized examples to TFMA's tensor values, as TFX's Evaluator reads them.

    Args:
        schema: What is known of the features; None if nothing is.
        wanted: Names of the features to decode.
    """

    def __init__(self, schema: schema_pb2.Schema | None, wanted: set[str]) -> None:
        self._wanted = wanted
        self._representations: Mapping[str, Any] = {}
        if schema is None:
            self._decoder = example_coder.ExamplesToRecordBatchDecoder()
            return
        source = tf_example_record.TFExampleBeamRecord("tfrecord", schema=schema, telemetry_descriptors=["Evaluator"])
        representations = source.TensorRepresentations()
        self._representations = {name: representations[name] for name in representations if name in wanted}
        part = schema_pb2.Schema()
        part.CopyFrom(schema)
        del part.feature[:]
        part.feature.extend(feature for feature in schema.feature if feature.name in wanted)
        self._decoder = example_coder.ExamplesToRecordBatchDecoder(part.SerializeToString())

    def __call__(self, examples: np.ndarray) -> dict[str, Any]:
        """Returns the features found, by name."""
        if not self._wanted:
            return {}
        batch = self._decoder.DecodeBatch(examples.tolist())
        names = [name for name in batch.schema.names if name in self._wanted]
        return util.record_batch_to_tensor_values(batch.select(names), self._representations)

"""Lets Transform write its examples a batch at a time.

TFX's Transform encodes a batch of examples in C++, and then passes each one through Beam's writer of files. Here a
batch stays one element, which already has the framing of TFRecord; Beam's writer makes the same files of it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.coders import BytesCoder
from apache_beam.io import tfrecordio
from apache_beam.io.filesystem import CompressionTypes
from tfx.components.transform import executor, labels

_original: Callable[..., beam.PTransform] = executor.TransformProcessor._EncodeAndWrite


def install() -> None:
    """Makes Transform write batches. Idempotent."""
    executor.TransformProcessor._EncodeAndWrite = staticmethod(_encode_and_write)


def _encode_and_write(schema: Any, file_format: str, output_path: str) -> beam.PTransform:
    """Stands in for `TransformProcessor._EncodeAndWrite`, which has the same arguments."""
    if file_format != labels.FORMAT_TFRECORD:
        return _original(schema=schema, file_format=file_format, output_path=output_path)
    return _EncodeAndWrite(schema, output_path)


class _EncodeAndWrite(beam.PTransform):
    def __init__(self, schema: Any, output_path: str) -> None:
        super().__init__()
        self._schema = schema
        self._output_path = output_path

    def expand(self, batches: Any) -> Any:
        # As beam.io.WriteToTFRecord makes it, with TFX's arguments.
        sink = _FramedSink(self._output_path, BytesCoder(), ".gz", 0, None, CompressionTypes.AUTO)
        return (
            batches
            | "EncodeAndFrame" >> beam.ParDo(_EncodeAndFrame(self._schema))
            | "WriteToTFRecord" >> beam.io.Write(sink)
        )


@beam.typehints.with_output_types(bytes)
class _EncodeAndFrame(beam.DoFn):
    """Makes of a batch its records in the framing of TFRecord, one after the other."""

    def __init__(self, schema: Any) -> None:
        self._encoder = executor.TransformProcessor._RecordBatchToExamplesFn(schema)

    def process(self, batch: tuple[pa.RecordBatch, dict[str, pa.Array]]) -> Iterator[bytes]:
        framed = io.BytesIO()
        write = tfrecordio._TFRecordUtil.write_record
        for _, record in self._encoder.process(batch):
            write(framed, record)
        yield framed.getvalue()


class _FramedSink(tfrecordio._TFRecordSink):
    """Writes what already has the framing."""

    def write_encoded_record(self, file_handle: Any, value: bytes) -> None:
        file_handle.write(value)

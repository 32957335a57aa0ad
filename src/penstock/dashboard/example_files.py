"""Reads examples out of an artifact's files without TensorFlow: TFRecord of `tf.train.Example`, and Parquet."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

# Values by feature; a feature without a value has none, or is not there.
Example = Mapping[str, Sequence[Any]]

# Length, and the checksums of the length and of the content, which are not checked here; see TensorFlow's
# tensorflow/core/lib/io/record_writer.h.
_HEADER = struct.Struct("<QI")
_FOOTER_BYTES = 4
_MOST_RECORD_BYTES = 64 << 20
_KINDS = ("bytes_list", "float_list", "int64_list")
_ROWS_AT_ONCE = 1024


class UnreadableExamplesError(Exception):
    """Indicates that there are no examples where they should be, or none that can be read; says why."""


def read(folder: str) -> Iterator[Example]:
    """Yields the examples of a split in the order of its files.

    Args:
        folder: the split's folder, a path or an address in an object store.

    Raises:
        UnreadableExamplesError: the folder or its content cannot be read.
    """
    try:
        names = _names(folder)
        if not names:
            raise UnreadableExamplesError(f"{folder}: no files are there")
        for name in names:
            address = f"{folder.rstrip('/')}/{name}"
            with _opened(address) as stream:
                yield from _parquet(stream) if name.endswith(".parquet") else _records(stream, address)
    except (OSError, EOFError, ValueError, zlib.error, message.DecodeError) as error:
        raise UnreadableExamplesError(f"{folder}: {error}") from error


def _names(folder: str) -> list[str]:
    if "://" in folder:
        from penstock.storage import objects

        return [entry.name for entry in objects.children(folder) if not entry.is_folder]
    root = Path(folder).resolve()
    # What links lead to elsewhere is no part of the artifact.
    return sorted(path.name for path in root.iterdir() if path.is_file() and path.resolve().parent == root)


@contextmanager
def _opened(address: str) -> Iterator[Any]:
    """A file's content, uncompressed."""
    with _file(address) as stream:
        yield gzip.GzipFile(fileobj=stream) if address.endswith(".gz") else stream


def _file(address: str) -> IO[bytes]:
    if "://" in address:
        from penstock.storage import objects

        return objects.open_binary(address)
    return Path(address).open("rb")


def _records(stream: IO[bytes], address: str) -> Iterator[Example]:
    parse = _example_class().FromString
    while header := stream.read(_HEADER.size):
        length = _HEADER.unpack(header)[0] if len(header) == _HEADER.size else None
        if length is None or length > _MOST_RECORD_BYTES:
            raise UnreadableExamplesError(f"{address}: is no file of TFRecords")
        content = stream.read(length)
        if len(content) < length or len(stream.read(_FOOTER_BYTES)) < _FOOTER_BYTES:
            raise UnreadableExamplesError(f"{address}: ends within a record")
        yield {name: _values(feature) for name, feature in parse(content).features.feature.items()}


def _values(feature: Any) -> list[Any]:
    kind = feature.WhichOneof("kind")
    if kind is None:
        return []
    values = getattr(feature, kind).value
    return [value.decode("utf-8", "replace") for value in values] if kind == "bytes_list" else list(values)


def _parquet(stream: IO[bytes]) -> Iterator[Example]:
    from pyarrow import parquet

    for batch in parquet.ParquetFile(stream).iter_batches(batch_size=_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            yield {name: _cell(value) for name, value in row.items()}


def _cell(value: Any) -> list[Any]:
    values = [] if value is None else value if isinstance(value, list) else [value]
    return [each.decode("utf-8", "replace") if isinstance(each, bytes) else each for each in values if each is not None]


@cache
def _example_class() -> Any:
    """The class of `tf.train.Example`, described here as in TensorFlow's example.proto and feature.proto."""
    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tensorflow", syntax="proto3")
    for name, type_ in zip(("BytesList", "FloatList", "Int64List"), ("BYTES", "FLOAT", "INT64"), strict=True):
        field = file.message_type.add(name=name).field.add(name="value", number=1)
        field.type, field.label = kind.Type.Value(f"TYPE_{type_}"), kind.LABEL_REPEATED
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, type_) in enumerate(zip(_KINDS, ("BytesList", "FloatList", "Int64List"), strict=True), start=1):
        field = feature.field.add(name=name, number=number, type_name=f".tensorflow.{type_}", oneof_index=0)
        field.type, field.label = kind.TYPE_MESSAGE, kind.LABEL_OPTIONAL
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=kind.TYPE_STRING, label=kind.LABEL_OPTIONAL)
    entry.field.add(
        name="value", number=2, type=kind.TYPE_MESSAGE, label=kind.LABEL_OPTIONAL, type_name=".tensorflow.Feature"
    )
    features.field.add(
        name="feature",
        number=1,
        type=kind.TYPE_MESSAGE,
        label=kind.LABEL_REPEATED,
        type_name=".tensorflow.Features.FeatureEntry",
    )
    file.message_type.add(name="Example").field.add(
        name="features", number=1, type=kind.TYPE_MESSAGE, label=kind.LABEL_OPTIONAL, type_name=".tensorflow.Features"
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


def split_folder(uri: str, split: str) -> str:
    """The folder of a split, as TFX lays examples out.

    Raises:
        UnreadableExamplesError: the name leads elsewhere.
    """
    if not split or split in (".", "..") or "/" in split or os.sep in split or "\0" in split:
        raise UnreadableExamplesError(f"{uri}: {split!r} is no name of a split")
    return f"{uri.rstrip('/')}/Split-{split}"

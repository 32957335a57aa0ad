"""Files of input data: local or on what TensorFlow's file systems reach, plain or compressed."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import tensorflow as tf

from penstock_components.ingestion.errors import DataError

_PIECE_BYTES = 1 << 20
_COMPRESSIONS = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd", ".bz2": "bz2", ".lz4": "lz4"}


def compression(path: str) -> str | None:
    """Returns Arrow's name of a file's compression, which its suffix tells, or None."""
    return _COMPRESSIONS.get(os.path.splitext(path)[1].lower())


def format_suffix(path: str) -> str:
    """Returns a file's suffix in lower case, without that of its compression."""
    stem, suffix = os.path.splitext(path)
    return (os.path.splitext(stem)[1] if compression(path) else suffix).lower()


def size(path: str) -> int:
    """Returns a file's size in bytes."""
    return int(tf.io.gfile.stat(path).length) if "://" in path else os.path.getsize(path)


def open_binary(path: str) -> BinaryIO:
    """Opens a file as it is, compressed or not."""
    # TensorFlow's files know more file systems, and are slow to read.
    return io.BufferedReader(_TensorFlowFile(path, "rb"), _PIECE_BYTES) if "://" in path else open(path, "rb")


def create(path: str) -> BinaryIO:
    """Opens a file to write it anew."""
    return io.BufferedWriter(_TensorFlowFile(path, "wb"), _PIECE_BYTES) if "://" in path else open(path, "wb")


def arrow_file(path: str) -> Any:
    """Opens a plain file for Arrow's readers."""
    return pa.PythonFile(open_binary(path), "r") if "://" in path else pa.OSFile(path, "rb")


class _TensorFlowFile(io.RawIOBase):
    """A file of TensorFlow's as one of Python's, which Arrow can work with."""

    def __init__(self, path: str, mode: str) -> None:
        self._file = tf.io.gfile.GFile(path, mode)
        self._mode = mode

    def readable(self) -> bool:
        return self._mode == "rb"

    def writable(self) -> bool:
        return self._mode == "wb"

    def seekable(self) -> bool:
        return self._mode == "rb"

    def readinto(self, buffer: Any) -> int:
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def write(self, content: Any) -> int:
        self._file.write(bytes(content))
        return len(content)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._file.seek(offset, whence)
        return self.tell()

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def read_range(path: str, start: int, end: int) -> bytes:
    """Returns the bytes from `start` to before `end`."""
    with open_binary(path) as file:
        file.seek(start)
        return file.read(end - start)


def stream(path: str) -> Iterator[bytes]:
    """Yields a file's content in pieces, decompressed.

    Raises:
        DataError: the content is not compressed as the suffix says.
    """
    name = compression(path)
    with open_binary(path) as file:
        if name is None:
            while piece := file.read(_PIECE_BYTES):
                yield piece
            return
        try:
            with pa.CompressedInputStream(pa.PythonFile(file, "r"), name) as decompressed:
                while piece := decompressed.read(_PIECE_BYTES):
                    yield piece
        except (OSError, EOFError, zlib.error, pa.ArrowInvalid) as error:
            raise DataError(
                f"{path}: cannot be read as {name}, which its suffix says it is: {error}\n"
                "  Rename the file after what it holds, or write it anew."
            ) from error

"""Batches that are kept between two readings are those that decoding gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from penstock.beam import kept_batches
from penstock_components import reading
from penstock_components.reading import Decoding

WHOLE = 'feature {name: "a" type: INT} feature {name: "b" type: FLOAT} feature {name: "none" type: BYTES}'
PART = 'feature {name: "none" type: BYTES} feature {name: "a" type: INT}'
OTHER = 'feature {name: "b" type: BYTES}'
ROWS = 20_000


def decoding(schema: str, batch_rows: int | None = None) -> Decoding:
    parsed = text_format.Parse(schema, schema_pb2.Schema())
    return Decoding(schema=parsed.SerializeToString(), batch_rows=batch_rows)


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    yield
    for kept in kept_batches._kept.values():
        Path(kept.file).unlink()
    kept_batches._kept.clear()
    kept_batches._asked.clear()
    kept_batches._bytes = 0


@pytest.fixture
def shard(tmp_path: Path) -> str:
    path = str(tmp_path / "examples.gz")
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for row in range(ROWS):
            example = tf.train.Example()
            example.features.feature["a"].int64_list.value.extend(range(row % 3))
            if row % 5:
                example.features.feature["b"].float_list.value.append(row / 7)
            writer.write(example.SerializeToString())
    return path


def read(path: str, how: Decoding) -> list[pa.RecordBatch]:
    return list(kept_batches.record_batches([path], how))


def is_kept(path: str, how: Decoding) -> bool:
    """Whether they come without the shard, which is gone then."""
    Path(path).unlink()
    try:
        return bool(read(path, how))
    except tf.errors.NotFoundError:
        return False


@pytest.mark.parametrize("second", [WHOLE, PART], ids=["the same columns", "some of them, in another order"])
@pytest.mark.parametrize("batch_rows", [None, 1000])
def test_the_second_reading_gives_what_decoding_gives(shard: str, second: str, batch_rows: int | None) -> None:
    kept_batches.expect([shard])
    kept_batches.expect([shard])
    first, again = decoding(WHOLE, batch_rows), decoding(second, batch_rows)
    expected = [list(reading.record_batches([shard], how)) for how in (first, again)]
    assert read(shard, first) == expected[0]
    found = read(shard, again)
    assert found == expected[1]
    assert [batch.schema for batch in found] == [batch.schema for batch in expected[1]]
    assert sum(batch.num_rows for batch in found) == ROWS
    assert is_kept(shard, again)


def test_what_nobody_reads_again_is_not_kept(shard: str) -> None:
    kept_batches.expect([shard])
    read(shard, decoding(WHOLE))
    assert not is_kept(shard, decoding(WHOLE))


@pytest.mark.parametrize("again", [decoding(OTHER), decoding(WHOLE, 500)], ids=["another type", "other batches"])
def test_what_is_decoded_otherwise_is_read_anew(shard: str, again: Decoding) -> None:
    kept_batches.expect([shard, shard])
    read(shard, decoding(PART))
    if again.batch_rows is None:
        with pytest.raises(Exception, match="b"):  # it says that the column holds floats
            read(shard, again)
    else:
        assert read(shard, again) == list(reading.record_batches([shard], again))


def test_what_is_too_large_is_not_kept(shard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_batches, "MOST_BYTES", 1000)
    kept_batches.expect([shard, shard])
    assert read(shard, decoding(WHOLE)) == list(reading.record_batches([shard], decoding(WHOLE)))
    assert not is_kept(shard, decoding(WHOLE))


def test_a_reading_that_is_broken_off_keeps_nothing(shard: str) -> None:
    kept_batches.expect([shard, shard])
    batches = kept_batches.record_batches([shard], decoding(WHOLE))
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert not is_kept(shard, decoding(WHOLE))

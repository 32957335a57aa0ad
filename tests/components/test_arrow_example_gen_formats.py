"""ArrowExampleGen on Parquet, JSON lines and Arrow files, and with Parquet as payload."""

from __future__ import annotations

import datetime
import decimal
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tfx.components.util import tfxio_utils
from tfx.proto import example_gen_pb2

from penstock_components.ingestion import arrow_source, csv_text, sources
from penstock_components.ingestion.columns import ColumnType
from penstock_components.ingestion.errors import DataError
from tests.components.ingestion_helpers import ingest, our_splits, splits, tfx_parquet_splits

ROWS: list[dict[str, Any]] = [
    {"i": 1, "f": 0.1, "s": "é", "li": [1, -2], "lf": [0.5], "ls": ["a", ""], "n": None, "b": True},
    {"i": -(2**63), "f": 1e300, "s": "x", "li": [], "lf": [], "ls": [], "n": None, "b": True},
    {"i": None, "f": None, "s": None, "li": None, "lf": None, "ls": None, "n": None, "b": None},
    {"i": 2**63 - 1, "f": float("nan"), "s": "y\nz", "li": [2**40], "lf": [1.5, 2], "ls": ["☃"], "n": None, "b": True},
]
MANY = [{**ROWS[number % 4], "i": number + 1} for number in range(5000)]


def _parquet(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path, row_group_size=300)


def _arrow_file(path: Path, table: pa.Table) -> None:
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=300)


def _arrow_stream(path: Path, table: pa.Table) -> None:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=300)


WRITERS: dict[str, Callable[[Path, pa.Table], None]] = {
    "data.parquet": _parquet,
    "data.arrow": _arrow_file,
    "stream.arrow": _arrow_stream,
}


def _values(found: dict[str, list[bytes]]) -> list[dict[str, Any]]:
    values = []
    for records in found.values():
        for record in records:
            features = tf.train.Example.FromString(record).features.feature
            kinds = {name: feature.WhichOneof("kind") for name, feature in features.items()}
            values.append({name: kind and list(getattr(features[name], kind).value) for name, kind in kinds.items()})
    return sorted(values, key=lambda row: str(sorted(row.items())))


@pytest.mark.parametrize("name", WRITERS)
def test_rows_come_out_as_tfx_reads_parquet(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "CHUNK_BYTES", 30_000)
    path = tmp_path / name
    WRITERS[name](path, pa.Table.from_pylist(MANY))
    # An empty list is no value to TFX, as is null; here it is a list without values.
    without_empty = [
        {key: value for key, value in row.items() if value != []} | {k: None for k, v in row.items() if v == []}
        for row in MANY
    ]
    if name == "data.parquet":
        chunks = arrow_source.ParquetSource(sources.Options())
        (block,) = chunks.blocks(str(path))
        assert len(chunks.chunks([(block, chunks.scan(block))])) > 1
    _compare(our_splits([path]), tfx_parquet_splits(without_empty))


def _compare(ours: dict[str, list[bytes]], theirs: dict[str, list[bytes]]) -> None:
    ours_all = sorted(_without_kinds(record) for records in ours.values() for record in records)
    theirs_all = sorted(_without_kinds(record) for records in theirs.values() for record in records)
    assert ours_all == theirs_all


def _without_kinds(record: bytes) -> bytes:
    example = tf.train.Example.FromString(record)
    for feature in example.features.feature.values():
        kind = feature.WhichOneof("kind")
        if kind and not getattr(feature, kind).value:
            feature.Clear()
    return example.SerializeToString(deterministic=True)


def test_whole_rows_without_empty_lists_fall_into_the_splits_of_tfx(tmp_path: Path) -> None:
    rows = [{**ROWS[number % 2 * 3], "i": number + 1} for number in range(1000)]
    path = tmp_path / "data.parquet"
    _parquet(path, pa.Table.from_pylist(rows))
    assert our_splits([path]) == tfx_parquet_splits(rows)


def test_zero_and_the_empty_text_are_values(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"i": [0], "f": [0.0], "b": [False], "s": [""]}), path)
    assert _values(our_splits([path])) == [{"i": [0], "f": [0.0], "b": [0], "s": [b""]}]


def test_json_lines_hold_the_same_as_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_text, "CHUNK_BYTES", 20_000)
    rows = [{key: value for key, value in row.items() if key != "f"} for row in MANY]
    _parquet(tmp_path / "data.parquet", pa.Table.from_pylist(rows))
    text = "".join(
        json.dumps({key: value for key, value in row.items() if key == "n" or value is not None}) + "\n" for row in rows
    )
    (tmp_path / "data.jsonl").write_text(text)
    (tmp_path / "data.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    expected = our_splits([tmp_path / "data.parquet"])
    assert our_splits([tmp_path / "data.jsonl"]) == expected
    assert our_splits([tmp_path / "data.jsonl.gz"]) == expected


def test_types_of_json_are_combined_over_chunks_and_files(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_text('{"a": 1, "t": "2020-01-01 00:00:00"}\n{"a": 2}\n')
    (tmp_path / "2.jsonl").write_text('{"a": 0.5, "only": ["here"], "t": "no time"}\n')
    found = our_splits([tmp_path / "1.jsonl", tmp_path / "2.jsonl"])
    assert _values(found) == [
        {"a": [0.5], "only": [b"here"], "t": [b"no time"]},
        {"a": [1.0], "only": None, "t": [b"2020-01-01 00:00:00"]},
        {"a": [2.0], "only": None, "t": None},
    ]


@pytest.mark.parametrize("content", ['{"a": 1}\n\n{"a": }\n', '{"a": 1}\n\n{"a": "x"}\n', '{"a": 1}\n\n[1]\n'])
def test_a_line_that_is_no_json_of_the_kind_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        our_splits([path])
    assert f"{path}:3: cannot be read as JSON lines" in str(caught.value)


def test_columns_of_json_can_be_dropped_and_a_wrong_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"a": 1, "passport": {"number": "secret"}}\n{"a": 2}\n')
    with pytest.raises(DataError, match="column 'passport' is struct"):
        our_splits([path])
    found = our_splits([path], drop_columns=("passport",))
    assert _values(found) == [{"a": [1]}, {"a": [2]}]
    path.write_text('{"a": 1, "passport": "secret"}\n')
    with pytest.raises(DataError, match="has no column 'pasport'"):
        our_splits([path], drop_columns=("pasport",))


MOMENT = datetime.datetime(1970, 1, 2, 0, 0, 1, 900_000)
CONVERTED: list[tuple[pa.Array, ColumnType | None, Any]] = [
    (pa.array([MOMENT]), ColumnType.INT, [86401]),
    (pa.array([MOMENT], pa.timestamp("us", "UTC")), ColumnType.BYTES, [b"1970-01-02 00:00:01.900000Z"]),
    (pa.array([MOMENT.date()]), ColumnType.INT, [86400]),
    (pa.array([MOMENT.date()]), ColumnType.BYTES, [b"1970-01-02"]),
    (pa.array([MOMENT.time()]), ColumnType.INT, [1]),
    (pa.array([datetime.timedelta(minutes=2)]), ColumnType.INT, [120]),
    (pa.array([decimal.Decimal("1.5")]), None, [1.5]),
    (pa.array([decimal.Decimal("15")]), None, [15]),
    (pa.array(["7"]), ColumnType.INT, [7]),
    (pa.array([7]), ColumnType.BYTES, [b"7"]),
    (pa.array([2.0]), ColumnType.INT, [2]),
    (pa.array(["a"]).dictionary_encode(), None, [b"a"]),
    (pa.array([[1, 2]], pa.list_(pa.int8(), 2)), None, [1, 2]),
    (pa.array([b"abc"], pa.binary(3)), None, [b"abc"]),
    (pa.array(np.array([1.5], np.float16)), None, [1.5]),
    (pa.array(["x"], pa.string_view()), None, [b"x"]),
]


@pytest.mark.parametrize(("array", "given", "expected"), CONVERTED, ids=lambda each: str(getattr(each, "type", each)))
def test_types_of_arrow(array: pa.Array, given: ColumnType | None, expected: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "data.arrow"
    _arrow_stream(path, pa.table({"a": array}))
    assert _values(our_splits([path], types={"a": given} if given else {})) == [{"a": expected}]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (pa.array([MOMENT]), "can become several things; say which in column_types"),
        (pa.array([{"x": 1}]), "which an example cannot hold"),
        (pa.array([[[1]]]), "which an example cannot hold"),
        (pa.array([[1, None]]), "has a list that holds a null"),
        (pa.array([2**63], pa.uint64()), "cannot become int"),
    ],
    ids=["timestamp", "struct", "list-of-lists", "null-in-list", "uint64"],
)
def test_what_an_example_cannot_hold(array: pa.Array, message: str, tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"a": array}), path)
    with pytest.raises(DataError) as caught:
        our_splits([path])
    assert str(path) in str(caught.value) and "'a'" in str(caught.value) and message in str(caught.value)


def test_files_that_are_not_what_they_are_called(tmp_path: Path) -> None:
    for name in ("data.parquet", "data.arrow"):
        path = tmp_path / name
        path.write_bytes(b"a,b\n1,2\n")
        with pytest.raises(DataError, match="cannot be read"):
            our_splits([path])
    packed = tmp_path / "data.parquet.gz"
    packed.write_bytes(b"")
    with pytest.raises(DataError, match="is compressed as a whole"):
        our_splits([packed])


def test_parquet_as_payload_is_read_by_tfx(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "data.csv").write_text("a,b,c\n" + "".join(f"{number},x{number % 3},\n" for number in range(100)))
    parquet = ingest(folder, tmp_path / "parquet", payload=example_gen_pb2.FORMAT_PARQUET)
    records = ingest(folder, tmp_path / "records")
    assert parquet.get_string_custom_property("payload_format") == "FORMAT_PARQUET"
    for name, split in splits(records).items():
        files = sorted(Path(parquet.uri, f"Split-{name}").iterdir())
        table = pa.concat_tables([pq.read_table(path) for path in files])
        rows = sorted(zip(*(table[column].to_pylist() for column in ("a", "b", "c")), strict=True))
        expected = [
            (list(f["a"].int64_list.value), list(f["b"].bytes_list.value), None)
            for f in (tf.train.Example.FromString(record).features.feature for record in split)
        ]
        assert rows == sorted(expected)
    reader = tfxio_utils.get_split_tfxio([parquet], "train", telemetry_descriptors=["test"])
    assert type(reader).__name__ == "ParquetTFXIO"

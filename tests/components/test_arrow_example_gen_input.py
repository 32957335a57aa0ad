"""What ArrowExampleGen refuses, and how it says so; and what it takes that looks odd."""

from __future__ import annotations

import bz2
import gzip
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from penstock_components.ingestion import csv_text, options
from penstock_components.ingestion.columns import ColumnType
from penstock_components.ingestion.errors import DataError
from tests.components.ingestion_helpers import ingest, make_schema, our_splits, splits, tfx_splits


def _file(tmp_path: Path, content: str | bytes, name: str = "data.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _refusal(paths: list[Path], **given: Any) -> str:
    with pytest.raises(DataError) as caught:
        our_splits(paths, **given)
    return str(caught.value)


def _examples(paths: list[Path], **given: Any) -> list[dict[str, list[Any]]]:
    found = []
    for records in our_splits(paths, **given).values():
        for record in records:
            features = tf.train.Example.FromString(record).features.feature
            found.append({name: list(_values(feature)) for name, feature in features.items()})
    return found


def _values(feature: tf.train.Feature) -> Any:
    kind = feature.WhichOneof("kind")
    return getattr(feature, kind).value if kind else []


def test_an_empty_file(tmp_path: Path) -> None:
    path = _file(tmp_path, "")
    assert f"{path}: the file is empty" in _refusal([path])


def test_a_blank_first_line(tmp_path: Path) -> None:
    path = _file(tmp_path, "\n1,2\n")
    assert f"{path}:1: the first line is blank" in _refusal([path])


@pytest.mark.parametrize("content", ["a,b", "a,b\n", "a,b\n\n\n"])
def test_a_header_and_no_row(content: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    _file(folder, content)
    with pytest.raises(DataError, match="no row of data"):
        ingest(folder, tmp_path / "out")


def test_a_header_and_no_row_beside_a_file_with_rows(tmp_path: Path) -> None:
    paths = [_file(tmp_path, "a,b\n", "1.csv"), _file(tmp_path, "a,b\n1,2\n", "2.csv")]
    assert _examples(paths) == [{"a": [1], "b": [2]}]


@pytest.mark.parametrize(("row", "count"), [("1,2", "2 values"), ("1,2,3,4", "4 values"), ("1", "1 value")])
def test_a_row_too_long_or_too_short_fails_with_file_and_line(row: str, count: str, tmp_path: Path) -> None:
    path = _file(tmp_path, f'a,b,c\n1,"x\ny",3\n\n{row}\n1,2,3\n')
    message = _refusal([path])
    assert f"{path}:5: {count}, but the header names 3 columns" in message
    assert f"found:   {row}" in message and "allowed: a,b,c" in message


def test_the_line_is_right_far_into_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_text, "CHUNK_BYTES", 1000)
    lines = ["a,b", *(f'{number},"line\nbreak"' for number in range(500)), "1,2,3", "5,6", ""]
    for name, write in (("plain.csv", bytes), ("packed.csv.gz", gzip.compress)):
        path = _file(tmp_path, write("\n".join(lines).encode()), name)
        assert f"{path}:1002: 3 values" in _refusal([path])


def test_rows_too_long_or_too_short_can_be_skipped_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    _file(folder, "a,b\n1,2\n3\n4,5,6\n7,8\n")
    artifact = ingest(folder, tmp_path / "out", ragged_rows="skip")
    assert artifact.get_int_custom_property("skipped_rows") == 2
    assert artifact.get_int_custom_property("rows") == 2
    assert sorted(each["a"][0] for each in _examples([folder / "data.csv"], skip_ragged_rows=True)) == [1, 7]


def test_another_header_in_a_second_file(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    first, second = _file(folder, "a,b,c\n1,2,3\n", "1.csv"), _file(folder, "a,c,d\n1,2,3\n", "2.csv")
    with pytest.raises(DataError) as caught:
        ingest(folder, tmp_path / "out")
    message = str(caught.value)
    assert f"{second}: the columns differ from those of {first}" in message
    assert "missing: b" in message and message.endswith("added:   d")


def test_columns_in_another_order_in_a_second_file(tmp_path: Path) -> None:
    paths = [_file(tmp_path, "a,b\n1,x\n", "1.csv"), _file(tmp_path, "b,a\ny,2\n", "2.csv")]
    found = sorted(_examples(paths), key=lambda example: example["a"][0])
    assert found == [{"a": [1], "b": [b"x"]}, {"a": [2], "b": [b"y"]}]


def test_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    path = _file(tmp_path, b'a,b\n1,"x\ny"\n2,caf\xe9\n')
    assert f"{path}:4: is no UTF-8 text: byte 6 of the line is 0xe9" in _refusal([path])


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "shift-jis"])
def test_other_encodings(encoding: str, tmp_path: Path) -> None:
    word = "日本" if encoding == "shift-jis" else "café"
    path = _file(tmp_path, f"a,b\n1,{word}\n".encode(encoding))
    assert _examples([path], encoding=encoding) == [{"a": [1], "b": [word.encode()]}]


def test_text_that_is_not_in_its_encoding(tmp_path: Path) -> None:
    path = _file(tmp_path, b"a,b\n1,2\n3,\x81\x00\n")
    assert f"{path}:3: is no shift-jis text" in _refusal([path], encoding="shift-jis")
    path = _file(tmp_path, "a,b\n1,2\n".encode("utf-16"))
    assert "set `encoding` to utf-16" in _refusal([path])


def test_a_number_that_64_bits_do_not_hold(tmp_path: Path) -> None:
    path = _file(tmp_path, "a,b\n1,9223372036854775807\n2,9223372036854775808\n")
    assert our_splits([path]) == tfx_splits([path])
    assert sorted(each["b"][0] for each in _examples([path])) == [b"9223372036854775807", b"9223372036854775808"]
    message = _refusal([path], types={"b": ColumnType.INT})
    assert f"{path}:3: column 'b' holds '9223372036854775808', which is no int of 64 bits" in message


def test_a_column_that_is_all_missing_has_no_kind(tmp_path: Path) -> None:
    path = _file(tmp_path, 'a,b,c\n1,,""\n2,,\n')
    assert our_splits([path]) == tfx_splits([path])
    records = [record for records in our_splits([path]).values() for record in records]
    features = tf.train.Example.FromString(records[0]).features.feature
    assert features["b"].WhichOneof("kind") is None and features["c"].WhichOneof("kind") is None


def test_a_column_of_mixed_types_is_text(tmp_path: Path) -> None:
    path = _file(tmp_path, "a\n" + "1\n" * 50_000 + "2.5\nthree\n")
    assert our_splits([path]) == tfx_splits([path])


def test_five_thousand_columns(tmp_path: Path) -> None:
    names = [f"feature_{index}" for index in range(5000)]
    rows = [",".join("" if (index + row) % 3 else str(index * row) for index in range(5000)) for row in range(3)]
    path = _file(tmp_path, "\n".join([",".join(names), *rows]))
    assert our_splits([path]) == tfx_splits([path])


def test_a_cell_of_100_megabytes(tmp_path: Path) -> None:
    cell = b'line, "" and\n' * 8_000_000
    path = _file(tmp_path, b'a,b\n1,x\n2,"' + cell + b'"\n3,y\n')
    found = _examples([path])
    assert sorted(len(each["b"][0]) for each in found) == [1, 1, len(cell) - 8_000_000]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    for name, write in (("a.csv", bytes), ("a.csv.gz", gzip.compress)):
        path = _file(tmp_path, write(b"\xef\xbb\xbfa,b\n1,2\n"), name)
        assert _examples([path]) == [{"a": [1], "b": [2]}]


def test_compressed_files_are_read_like_plain_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_text, "CHUNK_BYTES", 5000)
    text = "a,b,c\r\n" + "".join(f'{number},"x\r\n{number % 7}",{number / 7}\r\n' for number in range(2000))
    plain = our_splits([_file(tmp_path, text)])
    half = len(text) // 2
    zstd = pa.BufferOutputStream()
    with pa.CompressedOutputStream(zstd, "zstd") as stream:
        stream.write(text.encode())
    packed = {
        "a.csv.gz": gzip.compress(text.encode()),
        "parts.csv.gz": gzip.compress(text[:half].encode()) + gzip.compress(text[half:].encode()),
        "a.csv.zst": zstd.getvalue().to_pybytes(),
        "a.csv.bz2": bz2.compress(text.encode()),
    }
    for name, content in packed.items():
        assert our_splits([_file(tmp_path, content, name)]) == plain, name


def test_a_suffix_that_lies_about_compression(tmp_path: Path) -> None:
    path = _file(tmp_path, "a,b\n1,2\n", "data.csv.gz")
    assert f"{path}: cannot be read as gzip, which its suffix says it is" in _refusal([path])
    path = _file(tmp_path, gzip.compress(b"a,b\n" + os.urandom(10_000))[:-2000], "cut.csv.gz")
    assert str(path) in _refusal([path])


def test_a_name_twice_in_the_header(tmp_path: Path) -> None:
    path = _file(tmp_path, "a,b,a\n1,2,3\n")
    assert f"{path}:1: the header names the column 'a' 2 times, in places 1, 3" in _refusal([path])


def test_quotes_that_are_never_closed(tmp_path: Path) -> None:
    for rows in ('3,"x\n5,6\n', '3,5" pipe\n'):
        path = _file(tmp_path, f"a,b\n1,2\n{rows}")
        assert f"{path}:3: the quotes that open on this line are never closed" in _refusal([path])


@pytest.mark.parametrize("row", ['5" pipe,x\n6" pipe,y', '"a"b"\n,c"', '2,"x"y"\nz"'])
def test_quotes_inside_a_value_that_hide_a_line_end(row: str, tmp_path: Path) -> None:
    path = _file(tmp_path, f"a,b\n1,2\n{row}\n3,4\n")
    assert f"{path}:3: quotes inside a value" in _refusal([path])


def test_carriage_returns_alone(tmp_path: Path) -> None:
    path = _file(tmp_path, "a,b\r1,2\r3,4\r")
    assert f"{path}:1: lines end with carriage returns alone" in _refusal([path])
    path = _file(tmp_path, "a,b\n1,2\n3,4\r5,6\n")
    assert f"{path}:3: a carriage return that no line feed follows" in _refusal([path])
    path = _file(tmp_path, 'a,b\n1,"x\ry"\n')
    assert our_splits([path]) == tfx_splits([path])


@pytest.mark.parametrize("name", ["a b.csv", "[x]*?.csv", "ü – 'quoted\".csv", "-rf.csv", "new\nline.csv", "%20{}.csv"])
def test_hostile_file_names(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "data [1]"
    folder.mkdir()
    path = _file(folder, "a,b\n1,x\n", name)
    assert _examples([path]) == [{"a": [1], "b": [b"x"]}]


def test_a_column_to_drop_that_is_not_there(tmp_path: Path) -> None:
    path = _file(tmp_path, "a,b\n1,x\n")
    assert f"{path}: has no column 'pasport'" in _refusal([path], drop_columns=("pasport",))
    assert "has no column 'c'" in _refusal([path], columns=("a", "c"))


def test_files_that_tell_no_format(tmp_path: Path) -> None:
    assert "its suffix tells no format" in _refusal([_file(tmp_path, "a,b\n1,2\n", "data.txt")])
    paths = [_file(tmp_path, "a\n1\n", "a.csv"), _file(tmp_path, '{"a": 1}', "a.jsonl")]
    assert "have different formats" in _refusal(paths)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"format": "xlsx"}, "format: 'xlsx' is not allowed; allowed are csv, parquet, jsonl, arrow"),
        ({"ragged_rows": "ignore"}, "ragged_rows: 'ignore' is not allowed; allowed are fail, skip"),
        ({"column_types": {"a": "int32"}}, "column 'a': 'int32' is not allowed; allowed are int, float, bytes"),
        ({"columns_": ["a"], "drop_columns": ["a"]}, "columns and drop_columns both name a"),
        ({"encoding": "utf-99"}, "encoding: 'utf-99' is not known"),
    ],
)
def test_options_that_are_not_allowed(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"allowed|both|known") as caught:
        options.dump(**given)
    assert message in str(caught.value)


def test_types_of_a_schema(tmp_path: Path) -> None:
    """A column that looks like numbers stays text, one the schema lacks is inferred, a type given by name counts."""
    folder = tmp_path / "data"
    folder.mkdir()
    _file(folder, "zip,a,b,c\n01234,1,2,3\n56789,4,5,6\n")
    schema = make_schema(tmp_path / "schema", zip=schema_pb2.BYTES, a=schema_pb2.FLOAT, c=schema_pb2.BYTES)
    artifact = ingest(folder, tmp_path / "out", schema=schema, column_types={"c": "int"})
    rows = [tf.train.Example.FromString(record) for found in splits(artifact).values() for record in found]
    values = sorted(
        ({n: list(_values(f)) for n, f in row.features.feature.items()} for row in rows),
        key=lambda row: str(row["zip"]),
    )
    assert values == [
        {"zip": [b"01234"], "a": [1.0], "b": [2], "c": [3]},
        {"zip": [b"56789"], "a": [4.0], "b": [5], "c": [6]},
    ]


def test_a_value_that_is_not_of_its_schemas_type(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    path = _file(folder, "a,b\n1,2\nx,3\n")
    schema = make_schema(tmp_path / "schema", a=schema_pb2.INT)
    with pytest.raises(DataError) as caught:
        ingest(folder, tmp_path / "out", schema=schema)
    assert f"{path}:3" in str(caught.value)

"""ArrowExampleGen makes of CSV files what TFX's CsvExampleGen makes of them."""

from __future__ import annotations

import csv
import io
import json
import string
import tempfile
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tfx.components.example_gen.csv_example_gen import executor as csv_executor
from tfx.proto import example_gen_pb2, range_config_pb2

from penstock_components.ingestion.columns import ColumnType
from penstock_components.ingestion.component import ArrowExampleGen
from tests.components.ingestion_helpers import (
    TAXI,
    TFX_CSV,
    contents,
    ingest,
    our_splits,
    splits,
    tfx_splits,
)

NUMBERS = [
    "0", "-0", "7", "007", "+5", " 5 ", "\t5", "1_000", "0x1F", "9223372036854775807", "-9223372036854775808",
    "9223372036854775808", "99999999999999999999", "1.", ".5", "+.5", "1e5", "-1E-5", "1e400", "1e39", "3.4028236e38",
    "1e-46", "0.1", "16777217", "nan", "-nan", "NaN", "inf", "-Infinity", "nan(1)", "1__0", "1_0.5", "e5", "True", " ",
    "0x1p3", "٣", "1,5", "--5", "1e1_0", "5\v",
]  # fmt: skip


def _write(path: Path, rows: list[list[str]], names: list[str], line_end: str = "\n") -> Path:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=line_end)
    text.write(",".join(names) + line_end)
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode())
    return path


def test_the_taxi_trips_come_out_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "data.csv").write_bytes(TAXI.read_bytes())
    ours, theirs = ingest(folder, tmp_path / "ours"), ingest(folder, tmp_path / "theirs", csv_executor.Executor)
    assert ours.split_names == theirs.split_names
    assert splits(ours) == splits(theirs)


def test_a_feature_decides_on_the_split_as_in_tfx(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    lines = TAXI.read_bytes().splitlines(keepends=True)
    (folder / "data.csv").write_bytes(b"".join(lines[:2000]))
    for feature in ("company", "trip_start_timestamp", "dropoff_community_area"):
        ours = ingest(folder, tmp_path / f"ours-{feature}", partition_feature=feature)
        theirs = ingest(folder, tmp_path / f"theirs-{feature}", csv_executor.Executor, partition_feature=feature)
        assert splits(ours) == splits(theirs)


@pytest.mark.parametrize("folder", ["csv", "csv_empty", "csv_multi_line_string"])
def test_files_of_the_tests_of_tfx_come_out_the_same(folder: str) -> None:
    paths = sorted((TFX_CSV / folder).iterdir())
    assert our_splits(paths) == tfx_splits(paths)


@pytest.mark.parametrize("number", NUMBERS)
def test_each_form_of_a_number_is_read_as_tfx_reads_it(number: str, tmp_path: Path) -> None:
    # The last two are longer than the part of a file that types are guessed from.
    for others in ([], ["1"], ["1.5"], [""], ["0.25"] * 10_000, ["1"] * 20_000):
        rows = [[value, "x"] for value in [*others, number, *others[:3]]]
        path = _write(tmp_path / "data.csv", rows, ["a", "b"])
        assert our_splits([path]) == tfx_splits([path]), others[:2]


def test_types_are_inferred_over_all_files(tmp_path: Path) -> None:
    files = {"a.csv": ["1", "2"], "b.csv": ["", ""], "c.csv": ["2.5", "3"]}
    paths = [_write(tmp_path / name, [[value, "y"] for value in values], ["n", "t"]) for name, values in files.items()]
    assert our_splits(paths) == tfx_splits(paths)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_blank_lines_quotes_and_line_ends_inside_quotes(line_end: str, tmp_path: Path) -> None:
    lines = ["a,b,c", "", '1,"x,y",""', '"2","say ""hi""",z', "", f'3,"two{line_end}lines",', 'q,a "b" c,"","', '",d,e']
    path = tmp_path / "data.csv"
    path.write_bytes(line_end.join(lines[:6]).encode())
    assert our_splits([path]) == tfx_splits([path])
    path.write_bytes(line_end.join([*lines[:6], '4,a "b" c,d', ""]).encode())
    assert our_splits([path]) == tfx_splits([path])


CELLS = st.one_of(
    st.sampled_from(NUMBERS),
    st.text(st.sampled_from(string.ascii_letters + string.digits + " \"\n,'é☃-."), max_size=8),
    st.text(st.sampled_from('a"\n,'), max_size=12),
    st.integers(-(2**65), 2**65).map(str),
    st.floats(width=64).map(repr),
    st.just(""),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), width=st.integers(1, 4))
def test_whatever_a_writer_of_csv_writes(data: st.DataObject, width: int) -> None:
    rows = data.draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=30))
    line_end = data.draw(st.sampled_from(["\n", "\r\n"]))
    with tempfile.TemporaryDirectory() as folder:
        path = _write(Path(folder) / "data.csv", rows, [f"column {index}" for index in range(width)], line_end)
        expected = tfx_splits([path])
        if any(expected.values()):
            assert our_splits([path]) == expected


def test_where_a_file_is_cut_decides_on_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = ["", "1", "x\ny", '"', 'a,"b"\n"c"', "\n\n", "plain", '"\n', "é"]
    rows = [[cells[(row * 7 + column * (row % 5 + 1)) % len(cells)] for column in range(3)] for row in range(40)]
    path = _write(tmp_path / "data.csv", rows, ["a", "b", "c"])
    expected = tfx_splits([path])
    for size in range(1, 150):
        # In the format of shards the size is fixed; here it shows that a cut may fall anywhere.
        monkeypatch.setattr("penstock_components.ingestion.csv_text.CHUNK_BYTES", size)
        assert our_splits([path]) == expected, size


def test_input_splits_stay_splits(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for name in ("training", "testing"):
        (folder / name).mkdir(parents=True)
        _write(folder / name / "part.csv", [[name, "1"], [name, "2"]], ["where", "n"])
    patterns = {"train": "training/*", "test": "testing/*"}
    ours = ingest(folder, tmp_path / "ours", patterns=patterns)
    theirs = ingest(folder, tmp_path / "theirs", csv_executor.Executor, patterns=patterns)
    assert splits(ours) == splits(theirs)
    assert [len(each) for each in splits(ours).values()] == [2, 2]


def test_a_dropped_column_reaches_no_artifact(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    _write(folder / "a.csv", [["1", "secret-value", "x"], ["2", "secret-value", "y"]], ["a", "passport", "b"])
    choices: list[dict[str, Any]] = [{"drop_columns": ["passport"]}, {"columns_": ["a", "b"]}]
    for given_options in choices:
        artifact = ingest(folder, tmp_path / f"out{len(given_options)}{next(iter(given_options))}", **given_options)
        written = b"".join(contents(artifact).values())
        assert b"secret-value" not in written and b"passport" not in written
        assert b"passport" not in artifact.mlmd_artifact.SerializeToString()
        examples = [tf.train.Example.FromString(each) for split in splits(artifact).values() for each in split]
        assert {tuple(sorted(example.features.feature)) for example in examples} == {("a", "b")}


def test_given_types_are_kept(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.csv", [["1", "02139"], ["2", "10001"]], ["a", "zip"])
    found = our_splits([path], types={"a": ColumnType.FLOAT, "zip": ColumnType.BYTES})
    examples = [tf.train.Example.FromString(each) for split in found.values() for each in split]
    assert sorted(example.features.feature["zip"].bytes_list.value[0] for example in examples) == [b"02139", b"10001"]
    assert sorted(example.features.feature["a"].float_list.value[0] for example in examples) == [1.0, 2.0]


def test_quotes_around_names_are_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('"a","b, c",""\n1,2,3\n')
    (record,) = [record for records in our_splits([path]).values() for record in records]
    assert sorted(tf.train.Example.FromString(record).features.feature) == ["", "a", "b, c"]


def test_types_are_inferred_over_all_input_splits(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for name, value in (("one", "1"), ("two", "2.5")):
        (folder / name).mkdir(parents=True)
        _write(folder / name / "part.csv", [[value]], ["n"])
    found = splits(ingest(folder, tmp_path / "out", patterns={"one": "one/*", "two": "two/*"}))
    values = [tf.train.Example.FromString(each[0]).features.feature["n"].float_list.value[0] for each in found.values()]
    assert values == [1.0, 2.5]


@pytest.mark.parametrize(("range_config", "span"), [(None, 2), (1, 1)])
def test_spans_and_versions_are_resolved_as_in_tfx(range_config: int | None, span: int, tmp_path: Path) -> None:
    for number, version in ((1, 1), (2, 1), (2, 3)):
        folder = tmp_path / f"span-{number}" / f"v{version}"
        folder.mkdir(parents=True)
        _write(folder / "part.csv", [[f"{number}.{version}"]], ["n"])
    split = example_gen_pb2.Input.Split(name="all", pattern="span-{SPAN}/v{VERSION}/*.csv")
    static = range_config_pb2.RangeConfig(
        static_range=range_config_pb2.StaticRange(start_span_number=span, end_span_number=span)
    )
    component = ArrowExampleGen(
        input_base=str(tmp_path),
        input_config=example_gen_pb2.Input(splits=[split]),
        range_config=None if range_config is None else static,
        drop_columns=["x"],
    )
    resolved = component.DRIVER_CLASS(None).resolve_exec_properties(dict(component.exec_properties), None, None)
    assert (resolved["span"], resolved["version"]) == ((2, 3) if span == 2 else (1, 1))
    assert f"span-{span}" in resolved["input_config"]
    assert json.loads(component.exec_properties["source_options"]) == {"drop_columns": ["x"]}

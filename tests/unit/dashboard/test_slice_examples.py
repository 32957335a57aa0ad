"""The examples of one slice: read without TensorFlow, counted as they are, and shown to whom they may be shown."""

from __future__ import annotations

import gzip
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from penstock.dashboard import example_files, slice_statistics
from penstock.dashboard.app import create_app
from penstock.dashboard.example_files import UnreadableExamplesError
from penstock.dashboard.settings import Settings
from penstock.metadata import recording
from penstock.metadata.database import connect
from penstock.metadata.location import StoreLocation
from tests.integration.metadata.stores import StoreWriter
from tests.unit.dashboard.conftest import GOOD, evaluation

Values = Sequence[int] | Sequence[float] | Sequence[str]
CAB = "Blue <Cab>"
# Hour 8 has ninety examples and hour 9 ten, as the evaluation says; the tenth of hour 9 has no fare.
ROWS: list[Mapping[str, Values]] = [
    {"hour": [8 if number < 90 else 9], "fare": [float(number)] if number != 99 else [], "company": [CAB, "x"]}
    for number in range(100)
]


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field as protobuf writes it."""
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def feature(values: Values) -> bytes:
    if not values:
        return b""
    if isinstance(values[0], str):
        return field(1, b"".join(field(1, str(value).encode()) for value in values))
    if isinstance(values[0], float):
        return field(2, field(1, struct.pack(f"<{len(values)}f", *values)))
    return field(3, field(1, b"".join(varint(int(value)) for value in values)))


def example(row: Mapping[str, Values]) -> bytes:
    entries = (field(1, name.encode()) + field(2, feature(values)) for name, values in row.items())
    return field(1, b"".join(field(1, entry) for entry in entries))


def records(rows: Sequence[Mapping[str, Values]]) -> bytes:
    """A file of TFRecords, with zeros for checksums."""
    contents = map(example, rows)
    return b"".join(struct.pack("<QI", len(content), 0) + content + bytes(4) for content in contents)


def test_all_formats_read_alike(tmp_path: Path) -> None:
    rows: list[Mapping[str, Values]] = [
        {"hour": [-3, 2**62], "fare": [1.5], "company": [CAB]},
        {"hour": [], "fare": [0.25, -1.0], "company": []},
    ]
    folders = {name: tmp_path / name for name in ("plain", "packed", "parquet")}
    for folder in folders.values():
        folder.mkdir()
    (folders["plain"] / "data-00000-of-00001").write_bytes(records(rows))
    (folders["packed"] / "data-00000-of-00002.gz").write_bytes(gzip.compress(records(rows[:1])))
    (folders["packed"] / "data-00001-of-00002.gz").write_bytes(gzip.compress(records(rows[1:])))
    pq.write_table(pa.Table.from_pylist(rows), folders["parquet"] / "data.parquet")
    for folder in folders.values():
        assert list(example_files.read(str(folder))) == rows


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("data-00000-of-00001", records(ROWS)[:-5], "ends within a record"),
        ("data-00000-of-00001", b"hour,fare\n8,1.5\n" * 10, "no file of TFRecords"),
        ("data-00000-of-00001", struct.pack("<QI", 2**40, 0), "no file of TFRecords"),
        ("data-00000-of-00001", struct.pack("<QI", 3, 0) + b"\xff\xff\xff" + bytes(4), "parsing"),
        ("data-00000-of-00001.gz", records(ROWS), "gzip"),
        ("data-00000-of-00001.gz", gzip.compress(records(ROWS))[:-30], "end"),
        ("data.parquet", b"PAR1 is not enough", "arquet"),
    ],
)
def test_broken_files_are_told_of(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableExamplesError, match=said) as raised:
        list(example_files.read(str(tmp_path)))
    assert str(tmp_path) in str(raised.value)


def test_what_is_outside_of_a_split_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(records(ROWS))
    inside = tmp_path / "Split-eval"
    inside.mkdir()
    with pytest.raises(UnreadableExamplesError, match="no files"):
        list(example_files.read(str(inside)))
    (inside / "data-00000-of-00001").symlink_to(tmp_path / "secret")
    with pytest.raises(UnreadableExamplesError, match="no files"):
        list(example_files.read(str(inside)))
    for split in ("", ".", "..", "../secret", "a/b", "a\0"):
        with pytest.raises(UnreadableExamplesError):
            example_files.split_folder(str(tmp_path), split)


def test_a_slice_has_the_examples_with_its_values() -> None:
    rows: list[Mapping[str, Any]] = [{"n": [7]}, {"n": [70]}, {"n": [7, 8]}, {"n": []}, {}, {"x": [0.1], "n": [8]}]

    def fitting(**wanted: str) -> int:
        return sum(all(slice_statistics._has(row, name, value) for name, value in wanted.items()) for row in rows)

    assert [fitting(n="7"), fitting(n="8"), fitting(n="70"), fitting(n="0")] == [2, 2, 1, 0]
    assert [fitting(x="0.1"), fitting(x="0.10000000149"), fitting(x="a"), fitting(x="0.1", n="7")] == [1, 1, 0, 0]


def test_statistics_are_those_of_the_values() -> None:
    found = slice_statistics.statistics(ROWS, ["company", "fare", "gone"])
    assert found["examples"] == 100
    company, fare, gone = found["features"]
    assert company["top"] == [[CAB, 100], ["x", 100]] and company["distinct"] == 2
    assert (fare["missing"], fare["values"], fare["zeros"]) == (1, 99, 1)
    assert (fare["mean"], fare["median"], fare["minimum"], fare["maximum"]) == (49.0, 49.0, 0.0, 98.0)
    assert sum(count for _, _, count in fare["histogram"]) == 99
    assert (gone["missing"], gone["values"]) == (100, 0)
    infinite = slice_statistics.statistics([{"fare": [float("nan")]}, {"fare": [float("inf")]}], ["fare"])
    assert infinite["features"][0]["values"] == 2


class Made:
    """A store with an evaluation of a hundred examples."""

    def __init__(self, folder: Path):
        self.examples = folder / "examples"
        self.location = StoreLocation(folder / "store")
        (self.examples / "Split-eval").mkdir(parents=True)
        (self.examples / "Split-eval" / "data-00000-of-00001.gz").write_bytes(gzip.compress(records(ROWS)))
        writer = StoreWriter(self.location)
        taken = writer.artifact("Examples", str(self.examples), {})
        _, [examples] = writer.execute("taxi", GOOD, "examples", outputs={"examples": [taken]})
        given = writer.artifact("ModelEvaluation", "/data/evaluation", {})
        _, [self.evaluation] = writer.execute(
            "taxi", GOOD, "evaluator", inputs={"examples": [examples]}, outputs={"evaluation": [given]}
        )
        _, [self.alone] = writer.execute(
            "taxi", GOOD, "other", outputs={"evaluation": [writer.artifact("ModelEvaluation", "/data/other", {})]}
        )
        with connect(self.location, create=True) as database:
            for artifact_id in (self.evaluation, self.alone):
                recording.put_summary(database, artifact_id, "evaluation", evaluation())

    def page(
        self,
        slice_: str = '{"hour": "9"}',
        *,
        of: int | None = None,
        status: int = 200,
        bearer: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> str:
        with TestClient(create_app(Settings(self.location, **(settings or {}))), base_url="http://localhost") as client:
            headers = {"authorization": f"Bearer {bearer}"} if bearer else None
            path = f"/artifacts/{of or self.evaluation}/slice"
            answer = client.get(path, params={"slice": slice_}, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.text


@pytest.fixture
def made(tmp_path: Path) -> Made:
    slice_statistics.read.cache_clear()
    return Made(tmp_path)


def test_a_slice_stands_next_to_overall(made: Made) -> None:
    page = made.page()
    assert re.search(r'id="slice-examples">10<', page) and re.search(r'id="overall-examples">100<', page)
    fare = page.partition('<tr id="fare">')[2].partition("</tr>")[0]
    assert re.search(r">49<br>\s*94<", fare)  # the means of 0 … 98 and of 90 … 98
    assert re.search(r">0.1000<|>0.1<", page.partition('id="metrics"')[2].partition("</table>")[0])


def test_rows_are_shown_to_admins_where_the_dashboard_was_told_so(made: Made) -> None:
    tokens = {f"{name}token": f"{name or 'operator_'}token-0123456789" for name in ("", "viewer_", "admin_")}
    seen = []
    for shows_rows in (False, True):
        for name, token in tokens.items():
            page = made.page(bearer=token, settings={"shows_rows": shows_rows, **tokens})
            sample = page.partition('class="rows sample"')[2]
            if sample:
                seen.append((shows_rows, name, sample.count("<tr>") - 1))
    assert seen == [(True, "admin_token", 10)]
    assert CAB not in made.page(settings={"shows_rows": True})


def test_why_there_are_no_examples_is_told_in_words(made: Made) -> None:
    assert "does not say which examples" in made.page(of=made.alone)
    (made.examples / "Split-eval" / "data-00000-of-00001.gz").unlink()
    assert "no files are there" in made.page()
    (made.examples / "Split-eval").rmdir()
    assert "No such file or directory" in made.page()


def test_features_that_examples_do_not_have_are_named(made: Made) -> None:
    rows = [{"fare": [1.0]}]
    (made.examples / "Split-eval" / "data-00000-of-00001.gz").write_bytes(gzip.compress(records(rows)))
    assert "have no feature hour" in made.page()


@pytest.mark.parametrize("slice_", ["", "{}", '{"hour": "7"}', "<script>", "x" * 5000])
def test_slices_that_are_none_are_refused(made: Made, slice_: str) -> None:
    page = made.page(slice_, status=400)
    assert "<script>" not in page.partition("<main")[2]


def test_what_is_no_evaluation_has_no_slices(made: Made) -> None:
    made.page(of=1, status=404)
    made.page(of=10**9, status=404)

"""CSV files are looked over before TFX reads them: each mistake with its file and line."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "src"
# In a process of its own: it takes TFX's light library, which must not come to a process that may load TensorFlow.
PROGRAM = """
import sys
from penstock.engine import light_tfx
light_tfx.load()
from penstock.engine import csv_check
from penstock.errors import PenstockError
for folder in sys.argv[2:]:
    try:
        csv_check.check(folder, [sys.argv[1]])
    except PenstockError as error:
        print(error)
    else:
        print("good")
    print("=====")
"""

GOOD = {
    "plain": "a,b\n1,2\n3,4\n",
    "without a last line end": "a,b\n1,2",
    "Windows line ends": "a,b\r\n1,2\r\n",
    "blank lines": "a,b\n\n1,2\n\r\n3,4\n\n",
    "quoted": 'a,b\n"x, y",2\n"say ""hi""",3\n',
    "over several lines": 'a,b\n"x\n\ny",2\n3,4\n',
    "empty values": "a,b\n,\n1,\n",
    "one column": "a\n1\n\n2\n",
    "header alone": "a,b\n",
}
BAD = {
    "too many": ("a,b\n1,2\n3,4,5\n", (":3: 3 values, but the header names 2 columns", "found:   3,4,5")),
    "too few": ("a,b\n1,2\n3\n", (":3: 1 value, but the header names 2 columns", "found:   3")),
    "after a value of several lines": ('a,b\n"x\ny",2\n3,4,5\n', (":4: 3 values",)),
    "in a quoted record": ('a,b\n"x, y",2,3\n', (":2: 3 values",)),
    "open quotes": ('a,b\n1,2\n"x,2\n3,4\n', (":3: the quotes that open on this line are never closed",)),
    "empty": ("", ("the file is empty",)),
    "blank first line": ("\na,b\n1,2\n", (":1: the first line is blank",)),
    "terminal codes": ("a,b\n\x1b[2J,2,3\n", (":2: 3 values", "found:    [2J,2,3")),
}


def check(*folders: Path, pattern: str = "*") -> list[str]:
    """What is said about the files of each folder."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, pattern, *map(str, folders)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.split("=====\n")[:-1]


def write(folder: Path, name: str, text: str | bytes) -> Path:
    """Writes one file into a folder."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def test_what_tfx_reads_is_accepted(tmp_path: Path) -> None:
    folders = [write(tmp_path / str(number), "rows.csv", text) for number, text in enumerate(GOOD.values())]
    assert dict(zip(GOOD, check(*folders), strict=True)) == dict.fromkeys(GOOD, "good\n")


def test_mistakes_have_their_place(tmp_path: Path) -> None:
    folders = [write(tmp_path / str(number), "rows.csv", text) for number, (text, _) in enumerate(BAD.values())]
    for folder, (name, (_, messages)), answer in zip(folders, BAD.items(), check(*folders), strict=True):
        assert str(folder / "rows.csv") in answer, name
        for message in messages:
            assert message in answer, name
        assert "\x1b" not in answer


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", "rows.csv", b"a,b\n1,caf\xe9\n")
    [answer] = check(folder)
    assert "rows.csv:2: is no UTF-8 text: byte 6 of the line is 0xe9" in answer


def test_another_header_names_the_columns(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", "1.csv", "fare,tips\n1,2\n")
    write(folder, "2.csv", "fare,tip\n1,2\n")
    [answer] = check(folder)
    assert answer.startswith(f"{folder / '2.csv'}:1: the header differs from that of {folder / '1.csv'}")
    assert "missing: tips" in answer and "added:   tip" in answer


def test_another_order_of_columns_is_another_header(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", "1.csv", "a,b\n1,2\n")
    write(folder, "2.csv", "b,a\n1,2\n")
    [answer] = check(folder)
    assert "found:   b,a" in answer and "allowed: a,b" in answer


def test_only_files_of_the_pattern_are_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", "1.csv", "a,b\n1,2\n")
    write(folder, "notes.txt", "not at all\na table, is this\n")
    assert check(folder, pattern="*.csv") == ["good\n"]
    assert "notes.txt:1: the header differs" in check(folder)[0]


def test_a_large_file_takes_seconds_at_most(tmp_path: Path) -> None:
    """300,000 rows, some with quotes."""
    folder = tmp_path / "data"
    folder.mkdir()
    with (folder / "rows.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([f"column_{number}" for number in range(18)])
        writer.writerows(["Flash, Cab" if row % 100 == 0 else row] + [row] * 17 for row in range(300_000))
    began = time.monotonic()
    assert check(folder) == ["good\n"]
    assert time.monotonic() - began < 20

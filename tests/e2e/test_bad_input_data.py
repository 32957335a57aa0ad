"""Data that CsvExampleGen cannot read: the file, the line and what to do, and nothing of what ran before is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Penstock

_DECLARATION = """\
penstock: 1
name: data
parameters:
  data: {type: path, default: data}
nodes:
  examples:
    component: CsvExampleGen
    input_base: ${parameters.data}
"""
GOOD = "fare,company\n" + "".join(f"{number},{number % 3}\n" for number in range(20))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, penstock: Penstock) -> Path:
    """A pipeline of one CsvExampleGen, run once and well on its folder `data`."""
    folder = tmp_path_factory.mktemp("data-project")
    (folder / "pipeline.yaml").write_text(_DECLARATION)
    (folder / "data").mkdir()
    (folder / "data" / "rows.csv").write_text(GOOD)
    first = penstock("run", folder, "--store", folder / "store", "--run-id", "well")
    assert first.status == 0, first.stderr
    return folder


# files of the folder, None for no folder -> what must be said
MISTAKES: dict[str, tuple[dict[str, bytes] | None, tuple[str, ...]]] = {
    "missing folder": (None, ("{folder}: there is no such folder; input_base must be",)),
    "empty folder": ({}, ("{folder}: no file in it matches '*'", "it holds nothing")),
    "empty file": ({"rows.csv": b""}, ("{folder}/rows.csv: the file is empty",)),
    "ragged row": (
        {"rows.csv": GOOD.encode() + b"7,8,9\n"},
        ("{folder}/rows.csv:22: 3 values, but the header names 2 columns", "found:   7,8,9", "allowed: fare,company"),
    ),
    "another header": (
        {"a.csv": GOOD.encode(), "b.csv": GOOD.replace("company", "firm").encode()},
        ("{folder}/b.csv:1: the header differs from that of {folder}/a.csv", "missing: company", "added:   firm"),
    ),
    "no text": ({"rows.csv": GOOD.encode() + b"\xff,1\n"}, ("{folder}/rows.csv:22: is no UTF-8 text",)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_data_that_cannot_be_read(project: Path, penstock: Penstock, tmp_path: Path, mistake: str) -> None:
    files, messages = MISTAKES[mistake]
    folder = tmp_path / "other"
    if files is not None:
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
    failed = penstock("run", project, "--store", project / "store", "-p", f"data={folder}")
    assert failed.status in (1, 2), failed.stderr
    for message in messages:
        assert message.format(folder=folder) in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "site-packages" not in failed.stderr


def test_what_ran_before_is_kept(project: Path, penstock: Penstock) -> None:
    again = penstock("run", project, "--store", project / "store")
    assert again.status == 0, again.stderr
    runs = penstock("runs", "list", "--json", "--store", project / "store").json
    assert {run["run_id"]: run["state"] for run in runs}["well"] == "succeeded"
    shown = penstock("runs", "show", "latest", "--json", "--store", project / "store").json
    assert [node["state"] for node in shown["nodes"]] == ["cached"]

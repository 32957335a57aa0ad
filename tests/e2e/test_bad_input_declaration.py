"""Declarations and calls that are wrong: `validate` and `run` answer alike, at once, and leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Penstock
from tests.e2e.tiny import make_project

# what is replaced in pipeline.yaml, by what; None for the whole file -> what must be said
MISTAKES: dict[str, tuple[str | None, str, tuple[str, ...]]] = {
    "empty file": (None, "", ("pipeline.yaml", "empty", "penstock: 1")),
    "broken YAML": ("nodes:", "nodes: {", ("pipeline.yaml:7:14:", "not YAML", "begins on line 5")),
    "unknown component": ("steps:first", "steps:frist", (":7:16:", "frist", "did you mean 'first'?")),
    "unknown standard component": ("steps:apart", "StatisticGen", (":10:16:", "did you mean 'StatisticsGen'?")),
    "unknown parameter": ("seed: ${", "sed: ${", (":8:5:", "sed", "did you mean 'seed'?")),
    "unknown output": ("nodes.first.made", "nodes.first.mode", (":13:13:", "mode", "did you mean 'made'?")),
    "unknown node": ("nodes.first.made", "nodes.fist.made", (":13:13:", "fist", "did you mean 'first'?")),
    "wrong type": ("seed: ${parameters.seed}", "seed: much", (":8:11:", "'much'", "seed wants a whole number")),
    "cycle": ("seed: ${parameters.seed}", "seed: 1\n    after: [last]", (":6:3:", "first → faulty → last → first")),
    "two nodes of one name": ("  apart:", "  first:", (":9:3:", "first")),
}
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + earlier] * 9)}]\n"
    for earlier, name in zip("abcdefgh", "bcdefghi", strict=True)
)
# The whole answer of a command, with the start of Python; far below what loading TensorFlow takes.
MOST_SECONDS = 5.0


@pytest.mark.parametrize("mistake", [*MISTAKES, "alias bomb", "no such file"])
def test_a_wrong_declaration(tmp_path: Path, penstock: Penstock, mistake: str) -> None:
    project = make_project(tmp_path / "project", penstock)
    file = project.folder / "pipeline.yaml"
    messages: tuple[str, ...]
    if mistake == "no such file":
        file.unlink()
        messages = ("pipeline.yaml",)
    elif mistake == "alias bomb":
        file.write_text(BOMB)
        messages = ("pipeline.yaml:", "values once its aliases are expanded")
    else:
        old, new, messages = MISTAKES[mistake]
        assert old is None or old in file.read_text()
        file.write_text(new if old is None else file.read_text().replace(old, new))
    answers = []
    for command in (("validate",), ("run", "--store", project.store)):
        began = time.monotonic()
        # A runtime folder of its own: workers that were started would leave their socket in it.
        environ = {"PENSTOCK_RUNTIME_DIR": str(tmp_path / "runtime")}
        answer = penstock(*command, project.folder, environ=environ)
        assert time.monotonic() - began < MOST_SECONDS
        assert answer.status == 2, answer.stderr
        for message in messages:
            assert message in answer.stderr
        assert "Traceback" not in answer.stderr
        assert answer.stdout == ""
        answers.append(answer.stderr)
    assert answers[0] == answers[1]
    assert not project.store.exists()
    assert not (tmp_path / "runtime").exists()


# options of `run` -> what must be said
CALLS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "unknown parameter": (("-p", "sead=2"), ("sead", "did you mean 'seed'?")),
    "bad value": (("-p", "seed=many"), ("-p seed=many", "wants a whole number")),
    "no value": (("-p", "seed"), ("-p seed", "NAME=VALUE")),
    "unknown environment": (("--env", "moon"), ("moon",)),
    "store of an unknown kind": (("--store", "mysql://host/db"), ("mysql://", "postgresql://")),
    "store without database": (("--store", "postgresql://me:hush@host"), ("names no database",)),
    "password that is not escaped": (("--store", "postgresql://me:4711/hush@host/db"), ("write these as %2F",)),
    "store that is a file": (("--store", "pipeline.yaml"), ("is a file, not a store's folder",)),
    "run id": (("--run-id", "../other"), ("'../other'", "Allowed")),
    "jobs": (("--jobs", "0"), ("--jobs",)),
    "unknown option": (("--cache", "no"), ("--cache", "--no-cache")),
}


@pytest.mark.parametrize("mistake", CALLS)
def test_a_wrong_call(tmp_path: Path, penstock: Penstock, mistake: str) -> None:
    project = make_project(tmp_path / "project", penstock)
    options, messages = CALLS[mistake]
    environ = {"PENSTOCK_RUNTIME_DIR": str(tmp_path / "runtime")}
    answer = penstock("run", ".", *options, cwd=project.folder, environ=environ, timeout=60)
    assert answer.status == 2, answer.stderr
    for message in messages:
        assert message in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "hush" not in answer.stderr
    assert not (project.folder / ".penstock").exists()
    assert not (tmp_path / "runtime").exists()


def test_a_run_id_that_is_taken(tmp_path: Path, penstock: Penstock) -> None:
    project = make_project(tmp_path / "project", penstock)
    assert project.run("--run-id", "mine").status == 0
    taken = project.run("--run-id", "mine")
    assert taken.status == 2
    assert "'mine'" in taken.stderr and "Choose another id" in taken.stderr
    assert set(project.states("mine").values()) == {"succeeded"}


def test_nothing_heavy_is_loaded_to_refuse(tmp_path: Path, penstock: Penstock) -> None:
    project = make_project(tmp_path / "project", penstock)
    (project.folder / "pipeline.yaml").write_text("penstock: 1\n")
    program = (
        "import sys\nfrom penstock.cli.main import main\n"
        "try:\n    main()\nfinally:\n"
        "    print('heavy:', sorted({'tensorflow', 'tfx', 'apache_beam', 'ml_metadata'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "run", str(project.folder), "--store", str(project.store)],
        env={**os.environ, **penstock.environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stdout == "heavy: []\n"

"""A run for each span: one that fails costs the others nothing, and only it is run again."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Penstock, Result
from tests.e2e.span_project import BY_SPAN, SpanProject, make_project
from tests.e2e.tiny import wait_for

# A quote that is never closed.
BROKEN = '1,"2\n3,4\n'


@pytest.fixture
def project(tmp_path: Path, penstock: Penstock) -> SpanProject:
    project = make_project(tmp_path / "project", penstock)
    project.declare(BY_SPAN)
    return project


def listed(done: Result) -> dict[int, dict[str, Any]]:
    """What `--json` says of each span."""
    return {entry["span"]: entry for entry in done.json}


def ran_now(done: Result) -> list[int]:
    return [span for span, entry in listed(done).items() if entry["ran_now"]]


def test_a_span_whose_data_is_broken(project: SpanProject) -> None:
    for span in (10, 11, 12):
        project.data(f"span-{span}", f"{span},0\n")
    project.data("span-11", BROKEN)
    first = project.backfill("--spans", "10..13", "--json")
    assert first.status == 1, first.stderr
    assert "Traceback" not in first.stderr
    states = {span: entry["state"] for span, entry in listed(first).items()}
    assert states == {10: "succeeded", 11: "failed", 12: "succeeded", 13: "failed"}
    assert ran_now(first) == [10, 11, 12, 13]
    assert "span-11/rows.csv:2: the quotes that open on this line are never closed" in listed(first)[11]["error"]
    assert "there is no span 13" in listed(first)[13]["error"]
    assert "2 spans did not succeed" in first.stderr
    assert project.spans_of("one", listed(first)[12]["run_id"]) == "12"

    project.data("span-11", "11,0\n")
    second = project.backfill("--spans", "10..13", "--json")
    assert second.status == 1, second.stderr
    assert ran_now(second) == [11, 13]
    assert project.spans_of("one", listed(second)[11]["run_id"]) == "11"
    assert listed(second)[10]["run_id"] == listed(first)[10]["run_id"]

    project.data("span-13", "13,0\n")
    third = project.backfill("--spans", "10..13")
    assert third.status == 0, third.stderr
    lines = [line.split() for line in third.stdout.splitlines()]
    assert lines[0][:4] == ["SPAN", "STATE", "RUN", "TIME"]
    assert [line[:2] for line in lines[1:]] == [[str(span), "succeeded"] for span in range(10, 14)]
    assert [line[-1] == "before" for line in lines[1:]] == [True, True, True, False]

    nothing = project.backfill("--spans", "12,10", "--json")
    assert (nothing.status, ran_now(nothing), list(listed(nothing))) == (0, [], [12, 10])


def test_other_parameters_are_another_backfill(project: SpanProject) -> None:
    project.data("span-1")
    project.data("span-2", "5,6\n")
    assert ran_now(project.backfill("--spans", "1..2", "--json")) == [1, 2]
    with_more = project.backfill("--spans", "1..2", "-p", "scale=3", "--json")
    assert ran_now(with_more) == [1, 2]
    assert project.states()["examples"] == "cached"
    assert ran_now(project.backfill("--spans", "1..2", "-p", "scale=3", "--json")) == []
    assert ran_now(project.backfill("--spans", "1..2", "--json")) == []
    # A run of its own counts too, and the latest of a span is what counts.
    project.data("span-2", BROKEN)
    assert project.run("--span", "2").status == 1
    project.data("span-2", "5,6\n")
    assert ran_now(project.backfill("--spans", "1..2", "--json")) == [2]
    again = project.backfill("--spans", "1..2", "--again", "--jobs", "2", "--json")
    assert again.status == 0, again.stderr
    assert ran_now(again) == [1, 2]


def test_a_call_or_a_declaration_that_is_wrong(project: SpanProject) -> None:
    project.data("span-1")
    for options in (["--spans", "2..1"], ["--spans", "1", "-p", "nothing=1"], ["--spans", "1", "--env", "none"], []):
        refused = project.backfill(*options)
        assert refused.status == 2, refused.stderr
        assert refused.stdout == ""
        assert "Traceback" not in refused.stderr
    assert not project.store.exists()


def test_ctrl_c(project: SpanProject, tmp_path: Path) -> None:
    """The span that runs is cancelled, none is started after it, and what is done stays done."""
    for span in (1, 2, 3):
        project.data(f"span-{span}", f"{span},0\n")
    began = tmp_path / "began"
    module = project.folder / "parts.py"
    good = module.read_text()
    endless = (
        f"        if names[-1] == '2':\n            open({str(began)!r}, 'w').close()\n            time.sleep(600)\n"
    )
    module.write_text("import time\n" + good.replace("    return", f"{endless}    return"))
    process = project.penstock.start("backfill", project.folder, "--store", project.store, "--spans", "1..3", "--json")
    wait_for(began.exists, process)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    states = {span: entry["state"] for span, entry in listed(Result(130, printed, errors)).items()}
    assert states == {1: "succeeded", 2: "cancelled", 3: "not started"}
    assert sorted(run["state"] for run in project.read("runs", "list")) == ["cancelled", "succeeded"]

    module.write_text(good)
    rest = project.backfill("--spans", "1..3", "--json")
    assert rest.status == 0, rest.stderr
    assert ran_now(rest) == [2, 3]


def test_a_run_that_is_killed_or_going_on(project: SpanProject) -> None:
    """One that was cut short is run again; one that still goes on is left alone, and said not to have succeeded."""
    project.data("span-1")
    project.data("span-2")
    assert project.backfill("--spans", "1..2").status == 0
    with sqlite3.connect(project.store / "penstock.db") as own:
        own.execute("UPDATE penstock_runs SET state = 'running', finished_at = NULL, pid = :pid", {"pid": os.getpid()})
    going_on = project.backfill("--spans", "1..2", "--json")
    assert (going_on.status, ran_now(going_on)) == (1, [])
    assert {entry["state"] for entry in going_on.json} == {"running"}
    with sqlite3.connect(project.store / "penstock.db") as own:
        own.execute("UPDATE penstock_runs SET pid = :pid", {"pid": 2**22 + 1})
    cut_short = project.backfill("--spans", "1..2", "--json")
    assert (cut_short.status, ran_now(cut_short)) == (0, [1, 2])

"""What `make bench` computes, watches and writes; the measurements themselves it makes on its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import against_tfx, data, processes, report
from benchmarks.report import Row

# Holds memory in a process of another session, as workers are.
GRANDCHILD = """
import subprocess, sys
held = "import time; held = bytearray(150_000_000); time.sleep(1.2)"
subprocess.Popen([sys.executable, "-c", held], start_new_session=True).wait()
"""


def test_a_ratio_is_that_of_the_medians_and_its_spread_that_of_all_pairs() -> None:
    cells = Row("a node", [10.0, 30.0, 20.0], [4.0, 5.0, 8.0], target=3).cells
    assert cells == ["a node", "20.0 (10.0–30.0) s", "5.00 (4.00–8.00) s", "**4.0** (1.2–7.5)", "at least 3"]


def test_single_values_have_no_spread_and_one_side_alone_no_ratio() -> None:
    assert Row("a node", [20.0], [5.0]).cells == ["a node", "20.0 s", "5.00 s", "**4.0**", ""]
    assert Row("cached", [], [1.5], target=2).cells == ["cached", "", "1.50 s", "", "at most 2 s"]


def test_growth_is_judged_by_the_medians() -> None:
    assert against_tfx._growth("memory", [2.0, 1.0, 9.0], [2.4], 1.3)[1:4] == ["2.00", "2.40", "**1.20**"]


def test_every_part_has_its_place_in_the_readme(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    copy = tmp_path / "README.md"
    copy.write_text(report.README.read_text())
    monkeypatch.setattr(report, "README", copy)
    for part in against_tfx.PARTS:
        report.write(part, f"results of {part}")
        report.write(part, f"newer results of {part}")
    text = copy.read_text()
    for part in against_tfx.PARTS:
        assert f"<!-- {part}: begin -->\nnewer results of {part}\n<!-- {part}: end -->" in text
    copy.write_text("nothing")
    with pytest.raises(SystemExit, match="wants the markers"):
        report.write("small", "lost")


def test_the_circumstances_tell_whether_the_machine_was_quiet() -> None:
    assert "Not a quiet machine" not in report.circumstances(0.1)
    assert "**Not a quiet machine: load 3.0" in report.circumstances(3.0)


def test_the_memory_of_processes_in_other_sessions_counts(tmp_path: Path) -> None:
    environment = processes.marked_environment()
    ran = processes.run([sys.executable, "-c", GRANDCHILD], cwd=tmp_path, env=environment)
    assert 150e6 < ran.peak_bytes < 300e6
    assert ran.seconds > 1.2


def test_a_command_that_fails_ends_the_benchmark_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="it broke"):
        processes.run([sys.executable, "-c", "exit('it broke')"], cwd=tmp_path, env=processes.marked_environment())


def test_copies_have_all_rows_and_one_header(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    once, twice = ((data.taxi(copies) / "data.csv").read_bytes().splitlines() for copies in (1, 2))
    header, *rows = once
    assert len(rows) == data.ROWS
    assert twice == [header, *rows, *rows]
    assert data.taxi(2) == tmp_path / "penstock-benchmarks" / "taxi-2"

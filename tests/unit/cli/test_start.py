"""The command answers at once, because it loads nothing it does not need."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "src"
SECONDS = 0.5
HEAVY = ("tensorflow", "tfx", "apache_beam", "ml_metadata", "pyarrow", "pandas", "numpy", "sqlalchemy")
LIGHT_COMMANDS = (["--help"], ["--version"], ["doctor"], ["new", "--list"], ["schedule", "list"])
PROGRAM = f"""
import sys
from penstock.cli.main import main
try:
    main()
finally:
    loaded = sorted(set(sys.modules) & {set(HEAVY)!r})
    print("loaded:", ",".join(loaded), file=sys.stderr)
"""


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.run([sys.executable, *command], cwd=cwd, env=environ, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("arguments", LIGHT_COMMANDS, ids=" ".join)
def test_heavy_libraries_stay_out(arguments: list[str], tmp_path: Path) -> None:
    result = run("-c", PROGRAM, *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines()[-1] == "loaded: "


@pytest.mark.parametrize("arguments", LIGHT_COMMANDS, ids=" ".join)
def test_the_answer_comes_at_once(arguments: list[str], tmp_path: Path) -> None:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        result = run("-m", "penstock", *arguments, cwd=tmp_path)
        seconds.append(time.perf_counter() - start)
        assert result.returncode == 0, result.stderr
    assert min(seconds) < SECONDS


def test_a_run_says_at_once_what_it_runs(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(
        "penstock: 1\nname: p\nnodes:\n  examples: {component: CsvExampleGen, input_base: data}\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode")}
    environ |= {"PENSTOCK_RUNTIME_DIR": str(tmp_path / "rt"), "PENSTOCK_WARM_MINUTES": "0"}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "penstock", "run", str(tmp_path), "--store", str(tmp_path / "store")]
    seconds = []
    for _ in range(4):  # the first compiles
        start = time.perf_counter()
        with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            line = process.stderr.readline()
            seconds.append(time.perf_counter() - start)
            process.kill()
        assert line.startswith("penstock ") and "pipeline.yaml" in line
    assert min(seconds) < SECONDS


def test_an_unknown_command_is_a_wrong_call(tmp_path: Path) -> None:
    result = run("-m", "penstock", "vaildate", cwd=tmp_path)
    assert result.returncode == 2
    assert "Did you mean 'validate'?" in result.stderr
    assert result.stdout == ""

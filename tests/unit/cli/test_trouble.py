"""Trouble that nobody foresaw: a line or two on standard error, exit 1, the traceback in a file or on request."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "src"
# A command that raises, run by the real `main`.
PROGRAM = """
import errno, os, sys
from penstock.cli import main, runs
def broken(*arguments, **options):
    print("a result")
    raise {error}
runs.runs.commands["list"].callback = broken
main.main()
"""


def run(error: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs `penstock runs list`, which raises the error."""
    clean = {name: value for name, value in os.environ.items() if name != "PENSTOCK_TRACEBACK"}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(error=error), "runs", "list"],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(SOURCE), "TMPDIR": str(folder), **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), '/x/y')", "/x/y: No space left on device. Make room"),
        ("PermissionError(errno.EACCES, 'Permission denied', '/x/y')", "/x/y: Permission denied. You may not"),
        ("OSError(errno.EROFS, os.strerror(errno.EROFS), b'/x/y')", "/x/y: Read-only file system. It can only be read"),
        ("OSError(errno.EMFILE, 'Too many open files')", "Too many open files. Raise the limit"),
        ("OSError(errno.EIO, 'Input/output error', '/x')", "/x: Input/output error. Run it again with PENSTOCK_"),
    ],
)
def test_what_the_system_refused_is_one_line(tmp_path: Path, error: str, said: str) -> None:
    done = run(error, tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_anything_else_leaves_its_traceback_in_a_file(tmp_path: Path) -> None:
    done = run("LookupError('first\\nsecond')", tmp_path)
    assert done.returncode == 1
    assert done.stdout == "a result\n"
    first, second = done.stderr.splitlines()
    assert first == "Unexpected error in penstock: LookupError: first"
    [file] = tmp_path.iterdir()
    assert f"The traceback is in {file}." in second
    assert file.stat().st_mode & 0o077 == 0
    text = file.read_text()
    assert "Traceback (most recent call last)" in text and "LookupError: first\nsecond" in text


def test_a_traceback_that_cannot_be_kept(tmp_path: Path) -> None:
    """There is no folder for temporary files that can be written to."""
    program = "import tempfile; tempfile.tempdir = '/proc/nowhere'\n" + PROGRAM.format(error="LookupError()")
    done = subprocess.run(
        [sys.executable, "-c", program, "runs", "list"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "Unexpected error in penstock: LookupError"
    assert "PENSTOCK_TRACEBACK=1" in done.stderr


@pytest.mark.parametrize("error", ["LookupError('first')", "OSError(errno.ENOSPC, 'No space left on device')"])
def test_the_traceback_is_shown_on_request(tmp_path: Path, error: str) -> None:
    done = run(error, tmp_path, PENSTOCK_TRACEBACK="1")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last)")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    """`penstock … | head -1` ends quietly."""
    program = PROGRAM.replace('print("a result")', 'print("line\\n" * 100_000)').replace("raise {error}", "pass")
    command = [sys.executable, "-c", program, "runs", "list"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "line\n"
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 1
    process.stderr.close()

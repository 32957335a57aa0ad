"""Which nodes may run side by side, and how much memory a process group uses."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from penstock.backends.local.resources import Machine, Request, in_bytes, memory_of_group

GIB = 2**30
MACHINE = Machine(cpu=4, memory=8 * GIB)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("512Mi", 512 * 2**20),
        ("8Gi", 8 * GIB),
        ("16G", 16 * 10**9),
        ("1.5Gi", 3 * GIB // 2),
        ("1000", 1000),
        ("2k", 2000),
    ],
)
def test_amounts_of_memory(text: str, amount: int) -> None:
    assert in_bytes(text) == amount


@pytest.mark.parametrize("text", ["", "8 Gi", "8gb", "-1Gi", "Gi"])
def test_what_is_no_amount_of_memory_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="no amount of memory"):
        in_bytes(text)


@pytest.mark.parametrize(
    ("running", "wanted", "admitted"),
    [
        ([], Request(cpu=64, memory=1000 * GIB), True),
        ([Request(memory=5 * GIB)], Request(memory=3 * GIB), True),
        ([Request(memory=5 * GIB)], Request(memory=4 * GIB), False),
        ([Request(memory=9 * GIB)], Request(memory=1), False),
        ([Request(memory=9 * GIB)], Request(), True),
        ([Request(), Request()], Request(memory=8 * GIB), True),
        ([Request(cpu=3)], Request(cpu=1), True),
        ([Request(cpu=3)], Request(cpu=1.5), False),
        ([Request(cpu=3)], Request(memory=8 * GIB), True),
    ],
)
def test_nodes_run_side_by_side_as_far_as_there_is_room(
    running: list[Request], wanted: Request, admitted: bool
) -> None:
    assert MACHINE.admits(running, wanted) is admitted


def test_memory_counts_the_whole_process_group() -> None:
    code = "import sys, subprocess\nx = bytearray(50 << 20)\nprint(flush=True)\nsys.stdin.read()"
    parent = (
        f"import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', {code!r}])\nx = bytearray(30 << 20)\n"
        "child.wait()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None and process.stdin is not None
    process.stdout.readline()
    used = memory_of_group(os.getpgid(process.pid))
    process.stdin.close()
    process.stdout.close()
    process.wait()
    assert 80 << 20 < used < 160 << 20

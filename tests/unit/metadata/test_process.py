"""Whether a process is there, and since when."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from penstock.metadata import process


def test_a_process_started_when_it_was_started() -> None:
    before = time.time()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        start = process.started_at(child.pid)
        assert start is not None
        assert before - 2 < start < time.time() + 2


def test_a_process_that_ended_is_gone_even_before_it_is_collected() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.started_at(child.pid) is None
    child.wait()
    assert process.started_at(child.pid) is None


def test_only_a_process_older_than_the_run_is_the_runs() -> None:
    now = time.time()
    assert process.is_alive(os.getpid(), before=now + 60)
    assert not process.is_alive(os.getpid(), before=now - 86400 * 365)


def test_the_elapsed_time_of_ps_is_read() -> None:
    assert process._elapsed_seconds("00:05") == 5
    assert process._elapsed_seconds("01:02:03") == 3723
    assert process._elapsed_seconds("2-00:00:01") == 172801

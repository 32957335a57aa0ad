"""Memory in huge pages: it is what it was, and a fork has less to copy."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import hashlib, json, os, time
from penstock.backends.local import huge_pages

values = [bytes([number % 256]) * 400 for number in range(150_000)]

def look():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    huge, = (int(line.split()[1]) for line in lines if line.startswith("AnonHugePages"))
    return {"huge": huge, "digest": hashlib.sha256(b"".join(values)).hexdigest()}

before = look()
huge_pages.gather()
child = os.fork()
if child == 0:
    values[:] = [b"changed"] * len(values)  # must not be seen by the parent
    os._exit(0)
_, status = os.waitpid(child, 0)
print(json.dumps([before, look(), status]))
"""


@pytest.fixture(scope="module")
def seen() -> list[dict[str, int | str]]:
    """What a process saw of itself before and after, and how its child ended."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    found: list[dict[str, int | str]] = json.loads(done.stdout)
    return found


def test_what_is_in_memory_stays(seen: list[dict[str, int | str]]) -> None:
    before, after, status = seen
    assert before["digest"] == after["digest"]
    assert status == 0


@pytest.mark.skipif(tuple(map(int, os.uname().release.split(".")[:2])) < (6, 1), reason="Linux can do it since 6.1")
def test_most_of_it_is_in_huge_pages(seen: list[dict[str, int | str]]) -> None:
    before, after, _ = seen
    assert isinstance(before["huge"], int) and isinstance(after["huge"], int)
    assert after["huge"] - before["huge"] > 30_000  # KiB, of the 60,000 that the values take

"""Memory in huge pages: it is what it was, and a fork has less to copy."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

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
for _ in huge_pages.gather():
    pass
child = os.fork()
if child == 0:
    values[:] = [b"changed"] * len(values)  # must not be seen by the parent
    os._exit(0)
_, status = os.waitpid(child, 0)
print(json.dumps({"before": before, "after": look(), "status": status}))
"""


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """What a process saw of itself before and after, and how its child ended."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_is_in_memory_stays(seen: dict[str, Any]) -> None:
    assert seen["before"]["digest"] == seen["after"]["digest"]
    assert seen["status"] == 0


def test_most_of_it_is_in_huge_pages(seen: dict[str, Any]) -> None:
    assert seen["after"]["huge"] - seen["before"]["huge"] > 30_000  # KiB, of the 60,000 that the values take

"""Runs a command and watches the memory of all processes that come of it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks import data

_MARK = "BENCHMARK_OF_PENSTOCK"
_EVERY_SECONDS = 0.5
# A process has its parent's environment until it runs its own program.
_MOST_LOOKS = 4


@dataclass(frozen=True)
class Ran:
    """How a command went.

    Attributes:
        seconds: from its start to its end.
        peak_bytes: most memory that its processes held at a time, a page that several share counted once.
        output: what it printed.
    """

    seconds: float
    peak_bytes: int
    output: str


def run(command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str]) -> Ran:
    """Runs a command to its end; ends this program with its output when it fails.

    Its processes are those that have a variable of the environment which only they get, in whatever session they are,
    and those whose environment has the same mark from an earlier run: workers that were found warm.
    """
    with subprocess.Popen(
        list(map(str, command)),
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        began = time.perf_counter()
        watch = _Watch(env[_MARK])
        output, _ = process.communicate()
        seconds = time.perf_counter() - began
        peak = watch.stop()
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))}\nended with status {process.returncode}:\n{output[-8000:]}")
    return Ran(seconds, peak, output)


def marked_environment(**more: str) -> dict[str, str]:
    """Returns this process's environment with a new mark, and without what would change how either side runs.

    Python keeps what it compiled in a folder of the benchmarks' own, so that a command does not compile what it loads,
    however the packages were installed.
    """
    dropped = ("PENSTOCK_", "PYTHON", "TF_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return environment | {
        _MARK: uuid.uuid4().hex,
        "PYTHONPYCACHEPREFIX": str(data.cache_folder() / "compiled"),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        **more,
    }


class _Watch:
    """Samples the memory of marked processes in a thread."""

    def __init__(self, mark: str) -> None:
        self._mark = f"{_MARK}={mark}".encode()
        self._marked: set[int] = set()
        # How often each other process was looked at.
        self._others: Counter[int] = Counter()
        self._peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Ends the sampling and returns the peak in bytes."""
        self._ended.set()
        self._thread.join()
        return self._peak

    def _sample(self) -> None:
        while not self._ended.wait(_EVERY_SECONDS):
            self._find()
            # What is shared counts more than once in the first sum, which costs next to nothing.
            if sum(map(_resident, self._marked)) > self._peak:
                self._peak = max(self._peak, sum(map(proportional_bytes, self._marked)))

    def _find(self) -> None:
        there = {int(name) for name in os.listdir("/proc") if name.isdecimal()}
        self._marked &= there
        for gone in self._others.keys() - there:  # its number may be given again
            del self._others[gone]
        for pid in there - self._marked:
            if self._others[pid] < _MOST_LOOKS:
                self._others[pid] += 1
                # A process may end at any moment, and others belong to somebody else.
                with suppress(OSError):
                    if self._mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                        self._marked.add(pid)


def _resident(pid: int) -> int:
    """A process's resident set size, in bytes."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def proportional_bytes(pid: int) -> int:
    """A process's proportional set size, in bytes: its own pages, and its share of those that others have too."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0

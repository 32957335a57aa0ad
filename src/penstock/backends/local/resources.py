"""What nodes ask of one machine: which may run side by side, and how much memory one of them uses."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from penstock.engine.graph import GraphNode

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


@dataclass(frozen=True)
class Request:
    """What one node asks for; None for nothing said.

    Attributes:
        cpu: cores.
        memory: bytes; also a limit.
    """

    cpu: float | None = None
    memory: int | None = None

    @classmethod
    def of(cls, node: GraphNode) -> Request:
        """Reads a node's settings."""
        wanted = node.settings.get("resources", {})
        memory = wanted.get("memory")
        return cls(wanted.get("cpu"), None if memory is None else in_bytes(memory))


def in_bytes(quantity: str) -> int:
    """Returns an amount of memory in Kubernetes notation (`512Mi`, `8Gi`, `16G`) as bytes.

    Raises:
        ValueError: it is no such amount.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|k|M|G|T)?", quantity)
    if match is None:
        raise ValueError(f"{quantity!r} is no amount of memory; write one like 512Mi or 8Gi")
    return int(float(match[1]) * _UNITS[match[2] or ""])


@dataclass(frozen=True)
class Machine:
    """What there is to share: cores, and bytes of memory."""

    cpu: float
    memory: int

    @classmethod
    def this(cls) -> Machine:
        """The machine this runs on."""
        return cls(os.cpu_count() or 1, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))

    def admits(self, running: Iterable[Request], wanted: Request) -> bool:
        """Whether a node may start beside those that run; alone it always may."""
        running = list(running)
        if not running:
            return True
        cpu = sum(request.cpu or 0 for request in running) + (wanted.cpu or 0)
        memory = sum(request.memory or 0 for request in running) + (wanted.memory or 0)
        # Who asks for nothing is counted by the number of jobs alone.
        return (wanted.cpu is None or cpu <= self.cpu) and (wanted.memory is None or memory <= self.memory)


def memory_of_group(leader: int) -> int:
    """Returns the bytes of memory that the processes of a group have for themselves, swap included.

    What they share with the zygote does not count: it is there once for all of them.
    """
    total = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[2]) != leader:
                continue
            lines = (entry / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue  # ended meanwhile
        total += sum(
            int(line.split()[1]) * 1024
            for line in lines
            if line.startswith(("Private_Clean", "Private_Dirty", "Swap:"))
        )
    return total

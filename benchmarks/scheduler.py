"""Measures what the local scheduler adds to nodes that do nothing, its memory, and how both grow with the pipeline.

Prints a table; with `--write` it also writes results-scheduler.md beside this file. Run it on a machine that does
nothing else; the table says when that was not the case.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

RESULTS = Path(__file__).with_name("results-scheduler.md")
QUIET_LOAD = 1.5
CACHED_NODES = 9

NO_OP = """\
from tfx.dsl.component.experimental.annotations import OutputDict, Parameter
from tfx.dsl.component.experimental.decorators import component


@component
def nothing(number: Parameter[int]) -> OutputDict(made=int):
    return {"made": number}
"""


@dataclass(frozen=True)
class Measured:
    """One run.

    Attributes:
        nodes: how many nodes it had.
        seconds: of the whole command.
        node_milliseconds: median time from the end of one node to the end of the next, one node at a time.
        peak_mebibytes: most memory that the scheduling process held.
    """

    nodes: int
    seconds: float
    node_milliseconds: float
    peak_mebibytes: float


def main() -> None:
    """Runs the pipelines and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[250, 500, 1000, 2000], help="numbers of nodes")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name} too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        text = measure(Path(name), options.sizes)
    print(text)
    if options.write:
        RESULTS.write_text(text + "\n")


def measure(folder: Path, sizes: Sequence[int]) -> str:
    """Runs pipelines of these numbers of nodes in a folder, and returns the results as Markdown."""
    load = os.getloadavg()[0]
    run(folder, "warm-up", 1)
    measured = [run(folder, f"nodes-{nodes}", nodes) for nodes in sizes]
    run(folder, "cached", CACHED_NODES)
    cached = run(folder, "cached", CACHED_NODES)
    return table(measured, cached, process_start_seconds(), load)


def run(folder: Path, name: str, nodes: int) -> Measured:
    """Runs a pipeline of independent nodes, one node at a time; a second run of the same name finds it cached."""
    project = folder / name
    project.mkdir(exist_ok=True)
    (project / "parts.py").write_text(NO_OP)
    declared = "".join(f"  n{number}: {{component: 'parts:nothing', number: {number}}}\n" for number in range(nodes))
    (project / "pipeline.yaml").write_text(f"penstock: 1\nname: {name}\nnodes:\n{declared}")
    store = project / "store"
    command = [sys.executable, "-m", "penstock", "run", str(project), "--store", str(store), "--jobs", "1"]
    began = time.perf_counter()
    with (project / "said.txt").open("w") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit((project / "said.txt").read_text())
    ends = node_ends(store)
    gaps = [after - before for before, after in pairwise(ends)]
    median = statistics.median(gaps) if gaps else 0.0
    return Measured(nodes, seconds, 1000 * median, usage.ru_maxrss / 1024)


def node_ends(store: Path) -> list[float]:
    """When the nodes of the latest run ended, in seconds since the epoch, in that order."""
    from penstock.metadata.database import connect
    from penstock.metadata.location import StoreLocation
    from penstock.metadata.runs import get_run, nodes_of

    with connect(StoreLocation(store), create=False) as database:
        nodes = nodes_of(database, get_run(database, "latest").run_id)
    return sorted(node.finished_at for node in nodes if node.finished_at is not None)


def process_start_seconds() -> float:
    """How long a command takes that does nothing but load what every run loads."""
    program = "from penstock.engine import light_tfx; light_tfx.load(); import penstock.backends.local.scheduler"
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - began


def table(measured: list[Measured], cached: Measured, start_seconds: float, load: float) -> str:
    """Returns the results as Markdown."""
    quiet = "" if load < QUIET_LOAD else f"; **not quiet: load {load:.1f} at the start**"
    lines = [
        "# What the local scheduler costs",
        "",
        f"{datetime.now():%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()}, "
        f"Python {platform.python_version()}{quiet}.",
        "Nodes that do nothing, one at a time, warm workers; a node's time includes its worker process.",
        "",
        "| nodes | whole command, s | a node at the median, ms | scheduler's memory at its peak, MiB |",
        "|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {run.nodes} | {run.seconds:.1f} | {run.node_milliseconds:.0f} | {run.peak_mebibytes:.0f} |"
        for run in measured
    ]
    beyond = max(0.0, cached.seconds - start_seconds)
    lines += ["", f"{cached.nodes} nodes, all cached: {cached.seconds:.2f} s, {beyond:.2f} s beyond process start."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""Compares Penstock with TFX's LocalDagRunner on the Chicago taxi pipeline, in one run, one after the other in turn.

Prints a table for each part, and writes it into README.md beside this file unless told otherwise. Use a machine that
does nothing else; what is written says when that was not the case.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from benchmarks import data, report, scheduler, sides
from benchmarks.report import Row
from benchmarks.sides import SLICED, Case, Measured

_GB = 1e9


def main() -> None:
    """Measures what is asked for."""
    options = _options()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        sides.prepare(Path(folder))
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    for name in options.only or PARTS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
            text = PARTS[name](options, Path(folder))
        text = f"{text}\n\n{report.circumstances(load)}"
        print(f"\n{text}\n\n{name} took {(time.monotonic() - began) / 60:.1f} minutes.\n")
        if options.write:
            report.write(name, text)


def small(options: argparse.Namespace, folder: Path) -> str:
    """The pipeline as it ships, all nodes: cold, warm, cached."""
    case = Case(folder, data.taxi(1), options.train_steps, two_evaluations=False)
    theirs: list[Measured] = []
    ours: dict[str, list[Measured]] = {"cold": [], "warm": [], "cached": []}
    for repeat in range(options.repeats):
        theirs.append(_told("TFX", repeat, sides.tfx(case)))
        with closing(sides.Penstock(case)) as penstock:
            ours["cold"].append(_told("Penstock cold", repeat, penstock.run("cold")))
            ours["warm"].append(_told("Penstock warm", repeat, penstock.run("warm")))
            penstock.run("warm")  # evaluates once more, against the model that the run before blessed
            ours["cached"].append(_told("Penstock cached", repeat, penstock.run("warm")))
    seconds = [run.seconds for run in theirs]
    table = report.comparison(
        [
            Row("the command, cold", seconds, [run.seconds for run in ours["cold"]], target=2.5),
            Row("the command, warm workers", seconds, [run.seconds for run in ours["warm"]], target=4),
            Row("the command, everything cached", [], [run.seconds for run in ours["cached"]], target=2),
            Row("peak memory", _peaks(theirs), _peaks(ours["cold"]), "GB"),
        ]
    )
    return f"### {data.ROWS:,} rows\n\nMedians of {options.repeats}, least and most in brackets.\n\n{table}"


def large(options: argparse.Namespace, folder: Path) -> str:
    """Twenty times the rows: node by node, and the run without training."""
    case = Case(folder, data.taxi(options.copies), options.large_train_steps, two_evaluations=True)
    theirs: list[Measured] = []
    cold: list[Measured] = []
    warm: list[Measured] = []
    with_statistics: list[float] = []
    for repeat in range(options.repeats):
        if repeat < options.tfx_repeats:
            theirs.append(_told("TFX", repeat, sides.tfx(case)))
        with closing(sides.Penstock(case)) as penstock:
            cold.append(_told("Penstock cold", repeat, penstock.run("cold")))
            warm.append(_told("Penstock warm", repeat, penstock.run("warm")))
            with_statistics.append(penstock.transform_with_statistics("warm"))
    nodes = {
        "examples": ("ingestion", 10.0),
        "statistics": ("StatisticsGen", 2.0),
        "transform": ("Transform", 3.0),
        "evaluator": ("Evaluator, overall slice", 8.0),
        SLICED: ("Evaluator, overall, 24 hours, hour × payment type", 10.0),
        "trainer": (f"Trainer ({case.train_steps} steps)", None),
    }
    rows = [
        Row(name, [run.nodes[node] for run in theirs], [run.nodes[node] for run in [*cold, *warm]], target=target)
        for node, (name, target) in nodes.items()
    ]
    transform = [run.nodes["transform"] for run in theirs]
    rows.insert(3, Row("Transform, with statistics on both sides", transform, with_statistics))
    for name, runs in (("cold", cold), ("warm workers", warm)):
        rows.append(Row(f"the command without Trainer, {name}", _wholes(theirs), _wholes(runs), target=5))
    rows.append(Row("peak memory", _peaks(theirs), _peaks([*cold, *warm]), "GB", target=1.5))
    return (
        f"### {data.ROWS * options.copies:,} rows\n\n"
        f"Medians of {len(theirs)} runs of TFX and {len(cold)} cold and {len(warm)} warm ones of Penstock. The command "
        f"without Trainer is without the sliced evaluation too, which both sides do after all else. TFX's "
        f"Transform makes statistics by default; Penstock's makes them where they are asked for, measured apart."
        f"\n\n{report.comparison(rows)}"
    )


def huge(options: argparse.Namespace, folder: Path) -> str:
    """Ten times as many rows again, Penstock alone: do time a row and memory stay what they are?"""
    measured: dict[int, list[Measured]] = {}
    for copies in (options.copies, 10 * options.copies):
        case = Case(folder / str(copies), data.taxi(copies), options.large_train_steps, two_evaluations=True)
        repeats = options.repeats if copies == options.copies else options.huge_repeats
        with closing(sides.Penstock(case)) as penstock:
            penstock.warm()
            measured[copies] = [
                _told(f"Penstock, {data.ROWS * copies:,} rows", repeat, penstock.run(f"run-{repeat}"))
                for repeat in range(repeats)
            ]
    few, many = measured.values()
    small_rows, large_rows = (data.ROWS * copies for copies in measured)
    rows = [
        _growth("time a row, without Trainer, µs", _a_row(few, small_rows), _a_row(many, large_rows), 1.1),
        _growth("peak memory, GB", _peaks(few), _peaks(many), 1.3),
    ]
    head = f"| warm workers | {small_rows:,} rows | {large_rows:,} rows | growth | target |\n|---|---:|---:|---:|---:|"
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return (
        f"### {large_rows:,} rows against {small_rows:,}, Penstock alone\n\n"
        f"Medians of {len(few)} and {len(many)} runs.\n\n{head}\n{lines}"
    )


def idle(options: argparse.Namespace, folder: Path) -> str:
    """Nodes that do nothing, and a run that is all cached; see scheduler.py."""
    return scheduler.measure(folder, options.scheduler_nodes).replace("# ", "### ", 1)


PARTS: dict[str, Callable[[argparse.Namespace, Path], str]] = {
    "small": small,
    "large": large,
    "huge": huge,
    "scheduler": idle,
}


def _told(what: str, repeat: int, measured: Measured) -> Measured:
    print(f"  {repeat + 1}. {what}: {measured.seconds:.1f} s, {measured.peak_bytes / _GB:.2f} GB", file=sys.stderr)
    return measured


def _wholes(runs: list[Measured]) -> list[float]:
    return [run.without("trainer", SLICED) for run in runs]


def _peaks(runs: list[Measured]) -> list[float]:
    return [run.peak_bytes / _GB for run in runs]


def _a_row(runs: list[Measured], rows: int) -> list[float]:
    """Microseconds a row."""
    return [run.without("trainer") / rows * 1e6 for run in runs]


def _growth(name: str, few: list[float], many: list[float], target: float) -> list[str]:
    before, after = (sorted(values)[len(values) // 2] for values in (few, many))
    return [name, f"{before:.2f}", f"{after:.2f}", f"**{after / before:.2f}**", f"at most {target:g}"]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against_tfx", description=__doc__)
    parser.add_argument("--only", choices=PARTS, nargs="+", help="measure these parts only")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is measured  [default: 3]")
    parser.add_argument(
        "--tfx-repeats", type=int, default=3, help="how often TFX is, on the large data, at most  [default: 3]"
    )
    parser.add_argument("--huge-repeats", type=int, default=1, help="how often the huge data are  [default: 1]")
    parser.add_argument("--copies", type=int, default=20, help="taxi files in the large data  [default: 20]")
    parser.add_argument("--train-steps", type=int, default=1000, help="of the small data  [default: 1000]")
    parser.add_argument("--large-train-steps", type=int, default=200, help="of larger data  [default: 200]")
    parser.add_argument("--scheduler-nodes", type=int, nargs="+", default=[250, 500, 1000, 2000])
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave README.md as it is")
    return parser.parse_args()


if __name__ == "__main__":
    main()

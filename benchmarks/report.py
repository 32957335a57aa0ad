"""What was measured, as a table, and where it is kept."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path

README = Path(__file__).with_name("README.md")
QUIET_LOAD = 0.7


@dataclass(frozen=True)
class Row:
    """A line of the comparison: what both took, and how many times as much TFX took.

    Attributes:
        name: what was measured.
        tfx: TFX's values, one a repeat; none where only Penstock is measured.
        penstock: Penstock's values.
        unit: s, or GB.
        target: the ratio it should at least have, or the value it should at most have where there is no ratio.
    """

    name: str
    tfx: Sequence[float]
    penstock: Sequence[float]
    unit: str = "s"
    target: float | None = None

    @property
    def cells(self) -> list[str]:
        """The line's cells."""
        ours = f"{_middle(self.penstock)} {self.unit}"
        if not self.tfx:
            return [self.name, "", ours, "", "" if self.target is None else f"at most {self.target:g} {self.unit}"]
        ratio = statistics.median(self.tfx) / statistics.median(self.penstock)
        ratios = [theirs / our for theirs in self.tfx for our in self.penstock]
        spread = f" ({min(ratios):.1f}–{max(ratios):.1f})" if len(ratios) > 1 else ""
        target = "" if self.target is None else f"at least {self.target:g}"
        return [self.name, f"{_middle(self.tfx)} {self.unit}", ours, f"**{ratio:.1f}**{spread}", target]


def comparison(rows: Sequence[Row]) -> str:
    """Returns the lines as a table in Markdown."""
    lines = ["| | TFX | Penstock | TFX ÷ Penstock | target |", "|---|---:|---:|---:|---:|"]
    return "\n".join([*lines, *(f"| {' | '.join(row.cells)} |" for row in rows)])


def circumstances(load: float) -> str:
    """Returns a sentence with date, machine and versions; `load` is the machine's before the first measurement."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    versions = [f"{name} {metadata.version(name)}" for name in ("tfx", "tensorflow", "apache-beam")]
    quiet = "" if load < QUIET_LOAD else f" **Not a quiet machine: load {load:.1f} before the first measurement.**"
    return (
        f"{datetime.now():%Y-%m-%d}; {os.cpu_count()} cores ({_processor()}), {memory:.0f} GB; {platform.system()}, "
        f"Python {platform.python_version()}, {', '.join(versions)}.{quiet}"
    )


def write(part: str, text: str) -> None:
    """Puts a part's results between its markers in the README."""
    content = README.read_text()
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    replaced, count = pattern.subn(lambda _: f"{begin}\n{text}\n{end}", content)
    if count != 1:
        raise SystemExit(f"{README}: wants the markers {begin} and {end} once, and has them {count} times")
    README.write_text(replaced)


def _middle(values: Sequence[float]) -> str:
    """The median, and the spread where there are several."""
    median = statistics.median(values)
    digits = 1 if median >= 10 else 2
    spread = f" ({min(values):.{digits}f}–{max(values):.{digits}f})" if len(values) > 1 else ""
    return f"{median:.{digits}f}{spread}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()

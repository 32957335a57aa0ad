"""Tables as columns of numpy arrays, and nothing of what is tested."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

Table = Mapping[str, np.ndarray]


def read_csv(file: Path) -> dict[str, np.ndarray]:
    """Returns columns of text, or of numbers in double precision; "" and NaN stand for an empty cell."""
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return {name: _typed([row[name] for row in rows]) for name in rows[0]}


def sorted_rows(table: Table, columns: Sequence[str], as_type: type = np.float64) -> np.ndarray:
    """Returns these columns as a matrix whose rows are in ascending order: equal for tables that hold the same rows."""
    rows = np.stack([table[name].astype(as_type) for name in columns], axis=1)
    return rows[np.lexsort(rows.T)]


def _typed(cells: list[str]) -> np.ndarray:
    try:
        return np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError:
        return np.array(cells)

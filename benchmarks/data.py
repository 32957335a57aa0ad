"""The taxi file that ships inside the tfx package, as often after itself as asked for."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

ROWS = 15_002
"""Rows of the file as it ships."""


def cache_folder() -> Path:
    """Where made data is kept between benchmarks, outside of the repository; made if missing."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base) / "penstock-benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def taxi(copies: int) -> Path:
    """Returns a folder that holds one CSV file with all rows `copies` times, made unless it is there."""
    folder = cache_folder() / f"taxi-{copies}"
    file = folder / "data.csv"
    if file.is_file():
        return folder
    header, _, rows = _shipped().read_bytes().partition(b"\n")
    partial = folder / ".data.csv.partial"
    folder.mkdir(exist_ok=True)
    with partial.open("wb") as stream:
        stream.write(header + b"\n")
        for _ in range(copies):
            stream.write(rows)
    partial.rename(file)
    return folder


def _shipped() -> Path:
    # Not by importing tfx, which loads TensorFlow.
    found = importlib.util.find_spec("tfx")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("tfx is not installed here; run `make setup`, then `make bench`.")
    return Path(found.submodule_search_locations[0], "examples/chicago_taxi_pipeline/data/simple/data.csv")

"""Training curves out of TensorBoard's event files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

_MOST_CURVES = 24
_MOST_POINTS = 200
_LARGEST_FILE_BYTES = 100 << 20


def read(folder: Path) -> dict[str, list[list[float]]]:
    """Returns [step, value] pairs by `FOLDER/TAG` of the scalars below a folder; long curves are thinned out.

    Files that are larger than 100 MB or broken, as those of a killed process may be, give what could be read.
    """
    import tensorflow as tf

    curves: dict[str, dict[int, float]] = {}
    for path in sorted(folder.rglob("*tfevents*")):
        if not path.is_file() or path.stat().st_size > _LARGEST_FILE_BYTES:
            continue
        prefix = path.parent.relative_to(folder).as_posix()
        try:
            for event in tf.compat.v1.train.summary_iterator(str(path)):
                for value in event.summary.value:
                    number = _scalar(value)
                    if number is not None:
                        tag = value.tag if prefix == "." else f"{prefix}/{value.tag}"
                        curves.setdefault(tag, {})[int(event.step)] = number
        except tf.errors.DataLossError:
            continue
    return {tag: _thinned(sorted(points.items())) for tag, points in sorted(curves.items())[:_MOST_CURVES]}


def _scalar(value: Any) -> float | None:
    """The number of a summary value, or None if it is none: an image, a graph, not finite."""
    import tensorflow as tf

    if value.HasField("simple_value"):
        number = float(value.simple_value)
    elif value.metadata.plugin_data.plugin_name == "scalars":
        number = float(tf.make_ndarray(value.tensor).reshape(-1)[0])
    else:
        return None
    return number if math.isfinite(number) else None


def _thinned(points: list[tuple[int, float]]) -> list[list[float]]:
    step = max(1, -(-len(points) // _MOST_POINTS))
    kept = points[::step]
    if points[-1] not in kept:
        kept.append(points[-1])
    return [[at, value] for at, value in kept]

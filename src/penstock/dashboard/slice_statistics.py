"""What the examples of one slice are like, next to all that an evaluation was computed from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from typing import Any

from penstock.dashboard import example_files
from penstock.dashboard.example_files import Example

# They are read while somebody waits: some 20,000 of twenty features in a second.
MOST_EXAMPLES = 20_000
_MOST_ROWS = 50
_MOST_VALUES = 10
_LONGEST_TEXT = 100
_BUCKETS = 10
_TOP = 10


@dataclass(frozen=True)
class SliceExamples:
    """Examples that fit a slice, next to all.

    Attributes:
        overall: statistics of all examples that were read, laid out as the summary of statistics tells.
        sliced: the same of those that fit the slice.
        rows: the first of these, a value or a list of values by feature.
        is_cut: whether there are more examples than were read.
        unknown: features of the slice that no example has.
    """

    overall: Mapping[str, Any]
    sliced: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    is_cut: bool
    unknown: Sequence[str]


@lru_cache(maxsize=32)
def read(folders: tuple[str, ...], slice_: tuple[tuple[str, str], ...]) -> SliceExamples:
    """Reads the examples of splits. Their files never change, so what was read is remembered.

    Args:
        folders: the folders of the splits.
        slice_: values by feature, as texts.

    Raises:
        UnreadableExamplesError: they cannot be read.
    """
    found = list(islice(chain.from_iterable(map(example_files.read, folders)), MOST_EXAMPLES + 1))
    examples = found[:MOST_EXAMPLES]
    fitting = [example for example in examples if all(_has(example, name, value) for name, value in slice_)]
    names = sorted(set(chain.from_iterable(examples)))
    return SliceExamples(
        overall=statistics(examples, names),
        sliced=statistics(fitting, names),
        rows=[_row(example) for example in fitting[:_MOST_ROWS]],
        is_cut=len(found) > len(examples),
        unknown=[name for name, _ in slice_ if name not in names],
    )


def statistics(examples: Sequence[Example], names: Sequence[str]) -> dict[str, Any]:
    """Statistics of some features, laid out as the summary of statistics tells."""
    return {"examples": len(examples), "features": [_feature(name, examples) for name in names]}


def _has(example: Example, name: str, wanted: str) -> bool:
    return any(_is(value, wanted) for value in example.get(name, ()))


def _is(value: Any, wanted: str) -> bool:
    if isinstance(value, float):
        try:
            return math.isclose(value, float(wanted), rel_tol=1e-6)
        except ValueError:
            return False
    return str(value) == wanted


def _feature(name: str, examples: Sequence[Example]) -> dict[str, Any]:
    cells = [example.get(name, ()) for example in examples]
    values = list(chain.from_iterable(cells))
    missing = sum(1 for cell in cells if not cell)
    common = {"name": name, "missing": missing, "values": len(values)}
    if not values or isinstance(values[0], str):
        counted = Counter(map(str, values))
        top = [[value[:_LONGEST_TEXT], number] for value, number in counted.most_common(_TOP)]
        return {**common, "type": "STRING", "distinct": len(counted), "top": top}
    return {**common, **_numbers(values)}


def _numbers(values: Sequence[float]) -> dict[str, Any]:
    import numpy as np

    kind = "FLOAT" if isinstance(values[0], float) else "INT"
    numbers = np.asarray(values, dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return {"type": kind}
    counts, edges = np.histogram(numbers, bins=_BUCKETS)
    return {
        "type": kind,
        "mean": float(numbers.mean()),
        "deviation": float(numbers.std()),
        "zeros": int((numbers == 0).sum()),
        "minimum": float(numbers.min()),
        "median": float(np.median(numbers)),
        "maximum": float(numbers.max()),
        "histogram": list(_buckets(edges.tolist(), counts.tolist())),
        "quantiles": np.quantile(numbers, np.linspace(0, 1, _BUCKETS + 1)).tolist(),
    }


def _buckets(edges: Sequence[float], counts: Sequence[int]) -> Iterator[list[float]]:
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        yield [low, high, count]


def _row(example: Example) -> dict[str, Any]:
    return {name: _shown(example[name]) for name in sorted(example)}


def _shown(values: Sequence[Any]) -> Any:
    cut = [value[:_LONGEST_TEXT] if isinstance(value, str) else value for value in values[:_MOST_VALUES]]
    return cut if len(cut) > 1 else cut[0] if cut else None

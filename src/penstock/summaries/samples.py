"""Some rows of examples for people to look at, where the environment of a run says to keep them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

VARIABLE = "PENSTOCK_SAMPLE_ROWS"
"""In a worker's environment: how many rows of each split are kept; the declaration's environment sets it."""

_MOST_ROWS = 100
_MOST_VALUES = 10
_LONGEST_TEXT = 100


def wanted(environ: Mapping[str, str] = os.environ) -> int:
    """Returns how many rows of each split are to be kept."""
    text = environ.get(VARIABLE, "")
    return min(int(text), _MOST_ROWS) if text.isdigit() else 0


def rows(files: Sequence[Path], number: int) -> list[dict[str, Any]]:
    """Returns the first rows of TFRecord files of `tf.train.Example`: value by feature, a list where there are several.

    Long texts and lists are cut. A feature without a value is None.
    """
    import tensorflow as tf

    names = sorted(str(path) for path in files)
    compression = "GZIP" if names and names[0].endswith(".gz") else ""
    records = tf.data.TFRecordDataset(names, compression_type=compression).take(number)
    return [_row(tf.train.Example.FromString(record.numpy())) for record in records]


def _row(example: Any) -> dict[str, Any]:
    return {name: _cell(feature) for name, feature in sorted(example.features.feature.items())}


def _cell(feature: Any) -> Any:
    kind = feature.WhichOneof("kind")
    values = list(getattr(feature, kind).value[:_MOST_VALUES]) if kind else []
    if kind == "bytes_list":
        values = [value.decode("utf-8", "replace")[:_LONGEST_TEXT] for value in values]
    elif kind == "float_list":
        # JSON has no other numbers.
        values = [value if value - value == 0 else str(value) for value in values]
    return values if len(values) > 1 else values[0] if values else None

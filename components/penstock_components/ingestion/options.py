"""The options of ArrowExampleGen as an execution property: one text of JSON."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tfx.proto import example_gen_pb2

from penstock_components.ingestion import columns
from penstock_components.ingestion.sources import Options

PROPERTY = "source_options"
FORMATS = ("csv", "parquet", "jsonl", "arrow")
RAGGED_ROWS = ("fail", "skip")


@dataclass(frozen=True)
class Loaded:
    """Options, and the format that files have; None for what their suffixes say."""

    format: str | None
    options: Options


def dump(
    *,
    format: str | None = None,
    column_types: Mapping[str, str] | None = None,
    columns_: Sequence[str] | None = None,
    drop_columns: Sequence[str] | None = None,
    ragged_rows: str = "fail",
    encoding: str = "utf-8",
) -> str:
    """Checks options and returns them as JSON; ones left at their defaults are left out.

    Raises:
        ValueError: an option has a value that is not allowed.
    """
    _check_one_of("format", format, FORMATS)
    _check_one_of("ragged_rows", ragged_rows, RAGGED_ROWS)
    for name, type_name in (column_types or {}).items():
        _check_one_of(f"column_types: column {name!r}", type_name, tuple(columns.NAMES))
    both = sorted(set(columns_ or ()) & set(drop_columns or ()))
    if both:
        raise ValueError(f"columns and drop_columns both name {', '.join(both)}")
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise ValueError(f"encoding: {encoding!r} is not known; give a name that Python's codecs have") from error
    given: dict[str, Any] = {
        "format": format,
        "column_types": dict(column_types or {}),
        "columns": list(columns_ or ()),
        "drop_columns": list(drop_columns or ()),
        "ragged_rows": ragged_rows if ragged_rows != "fail" else None,
        "encoding": encoding if encoding != "utf-8" else None,
    }
    return json.dumps({key: value for key, value in given.items() if value}, sort_keys=True)


def load(exec_properties: Mapping[str, Any], schema_types: columns.ColumnTypes = MappingProxyType({})) -> Loaded:
    """Returns the options that execution properties hold; a type given there counts before one of a schema."""
    given = json.loads(exec_properties.get(PROPERTY) or "{}")
    own_types = {name: columns.NAMES[type_name] for name, type_name in given.get("column_types", {}).items()}
    return Loaded(
        format=given.get("format"),
        options=Options(
            types={**schema_types, **own_types},
            columns=tuple(given.get("columns", ())),
            drop_columns=tuple(given.get("drop_columns", ())),
            skip_ragged_rows=given.get("ragged_rows") == "skip",
            encoding=given.get("encoding", "utf-8"),
        ),
    )


def of_types(given: Options) -> Options:
    """Returns options for data from which columns are already left out."""
    return Options(types=given.types)


def check_payload(payload_format: int | None) -> None:
    """Refuses payload formats that are not written.

    Raises:
        ValueError: the format is another one.
    """
    allowed = (example_gen_pb2.FORMAT_TF_EXAMPLE, example_gen_pb2.FORMAT_PARQUET)
    if payload_format not in allowed:
        raise ValueError("output_data_format must be FORMAT_TF_EXAMPLE or FORMAT_PARQUET")


def _check_one_of(name: str, value: str | None, allowed: Sequence[str]) -> None:
    if value is not None and value not in allowed:
        raise ValueError(f"{name}: {value!r} is not allowed; allowed are {', '.join(allowed)}")

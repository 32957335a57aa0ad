"""Which format files have, and what reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from penstock_components.ingestion import files
from penstock_components.ingestion.arrow_source import ArrowFileSource, ParquetSource
from penstock_components.ingestion.csv_source import CsvSource
from penstock_components.ingestion.errors import DataError
from penstock_components.ingestion.json_source import JsonLinesSource
from penstock_components.ingestion.options import Loaded
from penstock_components.ingestion.sources import Options, Source

_SOURCES: dict[str, Callable[[Options], Source]] = {
    "csv": CsvSource,
    "parquet": ParquetSource,
    "jsonl": JsonLinesSource,
    "arrow": ArrowFileSource,
}
_SUFFIXES = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}


def source(loaded: Loaded, paths: Sequence[str]) -> Source:
    """Returns what reads the files.

    Raises:
        DataError: no format is given, and the files' suffixes tell none or several.
    """
    name = loaded.format or _format_of_suffixes(paths)
    return _SOURCES[name](loaded.options)


def _format_of_suffixes(paths: Sequence[str]) -> str:
    found: dict[str, str] = {}
    for path in sorted(paths):
        name = _SUFFIXES.get(files.format_suffix(path))
        if name is None:
            raise DataError(
                f"{path}: its suffix tells no format; known are {', '.join(_SUFFIXES)}. Set `format`, or narrow the"
                " pattern in input_config"
            )
        found.setdefault(name, path)
    if len(found) > 1:
        raise DataError(
            f"{' and '.join(found.values())} have different formats; narrow the pattern in input_config to one of them"
        )
    return next(iter(found))

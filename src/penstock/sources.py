"""What a PATH on the command line can be: a folder, a declaration's file, or `FILE.py:CALLABLE`."""

from __future__ import annotations

from pathlib import Path


def is_python_source(source: str) -> bool:
    """Returns whether a path has the form `FILE.py:CALLABLE`."""
    file, separator, name = source.rpartition(":")
    return bool(separator) and file.endswith(".py") and name.isidentifier()


def split_python_source(source: str) -> tuple[Path, str]:
    """Returns the absolute file and the callable's name of `FILE.py:CALLABLE`."""
    file, _, name = source.rpartition(":")
    return Path(file).expanduser().absolute(), name

"""Folders a declaration is read against, and paths inside it."""

from __future__ import annotations

import importlib.util
import os.path
from pathlib import Path

PACKAGE_PREFIX = "package://"


def import_roots(file: Path) -> tuple[Path, ...]:
    """Returns the folders user code is imported from: the file's own, and its parent if the own one is a package."""
    folder = file.parent
    return (folder, folder.parent) if (folder / "__init__.py").is_file() else (folder,)


def is_remote(text: str) -> bool:
    """Whether a path names another file system, like `s3://bucket/data`."""
    return "://" in text and not text.startswith(PACKAGE_PREFIX)


def resolve(text: str, base: Path) -> str:
    """Returns an absolute path: `package://NAME/rest` inside an installed package, `~` expanded, else against `base`.

    A path on another file system is returned as it is.

    Raises:
        ValueError: there is no such package, or nothing at that place inside it.
    """
    if text.startswith(PACKAGE_PREFIX):
        return _in_package(text)
    if is_remote(text):
        return text
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{text!r} names the home folder of an unknown user") from error
    # Not resolve(): a link in a data path must stay a link.
    return str(path if path.is_absolute() else _normal(base / path))


def _normal(path: Path) -> Path:
    return Path(os.path.normpath(path))


def _in_package(text: str) -> str:
    name, _, rest = text.removeprefix(PACKAGE_PREFIX).partition("/")
    if not name.isidentifier():
        raise ValueError(f"{text!r} names no package; write package://NAME/path, NAME a top-level Python package")
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"no package {name!r} is installed; install it, or give a folder")
    for location in spec.submodule_search_locations:
        path = _normal(Path(location) / rest)
        if path.exists():
            return str(path)
    raise ValueError(f"the installed package {name!r} holds nothing at {rest!r}")

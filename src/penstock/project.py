"""Where a project begins: the folder whose `.penstock` its runs are recorded in."""

from __future__ import annotations

from pathlib import Path

STORE_FOLDER = ".penstock"
_MARKERS = (STORE_FOLDER, "pyproject.toml", ".git")


def find_root(folder: Path) -> Path:
    """Returns the nearest folder from `folder` up that has `.penstock`, `pyproject.toml` or `.git`, else `folder`."""
    for candidate in (folder, *folder.parents):
        if any((candidate / marker).exists() for marker in _MARKERS):
            return candidate
    return folder

"""What can be told of any artifact: its files, and the text of those that people read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# How a file is shown, by its suffix.
_KINDS = {".html": "html", ".htm": "html", ".md": "markdown", ".txt": "text", ".json": "text"}
_LARGEST_BYTES = {"html": 400_000, "markdown": 100_000, "text": 20_000}
_MOST_DOCUMENTS = 5
_MOST_FILES = 200


def listing(folder: Path) -> dict[str, Any]:
    """Returns `files`, the first [path, bytes] by path, with the `number` and `bytes` of all."""
    found = sorted((path.relative_to(folder).as_posix(), path.stat().st_size) for path in _files(folder))
    return {
        "files": [list(entry) for entry in found[:_MOST_FILES]],
        "number": len(found),
        "bytes": sum(size for _, size in found),
    }


def documents(folder: Path) -> list[dict[str, Any]]:
    """Returns the files that people read, but for large ones: `name`, `kind` (html, markdown or text) and `text`."""
    found = []
    for path in sorted(_files(folder)):
        kind = _KINDS.get(path.suffix.lower())
        if kind is not None and path.stat().st_size <= _LARGEST_BYTES[kind]:
            text = path.read_text(encoding="utf-8", errors="replace")
            found.append({"name": path.relative_to(folder).as_posix(), "kind": kind, "text": text})
            if len(found) == _MOST_DOCUMENTS:
                break
    return found


def _files(folder: Path) -> list[Path]:
    # What a link points to may be anything on the machine.
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]

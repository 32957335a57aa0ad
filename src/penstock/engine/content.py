"""What a payload holds: its size, and a digest that two equal payloads share."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

# Custom properties that are recorded on each output artifact.
DIGEST_PROPERTY = "penstock_digest"
SIZE_PROPERTY = "penstock_bytes"


def digest(uri: str) -> tuple[str | None, int]:
    """Returns a SHA-256 over names and bytes of all files under a local path, and their size in bytes.

    Paths on other file systems, and paths that are not there, give `(None, 0)`.
    """
    if "://" in uri or not os.path.exists(uri):
        return None, 0
    root = Path(uri)
    files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
    whole, size = hashlib.sha256(), 0
    for path in files:
        whole.update(str(path.relative_to(root)).encode() + b"\0")
        with path.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
        size += path.stat().st_size
    return whole.hexdigest(), size

"""What a payload holds: its size, and a digest that two equal payloads share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.storage.objects import Entry

# Custom properties that are recorded on each output artifact.
DIGEST_PROPERTY = "penstock_digest"
SIZE_PROPERTY = "penstock_bytes"
# On object storage only: names, sizes and times of the files as they were written.
LISTING_PROPERTY = "penstock_listing"
# On the analyzer cache of Transform only: what tells the code that made it from other code.
CODE_PROPERTY = "penstock_code"


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


def remote_digest(uri: str, files: Sequence[Entry]) -> str:
    """Returns what `digest` gives for a local copy of files on object storage, all of which it reads.

    Args:
        uri: a folder or file.
        files: what `objects.files` found there.
    """
    from penstock.storage import objects

    whole = hashlib.sha256()
    for each in files:
        whole.update((each.name or ".").encode() + b"\0")
        whole.update(objects.sha256(objects.join(uri, each.name)))
    return whole.hexdigest()

"""Compiled declarations, kept in the store's folder: compiling loads TFX, which a run that is all cached needs not."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

from penstock.backends.local import workers
from penstock.engine import user_code
from penstock.metadata.location import StoreLocation
from penstock.spec import Declaration


def key(declaration: Declaration, pipeline_root: Path) -> str:
    """Returns a digest of all that a declaration's IR depends on.

    That is what the declaration says with every value filled in, the code of its own components, the installed packages
    and Penstock itself.
    """
    parts = {
        "name": declaration.name,
        "nodes": [
            [
                node.id,
                node.component,
                repr(sorted(node.arguments.items())),
                node.options.model_dump_json(),
                repr(node.when),
            ]
            for node in declaration.nodes.values()
        ],
        "policy": declaration.policy.model_dump_json(),
        "environment": declaration.environment.model_dump_json(),
        "pipeline_root": str(pipeline_root),
        "code": user_code.digests(declaration.user_code(), declaration.import_roots),
        "packages": workers.environment_state(),
    }
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def load(location: StoreLocation, name: str) -> bytes | None:
    """Returns the IR kept under a key, or None."""
    try:
        return _path(location, name).read_bytes()
    except OSError:
        return None


def save(location: StoreLocation, name: str, ir: bytes) -> None:
    """Keeps an IR under its key; another process never sees half of it."""
    path = _path(location, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as stream:
        stream.write(ir)
    os.replace(stream.name, path)


def _path(location: StoreLocation, name: str) -> Path:
    return location.folder / "compiled" / f"{name}.pb"

"""The part of the lock that images get: all that Penstock runs with, and nothing it is developed with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "runtime_requirements.py"


def _printed(*arguments: str) -> dict[str, str]:
    done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=True)
    entries = [f"{entry}\n" for entry in ("\n" + done.stdout).replace("\n    ", "\0    ").split("\n") if entry]
    return {entry.partition("==")[0]: entry for entry in entries}


def test_images_get_what_runs_and_no_tools() -> None:
    found = _printed()
    needed = {"tfx", "tensorflow", "ml-metadata", "fastapi", "duckdb", "psycopg", "psycopg-binary", "ipykernel", "pip"}
    assert needed <= set(found)
    # What these ask for, and nobody names.
    assert {"absl-py", "grpcio", "starlette"} <= set(found)
    assert not {"pytest", "ruff", "mypy", "playwright", "hypothesis", "schemathesis", "uv", "hatchling"} & set(found)


def test_every_entry_keeps_its_version_and_hashes() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    for name, entry in _printed().items():
        assert "--hash=sha256:" in entry, name
        assert entry.partition("\0")[0] in lock


def test_one_package_comes_with_what_it_needs_and_no_more() -> None:
    assert (
        {"hatchling", "pluggy", "pathspec"}
        <= set(_printed("--only", "hatchling"))
        < set(_printed())
        | {
            "hatchling",
            "pathspec",
            "tomlkit",
            "trove-classifiers",
        }
    )

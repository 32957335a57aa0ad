"""ArrowExampleGen's result depends on its files alone, and what it needs on the size of a chunk."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from penstock_components.ingestion import executor as executor_module
from tests.components.ingestion_helpers import FOUR_PROCESSES, TAXI, contents, ingest

PARTS = 5

MEASURE = """
import resource, sys
from pathlib import Path
from tests.components.ingestion_helpers import ingest
ingest(Path(sys.argv[1]), Path(sys.argv[2]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ingest(Path(sys.argv[3]), Path(sys.argv[4]))
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.fixture(autouse=True)
def path_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the processes that a test starts import what the test can."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the taxi trips in several files, one of them of more than one chunk."""
    folder = tmp_path_factory.mktemp("parts")
    header, *lines = TAXI.read_bytes().splitlines(keepends=True)
    for part in range(PARTS):
        content = lines[part::PARTS] * (50 if part == 2 else 1)
        (folder / f"part-{part}.csv").write_bytes(header + b"".join(content))
    return folder


@pytest.fixture(scope="module")
def expected(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one worker writes."""
    return contents(ingest(parts, tmp_path_factory.mktemp("one")))


def test_a_shard_of_each_split_for_each_chunk(expected: dict[str, bytes]) -> None:
    assert len(expected) == 2 * (PARTS + 1)
    assert all(name.endswith("-of-00006.gz") for name in expected)


def test_four_processes_write_the_same_bytes(parts: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    assert contents(ingest(parts, tmp_path / "out", beam_args=FOUR_PROCESSES)) == expected


def test_the_order_of_files_does_not_matter(
    parts: Path, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = executor_module._files

    def shuffled(pattern: str) -> list[str]:
        found = listed(pattern)
        random.Random(7).shuffle(found)
        return found

    monkeypatch.setattr(executor_module, "_files", shuffled)
    assert contents(ingest(parts, tmp_path / "out")) == expected


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    header, *lines = TAXI.read_bytes().splitlines(keepends=True)
    for name, times in (("small", 15), ("large", 60)):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "data.csv").open("wb") as file:
            file.write(header)
            for _ in range(times):
                file.writelines(lines)
    arguments = [str(tmp_path / name) for name in ("small", "out1", "large", "out2")]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    small, large = map(int, done.stdout.split()[-2:])
    assert large < 1.1 * small

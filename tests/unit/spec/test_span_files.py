"""Which spans a folder has files of."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.spec import span_files


@pytest.mark.parametrize(
    ("pattern", "files", "spans"),
    [
        ("span-{SPAN}/*", ("span-1/a", "span-12/a", "span-12/b", "other/a"), {1, 12}),
        ("span-{SPAN}/*", (), set()),
        ("span-{SPAN}/*", ("span-x/a", "span-/a", "span-٣/a", "span-2/a"), {2}),
        ("span-{SPAN:3}/*", ("span-001/a", "span-02/a", "span-0003/a"), {1}),
        ("{SPAN}/v{VERSION}/*.csv", ("3/v1/a.csv", "3/v2/a.csv", "4/vx/a.csv", "5/v1/a.txt"), {3}),
        ("{YYYY}-{MM}-{DD}.csv", ("1970-01-01.csv", "1970-01-11.csv", "2026-13-01.csv", "2026-02-30.csv"), {0, 10}),
        ("[a]{SPAN}", ("a1", "[a]2"), set()),
    ],
)
def test_present(pattern: str, files: tuple[str, ...], spans: set[int], tmp_path: Path) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert span_files.present(str(tmp_path), pattern) == spans

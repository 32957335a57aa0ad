"""The tags people put on runs, to find them again."""

from __future__ import annotations

import re
from collections.abc import Sequence

from penstock.errors import UsageError
from penstock.metadata.database import Database, in_parts

SINCE_VERSION = 6
LONGEST_TAG = 50
MOST_TAGS = 20
_TAG = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._:/=-]{{0,{LONGEST_TAG - 1}}}")


def check(tag: str) -> str:
    """Returns a tag if it is one.

    Raises:
        UsageError: it is none.
    """
    if not _TAG.fullmatch(tag):
        raise UsageError(
            f"{tag[: 2 * LONGEST_TAG]!r} cannot be a tag. Allowed: up to {LONGEST_TAG} of letters, digits, '.', '_', "
            "'-', ':', '/' and '=', beginning with a letter or digit."
        )
    return tag


def find(database: Database, run_ids: Sequence[str]) -> dict[str, list[str]]:
    """The tags of these runs by run id, in order of the alphabet; runs without any are left out."""
    found: dict[str, list[str]] = {}
    if database.tables_version < SINCE_VERSION:
        return found
    for names, values in in_parts(run_ids):
        rows = database.query(
            f"SELECT run_id, tag FROM penstock_tags WHERE run_id IN ({names}) ORDER BY run_id, tag", values
        )
        for row in rows:
            found.setdefault(row["run_id"], []).append(row["tag"])
    return found


def of_run(database: Database, run_id: str, limit: int = 200) -> tuple[list[str], list[str]]:
    """A run's tags, and those that any run has, both in order of the alphabet, in one query."""
    if database.tables_version < SINCE_VERSION:
        return [], []
    rows = database.query(
        "SELECT run_id, tag FROM penstock_tags WHERE run_id = :run_id "
        "UNION ALL SELECT NULL, tag FROM (SELECT DISTINCT tag FROM penstock_tags ORDER BY tag LIMIT :limit) known",
        {"run_id": run_id, "limit": limit},
    )
    own, known_tags = (
        sorted(row["tag"] for row in rows if (row["run_id"] is None) == other) for other in (False, True)
    )
    return own, known_tags


def known(database: Database, limit: int = 200) -> list[str]:
    """The tags that runs have, in order of the alphabet."""
    if database.tables_version < SINCE_VERSION:
        return []
    rows = database.query("SELECT DISTINCT tag FROM penstock_tags ORDER BY tag LIMIT :limit", {"limit": limit})
    return [row["tag"] for row in rows]


def is_known(database: Database, tag: str) -> bool:
    """Whether a run has a tag."""
    if database.tables_version < SINCE_VERSION:
        return False
    return bool(database.query("SELECT 1 AS found FROM penstock_tags WHERE tag = :tag LIMIT 1", {"tag": tag}))


def add(database: Database, run_id: str, given: Sequence[str]) -> None:
    """Puts tags on a run; those it has stay.

    Raises:
        UsageError: one is no tag, or the run would have too many; none was added.
    """
    wanted = [check(tag) for tag in given]
    with database.transaction():
        every = {*find(database, [run_id]).get(run_id, ()), *wanted}
        if len(every) > MOST_TAGS:
            raise UsageError(f"Run {run_id} would have {len(every)} tags; {MOST_TAGS} are allowed.")
        for tag in wanted:
            database.execute(
                "INSERT INTO penstock_tags (run_id, tag) VALUES (:run_id, :tag) ON CONFLICT (run_id, tag) DO NOTHING",
                {"run_id": run_id, "tag": tag},
            )


def remove(database: Database, run_id: str, given: Sequence[str]) -> None:
    """Takes tags off a run; one it does not have is no mistake."""
    for tag in given:
        database.execute(
            "DELETE FROM penstock_tags WHERE run_id = :run_id AND tag = :tag", {"run_id": run_id, "tag": tag}
        )

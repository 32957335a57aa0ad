"""The name and description people give a run, so that others know what it was about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.errors import UsageError
from penstock.metadata.database import Database, in_parts

_SINCE_VERSION = 3
LONGEST_NAME = 100
LONGEST_DESCRIPTION = 10_000


@dataclass(frozen=True)
class Note:
    """What a person says of a run; either may be empty."""

    name: str = ""
    description: str = ""


def find(database: Database, run_ids: Sequence[str]) -> dict[str, Note]:
    """The notes on these runs by run id; runs without one are left out."""
    found: dict[str, Note] = {}
    if database.tables_version < _SINCE_VERSION:
        return found
    for names, values in in_parts(run_ids):
        rows = database.query(f"SELECT run_id, name, description FROM penstock_notes WHERE run_id IN ({names})", values)
        found |= {row["run_id"]: Note(row["name"], row["description"]) for row in rows}
    return found


def put(database: Database, run_id: str, note: Note) -> None:
    """Records a note in place of the one before.

    Raises:
        UsageError: the name or the description is too long.
    """
    for what, text, longest in (
        ("name", note.name, LONGEST_NAME),
        ("description", note.description, LONGEST_DESCRIPTION),
    ):
        if len(text) > longest:
            raise UsageError(f"The {what} has {len(text)} characters; {longest} are allowed.")
    database.execute(
        "INSERT INTO penstock_notes (run_id, name, description) VALUES (:run_id, :name, :description) "
        "ON CONFLICT (run_id) DO UPDATE SET name = excluded.name, description = excluded.description",
        {"run_id": run_id, "name": note.name, "description": note.description},
    )

"""Indices of our own on ml-metadata's tables, for what readers ask and ml-metadata itself does not.

They are made whenever a store is opened for writing and one is missing, in old stores too; several processes may do so
at once. See docs/decisions/0009-own-indices.md.
"""

from __future__ import annotations

from collections.abc import Collection

from penstock.metadata.database import Database
from penstock.metadata.executions import ARTIFACT_STATES

LIVE = ARTIFACT_STATES.index("live")
STATE_SQL = "COALESCE(state, 0)"

_INDICES = {
    # The contexts of executions; ml-metadata looks for the executions of a context alone.
    "penstock_association_execution": "Association (execution_id)",
    # The newest artifacts of a type.
    "penstock_artifact_type": "Artifact (type_id, id)",
    # The few that are not live, as those removed by `penstock gc`; the others cost nothing.
    "penstock_artifact_state": f"Artifact (({STATE_SQL}), id) WHERE {STATE_SQL} <> {LIVE}",
}
NAMES = tuple(_INDICES)


def missing(known: Collection[str]) -> list[str]:
    """The statements that make the indices whose names are not among the known ones."""
    return [f"CREATE INDEX IF NOT EXISTS {name} ON {what}" for name, what in _INDICES.items() if name not in known]


def create_in_postgres(database: Database) -> None:
    """Makes what is missing, if the tables are this user's: others' reading is slower without, and no worse."""
    names = ", ".join(f"'{name}'" for name in NAMES)
    rows = database.query(
        f"SELECT relname AS name, relname = 'artifact' AND pg_has_role(relowner, 'USAGE') AS is_table FROM pg_class "
        f"WHERE pg_table_is_visible(oid) AND (relname IN ({names}) OR relname = 'artifact')"
    )
    statements = missing({row["name"] for row in rows})
    if statements and any(row["is_table"] for row in rows):
        with database.transaction():
            database.lock_schema()
            for statement in statements:
                database.execute(statement)

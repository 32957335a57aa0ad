"""Backslashes in properties that go to PostgreSQL, which ML Metadata 1.17 cannot write.

It takes the first and the last character of what `PQescapeLiteral` returns for quotation marks. For a text with a
backslash that is ` E'…'`, and the statement is none any more. So a stand-in is written, and put right in the database.
A process that is killed in between leaves the stand-in, which other texts do not have: it is for private use.
"""

from __future__ import annotations

from typing import Any

from ml_metadata.proto import metadata_store_pb2

from penstock.metadata.database import Database

_BACKSLASH = "\\"
_STAND_IN = "\ue05c"
_OWNERS = ("artifact", "execution", "context")


def replaced(request: Any) -> Any | None:
    """Returns a request with stand-ins in the properties it writes, or None where there is nothing to replace."""
    if _BACKSLASH.encode() not in request.SerializeToString():
        return None
    copy = type(request)()
    copy.CopyFrom(request)
    return copy if _replace(copy) else None


def restore(database: Database, response: Any) -> None:
    """Puts the properties right of what a response says was written."""
    for owner in _OWNERS:
        ids = {getattr(response, f"{owner}_id", 0), *getattr(response, f"{owner}_ids", ())} - {0}
        if ids:
            database.execute(
                f"UPDATE {owner}property SET string_value = replace(string_value, :stand_in, :backslash)"
                f" WHERE {owner}_id = ANY(:ids) AND strpos(string_value, :stand_in) > 0",
                {"stand_in": _STAND_IN, "backslash": _BACKSLASH, "ids": sorted(ids)},
            )


def _replace(message: Any) -> bool:
    """Replaces in place; tells whether there was anything."""
    found = False
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            for entry in value.values():
                if isinstance(entry, metadata_store_pb2.Value) and _BACKSLASH in entry.string_value:
                    entry.string_value = entry.string_value.replace(_BACKSLASH, _STAND_IN)
                    found = True
            continue
        for inner in value if hasattr(value, "__len__") else (value,):
            found = _replace(inner) or found
    return found

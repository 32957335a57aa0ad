"""The plots of evaluations: too large to stand in a summary, and asked for one slice at a time.

The layout of a slice's plots is told in `penstock.summaries.evaluation`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.metadata.database import Database, in_parts

Slice = Mapping[str, str]
# The version of the tables that brought the one these are in.
_SINCE_VERSION = 3


def put(database: Database, artifact_id: int, plots: Sequence[Mapping[str, Any]]) -> None:
    """Stores an evaluation's plots, one entry a slice with the slice under "slice", in place of those before."""
    database.execute("DELETE FROM penstock_plots WHERE artifact_id = :id", {"id": artifact_id})
    for entry in plots:
        content = {name: value for name, value in entry.items() if name != "slice"}
        database.execute(
            "INSERT INTO penstock_plots (artifact_id, slice, content) VALUES (:id, :slice, :content)",
            {"id": artifact_id, "slice": slice_key(entry["slice"]), "content": json.dumps(content, allow_nan=False)},
        )


def find(database: Database, artifact_id: int, slices: Sequence[Slice]) -> dict[str, dict[str, Any]]:
    """The plots of these slices of an evaluation, by `slice_key`; slices without any are left out."""
    found: dict[str, dict[str, Any]] = {}
    if database.tables_version < _SINCE_VERSION:
        return found
    for names, values in in_parts([slice_key(entry) for entry in slices]):
        for row in database.query(
            f"SELECT slice, content FROM penstock_plots WHERE artifact_id = :id AND slice IN ({names})",
            {**values, "id": artifact_id},
        ):
            found[row["slice"]] = json.loads(row["content"])
    return found


def slice_key(features: Slice) -> str:
    """A slice as text: the same for the same features in any order."""
    return json.dumps(dict(sorted(features.items())), ensure_ascii=False)

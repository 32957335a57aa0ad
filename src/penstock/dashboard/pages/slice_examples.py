"""Whom does the model do worse for? The examples of one slice, and their statistics next to all."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from penstock.dashboard import app, example_files, queries, slice_statistics, words
from penstock.dashboard.example_files import UnreadableExamplesError
from penstock.dashboard.pages.artifacts import ViewQuery, check_id, sees_rows, statistics_values, steps
from penstock.errors import PenstockError
from penstock.metadata import executions, plots
from penstock.metadata.artifacts import Artifact
from penstock.metadata.database import Database
from penstock.metadata.lineage import neighbours

_EXAMPLES = "Examples"
# What TFX's Evaluator takes where nothing is said.
_DEFAULT_SPLITS = ("eval",)
_OVERALL = "overall"

router = APIRouter()


class SliceQuery(BaseModel):
    """What the address of a slice can ask for: any text, until it is checked.

    Attributes:
        slice: the slice's key; see `penstock.metadata.plots.slice_key`.
        order: what features are sorted by.
        kind: only features of this kind.
    """

    slice: str | None = None
    order: str | None = None
    kind: str | None = None


@router.get("/artifacts/{artifact_id}/slice")
def show_slice(request: Request, artifact_id: int, query: Annotated[SliceQuery, Query()]) -> Response:
    """One slice of an evaluation."""
    context = app.context_of(request)
    check_id(artifact_id)
    with context.connections.reading() as database:
        around = neighbours(database, artifact_id)
        artifact = around.artifacts[artifact_id]
        evaluation = context.evaluations.read(database, [artifact]).get(artifact_id)
        if evaluation is None:
            raise app.NotFoundError(f"Artifact {artifact_id} is no evaluation with a summary.")
        found = {plots.slice_key(row.slice): row for row in evaluation.slices if row.slice}
        key = queries.choice("slice", query.slice, found)
        if key is None:
            raise queries.BadQueryError("slice: none is named. The page of an evaluation's slices leads to each.")
        maker = artifact.producer.execution.execution_id if artifact.producer else None
        taken = [
            pair[1]
            for step in steps(around)
            if step.execution.execution_id == maker
            for pair in step.inputs
            if pair[1].type == _EXAMPLES
        ]
        splits = _splits(database, maker)
    overall = next((row for row in evaluation.slices if not row.slice), None)
    name = words.slice_name(found[key].slice)
    values: dict[str, Any] = {
        "title": f"Examples of {name}",
        "artifact": artifact,
        "slice": found[key],
        "key": key,
        "name": name,
        "overall": overall,
        "taken": taken,
        "splits_taken": splits,
        "sees_rows": sees_rows(request),
        "most": slice_statistics.MOST_EXAMPLES,
        **_examples_values(taken, splits, found[key].slice, name, query),
    }
    return context.pages.page(request, "slice.html", values)


def _splits(database: Database, execution_id: int | None) -> list[str]:
    """The splits that an execution evaluated."""
    said = executions.read_properties(database, execution_id).get("example_splits")
    try:
        names = json.loads(said) if isinstance(said, str) else said
    except ValueError:
        names = None
    return [str(name) for name in names] if isinstance(names, list) and names else list(_DEFAULT_SPLITS)


def _examples_values(
    taken: list[Artifact], splits: list[str], slice_: Any, name: str, query: SliceQuery
) -> dict[str, Any]:
    """What the examples are like, or why that cannot be told."""
    if not taken:
        return {"why_not": "The store does not say which examples this evaluation was computed from.", "found": None}
    try:
        folders = [example_files.split_folder(each.uri, split) for each in taken for split in splits]
        found = slice_statistics.read(tuple(folders), tuple(sorted(slice_.items())))
    except (UnreadableExamplesError, PenstockError) as error:
        return {"why_not": f"The examples cannot be read: {error}.", "found": None}
    if found.unknown:
        features = ", ".join(found.unknown)
        why_not = (
            f"The examples have no feature {features}: it is made on the way to the model, as in Transform, and "
            "which examples fit the slice cannot be told from their files."
        )
        return {"why_not": why_not, "found": None}
    content = {"splits": {_OVERALL: found.overall, name: found.sliced}}
    view = ViewQuery(a=_OVERALL, b=name, order=query.order, kind=query.kind)
    columns = list(dict.fromkeys(feature for row in found.rows for feature in row))
    return {"why_not": "", "found": found, "columns": columns, **statistics_values(content, None, view)}

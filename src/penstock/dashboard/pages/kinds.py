"""What the pages of some kinds of artifacts show beyond the artifact's own summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import PurePosixPath
from typing import Any

from penstock.dashboard import serving
from penstock.metadata.around import Examples, Told, examples_of_node, told_around_push
from penstock.metadata.artifacts import Artifact
from penstock.metadata.database import Database
from penstock.metadata.runs import Summary

_MOST_OTHERS = 200
_MOST_VERSIONS = 200
_ROWS = "rows"


@dataclass(frozen=True)
class PushedVersion:
    """A pushed model among those that were pushed to the same place."""

    told: Told
    version: str
    is_newest: bool


def without_rows(summary: Summary) -> Summary:
    """A summary without rows of examples, for those who may not see them."""
    if not isinstance(summary.content, dict) or _ROWS not in summary.content:
        return summary
    return replace(summary, content={name: value for name, value in summary.content.items() if name != _ROWS})


def examples_values(
    database: Database, artifact: Artifact, summary: Summary, *, shows_rows: bool, may_see_rows: bool
) -> dict[str, Any]:
    """Counts beside those of the same node's other spans, and rows or why there are none."""
    rows: Mapping[str, Sequence[Mapping[str, Any]]] = {}
    if not shows_rows:
        why = "This dashboard shows no rows of examples. Started with --show-rows it does, where runs kept some."
    elif not may_see_rows:
        why = "Rows of examples are for admins; counts and statistics are for everybody."
    elif _ROWS not in summary.content:
        why = (
            "No rows were kept. A run keeps some where its environment says so in the declaration, as in "
            "sample_rows: 10; examples that come from the cache were made before."
        )
    else:
        why, rows = "", summary.content[_ROWS]
    columns = {split: list(dict.fromkeys(name for row in found for name in row)) for split, found in rows.items()}
    return {"rows": rows, "columns": columns, "why_no_rows": why, "spans": _spans(database, artifact)}


def _spans(database: Database, artifact: Artifact) -> list[Examples]:
    """The newest examples that the same node of the same pipeline made, by span, the highest first."""
    maker = artifact.producer.execution if artifact.producer is not None else None
    if maker is None or maker.pipeline is None or maker.node is None:
        return []
    found = examples_of_node(database, maker.pipeline, maker.node, artifact.type, _MOST_OTHERS)
    return sorted(found, key=lambda entry: (-1 if entry.span is None else entry.span, entry.artifact_id), reverse=True)


def pushed_values(
    database: Database, artifact: Artifact, summary: Summary, inputs: Sequence[tuple[str, Artifact]], *, rows: bool
) -> dict[str, Any]:
    """The versions that were pushed to the same place, and how to serve and ask the newest.

    Args:
        database: the store.
        artifact: the pushed model.
        summary: its summary.
        inputs: what the execution that pushed it took, by the name of the input.
        rows: whether a row of examples may stand in the request.
    """
    destination = summary.content.get("destination")
    if not summary.content.get("pushed") or not destination:
        return {"versions": [], "trial": None}
    base = str(PurePosixPath(destination).parent) if "://" not in destination else destination.rpartition("/")[0]
    told = told_around_push(database, artifact.artifact_id, _MOST_VERSIONS)
    models = {taken.artifact_id for _, taken in inputs if taken.type == "Model"}
    signatures: Mapping[str, Any] = next(
        (
            entry.content.get("signatures", {})
            for entry in told
            if entry.kind == "model" and entry.artifact_id in models
        ),
        {},
    )
    values, is_row = _request_values(told, signatures, rows)
    return {"versions": _versions(told, base), "trial": serving.trial(base, signatures, values), "is_row": is_row}


def _versions(told: Sequence[Told], base: str) -> list[PushedVersion]:
    found = []
    for entry in told:
        if entry.kind == "pushed_model" and entry.content.get("pushed"):
            version = entry.content.get("version") or ""
            if version and entry.content.get("destination") == f"{base}/{version}":
                found.append((int(version) if version.isdigit() else -1, entry.artifact_id, version, entry))
    found.sort(key=lambda each: each[:2], reverse=True)
    # TensorFlow Serving takes the highest number.
    return [PushedVersion(entry, version, index == 0) for index, (_, _, version, entry) in enumerate(found)]


def _request_values(told: Sequence[Told], signatures: Mapping[str, Any], rows: bool) -> tuple[Mapping[str, Any], bool]:
    """A value of each raw feature the model was trained on, and whether it is from a row rather than a typical one."""
    if rows:
        for entry in told:
            for kept in entry.content.get(_ROWS, {}).values() if entry.kind == "examples" else ():
                if kept:
                    first: Mapping[str, Any] = kept[0]
                    return first, True
    wanted = {name for signature in signatures.values() for name in signature["inputs"]}
    candidates = [serving.typical_values(entry.content) for entry in told if entry.kind == "statistics"]
    return max(candidates, key=lambda values: len(wanted.intersection(values)), default={}), False


def documents(content: Mapping[str, Any]) -> list[dict[str, str]]:
    """The files of an artifact that people read, those that go into a frame with the page to put there as `frame`."""
    found = []
    for document in content.get("documents", ()):
        text = document["text"]
        frame = f"<pre>{escape(text)}</pre>" if document["kind"] == "markdown" else text
        found.append({**document, "frame": frame})
    return found

"""Where did this come from, and what came of it? The chain of an artifact as a graph to walk and as a list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from penstock.dashboard import app, layout, queries
from penstock.dashboard.pages.artifacts import check_id, steps
from penstock.metadata.artifacts import Artifact
from penstock.metadata.executions import Execution
from penstock.metadata.lineage import Lineage, lineage

_DIRECTIONS = {"up": "what it was made from", "down": "what was made from it", "both": "both"}
_MOST_DRAWN = 150

router = APIRouter()


@dataclass(frozen=True)
class Box:
    """A box of the graph: an artifact or an execution."""

    key: str
    artifact: Artifact | None
    execution: Execution | None

    @property
    def label(self) -> str:
        """The first line in the box."""
        if self.artifact is not None:
            return f"{self.artifact.type} {self.artifact.artifact_id}"
        assert self.execution is not None
        return self.execution.node or self.execution.type.rpartition(".")[2]

    @property
    def detail(self) -> str:
        """The second line in the box."""
        if self.artifact is not None:
            return self.artifact.state
        assert self.execution is not None
        return self.execution.run or f"execution {self.execution.execution_id}"


@router.get("/artifacts/{artifact_id}/lineage")
def show_lineage(
    request: Request, artifact_id: int, direction: str | None = None, depth: str | None = None
) -> Response:
    """An artifact's lineage; `depth` is over how many executions at most."""
    context = app.context_of(request)
    check_id(artifact_id)
    chosen = queries.choice("direction", direction, _DIRECTIONS) or "up"
    most = queries.whole("depth", depth, 1, 10_000)
    with context.connections.reading() as database:
        found = lineage(database, artifact_id, chosen, most)
    boxes, edges = graph_of(found)
    is_drawn = len(boxes) <= _MOST_DRAWN
    values: dict[str, Any] = {
        "title": f"Lineage of {found.artifacts[artifact_id].type} {artifact_id}",
        "artifact": found.artifacts[artifact_id],
        "direction": chosen,
        "directions": _DIRECTIONS,
        "depth": most,
        "graph": layout.layered(list(boxes), edges, box=(172, 40), gaps=(36, 12)) if is_drawn else None,
        "boxes": boxes,
        "most_drawn": _MOST_DRAWN,
        "number_of_artifacts": len(found.artifacts),
        "steps": steps(found),
        "start": f"a{artifact_id}",
    }
    return context.pages.page(request, "lineage.html", values)


def graph_of(found: Lineage) -> tuple[Mapping[str, Box], list[tuple[str, str]]]:
    """The boxes and edges of a lineage."""
    boxes = {f"a{key}": Box(f"a{key}", artifact, None) for key, artifact in found.artifacts.items()}
    boxes |= {f"x{key}": Box(f"x{key}", None, execution) for key, execution in found.executions.items()}
    edges: dict[tuple[str, str], None] = {}
    for use in found.edges:
        ends = f"a{use.artifact_id}", f"x{use.execution.execution_id}"
        edges[ends if use.direction == "input" else (ends[1], ends[0])] = None
    return boxes, list(edges)

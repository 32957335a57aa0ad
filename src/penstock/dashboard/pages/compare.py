"""What differs between two runs: parameters, code, inputs, packages, nodes, metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from penstock.dashboard import app, queries
from penstock.dashboard.pages.run import exact_run
from penstock.dashboard.redaction import shown
from penstock.metadata import comparison
from penstock.metadata import runs as records

router = APIRouter()


@router.get("/compare")
def compare(request: Request, a: str | None = None, b: str | None = None) -> Response:
    """Two runs side by side: `a` is the one before, `b` the one after."""
    context = app.context_of(request)
    first, second = queries.run_token("a", a), queries.run_token("b", b)
    with context.connections.reading() as database:
        values: dict[str, Any] = {"title": "Compare two runs", "a": first, "b": second, "difference": None}
        if first and second:
            difference = comparison.compare(database, exact_run(database, first), exact_run(database, second))
            values |= {"difference": difference, "title": f"{first} and {second}"}
        else:
            values["choices"] = records.list_runs(database, limit=queries.PAGE_SIZE)
    values["shown"] = shown
    return context.pages.page(request, "compare.html", values)

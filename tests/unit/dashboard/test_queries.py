"""No page asks the store more than ten times, however little it holds and whatever is asked for."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from urllib.parse import urlencode

from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from benchmarks.dashboard import MOST_QUERIES, counted
from penstock.dashboard.api import OPERATIONS
from penstock.dashboard.pages import PAGES
from tests.unit.dashboard.conftest import BAD, GOOD, Store

# Streams, and what asks no store.
_LEFT_OUT = re.compile(r"/events$|/sign-in$")


def pages(store: Store) -> Iterator[str]:
    """The path of every page and answer there is, for each run, node and artifact of the store that it may be of."""
    known = {
        "run_id": [GOOD, BAD, "latest"],
        "node_id": ["examples", "evaluator"],
        "artifact_id": [str(artifact) for artifact in store.artifacts.values()],
        "name": ["taxi"],
        "pipeline": ["taxi"],
    }
    for route in (route for router in (*PAGES, *OPERATIONS) for route in router.routes):
        if not isinstance(route, APIRoute) or "GET" not in (route.methods or ()) or _LEFT_OUT.search(route.path):
            continue
        names = re.findall(r"{(\w+)[^}]*}", route.path)
        for values in itertools.product(*(known[name] for name in names)):
            path = route.path
            for name, value in zip(names, values, strict=True):
                path = re.sub(rf"{{{name}[^}}]*}}", value, path)
            yield path


def filtered(store: Store) -> Iterator[str]:
    """Pages with as much asked for as can be."""
    evaluation = store.artifacts["evaluation"]
    for before in ({}, {"before": BAD}):
        yield "/runs?" + urlencode({"pipeline": "taxi", "state": "succeeded", "text": "data", "since": "7d", **before})
        yield "/runs?" + urlencode({"text": "in no run", **before})
    filters = {"type": "Model", "pipeline": "taxi", "state": "deleted", "run": GOOD}
    for number in range(1, len(filters) + 1):
        for names in itertools.combinations(filters, number):
            yield "/artifacts?" + urlencode({**{name: filters[name] for name in names}, "before": 1000})
    for direction in ("up", "down", "both"):
        yield f"/artifacts/{store.artifacts['model']}/lineage?direction={direction}&depth=3"
    hour = json.dumps({"hour": "8"})
    yield f"/artifacts/{evaluation}/slices?" + urlencode(
        {"against": evaluation, "slice": hour, "thresholds": "0.3 0.5", "feature": "hour", "by": "example_count"}
    )
    yield "/models?" + urlencode({"pipeline": "taxi", "metric": "binary_accuracy", "slice": hour})
    yield f"/compare?a={GOOD}&b={BAD}"
    for tab in ("artifacts", "log", "cache", "properties"):
        yield f"/runs/{GOOD}/nodes/trainer?tab={tab}"


def test_no_page_asks_the_store_more_than_ten_times(client: TestClient, store: Store) -> None:
    paths = [*pages(store), *filtered(store)]
    assert {"/runs", "/artifacts", "/models", f"/runs/{GOOD}", "/api/v1/runs"} <= set(paths)
    too_many = {}
    for path in paths:
        # The first answer, and that after an error, opens a connection and looks which tables there are.
        client.get("/compare")
        with counted() as queries:
            answer = client.get(path)
        assert answer.status_code < 500, answer.text
        if len(queries) > MOST_QUERIES:
            too_many[path] = queries
    assert too_many == {}, next(iter(too_many.items()))

"""The REST API beside the pages: the same store, as JSON and CSV."""

from __future__ import annotations

from penstock.dashboard.api import artifacts, evaluations, nodes, pipelines, runs

OPERATIONS = (runs.router, nodes.router, pipelines.router, artifacts.router, evaluations.router)

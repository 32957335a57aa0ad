"""The pages, one module for each kind of thing they show."""

from __future__ import annotations

from penstock.dashboard.pages import (
    actions,
    artifacts,
    compare,
    evaluation,
    lineages,
    models,
    nodes,
    run,
    runs,
    session,
)

PAGES = (
    session.router,
    runs.router,
    run.router,
    nodes.router,
    compare.router,
    artifacts.router,
    lineages.router,
    evaluation.router,
    models.router,
    actions.router,
)

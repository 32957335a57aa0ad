"""The pages, one module for each kind of thing they show."""

from __future__ import annotations

from penstock.dashboard.pages import (
    actions,
    artifacts,
    compare,
    evaluation,
    executions,
    lineages,
    models,
    nodes,
    pipelines,
    run,
    runs,
    session,
    slice_examples,
)

PAGES = (
    session.router,
    runs.router,
    pipelines.router,
    run.router,
    nodes.router,
    compare.router,
    artifacts.router,
    executions.router,
    lineages.router,
    evaluation.router,
    slice_examples.router,
    models.router,
    actions.router,
)

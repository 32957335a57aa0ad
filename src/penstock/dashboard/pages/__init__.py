"""The pages, one module for each kind of thing they show."""

from __future__ import annotations

from penstock.dashboard.pages import actions, compare, nodes, run, runs, session

PAGES = (session.router, runs.router, run.router, nodes.router, compare.router, actions.router)

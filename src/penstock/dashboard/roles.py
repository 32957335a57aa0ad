"""What people may do with a dashboard: each role may all that those before it may."""

from __future__ import annotations

VIEWER = "viewer"
"""Sees everything but rows of the data, and changes nothing."""

OPERATOR = "operator"
"""Starts, cancels and takes up runs, approves, names and describes them, pauses and resumes schedules."""

ADMIN = "admin"
"""Sees rows of the data, too, where the dashboard shows any."""

ROLES = (VIEWER, OPERATOR, ADMIN)


def includes(role: str, least: str) -> bool:
    """Whether a role may what another one may; what is no role may nothing."""
    return role in ROLES and ROLES.index(role) >= ROLES.index(least)

"""The one way to say that an evaluation is for TensorFlow Model Analysis to compute."""

from __future__ import annotations


class NotCovered(Exception):
    """Indicates something in an evaluation that is not computed on vectors; its text names it."""

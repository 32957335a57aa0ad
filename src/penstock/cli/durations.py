"""Durations given as options."""

from __future__ import annotations

import re

from penstock.errors import UsageError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds_of(option: str, text: str) -> float:
    """Returns the seconds of a duration such as `90s`, `5m`, `12h` or `30d`.

    Raises:
        UsageError: the option's text is no duration.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if match is None:
        raise UsageError(f"{option} {text}: wants a duration such as 30d, 12h, 90m or 3600s.")
    return float(match[1]) * _SECONDS[match[2]]

"""How long everything that opens a store waits for another program to release it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from penstock.errors import UsageError

LOCK_TIMEOUT_VARIABLE = "PENSTOCK_LOCK_TIMEOUT"
DEFAULT_SECONDS = 30.0
# SQLite counts milliseconds in 32 bits.
_MOST_SECONDS = 86_400


def lock_timeout_seconds(environ: Mapping[str, str] | None = None) -> float:
    """Returns the seconds that PENSTOCK_LOCK_TIMEOUT says, or the default.

    Args:
        environ: where it is looked up; the process's own environment if None.

    Raises:
        UsageError: it is no number of seconds between none and a day.
    """
    text = (os.environ if environ is None else environ).get(LOCK_TIMEOUT_VARIABLE, "").strip()
    if not text:
        return DEFAULT_SECONDS
    seconds = float(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text, re.ASCII) else -1.0
    if not 0 <= seconds <= _MOST_SECONDS:
        raise UsageError(
            f"{LOCK_TIMEOUT_VARIABLE}={text!r} is no number of seconds to wait for a locked store. Allowed: 0 to "
            f"{_MOST_SECONDS}, as in {DEFAULT_SECONDS:g} or 0.5; unset, it is {DEFAULT_SECONDS:g}."
        )
    return seconds

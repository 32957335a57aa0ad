"""Checks one plain value against a kind."""

from __future__ import annotations

import math
from typing import Any

from penstock.spec.problems import describe


class WrongKind(ValueError):
    """Indicates that a value is not of the wanted kind; the message says what is wanted, `found` what is there."""

    def __init__(self, message: str, value: Any):
        super().__init__(message)
        self.found = describe(value)


KIND_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "bytes": "text",
    "path": "a path",
    "list": "a list",
    "dict": "a mapping",
}

_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
    "int": (-(2**63), 2**63 - 1),
}


def check(kind: str, value: Any) -> Any:
    """Returns the value as the kind has it: a whole number where a number is wanted becomes a float.

    Raises:
        WrongKind: the value does not fit.
    """
    if kind in _RANGES:
        return _whole_number(kind, value)
    if kind == "float":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise WrongKind("wants a number", value)
        try:
            return float(value)
        except OverflowError as error:
            raise WrongKind("wants a number that fits a 64-bit float", value) from error
    if kind == "bool":
        if not isinstance(value, bool):
            raise WrongKind("wants true or false", value)
        return value
    if kind in ("str", "bytes", "path"):
        if not isinstance(value, str):
            hint = "; put it in quotes" if isinstance(value, bool | int | float) else ""
            raise WrongKind(f"wants {KIND_NAMES[kind]}{hint}", value)
        return value
    if kind == "list" and not isinstance(value, list):
        raise WrongKind("wants a list", value)
    if kind == "dict" and not isinstance(value, dict):
        raise WrongKind("wants a mapping", value)
    return value


def _whole_number(kind: str, value: Any) -> int:
    if isinstance(value, float) and not isinstance(value, bool) and math.isfinite(value) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongKind("wants a whole number", value)
    lowest, highest = _RANGES[kind]
    if not lowest <= value <= highest:
        raise WrongKind(f"wants a whole number from {lowest} to {highest}", value)
    return value

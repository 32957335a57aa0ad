"""Signatures that Beam asks for again and again, remembered.

While it builds and translates a pipeline, Beam looks up the signature of every method of every DoFn several times over.
A method's signature depends on its function alone, whichever object it is bound to. Which states and timers a DoFn has,
Beam finds in the signatures of all its methods, a dozen times for each DoFn.
"""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable
from typing import Any

from apache_beam.transforms import core, ptransform, userstate, util
from apache_beam.typehints import decorators

_remembered: dict[tuple[bool, Any], Any] = {}
_original: Callable[[Any], Any] = decorators.get_signature
_remembered_specs: weakref.WeakKeyDictionary[Any, tuple[set[Any], set[Any]]] = weakref.WeakKeyDictionary()
_original_specs: Callable[[Any], tuple[set[Any], set[Any]]] = userstate.get_dofn_specs


def get_signature(function: Any) -> Any:
    """Returns what Beam's `get_signature` returns, looked up once for each function."""
    if isinstance(function, types.MethodType):
        key = (True, function.__func__)
    elif isinstance(function, types.FunctionType):
        key = (False, function)
    else:
        return _original(function)
    try:
        found = _remembered.get(key)
    except TypeError:  # not hashable
        return _original(function)
    if found is None:
        found = _remembered[key] = _original(function)
    return found


def get_dofn_specs(dofn: Any) -> tuple[set[Any], set[Any]]:
    """Returns what Beam's `get_dofn_specs` returns, looked up once for each DoFn."""
    try:
        found = _remembered_specs.get(dofn)
    except TypeError:  # not hashable
        return _original_specs(dofn)
    if found is None:
        found = _remembered_specs[dofn] = _original_specs(dofn)
    states, timers = found
    return set(states), set(timers)


def remember() -> None:
    """Makes Beam use the remembered signatures. Idempotent."""
    for module in (decorators, core, ptransform, util):
        module.get_signature = get_signature
    userstate.get_dofn_specs = get_dofn_specs

"""Cheaper pickling of the functions of a pipeline.

Beam pickles every function of a pipeline, several hundred of them. For each one it looks through all loaded modules,
thousands in a worker, for those that the function may mean by `package.module`; here they are sought below the package
alone. Then it compresses each with bz2 as small as it can. In a pipeline that this process runs itself, zlib's quickest
level will do.
"""

from __future__ import annotations

import bz2
import sys
import types
import zlib
from collections.abc import Iterable
from typing import Any

from apache_beam.internal import cloudpickle_pickler
from apache_beam.internal.cloudpickle import cloudpickle

# The names of the modules below each package, and how many modules were loaded then.
_below: dict[str, list[str]] = {}
_known = 0


def find_imported_submodules(code: types.CodeType, top_level_dependencies: Iterable[Any]) -> list[Any]:
    """Stands in for cloudpickle's `_find_imported_submodules`, which has the same arguments and result.

    Returns:
        The loaded modules below each package that is among the dependencies, whose names the code may spell: all parts
        of a module's name below its package are among the names in the code.
    """
    found = []
    for package in top_level_dependencies:
        if not isinstance(package, types.ModuleType) or not getattr(package, "__package__", None):
            continue
        start = len(package.__name__) + 1
        spelled = set(code.co_names)
        for name in _modules_below(package.__name__):
            if spelled.issuperset(name[start:].split(".")) and name in sys.modules:
                found.append(sys.modules[name])
    return found


def install(*, in_process: bool) -> None:
    """Makes Beam pickle with less ado. Idempotent.

    Args:
        in_process: whether pipelines run in this process, so that nobody else reads what is pickled.
    """
    cloudpickle._find_imported_submodules = find_imported_submodules
    compress = _compress if in_process else bz2.compress
    cloudpickle_pickler.bz2 = types.SimpleNamespace(compress=compress, decompress=_decompress)


def _compress(data: bytes, compresslevel: int) -> bytes:
    return zlib.compress(data, 1)


def _decompress(data: bytes) -> bytes:
    return bz2.decompress(data) if data.startswith(b"BZh") else zlib.decompress(data)


def _modules_below(package: str) -> list[str]:
    global _known
    if len(sys.modules) != _known:
        _below.clear()
        _known = len(sys.modules)
    if package not in _below:
        prefix = f"{package}."
        _below[package] = [name for name in list(sys.modules) if name is not None and name.startswith(prefix)]
    return _below[package]

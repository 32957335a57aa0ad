"""The pipeline libraries without what hardly any node uses.

`tfx.components` imports every component of TFX, and with them Kubernetes' client, Docker's and KerasTuner; TFMA and
TFDV import nltk, scikit-learn and parts of SciPy for a few metrics. `install()`, called before they are imported,
leaves these to their first use: 75 MB of 440 that workers share, and a sixth of the time it takes to load them.
"""

from __future__ import annotations
import __future__

import ast
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_COMPONENTS = "tfx.components"
# Modules that their importers use as `module.attribute`, at the time that attribute is needed.
_ON_FIRST_USE = frozenset(
    (
        "nltk",
        "rouge_score.rouge_scorer",
        "rouge_score.scoring",
        "rouge_score.tokenizers",
        "sacrebleu.metrics",
        "scipy.stats",
        "sklearn.neighbors",
    )
)
# What a module has before it is executed. Not `__path__`: who asks for it is about to import something from inside.
_SAME_BEFORE = frozenset(("__class__", "__dict__", "__file__", "__loader__", "__name__", "__package__", "__spec__"))
# Modules that use those above in annotations, which Python would evaluate.
_ANNOTATED = frozenset(("tensorflow_model_analysis.metrics.bleu", "tensorflow_model_analysis.metrics.rouge"))


def install() -> None:
    """Makes later imports lean. Idempotent."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds modules that are executed on first use, and the package of components."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in _ON_FIRST_USE and name not in _ANNOTATED and name != _COMPONENTS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            return None
        if name == _COMPONENTS:
            spec.loader = _ComponentsLoader(spec.loader.path)
        elif name in _ANNOTATED:
            spec.loader = _AnnotationsLoader(name, spec.loader.path)
        else:
            spec.loader = _LazyLoader(spec.loader)
        return spec


class _LazyModule(importlib.util._LazyModule):  # type: ignore[name-defined, misc]
    """A module that is executed on first use, which a look at what every module has is not.

    Tracing a function and measuring a side input look through all modules there are: by Python's own class, the first
    of either would execute all of them, half a second in each worker.
    """

    def __getattribute__(self, name: str) -> Any:
        if name in _SAME_BEFORE:
            return object.__getattribute__(self, name)
        return super().__getattribute__(name)


class _LazyLoader(importlib.util.LazyLoader):
    def exec_module(self, module: types.ModuleType) -> None:
        super().exec_module(module)
        module.__class__ = _LazyModule


class _AnnotationsLoader(importlib.machinery.SourceFileLoader):
    """Executes a module as `from __future__ import annotations` would have it."""

    def get_code(self, fullname: str) -> types.CodeType:
        """Returns the module's code, compiled anew: what Python keeps of it has its annotations evaluated."""
        flags = __future__.annotations.compiler_flag
        return compile(self.get_data(self.path), self.path, "exec", flags, dont_inherit=True)


class _ComponentsLoader(importlib.abc.Loader):
    """Executes the package but for what imports a component: that is done when somebody asks for the component."""

    def __init__(self, file: str):
        self._file = Path(file)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """Leaves the making of the module to the import system."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Fills the package."""
        tree = ast.parse(self._file.read_text(encoding="utf-8"))
        places: dict[str, str] = {}
        kept = []
        for statement in tree.body:
            imported = _component_imports(statement)
            places.update(imported)
            if not imported:
                kept.append(statement)
        tree.body = kept

        def find(name: str) -> Any:
            if name not in places:
                raise AttributeError(f"module {_COMPONENTS!r} has no attribute {name!r}")
            try:
                found = getattr(importlib.import_module(places[name]), name)
            except ImportError:
                found = None  # as the package itself has it for a component that lacks a package
            setattr(module, name, found)
            return found

        module.__dict__["__getattr__"] = find
        exec(compile(tree, str(self._file), "exec"), module.__dict__)


def _component_imports(statement: ast.stmt) -> dict[str, str]:
    """Returns what a statement that imports components, alone or to do without where one fails, takes from where."""
    if isinstance(statement, ast.Try):
        found = [_component_imports(inner) for inner in statement.body]
        return {name: place for each in found for name, place in each.items()} if all(found) else {}
    if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith(f"{_COMPONENTS}."):
        return {alias.asname or alias.name: str(statement.module) for alias in statement.names}
    return {}

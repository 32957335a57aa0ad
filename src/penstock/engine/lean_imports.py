"""The pipeline libraries without what hardly any node uses.

`tfx.components` imports every component of TFX, and with them Kubernetes' client, Docker's and KerasTuner;
`apache_beam.io` imports the clients of BigQuery, Pub/Sub, MongoDB and object stores; Keras and TFDV import IPython for
notebooks; TFMA and TFDV import nltk, scikit-learn and parts of SciPy for a few metrics. `install()`, called before they
are imported, leaves these to their first use: 125 MB of the 453 that workers share and can write to, and a quarter of
the time it takes to load them.
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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

_FILE_SYSTEMS = "apache_beam.io.filesystems"
_LATE_SCHEMES = ("azfs", "gs", "hdfs", "s3")
# Packages and modules, and where that comes from which they import in vain for most.
_LATE = {
    _FILE_SYSTEMS: (
        "apache_beam.io.aws",
        "apache_beam.io.azure",
        "apache_beam.io.gcp",
        "apache_beam.io.hadoopfilesystem",
    ),
    "apache_beam.io": ("apache_beam.io.gcp", "apache_beam.io.mongodbio", "apache_beam.transforms.xlang"),
    "keras._tf_keras.keras.wrappers": ("keras.src.wrappers",),
    "keras.wrappers": ("keras.src.wrappers",),
    "tensorflow_data_validation": ("tensorflow_data_validation.utils.display_util",),
    "tensorflow_model_analysis.view": ("tensorflow_model_analysis.view.widget_view",),
    "tfx.components": ("tfx.components",),
}
# Modules that their importers use as `module.attribute`, at the time that attribute is needed.
_ON_FIRST_USE = frozenset(
    (
        "IPython",
        "boto3",
        "google.cloud.pubsub",
        "nltk",
        "rouge_score.rouge_scorer",
        "rouge_score.scoring",
        "rouge_score.tokenizers",
        "sacrebleu.metrics",
        "scipy.stats",
        "sklearn.neighbors",
    )
)
# What a module has before it is executed.
_SAME_BEFORE = frozenset(
    ("__class__", "__dict__", "__file__", "__loader__", "__name__", "__package__", "__path__", "__spec__")
)
# Modules that use those above in annotations, which Python would evaluate.
_ANNOTATED = frozenset(("tensorflow_model_analysis.metrics.bleu", "tensorflow_model_analysis.metrics.rouge"))


def install() -> None:
    """Makes later imports lean. Idempotent."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds modules that are executed on first use, and packages that import what they do when it is asked for."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package = sys.modules.get(name.rpartition(".")[0])
        if isinstance(package, _LazyModule):
            package.__doc__  # noqa: B018 - executes it, which what is inside may need
        if name not in _ON_FIRST_USE and name not in _ANNOTATED and name not in _LATE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            return None
        if name in _LATE:
            spec.loader = _LateLoader(spec.loader.path, _LATE[name])
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
        if name == "get_ipython":
            return _get_ipython
        return super().__getattribute__(name)


def _get_ipython() -> Any:
    """IPython's function of this name: there is no shell before IPython is executed, which need not be to say so."""
    ipython = sys.modules.get("IPython.core.getipython")
    return None if ipython is None else ipython.get_ipython()


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


class _LateLoader(importlib.abc.Loader):
    """Executes a package but for what it imports from some places: that is done when somebody asks for it."""

    def __init__(self, file: str, late: tuple[str, ...]):
        self._file = Path(file)
        self._late = late

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """Leaves the making of the module to the import system."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Fills the package."""
        tree = ast.parse(self._file.read_text(encoding="utf-8"))
        named: dict[str, _Import] = {}
        kept: list[ast.stmt] = []
        rest: list[ast.stmt] = []
        for statement in tree.body:
            imports = self._late_imports(statement)
            if not imports:
                kept.append(statement)
            elif any(each.name == "*" for each in imports.values()):
                rest.append(statement)
            else:
                named.update(imports)

        def execute(statements: list[ast.stmt]) -> None:
            code = compile(ast.Module(statements, tree.type_ignores), str(self._file), "exec")
            exec(code, module.__dict__)

        def find(name: str) -> Any:
            if name in named:
                setattr(module, name, named[name].do())
            elif rest and not name.startswith("__") and not _is_module(f"{module.__name__}.{name}"):
                execute(rest)
                rest.clear()
            if name in module.__dict__:
                return module.__dict__[name]
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

        module.__dict__["__getattr__"] = find
        execute(kept)
        if module.__name__ == _FILE_SYSTEMS:
            _load_for_addresses(module, list(named))

    def _late_imports(self, statement: ast.stmt) -> dict[str, _Import]:
        """What a statement imports, by its name there, if all of that is for later; else nothing."""
        if isinstance(statement, ast.Try):  # to do without what cannot be imported
            parts = [self._late_imports(inner) for inner in statement.body]
            found = {name: replace(each, optional=True) for part in parts for name, each in part.items()}
            return found if all(parts) else {}
        if not isinstance(statement, ast.ImportFrom) or statement.module is None:
            return {}
        if not any(f"{statement.module}.".startswith(f"{late}.") for late in self._late):
            return {}
        return {alias.asname or alias.name: _Import(statement.module, alias.name) for alias in statement.names}


def _load_for_addresses(module: types.ModuleType, late: Sequence[str]) -> None:
    """Has Beam's file systems imported by the first who asks for that of an address; they need only be there."""
    get_filesystem = module.FileSystems.get_filesystem

    def get(path: str) -> Any:
        if module.FileSystems.get_scheme(path) in _LATE_SCHEMES:
            for name in late:
                getattr(module, name)
        return get_filesystem(path)

    module.FileSystems.get_filesystem = staticmethod(get)


def _is_module(name: str) -> bool:
    """Whether the import system will find a module by itself, once it hears that its package does not have it."""
    return importlib.util.find_spec(name) is not None


@dataclass(frozen=True)
class _Import:
    """One name that is imported from a module; a package without one that is optional has None instead."""

    module: str
    name: str
    optional: bool = False

    def do(self) -> Any:
        try:
            module = importlib.import_module(self.module)
        except ImportError:
            if self.optional:
                return None
            raise
        return getattr(module, self.name)

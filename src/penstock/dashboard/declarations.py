"""The declarations of pipelines that a project holds, run or not: their graphs and parameters; no code is run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock import spec
from penstock.dashboard.ir import PipelineGraph
from penstock.errors import DeclarationError, PenstockError
from penstock.spec import spans
from penstock.spec.loader import FILE_NAME, read_outline
from penstock.spec.model import ParameterSpec, RunPolicy
from penstock.spec.problem_text import render

_DEEPEST = 4
_MOST_FOLDERS = 3000
_MOST_DECLARATIONS = 100
_NOT_LOOKED_INTO = frozenset(("__pycache__", "node_modules", "site-packages", "build", "dist", "venv"))
# Own components lie in files of their own, so that a declaration's file alone does not tell whether it changed.
_FRESH_SECONDS = 10.0
# What a parameter without a default is taken to be while the graph is drawn.
_STAND_INS: Mapping[str, str] = {
    "str": "…", "int": "1", "float": "1.0", "bool": "false", "path": ".", "list": "[]", "dict": "{}",
}  # fmt: skip


@dataclass(frozen=True)
class Declared:
    """A declaration as it stands in its file.

    Attributes:
        file: the file, absolute.
        name: the pipeline's name.
        description: what the pipeline is for; may be empty.
        graph: its nodes and edges; empty where the declaration is wrong.
        parameters: the parameters it declares.
        environments: the names of its environments.
        environment: the one that is taken if none is named.
        policy: how a run as a whole is carried out.
        takes_spans: whether a run can be made for one span of its data.
        problems: what is wrong with it, as text; None where nothing is.
    """

    file: Path
    name: str
    description: str = ""
    graph: PipelineGraph = field(default_factory=lambda: PipelineGraph({}, ()))
    parameters: Mapping[str, ParameterSpec] = field(default_factory=dict)
    environments: Sequence[str] = ()
    environment: str = "local"
    policy: RunPolicy | None = None
    takes_spans: bool = False
    problems: str | None = None

    @property
    def path(self) -> str:
        """What `penstock run` takes: the folder, or the file where it has another name."""
        return str(self.file.parent if self.file.name == FILE_NAME else self.file)


class Declarations:
    """Finds declarations below some `folders`. May be shared by threads."""

    def __init__(self, folders: Iterable[Path]):
        self.folders = list(folders)
        self._read: dict[Path, tuple[float, tuple[int, int], Declared | None]] = {}

    def find(self, more: Iterable[Path] = ()) -> list[Declared]:
        """The declarations below these folders and some more, by name and file."""
        files: dict[Path, None] = {}
        for folder in dict.fromkeys(path.resolve() for path in [*self.folders, *more]):
            for file in _files(folder):
                files[file.resolve()] = None
                if len(files) >= _MOST_DECLARATIONS:
                    break
        found = [declared for file in files if (declared := self.read(file)) is not None]
        return sorted(found, key=lambda declared: (declared.name, str(declared.file)))

    def read(self, file: Path) -> Declared | None:
        """A declaration; None where the file is none. What was read a moment ago is not read again."""
        try:
            status = file.stat()
        except OSError:
            return None
        stamp, now = (status.st_mtime_ns, status.st_size), time.monotonic()
        known = self._read.get(file)
        if known is not None and known[1] == stamp and now - known[0] < _FRESH_SECONDS:
            return known[2]
        declared = _read(file)
        self._read[file] = (now, stamp, declared)
        return declared


def _files(folder: Path) -> Iterator[Path]:
    """Yields the declarations' files below a folder."""
    depth = len(folder.parts)
    for number, (root, folders, names) in enumerate(os.walk(folder)):
        if number >= _MOST_FOLDERS:
            return
        here = Path(root)
        if FILE_NAME in names:
            yield here / FILE_NAME
        is_deep = len(here.parts) - depth >= _DEEPEST
        folders[:] = (
            []
            if is_deep
            else sorted(name for name in folders if not name.startswith(".") and name not in _NOT_LOOKED_INTO)
        )


def _read(file: Path) -> Declared | None:
    try:
        outline = read_outline(file)
    except DeclarationError as error:
        # Other programs have files of this name too.
        return Declared(file, file.parent.name, problems=render(error.problems)) if _is_ours(file) else None
    except OSError:
        return None
    given = {name: _stand_in(one) for name, one in outline.parameters.items() if one.required}
    try:
        found = spec.load(file, parameters=given)
    except DeclarationError as error:
        return Declared(
            file, outline.name, outline.description, parameters=outline.parameters, problems=render(error.problems)
        )
    except PenstockError as error:
        return Declared(file, outline.name, outline.description, parameters=outline.parameters, problems=str(error))
    return Declared(
        file=file,
        name=found.name,
        description=found.description,
        graph=graph_of(found),
        parameters=found.parameters,
        environments=found.environments,
        environment=found.environment.name,
        policy=found.policy,
        takes_spans=any(spans.has_spans(node) for node in found.nodes.values()),
    )


def graph_of(declaration: spec.Declaration) -> PipelineGraph:
    """A declaration's nodes and the edges between them: what a node takes, and what it is declared to come after."""
    nodes = declaration.nodes
    edges: dict[tuple[str, str], None] = {}
    for node in nodes.values():
        for before in [*(reference.node for reference in node.references()), *node.options.after]:
            if before in nodes and before != node.id:
                edges[before, node.id] = None
    components = {name: node.component.rpartition(":")[2].rpartition(".")[2] for name, node in nodes.items()}
    return PipelineGraph(components, tuple(edges))


def _is_ours(file: Path) -> bool:
    try:
        return "penstock:" in file.read_text(encoding="utf-8", errors="replace")[:10_000]
    except OSError:
        return False


def _stand_in(parameter: ParameterSpec) -> str:
    if parameter.choices:
        return str(parameter.choices[0])
    if parameter.min is not None:
        return f"{parameter.min:g}"
    if parameter.max is not None:
        return f"{parameter.max:g}"
    return _STAND_INS[parameter.type]


def default_text(parameter: Any) -> str:
    """A parameter's default as a person would type it; empty where it has none."""
    value = parameter.default
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)

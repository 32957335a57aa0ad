"""Looks into user code without importing it: finds a module's file and reads its syntax tree."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from penstock.spec.problems import nearest


class UserCodeError(ValueError):
    """Indicates that a module or a name in it cannot be found; the message says which and why.

    Attributes:
        name: the name that was looked for.
        allowed: the names there are.
        line: where the user's file is faulty; 0 if it is not the file.
        column: as `line`.
    """

    def __init__(
        self, message: str, name: str | None = None, allowed: Sequence[str] = (), *, line: int = 0, column: int = 0
    ):
        super().__init__(message)
        self.name = name
        self.allowed = allowed
        self.line = line
        self.column = column


@dataclass(frozen=True)
class Module:
    """A parsed module; `tree` is None for one that is not Python source (an extension, a namespace package)."""

    name: str
    file: Path | None
    tree: ast.Module | None

    @cached_property
    def names(self) -> dict[str, ast.AST]:
        """Every name bound at the top level, with the statement that binds it."""
        found: dict[str, ast.AST] = {}
        if self.tree is not None:
            for statement in _top_level(self.tree.body):
                for name in _bound_names(statement):
                    found[name] = statement
        return found

    @property
    def is_open(self) -> bool:
        """Whether the module may hold names its text does not show."""
        return self.tree is None or "*" in self.names or "__getattr__" in self.names


class UserCode:
    """The modules that can be imported from some folders, and after those from the installed packages."""

    def __init__(self, roots: Sequence[Path]):
        self.roots = roots
        self._modules: dict[str, Module] = {}

    def module(self, name: str) -> Module:
        """Returns the module of the given dotted name.

        Raises:
            UserCodeError: there is none, or its file cannot be parsed.
        """
        if name not in self._modules:
            self._modules[name] = self._load(name)
        return self._modules[name]

    def file(self, file: Path) -> Module:
        """Returns a Python file as a module named for it.

        Raises:
            UserCodeError: it cannot be read or parsed.
        """
        return Module(file.stem, file, parse_file(file))

    def function(self, path: str) -> ast.AST | None:
        """Checks `package.module.function`; returns the statement that binds it, None if the text does not show it.

        Raises:
            UserCodeError: it is not there.
        """
        module_name, _, name = path.rpartition(".")
        if not module_name:
            raise UserCodeError(f"{path!r} names no module; write package.module.{path}")
        return self.member(self.module(module_name), name)

    def member(self, module: Module, name: str) -> ast.AST | None:
        """Returns the statement that binds `name` in a module, None if only running the module would tell.

        Raises:
            UserCodeError: the module binds no such name.
        """
        if name in module.names:
            return module.names[name]
        if module.is_open:
            return None
        public = [key for key, node in module.names.items() if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        allowed = public or sorted(module.names)
        raise UserCodeError(f"the module {module.name!r} ({module.file}) has no {name!r}", name, allowed)

    def resolve(self, module: Module, name: str) -> tuple[Module, ast.AST | None]:
        """Follows `from x import name` to the module that defines it, as far as the text shows.

        Raises:
            UserCodeError: the module binds no such name.
        """
        for _ in range(10):
            node = self.member(module, name)
            if not isinstance(node, ast.ImportFrom):
                return module, node
            alias = next(alias for alias in node.names if (alias.asname or alias.name) == name)
            source = _absolute_name(node, module)
            try:
                module, name = self.module(source), alias.name
                self.member(module, name)
            except UserCodeError:
                return module, None
        return module, None

    def _load(self, name: str) -> Module:
        if not all(part.isidentifier() for part in name.split(".")):
            raise UserCodeError(f"{name!r} is not the dotted name of a module")
        file, found = self._find(name)
        if not found:
            raise self._missing(name)
        if file is None or file.suffix != ".py":
            return Module(name, file, None)
        return Module(name, file, parse_file(file))

    def _find(self, name: str) -> tuple[Path | None, bool]:
        parts = name.split(".")
        for root in self.roots:
            # A root that has the top-level package owns all of it, as `import` has it.
            if _in_folder(root, parts[0]) is not None:
                return _walk([root], parts)
        try:
            spec = importlib.util.find_spec(parts[0])
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            return None, False
        if len(parts) == 1:
            return (Path(spec.origin) if spec.origin and spec.has_location else None), True
        return _walk([Path(place) for place in spec.submodule_search_locations or ()], parts[1:])

    def _missing(self, name: str) -> UserCodeError:
        parts = name.split(".")
        for length in range(len(parts) - 1, 0, -1):
            parent = ".".join(parts[:length])
            file, found = self._find(parent)
            if found:
                folder = file.parent if file is not None and file.name == "__init__.py" else None
                names = sorted(_modules_in(folder)) if folder is not None else []
                return UserCodeError(f"{parent!r} has no module {parts[length]!r}", parts[length], names)
        names = sorted({module for root in self.roots for module in _modules_in(root)})
        places = ", ".join(str(root) for root in self.roots)
        near = nearest(parts[0], names)
        message = f"there is no module {parts[0]!r} in {places}, nor is one installed"
        return UserCodeError(message, parts[0] if near else None, names)


def parse_file(file: Path) -> ast.Module:
    """Parses a Python file.

    Raises:
        UserCodeError: it cannot be read or is not Python.
    """
    try:
        return ast.parse(file.read_bytes(), str(file))
    except SyntaxError as error:
        line, column = error.lineno or 1, error.offset or 1
        raise UserCodeError(f"syntax error in {file}:{line}:{column}: {error.msg}", line=line, column=column) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserCodeError(f"{file} is not Python source: {error}") from error
    except OSError as error:
        raise UserCodeError(f"{file} cannot be read: {error.strerror}") from error


def _in_folder(folder: Path, name: str) -> Path | None:
    package = folder / name
    if (package / "__init__.py").is_file():
        return package / "__init__.py"
    module = folder / f"{name}.py"
    if module.is_file():
        return module
    return package if package.is_dir() and any(package.glob("*.py")) else None


def _walk(folders: Sequence[Path], parts: Sequence[str]) -> tuple[Path | None, bool]:
    for folder in folders:
        file = _in_folder(folder, parts[0])
        if file is not None:
            if len(parts) == 1:
                return (file if file.suffix == ".py" else None), True
            inside = file.parent if file.name == "__init__.py" else file
            return _walk([inside], parts[1:]) if inside.is_dir() else (None, False)
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            if len(parts) == 1 and (folder / f"{parts[0]}{suffix}").is_file():
                return None, True
    return None, False


def _modules_in(folder: Path) -> Iterator[str]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.suffix == ".py" and entry.stem != "__init__" and entry.stem.isidentifier():
            yield entry.stem
        elif entry.is_dir() and (entry / "__init__.py").is_file():
            yield entry.name


def _absolute_name(node: ast.ImportFrom, module: Module) -> str:
    if not node.level:
        return node.module or ""
    package = module.name.split(".")
    is_package = module.file is not None and module.file.name == "__init__.py"
    base = package[: len(package) - node.level + (1 if is_package else 0)]
    return ".".join([*base, *([node.module] if node.module else [])])


def _top_level(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yields the statements that run when a module is imported, those inside `if`, `try` and `with` too."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.For | ast.While):
            yield from _top_level([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.With):
            yield from _top_level(statement.body)
        elif isinstance(statement, ast.Try):
            handlers = [item for handler in statement.handlers for item in handler.body]
            yield from _top_level([*statement.body, *handlers, *statement.orelse, *statement.finalbody])


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import):
        yield from (alias.asname or alias.name.split(".")[0] for alias in statement.names)
    elif isinstance(statement, ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in statement.names)
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))

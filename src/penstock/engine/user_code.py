"""The part of the user's code that a node depends on, and digests of what it means.

They cover each project file that the entry points import, directly or not, as syntax trees without docstrings:
comments, formatting and docstrings do not change them. Files outside the import roots (installed packages) are covered
by their versions instead. Data files that code reads by itself are not covered.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

# Stands for a file's statements outside of functions and classes.
MODULE = "<module>"


def digests(entry_points: Iterable[str], import_roots: Sequence[Path]) -> dict[str, dict[str, str]]:
    """Returns digests for each project file that the entry points reach.

    Args:
        entry_points: dotted names (`package.module.function`, `package.module.Class`) or paths of Python files. Names
            that are not found under the import roots are ignored.
        import_roots: folders the user's modules are imported from, first match wins.

    Returns:
        File path relative to its import root (or its name, for a file outside), to the digest of each function and
        class at its top level by name, and of everything else as `MODULE`.
    """
    pending: list[Path] = []
    for entry in entry_points:
        pending.extend([Path(entry)] if entry.endswith(".py") else _module_files(entry, import_roots))
    found: dict[Path, dict[str, str]] = {}
    while pending:
        path = pending.pop()
        if path in found or not path.is_file():
            continue
        found[path], names = _analyse(path.read_bytes(), _package_of(path, import_roots))
        for name in names:
            pending.extend(_module_files(name, import_roots))
    return {_display(path, import_roots): named for path, named in sorted(found.items())}


def imported_names(entry_points: Iterable[str], import_roots: Sequence[Path]) -> set[str]:
    """Returns the dotted names that the project files reached from the entry points import, as they are written."""
    pending: list[Path] = []
    for entry in entry_points:
        pending.extend([Path(entry)] if entry.endswith(".py") else _module_files(entry, import_roots))
    found: set[str] = set()
    seen: set[Path] = set()
    while pending:
        path = pending.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        _, names = _analyse(path.read_bytes(), _package_of(path, import_roots))
        for name in names:
            found.add(name)
            pending.extend(_module_files(name, import_roots))
    return found


def entry_points(parameters: Mapping[str, object], class_paths: Iterable[str]) -> list[str]:
    """Returns what in a node's parameters and executor could name user code; `digests` ignores the rest."""
    candidates = list(class_paths)
    for name, value in parameters.items():
        if not isinstance(value, str):
            continue
        if (name == "module_file" and value) or (
            "." in value and all(part.isidentifier() for part in value.split("."))
        ):
            candidates.append(value)
    return candidates


def _module_files(name: str, import_roots: Sequence[Path]) -> list[Path]:
    """Files that importing a dotted name runs: each package's `__init__` and the module, as far as they exist."""
    parts = name.split(".")
    for root in import_roots:
        folder, files = root, []
        for part in parts:
            if (module := folder / f"{part}.py").is_file():
                files.append(module)
                break
            folder = folder / part
            if not folder.is_dir():
                break
            if (init := folder / "__init__.py").is_file():
                files.append(init)
        if files:
            return files
    return []


@functools.lru_cache(maxsize=1024)
def _analyse(text: bytes, package: tuple[str, ...]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Returns the digests of a file's parts, and the names it imports; many nodes share most of their files."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return {MODULE: hashlib.sha256(text).hexdigest()}, ()
    names = tuple(dict.fromkeys(_imported_names(tree, package)))
    return _tree_digests(tree), names


def _imported_names(tree: ast.Module, package: tuple[str, ...]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package[: len(package) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _package_of(path: Path, import_roots: Sequence[Path]) -> tuple[str, ...]:
    for root in import_roots:
        if path.is_relative_to(root):
            return path.relative_to(root).parent.parts
    return ()


def _tree_digests(tree: ast.Module) -> dict[str, str]:
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:]
    parts: dict[str, list[str]] = {MODULE: []}
    for statement in tree.body:
        if isinstance(statement, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            parts.setdefault(statement.name, []).append(ast.dump(statement))
            parts[MODULE].append(statement.name)  # where it stands among the statements counts, too
        else:
            parts[MODULE].append(ast.dump(statement))
    return {name: hashlib.sha256("\n".join(texts).encode()).hexdigest() for name, texts in parts.items()}


def _display(path: Path, import_roots: Sequence[Path]) -> str:
    for root in import_roots:
        if path.is_relative_to(root):
            return str(path.relative_to(root))
    return path.name

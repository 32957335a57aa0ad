"""Prints the part of requirements.lock that an image needs: everything but the tools Penstock is developed with.

    python deploy/runtime_requirements.py [--with PACKAGE]… > requirements.txt

What the lock says of where a package comes from (`# via`) leads from a package back to those that ask for it. Needs
nothing but Python.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What pipelines, dashboards and notebooks need of the optional dependencies.
EXTRAS = ("dashboard", "sql")
# The kernel that a notebook's server starts.
ALWAYS = ("ipykernel",)


@dataclass(frozen=True)
class Entry:
    """An entry of the lock: the package, who asks for it, and its lines."""

    name: str
    parents: frozenset[str]
    text: str


def entries(lock: str) -> Iterator[Entry]:
    """Yields the entries of a lock that uv wrote."""
    for text in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)[1:]:
        _, _, via = text.partition("    # via")
        parents = {normalized(line.strip(" #")) for line in via.splitlines() if line.strip(" #")}
        yield Entry(name_of(text), frozenset(parents), text)


def needed(lock: str, project: dict[str, object], more: Iterable[str] = ()) -> list[Entry]:
    """Returns the entries that a project's own and optional dependencies lead to, in the lock's order.

    Args:
        lock: the lock file's text.
        project: `project` of pyproject.toml.
        more: names of further packages.
    """
    roots = {name_of(requirement) for requirement in _requirements(project)} | {normalized(name) for name in more}
    known = list(entries(lock))
    found: set[str] = set(roots)
    while True:
        reached = {entry.name for entry in known if entry.name in found or entry.parents & found}
        if reached <= found:
            return [entry for entry in known if entry.name in found]
        found |= reached


def name_of(requirement: str) -> str:
    """Returns the normalized name that a requirement begins with."""
    match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement)
    assert match is not None, requirement
    return normalized(match[0])


def normalized(name: str) -> str:
    """Returns a package's name as indices write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _requirements(project: dict[str, object]) -> list[str]:
    dependencies, optional = project["dependencies"], project["optional-dependencies"]
    assert isinstance(dependencies, list) and isinstance(optional, dict)
    return [*dependencies, *(requirement for extra in EXTRAS for requirement in optional[extra])]


def main() -> None:
    """Prints them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--with", dest="more", action="append", default=[], metavar="PACKAGE")
    arguments = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    sys.stdout.writelines(entry.text for entry in needed(lock, project, [*ALWAYS, *arguments.more]))


if __name__ == "__main__":
    main()

"""Prints the part of requirements.lock that an image needs: everything but the tools Penstock is developed with.

    python deploy/runtime_requirements.py [--only PACKAGE] > requirements.txt

With --only it prints what one package needs.

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
from typing import Any

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


def needed(lock: str, names: Iterable[str]) -> list[Entry]:
    """Returns the entries that packages lead to, their own included, in the lock's order.

    Args:
        lock: the lock file's text.
        names: names of packages.
    """
    known = list(entries(lock))
    found = {normalized(name) for name in names}
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


def runtime(project: dict[str, Any]) -> list[str]:
    """Returns the names of what an image needs of the packages in a project (`project` of pyproject.toml)."""
    optional = [requirement for extra in EXTRAS for requirement in project["optional-dependencies"][extra]]
    return [*map(name_of, [*project["dependencies"], *optional]), *ALWAYS]


def main() -> None:
    """Prints them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", metavar="PACKAGE")
    arguments = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    names = [arguments.only] if arguments.only else runtime(project)
    sys.stdout.writelines(entry.text for entry in needed(lock, names))


if __name__ == "__main__":
    main()

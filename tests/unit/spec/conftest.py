"""A folder to write declarations into, and a short way to check them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from penstock import spec
from penstock.errors import DeclarationError, Problem

CODE = '''
"""User code that must never be imported by a check."""
raise SystemExit("imported")

def run_fn(fn_args): ...
def preprocessing_fn(inputs): ...
def tuner_fn(fn_args): ...
class Executor: ...
'''

Write = Callable[..., Path]
Check = Callable[..., list[Problem]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes pipeline.yaml from a body of nodes, or of whole sections, beside a module `code`."""
    (tmp_path / "code.py").write_text(CODE)

    def write(text: str) -> Path:
        body = textwrap.dedent(text).lstrip("\n")
        file = tmp_path / "pipeline.yaml"
        file.write_text(body if body.startswith("penstock") else f"penstock: 1\nname: test\n{body}")
        return file

    return write


@pytest.fixture
def check(write: Write) -> Check:
    """Returns the problems of a declaration, none if it is right."""

    def check(
        text: str, *, parameters: Mapping[str, str] | None = None, environment: str | None = None, **environ: str
    ) -> list[Problem]:
        try:
            spec.load(write(text), parameters=parameters or {}, environment=environment, environ=environ)
        except DeclarationError as error:
            return list(error.problems)
        return []

    return check

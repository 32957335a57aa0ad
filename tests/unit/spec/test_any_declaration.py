"""Whatever stands in a declaration, loading it answers with a Declaration or with problems that have a place."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock import spec
from penstock.errors import DeclarationError
from penstock.spec import yaml_source
from tests.unit.spec.conftest import CODE
from tests.unit.spec.test_load import WHOLE

STRANGE = [
    None,
    True,
    -1,
    10**30,
    1e308,
    float("inf"),
    "",
    "x",
    "${nodes.examples.examples}",
    "${parameters.names}",
    "${parameters.data} ${nodes.examples.examples}",
    "${env.NOT_SET}",
    "${",
    "code:run_fn",
    "code.nothing",
    ".",
    ":",
    "a:",
    "..a",
    "package://",
    "package://yaml/nothing",
    "~nobody_at_all/x",
    "\x00",
    "Resolver",
    "Importer",
    [],
    [None],
    [["${nodes.examples.examples}"]],
    ["${nodes.examples.examples}", "${parameters.steps}"],
    {},
    {"type": "Model"},
    {"type": "path", "default": 3},
    {"component": "Resolver", "strategy_class": ["a"], "config": 3, "x": "${nodes.x.x}"},
    {"component": "Importer", "output_key": [1], "artifact_type": {}},
]


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Returns the path of every value inside one."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    for key, item in items:
        found += paths(item, (*path, key))
    return found


DATA = yaml_source.parse("penstock: 1\nname: test\n" + WHOLE, Path("pipeline.yaml")).data
PATHS = paths(DATA)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("any")
    (folder / "code.py").write_text(CODE)
    return folder


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(PATHS), st.sampled_from(["replace", "delete", "rename"]), st.sampled_from(STRANGE)),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([None, "local", "cluster", "other"]),
)
def test_a_changed_declaration(folder: Path, changes: list[tuple[Any, str, Any]], environment: str | None) -> None:
    data = copy.deepcopy(DATA)
    for path, action, value in changes:
        change(data, path, action, value)
    file = folder / "pipeline.yaml"
    file.write_text(json.dumps(data, indent=1).replace("Infinity", ".inf"))
    lines = file.read_text().splitlines()
    try:
        declaration = spec.load(file, environment=environment, environ={"WHO": "me", "PASSWORD": "p"})
    except DeclarationError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.message.endswith(".")
            assert 0 <= problem.line <= len(lines)
            assert str(problem).replace("\n", "").isprintable()
    else:
        assert "UNKNOWN" not in repr(declaration)


def change(data: Any, path: tuple[Any, ...], action: str, value: Any) -> None:
    """Replaces, deletes or renames what stands at a path, if an earlier change has left it there."""
    for step in path[:-1]:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return
    last = path[-1]
    if isinstance(data, list) and isinstance(last, int) and last < len(data):
        data[last] = value
    elif isinstance(data, dict) and last in data:
        if action == "replace":
            data[last] = value
        elif action == "delete":
            del data[last]
        else:
            data[str(value)] = data.pop(last)

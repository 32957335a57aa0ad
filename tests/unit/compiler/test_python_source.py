"""`FILE.py:CALLABLE`: parameters from the command line, and what is said of files that do not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parents[3] / "src"
# In a process of its own: it takes TFX's light library, which must not come to a process that may load TensorFlow.
PROGRAM = """
import json, sys
from penstock.engine import light_tfx
light_tfx.load()
from penstock.compiler import python_source
from penstock.errors import UsageError
found = []
for function, parameters in json.loads(sys.argv[2]):
    try:
        found.append(python_source.load_pipeline(f"{sys.argv[1]}:{function}", parameters).pipeline_info.pipeline_name)
    except UsageError as error:
        found.append("error: " + str(error))
print(json.dumps(found))
"""
PIPELINES = """
import neighbour
from tfx.orchestration.pipeline import Pipeline


def typed(count: int, share: float = 0.5, loud: bool = False, name: str = "x", *, kind="k", steps=3):
    return Pipeline(pipeline_name=repr((count, share, loud, name, kind, steps)))


def postponed(count: "int" = 1):
    return Pipeline(pipeline_name=repr(count))


def anything(**parameters):
    return Pipeline(pipeline_name=repr(parameters))


def near():
    return Pipeline(pipeline_name=neighbour.NAME)


def nothing():
    return {}
"""
CASES: dict[str, tuple[str, dict[str, str], str]] = {
    "types": ("typed", {"count": "7", "share": "1e-3", "loud": "True"}, "(7, 0.001, True, 'x', 'k', 3)"),
    "defaults give types": ("typed", {"count": "1", "steps": "9"}, "(1, 0.5, False, 'x', 'k', 9)"),
    "text that looks like a number": ("typed", {"count": "1", "name": "12"}, "(1, 0.5, False, '12', 'k', 3)"),
    "annotations as text": ("postponed", {"count": "4"}, "4"),
    "any parameter": ("anything", {"a": "1", "b": "two"}, "{'a': '1', 'b': 'two'}"),
    "modules beside the file": ("near", {}, "neighbour's name"),
    "no number": ("typed", {"count": "many"}, "-p count=many: wants a number of type int"),
    "no truth": ("typed", {"count": "1", "loud": "yes"}, "-p loud=yes: wants true or false"),
    "unknown": ("typed", {"count": "1", "sze": "1"}, "takes no parameter 'sze'; allowed: count, share, loud, name"),
    "missing": ("typed", {}, "needs count; give each as -p name=value"),
    "no such function": ("tiped", {}, "has no function 'tiped'; did you mean 'typed'?"),
    "no pipeline": ("nothing", {}, "returned a dict; it must return a tfx.dsl.Pipeline"),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("source")
    (folder / "pipelines.py").write_text(PIPELINES)
    (folder / "neighbour.py").write_text('NAME = "neighbour\'s name"\n')
    questions = json.dumps([[function, parameters] for function, parameters, _ in CASES.values()])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder / "pipelines.py"), questions],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(CASES, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_a_callable_is_called_with_what_was_given(answers: Any, case: str) -> None:
    wanted = CASES[case][2]
    is_error = answers[case].startswith("error: ")
    assert wanted in answers[case] if is_error else wanted == answers[case]

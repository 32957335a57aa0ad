"""User code that fails, ends its process or crashes: its node fails with its author's frames, and nothing else does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import Penstock, Result
from tests.e2e.tiny import Project, make_project

# what `faulty` does -> what must be said about it; {line} stands for the place and text of the line that did it
FAULTS = {
    "exception": ("print('half way')\nraise ValueError('no fares today')", ("ValueError: no fares today",), "raise V"),
    "exit": ("sys.exit(3)", ("sys.exit(3)",), "sys.exit"),
    "hard exit": ("os._exit(4)", ("the worker exited with status 4 before it reported",), None),
    "crash": ("os.kill(os.getpid(), signal.SIGSEGV)", ("the worker was killed by SIGSEGV",), "os.kill"),
    "out of memory": ("os.kill(os.getpid(), signal.SIGKILL)", ("SIGKILL", "when memory runs out"), None),
    "memory error": ("return {'made': len(bytearray(1 << 60))}", ("MemoryError",), "bytearray"),
    "nothing returned": ("return None", ("made",), None),
    "wrong value returned": ("return {'made': 'many'}", ("made", "'many'"), None),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, penstock: Penstock) -> Project:
    """The tiny project, run once and well; what each test finds in its store is what those before it left."""
    project = make_project(tmp_path_factory.mktemp("user-code") / "project", penstock)
    assert project.run("--run-id", "well").status == 0
    return project


def assert_no_traceback(result: Result) -> None:
    """No frame of Penstock or of the interpreter's own way to tell errors is shown."""
    assert "Traceback (most recent call last)" not in result.stderr
    assert "penstock/engine" not in result.stderr and "penstock/backends" not in result.stderr


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_node(project: Project, fault: str) -> None:
    """It stops what depends on it, leaves the rest alone, and shows its author's line."""
    body, messages, line = FAULTS[fault]
    project.faulty(body)
    failed = project.run()
    assert failed.status == 1, failed.stderr
    assert_no_traceback(failed)
    for message in messages:
        assert message in failed.stderr
    if line is not None:
        place = project.line_of(line)
        assert f"{place} in faulty" in failed.stderr
        source = project.module.read_text().splitlines()[int(place.rpartition(":")[2]) - 1].strip()
        assert source in failed.stderr
    assert project.states() == {"first": "cached", "apart": "cached", "faulty": "failed", "last": "upstream_failed"}
    assert messages[0] in project.runs()[0]["error"]
    assert not list((project.store / "pipelines" / "tiny" / "faulty" / "made").glob(f"{_execution(project)}*"))


def _execution(project: Project) -> int:
    shown = project.penstock("runs", "show", "latest", "--json", "--store", project.store).json
    [execution] = [node["execution_id"] for node in shown["nodes"] if node["node_id"] == "faulty"]
    return int(execution)


def test_what_finished_beside_a_failure_is_kept(tmp_path: Path, penstock: Penstock) -> None:
    """The rest of the run goes on; once the node is mended, what finished comes from the cache, and history stays."""
    project = make_project(tmp_path / "project", penstock)
    project.faulty("print('half way')\nraise ValueError('no fares today')")
    failed = project.run("--run-id", "first-run")
    assert failed.status == 1, failed.stderr
    states = {"first": "succeeded", "apart": "succeeded", "faulty": "failed", "last": "upstream_failed"}
    assert project.states("first-run") == states
    assert "penstock runs logs first-run faulty" in failed.stderr
    assert "\nfaulty | half way\n" in failed.stderr
    logged = project.penstock("runs", "logs", "first-run", "faulty", "--store", project.store)
    assert "half way" in logged.stdout
    assert "Traceback (most recent call last)" in logged.stdout

    project.mend()
    mended = project.run()
    assert mended.status == 0, mended.stderr
    assert project.states() == {"first": "cached", "apart": "cached", "faulty": "succeeded", "last": "succeeded"}
    assert [run["state"] for run in project.runs()] == ["succeeded", "failed"]
    assert project.states("first-run") == states


_FAULTY = "@component\ndef faulty(number: int) -> OutputDict(made=int): ...\n"
_HEAD = (
    "from tfx.dsl.component.experimental.annotations import OutputDict\n"
    "from tfx.dsl.component.experimental.decorators import component\n"
)
# text of the module -> what must be said, the exit status
IMPORTS = {
    "syntax error": ("def faulty(:\n", 2, ("broken.py:1:12", "invalid syntax")),
    "exception": ("TABLE = {}\nRATE = TABLE['rate']\n", 2, ("KeyError: 'rate'", "broken.py:2", "RATE = TABLE['rate']")),
    "missing module": ("import no_such_module_anywhere\n", 2, ("no_such_module_anywhere", "broken.py:1")),
    "exit": ("import sys\nsys.exit(5)\n", 2, ("sys.exit(5)", "broken.py:2")),
    "hard exit": ("import os\nos._exit(6)\n", 1, ("the worker exited with status 6",)),
    "crash": (
        "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
        1,
        ("killed by SIGSEGV", "broken.py:2", "os.kill(os.getpid(), signal.SIGSEGV)"),
    ),
    "no such function": ("def other(): ...\n", 2, ("'faulty'", "pipeline.yaml:12:16", "allowed: other")),
    "no component": ("def faulty(number): ...\n", 2, ("is a plain function", "decorate it with @component")),
    "no component to TFX": (
        _HEAD + "@component\ndef faulty(number: set) -> OutputDict(made=int): ...\n",
        2,
        ("number", "broken.py:3", "@component"),
    ),
}


@pytest.mark.parametrize("mistake", IMPORTS)
def test_a_module_that_cannot_be_imported(project: Project, mistake: str) -> None:
    """No run is begun."""
    runs = project.runs()
    text, status, messages = IMPORTS[mistake]
    # Whoever reads the text without running it finds the component.
    project.module.write_text(text if "def " in text else text + _FAULTY)
    refused = project.run()
    assert refused.status == status, refused.stderr
    assert_no_traceback(refused)
    for message in messages:
        assert message in refused.stderr
    assert project.runs() == runs


def test_after_all_of_these_the_first_results_are_still_there(project: Project) -> None:
    project.mend()
    assert project.run().status == 0
    assert set(project.states().values()) == {"cached"}
    assert set(project.states("well").values()) == {"succeeded"}


_STANDARD = """\
penstock: 1
name: standard
nodes:
  examples: {component: CsvExampleGen, input_base: data}
  statistics: {component: StatisticsGen, examples: "${nodes.examples.examples}"}
  schema: {component: SchemaGen, statistics: "${nodes.statistics.statistics}"}
  transform:
    component: Transform
    examples: ${nodes.examples.examples}
    schema: ${nodes.schema.schema}
    preprocessing_fn: features.preprocessing_fn
  trainer:
    component: Trainer
    examples: ${nodes.examples.examples}
    run_fn: model.run_fn
"""


@pytest.mark.slow
def test_preprocessing_fn_and_run_fn(tmp_path: Path, penstock: Penstock) -> None:
    """What TFX's own executors call: the cause is the user's exception, and not what TFX or Beam wrapped around it."""
    (tmp_path / "data").mkdir()
    rows = "".join(f"{number},{number % 3}\n" for number in range(60))
    (tmp_path / "data" / "rows.csv").write_text("fare,company\n" + rows)
    (tmp_path / "pipeline.yaml").write_text(_STANDARD)
    (tmp_path / "features.py").write_text(
        "def preprocessing_fn(inputs):\n    return helper(inputs)\n\n\n"
        "def helper(inputs):\n    return {'scaled': inputs['fair']}\n"
    )
    (tmp_path / "model.py").write_text("def run_fn(fn_args):\n    assert fn_args.no_such_argument\n")
    failed = penstock("run", tmp_path, "--store", tmp_path / "store", timeout=500)
    assert failed.status == 1, failed.stderr
    assert_no_traceback(failed)
    assert _lines_after(failed.stderr, "transform failed", 5) == [
        "  KeyError: 'fair'",
        f"    {tmp_path / 'features.py'}:2 in preprocessing_fn",
        "        return helper(inputs)",
        f"    {tmp_path / 'features.py'}:6 in helper",
        "        return {'scaled': inputs['fair']}",
    ]
    assert "AttributeError" in _lines_after(failed.stderr, "trainer failed", 1)[0]
    assert f"{tmp_path / 'model.py'}:2 in run_fn" in failed.stderr
    shown = penstock("runs", "show", "latest", "--json", "--store", tmp_path / "store").json
    assert {node["node_id"]: node["state"] for node in shown["nodes"]} == {
        "examples": "succeeded",
        "statistics": "succeeded",
        "schema": "succeeded",
        "transform": "failed",
        "trainer": "failed",
    }


def _lines_after(text: str, heading: str, count: int) -> Sequence[str]:
    lines = text.splitlines()
    start = lines.index(heading) + 1
    return lines[start : start + count]


# FILE.py's text, options -> what must be said
CALLABLES = {
    "missing": ("def create(): ...\n", "crate", (), ("did you mean 'create'?",)),
    "raises": ("def create():\n    raise OSError('no credentials')\n", "create", (), ("no credentials", "mine.py:2")),
    "returns something else": ("def create():\n    return 7\n", "create", (), ("returned a int", "tfx.dsl.Pipeline")),
    "is no function": ("create = 7\n", "create", (), ("create",)),
    "unknown parameter": ("def create(data=''): ...\n", "create", ("-p", "dato=1"), ("'dato'", "allowed: data")),
    "bad value": ("def create(steps: int = 1): ...\n", "create", ("-p", "steps=many"), ("steps=many", "type int")),
    "missing value": ("def create(steps): ...\n", "create", (), ("needs steps", "-p name=value")),
    "syntax error": ("def create(:\n", "create", (), ("mine.py:1:12", "invalid syntax")),
}


@pytest.mark.parametrize("mistake", CALLABLES)
def test_a_python_source(tmp_path: Path, penstock: Penstock, mistake: str) -> None:
    text, name, options, messages = CALLABLES[mistake]
    file = tmp_path / "mine.py"
    file.write_text(text)
    refused = penstock("run", f"{file}:{name}", "--store", tmp_path / "store", *options)
    assert refused.status == 2, refused.stderr
    assert_no_traceback(refused)
    for message in messages:
        assert message in refused.stderr
    listed = penstock("runs", "list", "--json", "--store", tmp_path / "store")
    assert listed.json == []


def test_a_python_source_that_does_not_exist(tmp_path: Path, penstock: Penstock) -> None:
    refused = penstock("run", f"{tmp_path}/nowhere.py:create", "--store", tmp_path / "store")
    assert refused.status == 2
    assert "nowhere.py" in refused.stderr
    assert not (tmp_path / "store").exists()

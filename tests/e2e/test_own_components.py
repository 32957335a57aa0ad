"""Declarations with components of one's own, and the nodes and options that the ready pipelines do without."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.conftest import Penstock, Result

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROWS = 12

PARTS = """\
import json, os
from tfx import types
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, OutputDict, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import component_spec, standard_artifacts


@component
def reveal(
    variable: Parameter[str], seen: OutputArtifact[standard_artifacts.String], times: Parameter[int] = 1
) -> OutputDict(length=int):
    seen.value = os.environ.get(variable, "unset") * times
    return {"length": len(seen.value)}


@component
def double(length: int) -> OutputDict(doubled=int):
    return {"doubled": 2 * length}


class ListSpec(types.ComponentSpec):
    PARAMETERS = {"label": component_spec.ExecutionParameter(type=str, optional=True)}
    INPUTS = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}
    OUTPUTS = {"listing": component_spec.ChannelParameter(type=standard_artifacts.String)}


class ListExecutor(base_executor.BaseExecutor):
    def Do(self, input_dict, output_dict, exec_properties):
        spans = [(artifact.get_int_custom_property("span"), artifact.uri) for artifact in input_dict["examples"]]
        output_dict["listing"][0].value = json.dumps({"label": exec_properties.get("label"), "spans": spans})


class ListExamples(base_component.BaseComponent):
    SPEC_CLASS = ListSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(ListExecutor)

    def __init__(self, examples: types.BaseChannel, label: str = ""):
        if label == "refused":
            raise ValueError("this label is taken")
        listing = types.Channel(type=standard_artifacts.String)
        super().__init__(ListSpec(examples=examples, label=label, listing=listing))
"""


@dataclass(frozen=True)
class Project:
    """A folder with a declaration and its modules, and a store."""

    folder: Path
    penstock: Penstock

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def declare(self, nodes: str, more: str = "") -> None:
        """Writes pipeline.yaml anew."""
        text = f"penstock: 1\nname: own\nnodes:\n{_indented(nodes)}{dedent(more)}"
        (self.folder / "pipeline.yaml").write_text(text)

    def run(self, *arguments: str) -> Result:
        return self.penstock("run", self.folder, "--store", self.store, *arguments, timeout=800)

    def read(self, *arguments: str) -> Any:
        """What a reading command prints with --json."""
        result = self.penstock(*arguments, "--json", "--store", self.store)
        assert result.status == 0, result.stderr
        return result.json

    def states(self) -> dict[str, str]:
        return {node["node_id"]: node["state"] for node in self.read("runs", "show", "latest")["nodes"]}

    def output(self, node: str, key: str) -> dict[str, Any]:
        """The artifact that a node of the latest run put out under this key, one it took from the cache included."""
        run = self.read("runs", "show", "latest")["run_id"]
        listed = self.read("artifacts", "list", "--run", run, "--limit", "1000")
        [found] = [a for a in listed if (a["producer"]["node"], a["producer"]["key"]) == (node, key)]
        return dict(found)

    def value(self, node: str, key: str) -> str:
        """The value in such an artifact."""
        return Path(self.output(node, key)["uri"]).read_text()


def _indented(nodes: str) -> str:
    return "".join(f"  {line}\n" for line in dedent(nodes).strip().splitlines())


@pytest.fixture
def project(tmp_path: Path, penstock: Penstock) -> Project:
    (tmp_path / "parts.py").write_text(PARTS)
    return Project(tmp_path, penstock)


def _write_rows(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "rows.csv").write_text("x\n" + "".join(f"{number}\n" for number in range(ROWS)))


def test_variables_reach_the_executor_and_are_part_of_the_cache_key(project: Project) -> None:
    nodes = """
        node_s: {component: "parts:reveal", variable: TEST_NODE, times: 2, env: {TEST_NODE: VALUE}}
        environment_s: {component: "parts:reveal", variable: TEST_ENVIRONMENT}
        doubled: {component: "parts:double", length: "${nodes.node_s.length}"}
        uncached: {component: "parts:reveal", variable: TEST_NODE, cache: false}
    """
    environments = "environments:\n  local: {backend: local, env: {TEST_ENVIRONMENT: everywhere}}\n"
    project.declare(nodes.replace("VALUE", "abc"), environments)
    result = project.run()
    assert result.status == 0, result.stderr
    assert project.value("node_s", "seen") == "abcabc"
    assert project.value("environment_s", "seen") == "everywhere"
    assert project.value("doubled", "doubled") == "12"
    assert project.value("uncached", "seen") == "unset", "a variable of one node is not one of another"

    assert project.run().status == 0
    assert project.states() == {
        "node_s": "cached",
        "environment_s": "cached",
        "doubled": "cached",
        "uncached": "succeeded",
    }

    project.declare(nodes.replace("VALUE", "xyz"), environments)
    assert project.run().status == 0
    assert project.value("node_s", "seen") == "xyzxyz"
    states = project.states()
    assert (states["node_s"], states["environment_s"]) == ("succeeded", "cached")
    assert states["doubled"] == "cached", "the length did not change"


def test_after_orders_nodes_that_share_nothing(project: Project) -> None:
    (project.folder / "marks.py").write_text(
        dedent("""\
        import os, time
        from tfx.dsl.component.experimental.annotations import OutputDict, Parameter
        from tfx.dsl.component.experimental.decorators import component

        @component
        def write(path: Parameter[str]) -> OutputDict(at=int):
            time.sleep(1)
            open(path, "x").close()
            return {"at": 1}

        @component
        def look(path: Parameter[str]) -> OutputDict(seen=int):
            return {"seen": int(os.path.exists(path))}
        """)
    )
    mark = project.folder / "mark"
    project.declare(f"""
        second: {{component: "marks:look", path: "{mark}", after: [first]}}
        first: {{component: "marks:write", path: "{mark}"}}
    """)
    result = project.run("--jobs", "2")
    assert result.status == 0, result.stderr
    assert project.value("second", "seen") == "1"


def test_two_sources_are_taken_as_one_input_and_spans_are_resolved(project: Project) -> None:
    for name in ("red/span-1", "red/span-2", "blue"):
        _write_rows(project.folder / name)
    project.declare("""
        schema: {component: Importer, source_uri: ., artifact_type: Schema, reimport: false}
        red:
          component: CsvExampleGen
          input_base: red
          input_config: {splits: [{name: all, pattern: "span-{SPAN}/*"}]}
          range_config: {static_range: {start_span_number: "${parameters.span}", end_span_number: "${parameters.span}"}}
        blue: {component: CsvExampleGen, input_base: blue}
        both:
          component: parts:ListExamples
          examples: ["${nodes.red.examples}", "${nodes.blue.examples}"]
          label: both
        window:
          component: Resolver
          strategy_class: SpanRangeStrategy
          config: {range_config: {rolling_range: {num_spans: 2}}}
          examples: {type: Examples, producer_component_id: red, output_key: examples}
          after: [red]
        newest:
          component: Resolver
          strategy_class: LatestArtifactStrategy
          examples: {type: Examples, producer_component_id: red, output_key: examples}
          after: [red]
        windowed: {component: "parts:ListExamples", examples: "${nodes.window.examples}", label: window}
        latest: {component: "parts:ListExamples", examples: "${nodes.newest.examples}"}
    """, more="parameters:\n  span: {type: int}\n")  # fmt: skip
    for span in ("1", "2"):
        result = project.run("-p", f"span={span}")
        assert result.status == 0, result.stderr

    both = json.loads(project.value("both", "listing"))
    assert both["label"] == "both"
    red, blue = project.output("red", "examples"), project.output("blue", "examples")
    assert sorted(both["spans"]) == sorted([[2, red["uri"]], [0, blue["uri"]]])
    windowed = json.loads(project.value("windowed", "listing"))
    assert sorted(span for span, _ in windowed["spans"]) == [1, 2]
    assert json.loads(project.value("latest", "listing"))["spans"] == [[2, red["uri"]]]
    assert project.output("schema", "result")["uri"] == str(project.folder)
    assert project.states()["blue"] == "cached"


def test_a_resolver_that_finds_nothing_stops_what_needs_it(project: Project) -> None:
    project.declare("""
        newest: {component: Resolver, strategy_class: LatestArtifactStrategy, examples: {type: Examples}}
        listed: {component: "parts:ListExamples", examples: "${nodes.newest.examples}"}
        apart: {component: "parts:reveal", variable: HOME}
    """)
    result = project.run()
    assert result.status == 1
    states = project.states()
    assert states["apart"] == "succeeded"
    assert (states["newest"], states["listed"]) == ("failed", "upstream_failed")
    assert "LatestArtifactStrategy finds no Examples in the store" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_refused_argument_is_reported_at_its_node(project: Project) -> None:
    _write_rows(project.folder / "data")
    project.declare("""
        rows: {component: CsvExampleGen, input_base: data}
        first:
          component: parts:ListExamples
          examples: ${nodes.rows.examples}
          label: refused
        second: {component: "parts:ListExamples", examples: "${nodes.rows.examples}", label: refused}
    """)
    result = project.run()
    assert result.status == 2
    for line, node in ((5, "first"), (9, "second")):
        assert f"pipeline.yaml:{line}:" in result.stderr
        assert f"node '{node}': parts:ListExamples refuses its arguments: this label is taken" in result.stderr
    assert "Traceback" not in result.stderr
    assert project.read("runs", "list") == []


@pytest.mark.parametrize("suffix", ["json", "pbtxt", "pb"])
def test_a_declaration_is_compiled_to_a_file(project: Project, suffix: str) -> None:
    project.declare("""
        first: {component: "parts:reveal", variable: HOME, retries: 2, timeout: 1m, cache: false, env: {SOME: thing}}
        second: {component: "parts:double", length: "${nodes.first.length}"}
    """)
    target = project.folder / f"own.{suffix}"
    result = project.penstock("compile", project.folder, "-o", target, "--store", project.store)
    assert result.status == 0, result.stderr
    assert not project.store.exists(), "compiling writes nothing but its file"
    content = target.read_bytes()
    if suffix == "pb":
        assert b"parts.reveal_Executor" in content
        return
    text = content.decode()
    if suffix == "pbtxt":
        assert 'id: "own"' in text
        assert 'class_path: "parts.reveal_Executor"' in text
        return
    ir = json.loads(text)
    first, second = (entry["pipeline_node"] for entry in ir["nodes"])
    assert second["upstream_nodes"] == ["first"]
    assert first["execution_options"]["max_execution_retries"] == 2
    assert int(first["execution_options"]["execution_timeout_sec"]) == 60
    assert not first["execution_options"].get("caching_options", {}).get("enable_cache", False)
    assert second["execution_options"]["caching_options"]["enable_cache"] is True
    assert ir["deployment_config"]["node_level_platform_configs"]["first"]["value"]["env"] == {"SOME": "thing"}

"""The IR as a flat graph: who waits for whom, sub-pipelines included."""

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
import json
from penstock.engine import light_tfx
light_tfx.load()
from google.protobuf import struct_pb2
from tfx.dsl.compiler.compiler import Compiler
from tfx.dsl.component.experimental.annotations import OutputDict, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.pipeline import Pipeline, PipelineInputs
from tfx.proto.orchestration import pipeline_pb2
from penstock.engine import graph
from penstock.errors import PenstockError


@component
def start(number: Parameter[int]) -> OutputDict(made=int):
    return {"made": number}


@component
def add(number: int) -> OutputDict(made=int):
    return {"made": number}


def inner(number, name, ids):
    inputs = PipelineInputs({"number": number})
    added = add(number=inputs.inputs["number"]).with_id(ids + "add")
    alone = start(number=1).with_id(ids + "alone")
    nested_inputs = PipelineInputs({"number": added.outputs["made"]})
    deep = add(number=nested_inputs.inputs["number"]).with_id(ids + "deep")
    nested = Pipeline(
        pipeline_name=name + "-nested", components=[deep], inputs=nested_inputs, outputs={"made": deep.outputs["made"]}
    )
    return Pipeline(
        pipeline_name=name, components=[added, alone, nested], inputs=inputs, outputs={"made": nested.outputs["made"]}
    )


def outer(root="/payloads", ids=("one_", "two_")):
    first = start(number=1).with_id("week")
    first.with_platform_config(packed())
    one = inner(first.outputs["made"], "one", ids[0])
    two = inner(one.outputs["made"], "two", ids[1])
    # An id that looks like the end of a sub-pipeline called "week".
    last = add(number=two.outputs["made"]).with_id("week_end")
    other = start(number=2).with_id("other")
    other.add_upstream_node(first)
    return Compiler().compile(
        Pipeline(pipeline_name="outer", pipeline_root=root, components=[first, one, two, last, other])
    )


def packed():
    settings = struct_pb2.Struct()
    settings.update({"env": {"A": "b"}})
    return settings


def described(ir, **options):
    try:
        built = graph.build(ir, **{"run_id": "r1", **options})
    except PenstockError as error:
        return {"error": str(error), "status": error.exit_status}
    return {
        "pipeline": built.pipeline,
        "order": list(built.nodes),
        "upstream": {node.id: sorted(node.upstream) for node in built.nodes.values()},
        "enclosing": {node.id: node.enclosing for node in built.nodes.values()},
        "downstream_of_one_add": sorted(built.downstream("one_add")),
        "runs": {n.id: n.runtime_spec.pipeline_run_id.field_value.string_value for n in built.nodes.values()},
        "roots": sorted({n.runtime_spec.pipeline_root.field_value.string_value for n in built.nodes.values()}),
        "components": {node.id: node.component for node in built.nodes.values()},
        "settings": {node.id: dict(node.settings) for node in built.nodes.values()},
        "has_executor": [node.id for node in built.nodes.values() if node.executor_spec is not None],
    }


ir = outer()
before = ir.SerializeToString(deterministic=True)
found = {"whole": described(ir), "elsewhere": described(ir, pipeline_root="/elsewhere")}
found["unchanged"] = before == ir.SerializeToString(deterministic=True)
found["no root"] = described(outer(root=""))
found["one id twice"] = described(outer(ids=("same_", "same_")))
stranger = outer()
stranger.nodes[0].pipeline_node.upstream_nodes.append("not_in_this_pipeline")
found["stranger"] = described(stranger)
circle = outer()
circle.nodes[0].pipeline_node.upstream_nodes.append("week_end")
found["circle"] = described(circle)
alien = outer()
deployment = pipeline_pb2.IntermediateDeploymentConfig()
alien.deployment_config.Unpack(deployment)
deployment.executor_specs["week"].Pack(struct_pb2.Struct())
alien.deployment_config.Pack(deployment)
found["alien executor"] = described(alien)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found() -> Any:
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_sub_pipeline_is_waited_for_as_a_whole(found: Any) -> None:
    upstream = found["whole"]["upstream"]
    assert upstream["one_begin"] == ["week"]
    assert upstream["two_begin"] == ["one_end"]
    assert upstream["week_end"] == ["two_end"]
    assert upstream["one_end"] == ["one-nested_end", "one_add", "one_alone", "one_begin"]


def test_every_node_inside_waits_for_the_beginning(found: Any) -> None:
    upstream, enclosing = found["whole"]["upstream"], found["whole"]["enclosing"]
    assert upstream["one_alone"] == ["one_begin"], "though it takes no input"
    assert upstream["one-nested_begin"] == ["one_add", "one_begin"]
    assert upstream["one_deep"] == ["one-nested_begin"]
    assert [enclosing[node] for node in ("week", "one_begin", "one_add", "one_end", "one_deep")] == [
        None,
        None,
        "one_begin",
        "one_begin",
        "one-nested_begin",
    ]
    assert enclosing["one-nested_begin"] == "one_begin"


def test_an_id_that_looks_like_an_end_stands_for_itself(found: Any) -> None:
    assert found["whole"]["upstream"]["other"] == ["week"]


def test_nodes_come_after_what_they_wait_for(found: Any) -> None:
    order, upstream = found["whole"]["order"], found["whole"]["upstream"]
    for node, needed in upstream.items():
        assert all(order.index(name) < order.index(node) for name in needed), node


def test_what_depends_on_a_node_is_found_through_sub_pipelines(found: Any) -> None:
    downstream = set(found["whole"]["downstream_of_one_add"])
    assert {"one_deep", "one_end", "two_alone", "week_end"} <= downstream
    assert not downstream & {"week", "one_begin", "one_alone", "one_add", "other"}


def test_run_and_root_are_filled_in_on_a_copy(found: Any) -> None:
    runs = found["whole"]["runs"]
    assert (runs["week"], runs["one_add"], runs["one_deep"]) == ("r1", "one_r1", "one-nested_r1")
    assert found["whole"]["roots"] == ["/payloads"]
    assert found["elsewhere"]["roots"] == ["/elsewhere"]
    assert found["unchanged"]


def test_what_the_ir_says_of_a_node_is_at_hand(found: Any) -> None:
    whole = found["whole"]
    assert whole["pipeline"] == "outer"
    assert (whole["components"]["week"], whole["components"]["week_end"]) == ("start", "add")
    assert whole["settings"]["week"] == {"env": {"A": "b"}}
    assert whole["settings"]["week_end"] == {}
    assert {node for node in whole["order"] if node not in whole["has_executor"]} == {
        f"{name}_{side}" for name in ("one", "two", "one-nested", "two-nested") for side in ("begin", "end")
    }


def test_ids_of_other_pipelines_are_not_waited_for(found: Any) -> None:
    assert found["stranger"]["upstream"]["week"] == []


@pytest.mark.parametrize(
    ("case", "said", "status"),
    [
        ("no root", "pipeline 'outer' was compiled without a pipeline root", 1),
        ("one id twice", "two nodes have the id 'same_add', in pipeline 'one' and in 'two'", 2),
        ("circle", "depend on each other in a circle", 1),
        ("alien executor", "an executor of the unknown kind", 1),
    ],
)
def test_what_cannot_be_a_graph_is_refused(found: Any, case: str, said: str, status: int) -> None:
    assert said in found[case]["error"]
    assert found[case]["status"] == status

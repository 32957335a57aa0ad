"""The interface of own components and user code, read without importing it."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from penstock import spec
from penstock.spec import catalog
from penstock.spec.catalog import Component, Input, Output, Parameter
from penstock.spec.own_components import ComponentReader
from penstock.spec.usercode import UserCode, UserCodeError
from tests.unit.spec.conftest import Check, Write

SOURCE = """
raise SystemExit("imported")
from typing import Any, Dict, List, Optional, TypedDict, Union
from tfx import types, v1 as tfx
from tfx.dsl.component.experimental.annotations import OutputDict
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

class Report(tfx.dsl.Artifact):
    TYPE_NAME = "AcmeReport"

class Counts(TypedDict):
    rows: int
    share: Optional[float]
    names: List[str]

@component
def count(
    examples: tfx.dsl.components.InputArtifact[standard_artifacts.Examples],
    many: tfx.dsl.components.InputArtifact[List[standard_artifacts.Model]],
    report: tfx.dsl.components.OutputArtifact[Report],
    threshold: float,
    limit: tfx.dsl.components.Parameter[int],
    label: tfx.dsl.components.Parameter[str] = "x",
    schema: tfx.dsl.components.InputArtifact[standard_artifacts.Schema] = None,
    pipeline: tfx.dsl.components.BeamComponentParameter[Any] = None,
) -> Counts: ...

@tfx.dsl.components.component(use_beam=True)
def old(limit: "tfx.dsl.components.Parameter[Dict[str, int]]") -> OutputDict(total=int, extra=str): ...

def plain(): ...

class FilterSpec(ComponentSpec):
    PARAMETERS = {"limit": ExecutionParameter(type=int)}
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "report": ChannelParameter(type=Report, optional=True),
    }
    OUTPUTS = {"kept": ChannelParameter(type=standard_artifacts.Examples)}

class Filter(tfx.dsl.components.BaseComponent):
    SPEC_CLASS = FilterSpec

    def __init__(self, examples: types.BaseChannel, limit: int, report=None, names: Optional[List[str]] = None,
                 anything=None, other: Union[tfx.dsl.Channel, None] = None): ...

class Inherited(Filter):
    pass

made = component(plain)
"""


@pytest.fixture
def reader(tmp_path: Path) -> ComponentReader:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "__init__.py").write_text(
        "from acme.parts import count as counter\nfrom .parts import Filter\n"
    )
    (tmp_path / "acme" / "parts.py").write_text(SOURCE)
    return ComponentReader(UserCode([tmp_path]), catalog.load())


def test_component_function(reader: ComponentReader) -> None:
    assert reader.read("acme.parts:count") == Component(
        "acme.parts:count",
        "acme.parts:count",
        inputs={
            "examples": Input("Examples", required=True),
            "many": Input("Model", required=True, several=True),
            "threshold": Input("Float", required=True),
            "schema": Input("Schema"),
        },
        parameters={"limit": Parameter("int", required=True), "label": Parameter("str", default="x")},
        outputs={
            "report": Output("AcmeReport"),
            "rows": Output("Integer"),
            "share": Output("Float"),
            "names": Output("JsonValue"),
        },
    )


def test_function_with_output_dict_and_quoted_annotation(reader: ComponentReader) -> None:
    old = reader.read("acme.parts:old")
    assert old.parameters == {"limit": Parameter("dict", required=True)}
    assert old.outputs == {"total": Output("Integer"), "extra": Output("String")}


def test_component_class(reader: ComponentReader) -> None:
    found = reader.read("acme.parts:Filter")
    assert found.inputs == {
        "examples": Input("Examples", required=True, several=True),
        "report": Input("AcmeReport", several=True),
        "other": Input(None, several=True),
    }
    assert found.parameters == {
        "limit": Parameter("int", required=True),
        "names": Parameter("list"),
        "anything": Parameter("unknown"),
    }
    assert found.outputs == {"kept": Output("Examples")}
    assert not found.open_arguments


def test_what_the_source_does_not_tell_is_left_open(reader: ComponentReader) -> None:
    inherited, made = reader.read("acme.parts:Inherited"), reader.read("acme.parts:made")
    assert inherited.open_arguments and inherited.open_outputs
    assert made.open_arguments and made.open_outputs


def test_imported_names_are_followed(reader: ComponentReader) -> None:
    assert "limit" in reader.read("acme:counter").parameters
    assert "kept" in reader.read("acme:Filter").outputs


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("acme.parts:plain", "'plain' (FOLDER/acme/parts.py:33) is a plain function; decorate it with @component"),
        ("acme.parts:cuont", "the module 'acme.parts' (FOLDER/acme/parts.py) has no 'cuont'"),
        ("acme.prats:count", "'acme' has no module 'prats'"),
        ("acne.parts:count", "there is no module 'acne' in FOLDER, nor is one installed"),
    ],
)
def test_what_is_no_component(reader: ComponentReader, tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(UserCodeError) as caught:
        reader.read(path)
    assert str(caught.value).replace(str(tmp_path), "FOLDER") == message


def test_installed_modules_are_read_without_importing_their_packages(tmp_path: Path) -> None:
    code = UserCode([tmp_path])
    assert code.function("tfx.components.trainer.executor.GenericExecutor") is not None
    assert code.function("json.decoder.JSONDecoder") is not None
    with pytest.raises(UserCodeError, match="'json' has no module 'decodr'"):
        code.function("json.decodr.JSONDecoder")


def test_a_root_hides_an_installed_module(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("def mine(): ...\n")
    with pytest.raises(UserCodeError, match="has no 'loads'"):
        UserCode([tmp_path]).function("json.loads")


def test_names_bound_in_branches_and_by_star_imports(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("try:\n  import x as run_fn\nexcept ImportError:\n  run_fn = None\n")
    (tmp_path / "b.py").write_text("from a import *\n")
    code = UserCode([tmp_path])
    assert code.function("a.run_fn") is not None
    assert code.function("b.whatever") is None


def test_nodes_of_own_components_are_checked(write: Write, check: Check, tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text(SOURCE)
    nodes = textwrap.dedent(
        """
        nodes:
          gen: {component: CsvExampleGen, input_base: x}
          model: {component: Importer, source_uri: m, artifact_type: Model}
          value: {component: Importer, source_uri: v, artifact_type: Float}
          count:
            component: parts:count
            examples: ${nodes.gen.examples}
            many: ["${nodes.model.result}"]
            threshold: ${nodes.value.result}
            limit: %s
          filter: {component: "parts:Filter", examples: "${nodes.gen.examples}", limit: 1, report: "${nodes.count.%s}"}
        """
    ).lstrip()
    node = spec.load(write(nodes % (5, "report"))).nodes["count"]
    assert node.component == "parts:count"
    assert node.arguments["limit"] == 5
    messages = [problem.message for problem in check(nodes % ("five", "rows"))]
    assert messages == [
        "limit wants a whole number.",
        "'report' of the node 'filter' wants AcmeReport, but 'rows' of the node 'count' is Integer.",
    ]
    assert check(nodes % (5, "rep"))[0].suggestion == "report"


def test_an_argument_named_like_an_option(check: Check, tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text("class C:\n  def __init__(self, cache: bool = True): ...\n")
    problem = check("nodes:\n  c: {component: 'parts:C'}\n")[0]
    assert problem.message.startswith("parts:C has an argument 'cache', which is an option of every node")

"""The language of a node's `when`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import spec
from penstock.errors import DeclarationError
from penstock.spec.conditions import Combination, Comparison, ConditionError, Not, comparisons, parse

BLESSED = Comparison("evaluator", "blessing", "blessed", "==", 1)


def no_reference(text: str) -> Any:
    raise AssertionError(f"{text} was looked up")


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("${nodes.evaluator.blessing}.blessed == 1", BLESSED),
        ("  ${ nodes.evaluator.blessing }.blessed==1 ", BLESSED),
        ("${nodes.count.rows} >= 2.5e3", Comparison("count", "rows", None, ">=", 2500.0)),
        ("${nodes.count.rows} != -3", Comparison("count", "rows", None, "!=", -3)),
        ("${nodes.check.state} == 'it is stale'", Comparison("check", "state", None, "==", "it is stale")),
        ('${nodes.check.state} < "b"', Comparison("check", "state", None, "<", "b")),
        ("${nodes.check.ok} == true", Comparison("check", "ok", None, "==", 1)),
        ("not ${nodes.evaluator.blessing}.blessed == 1", Not(BLESSED)),
        ("not not ${nodes.evaluator.blessing}.blessed == 1", Not(Not(BLESSED))),
        ("(${nodes.evaluator.blessing}.blessed == 1)", BLESSED),
    ],
)
def test_reads(text: str, condition: object) -> None:
    assert parse(text, no_reference) == condition


def test_and_binds_stronger_than_or() -> None:
    a, b, c = (Comparison(name, "x", None, "==", 1) for name in "abc")
    text = "${nodes.a.x} == 1 or ${nodes.b.x} == 1 and ${nodes.c.x} == 1"
    assert parse(text, no_reference) == Combination("or", a, Combination("and", b, c))
    text = "(${nodes.a.x} == 1 or ${nodes.b.x} == 1) and ${nodes.c.x} == 1"
    assert parse(text, no_reference) == Combination("and", Combination("or", a, b), c)
    assert [one.node for one in comparisons(parse(text, no_reference))] == ["a", "b", "c"]


def test_other_references_are_looked_up() -> None:
    assert parse("${nodes.a.x} > ${parameters.least}", {"${parameters.least}": 7}.get) == Comparison(
        "a", "x", None, ">", 7
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "wants an output of a node but has the end"),
        ("1 == ${nodes.a.x}", "wants an output of a node but has '1'"),
        ("${nodes.a.x}", "wants one of == != <= >= < > but has the end"),
        ("${nodes.a.x} == ", "wants a number"),
        ("${nodes.a.x} == stale", "wants a number, a text in quotes, true or false but has 'stale'"),
        ("${nodes.a.x} == 1 ${nodes.b.x} == 1", "combine comparisons with 'and' or 'or'"),
        ("(${nodes.a.x} == 1", "wants ')' but has the end"),
        ("${nodes.a.x} = 1", "cannot be read from '= 1' on"),
        ("${nodes.a.x} => 1", "cannot be read from '=> 1' on"),
    ],
)
def test_what_is_no_condition_says_why(text: str, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        parse(text, no_reference)
    assert message in str(caught.value)


@given(st.text())
def test_any_text_is_a_condition_or_says_why(text: str) -> None:
    try:
        parse(text, lambda reference: 1)
    except ConditionError as error:
        assert str(error)


DECLARATION = """\
penstock: 1
name: taxi
nodes:
  schema:
    component: Importer
    source_uri: schema
    artifact_type: Schema
  data:
    component: CsvExampleGen
    input_base: data
    when: CONDITION
"""


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("${nodes.schem.result}.x == 1", "There is no node 'schem'."),
        ("${nodes.schema.resul}.x == 1", "has no output 'resul'."),
        ("${nodes.data.examples}.span == 1", "These nodes wait for each other: data → data."),
        ("[1]", "when wants a condition as text."),
        ("${nodes.schema.result}.x == ${parameters.unknown}", "unknown"),
    ],
)
def test_a_wrong_condition_is_reported_at_its_place(tmp_path: Path, condition: str, message: str) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(DECLARATION.replace("CONDITION", condition))
    with pytest.raises(DeclarationError) as caught:
        spec.load(file)
    assert any(message in problem.message and problem.line in (8, 11) for problem in caught.value.problems)


def test_the_node_waits_for_what_it_asks_about(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(DECLARATION.replace("CONDITION", "${nodes.schema.result}.x == 1"))
    node = spec.load(file).nodes["data"]
    assert [str(reference) for reference in node.references()] == ["${nodes.schema.result}"]

"""Nodes that are written once and run for each item of a list."""

from __future__ import annotations

import pytest

from penstock import spec
from penstock.spec import EachArtifact, OutputReference
from tests.unit.spec.conftest import Check, Write

SPREAD = """\
nodes:
  gen:
    component: CsvExampleGen
    for_each: {city: [boston, chicago]}
    input_base: "data/${each.city}"
  stats:
    component: StatisticsGen
    for_each: gen
    examples: ${nodes.gen.examples}
"""


def test_a_node_for_each_item(write: Write) -> None:
    nodes = spec.load(write(SPREAD)).nodes
    assert list(nodes) == ["gen-boston", "gen-chicago", "stats-boston", "stats-chicago"]
    bases = [nodes[name].arguments["input_base"] for name in ("gen-boston", "gen-chicago")]
    assert [base.rpartition("/data/")[2] for base in bases] == ["boston", "chicago"]


def test_a_node_of_the_same_loop_takes_what_belongs_to_its_item(write: Write) -> None:
    nodes = spec.load(write(SPREAD)).nodes
    assert nodes["stats-chicago"].arguments["examples"] == OutputReference("gen-chicago", "examples")


def test_elsewhere_a_reference_means_the_outputs_of_all(write: Write) -> None:
    taken = """\
  pick: {component: Resolver, strategy_class: LatestArtifactStrategy, all: '${nodes.gen.examples}'}
  last: {component: Importer, source_uri: x, artifact_type: Schema, after: [gen]}
"""
    nodes = spec.load(write(SPREAD + taken)).nodes
    both = (OutputReference("gen-boston", "examples"), OutputReference("gen-chicago", "examples"))
    assert nodes["pick"].arguments["all"] == both
    assert list(nodes["last"].options.after) == ["gen-boston", "gen-chicago"]


@pytest.mark.parametrize(
    ("items", "ids"),
    [
        ("[a, 2, c_3]", ["one-a", "one-2", "one-c_3"]),
        ("[{rate: 1}, {rate: 2}]", ["one-0", "one-1"]),
        ("[a, a]", ["one-0", "one-1"]),
        ("['a b', c]", ["one-0", "one-1"]),
        ("[true, false]", ["one-0", "one-1"]),
        ("[x]", ["one-x"]),
        ("'${parameters.list}'", ["one-p", "one-q"]),
    ],
)
def test_nodes_are_named_for_short_items_and_numbered_otherwise(items: str, ids: list[str], write: Write) -> None:
    text = (
        "parameters: {list: {type: list, default: [p, q]}}\n"
        f"nodes:\n  one: {{component: Importer, for_each: {{it: {items}}}, source_uri: x, artifact_type: Schema}}\n"
    )
    assert list(spec.load(write(text)).nodes) == ids


def test_a_part_of_an_item(write: Write) -> None:
    text = """\
    nodes:
      one:
        component: Importer
        for_each: {it: [{where: {base: a}}, {where: {base: b}}]}
        source_uri: gs://${each.it.where.base}/schema
        artifact_type: Schema
    """
    nodes = spec.load(write(text)).nodes
    assert [node.arguments["source_uri"] for node in nodes.values()] == ["gs://a/schema", "gs://b/schema"]


def test_a_condition_asks_the_node_of_the_same_item(write: Write) -> None:
    text = SPREAD + "    when: ${nodes.gen.examples}.span > 3\n"
    condition = spec.load(write(text)).nodes["stats-chicago"].when
    assert getattr(condition, "node", None) == "gen-chicago"


def test_the_artifacts_of_an_output_are_for_the_engine_to_go_through(write: Write) -> None:
    text = """\
    nodes:
      gen: {component: CsvExampleGen, input_base: x}
      stats: {component: StatisticsGen, for_each: {part: '${nodes.gen.examples}'}, examples: '${each.part}'}
    """
    nodes = spec.load(write(text)).nodes
    assert list(nodes) == ["gen", "stats"]
    assert nodes["stats"].arguments["examples"] == EachArtifact(OutputReference("gen", "examples"))


ONE = "component: Importer, source_uri: x, artifact_type: Schema"
LOOP = f"nodes:\n  one: {{{ONE}, for_each: {{it: [a, b]}}}}\n"
MISTAKES = {
    "an empty list": (f"nodes:\n  one: {{{ONE}, for_each: {{it: []}}}}\n", "for_each wants a list of 1 to 1,000 items"),
    "too long a list": (
        f"nodes:\n  one: {{{ONE}, for_each: {{it: [{'1, ' * 1001}]}}}}\n",
        "for_each wants a list of 1 to 1,000 items",
    ),
    "no list": (f"nodes:\n  one: {{{ONE}, for_each: {{it: 3}}}}\n", "for_each wants a list of 1 to 1,000 items"),
    "two names": (f"nodes:\n  one: {{{ONE}, for_each: {{a: [1], b: [2]}}}}\n", "for_each wants one name"),
    "nothing": (f"nodes:\n  one: {{{ONE}, for_each: }}\n", "for_each wants one name"),
    "a bad name": (f"nodes:\n  one: {{{ONE}, for_each: {{1x: [1]}}}}\n", "The name of an item begins with a letter"),
    "an unknown node": (LOOP + f"  two: {{{ONE}, for_each: oen}}\n", "for_each names 'oen', which is no other node"),
    "itself": (f"nodes:\n  one: {{{ONE}, for_each: one}}\n", "for_each names 'one', which is no other node"),
    "an item outside": (
        "nodes:\n  one: {component: Importer, source_uri: '${each.it}', artifact_type: Schema}\n",
        "${each.NAME} is the item that a node with for_each runs for; this node has none.",
    ),
    "another item": (
        "nodes:\n  one: {component: Importer, source_uri: '${each.other}', artifact_type: Schema,\n"
        "    for_each: {it: [a]}}\n",
        "${each.other} does not exist: no 'other'.",
    ),
    "no such key": (
        "nodes:\n  one: {component: Importer, source_uri: '${each.it.b}', artifact_type: Schema,\n"
        "    for_each: {it: [{a: x}]}}\n",
        "${each.it.b} does not exist: no 'b'.",
    ),
    "a name that is taken": (
        LOOP + f"  one-a: {{{ONE}}}\n",
        "for_each makes a node 'one-a', and there is one of that name; rename one of them.",
    ),
    "several where one is wanted": (
        SPREAD + "  all: {component: StatisticsGen, examples: '${nodes.gen.examples}'}\n",
        "'examples' of StatisticsGen takes one output, not several.",
    ),
    "a condition on several": (
        SPREAD + f"  all: {{{ONE}, when: '${{nodes.gen.examples}}.span > 3'}}\n",
        "when asks 'gen', of which there are 2: name one, as in 'gen-boston'.",
    ),
    "an artifact that nothing takes": (
        "nodes:\n  gen: {component: CsvExampleGen, input_base: x}\n"
        f"  one: {{{ONE}, for_each: {{it: '${{nodes.gen.examples}}'}}}}\n",
        "The node runs for each 'it', but takes none: give ${each.it} to an input.",
    ),
    "an exit handler": (LOOP + "  two: {" + ONE + "}\nalways: [{node: one}]\n", "'one' has for_each"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_once(name: str, check: Check) -> None:
    text, message = MISTAKES[name]
    [problem] = check(text)
    assert problem.message.startswith(message)


def test_a_mistake_in_all_nodes_of_a_loop_is_told_once(check: Check) -> None:
    [problem] = check(SPREAD + "    exclude_splits: 3\n")
    assert problem.line == 12

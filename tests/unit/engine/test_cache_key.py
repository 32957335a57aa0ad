"""The cache key: what must change it, and what must not, whatever the values are."""

from __future__ import annotations

from pathlib import Path

from tests.unit.engine.programs import run_checks

# In a process of its own: it takes TFX's light library, which must not come to a process that may load TensorFlow.
PROGRAM = """
from penstock.engine import light_tfx
light_tfx.load()
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2
from tfx.types.standard_artifacts import Examples
from penstock.engine import cache
from penstock.engine.content import DIGEST_PROPERTY, SIZE_PROPERTY
from penstock.engine.graph import GraphNode

settings.register_profile(
    "here", database=None, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("here")

TEXTS = st.text(max_size=8)
NAMES = st.sampled_from("abcdef")
VALUES = st.one_of(st.integers(), TEXTS, st.floats(allow_nan=False))
PARAMETERS = st.dictionaries(NAMES, VALUES)


def node(name="n", pipeline="p", executor="shop.parts.Executor", env=(), output="made"):
    proto = pipeline_pb2.PipelineNode()
    proto.node_info.type.name = "Part"
    proto.outputs.outputs[output].artifact_spec.type.name = "Examples"
    return GraphNode(
        name,
        proto,
        pipeline_pb2.PipelineInfo(id=pipeline),
        pipeline_pb2.PipelineRuntimeSpec(),
        executable_spec_pb2.PythonClassExecutableSpec(class_path=executor),
        settings={"env": dict(env)},
    )


def artifact(digest, *, span=None, splits='["train"]', uri="/a", id=1, state="published", producer="x"):
    made = Examples()
    made.uri, made.id, made.split_names = uri, id, splits
    made.set_string_custom_property(DIGEST_PROPERTY, digest)
    made.set_int_custom_property(SIZE_PROPERTY, len(digest))
    made.set_string_custom_property("state", state)
    made.set_string_custom_property("producer_component", producer)
    if span is not None:
        made.set_int_custom_property("span", span)
    return made


def key(part=None, inputs=None, parameters=None):
    return cache.key(cache.key_parts(part or node(), inputs or {}, parameters or {}, []))


@given(PARAMETERS)
def order_of_parameters_does_not_count(parameters):
    assert key(parameters=parameters) == key(parameters=dict(reversed(parameters.items())))


@given(PARAMETERS, NAMES, VALUES)
def each_value_counts(parameters, name, value):
    changed = {**parameters, name: value}
    same = {k: str(v) for k, v in parameters.items()} == {k: str(v) for k, v in changed.items()}
    assert (key(parameters=parameters) == key(parameters=changed)) == same


@given(TEXTS, TEXTS, TEXTS, st.integers(1, 9), TEXTS)
def where_an_input_lies_and_who_made_it_does_not_count(digest, uri, producer, id, state):
    other = artifact(digest, uri="/b" + uri, id=id, producer=producer, state=state)
    assert key(inputs={"x": [artifact(digest)]}) == key(inputs={"x": [other]})


@given(st.lists(TEXTS, max_size=4), st.lists(TEXTS, max_size=4))
def content_and_order_of_inputs_count(one, other):
    first, second = ([artifact(digest) for digest in digests] for digests in (one, other))
    assert (key(inputs={"x": first}) == key(inputs={"x": second})) == (one == other)


@given(TEXTS, st.none() | st.integers(0, 9), st.none() | st.integers(0, 9))
def the_span_of_an_input_counts(digest, one, other):
    first, second = artifact(digest, span=one), artifact(digest, span=other)
    assert (key(inputs={"x": [first]}) == key(inputs={"x": [second]})) == (one == other)


@given(NAMES, NAMES)
def the_name_of_an_input_counts(one, other):
    assert (key(inputs={one: [artifact("d")]}) == key(inputs={other: [artifact("d")]})) == (one == other)


@given(st.dictionaries(NAMES, TEXTS), st.dictionaries(NAMES, TEXTS))
def variables_count(one, other):
    assert (key(node(env=one)) == key(node(env=other))) == (one == other)


@given(st.sampled_from(["name", "pipeline", "executor", "output"]), st.text("abc", min_size=1))
def what_the_node_is_counts(field, value):
    assert key(node(**{field: "other-" + value})) != key()


def an_input_without_a_digest_is_told_by_its_place():
    bare = []
    for uri in ("/a", "/b"):
        made = Examples()
        made.uri, made.id = uri, 1
        bare.append(key(inputs={"x": [made]}))
    assert bare[0] != bare[1]


for check in [
    order_of_parameters_does_not_count,
    each_value_counts,
    where_an_input_lies_and_who_made_it_does_not_count,
    content_and_order_of_inputs_count,
    the_span_of_an_input_counts,
    the_name_of_an_input_counts,
    variables_count,
    what_the_node_is_counts,
    an_input_without_a_digest_is_told_by_its_place,
]:
    check()
    print(check.__name__, "held")
"""


def test_key_changes_with_what_counts_and_with_nothing_else(tmp_path: Path) -> None:
    assert len(run_checks(PROGRAM, tmp_path)) == 9

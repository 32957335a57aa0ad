"""Which earlier analyses a Transform takes up: of the same code, whole, the newest; on a store of ml-metadata's own."""

from __future__ import annotations

from pathlib import Path

from tests.unit.engine.programs import run_checks

# In a process of its own: it takes TFX's light library, which must not come to a process that may load TensorFlow.
PROGRAM = """
from penstock.engine import light_tfx
light_tfx.load()
from pathlib import Path
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.portable import execution_publish_utils
from tfx.orchestration.portable.mlmd import context_lib
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2
from tfx.types.standard_artifacts import Examples, TransformCache
from penstock.engine import analyses, cache, content, reuse
from penstock.engine.graph import GraphNode
from penstock.engine.prepared import StoreHandle, input_key

config = metadata_store_pb2.ConnectionConfig()
config.fake_database.SetInParent()
handle = StoreHandle(metadata_store.MetadataStore(config))


def node(executor="tfx.components.transform.executor.Executor", declared=(), name="transform"):
    proto = pipeline_pb2.PipelineNode()
    proto.node_info.type.name, proto.node_info.id = "Transform", name
    proto.outputs.outputs[analyses.OUTPUT].artifact_spec.type.name = "TransformCache"
    for key in ("examples", *declared):
        proto.inputs.inputs[key].min_count = 1
    context = proto.contexts.contexts.add()
    context.type.name = "node"
    context.name.field_value.string_value = f"p.{name}"
    spec = executable_spec_pb2.BeamExecutableSpec()
    spec.python_executor_spec.class_path = executor
    info = pipeline_pb2.PipelineInfo(id="p")
    return GraphNode(name, proto, info, pipeline_pb2.PipelineRuntimeSpec(), spec)


def examples(digest="d"):
    made = Examples()
    made.uri = f"/examples-{digest}"
    if digest:
        made.set_string_custom_property(content.DIGEST_PROPERTY, digest)
    return made


def published(part, digest):
    contexts = context_lib.prepare_contexts(handle, part.proto.contexts)
    execution = execution_publish_utils.register_execution(handle, part.proto.node_info.type, contexts)
    made = TransformCache()
    made.uri = f"caches/{execution.id}"
    Path(made.uri).mkdir(parents=True)
    Path(made.uri, "entry").write_text(f"{digest} {execution.id}")
    found, size = content.digest(made.uri)
    made.set_string_custom_property(content.DIGEST_PROPERTY, found)
    made.set_int_custom_property(content.SIZE_PROPERTY, size)
    made.set_string_custom_property(content.CODE_PROPERTY, digest)
    outputs, _ = execution_publish_utils.publish_succeeded_execution(
        handle, execution.id, contexts, {analyses.OUTPUT: [made]}
    )
    return outputs[analyses.OUTPUT][0]


def find(part, digest, *inputs):
    found, said = analyses.find(part, handle, {"examples": list(inputs) or [examples()]}, digest)
    return found and found.uri, " ".join(said)


def who_takes_them():
    assert analyses.takes_earlier(node())
    assert not analyses.takes_earlier(node(declared=[analyses.INPUT]))
    assert not analyses.takes_earlier(node(executor="shop.parts.Executor"))
    forgetful = node()
    del forgetful.proto.outputs.outputs[analyses.OUTPUT]
    assert not analyses.takes_earlier(forgetful)


def the_code_counts_and_the_data_does_not():
    def digest(part, inputs, parameters):
        return analyses.code_digest(cache.key_parts(part, {"examples": inputs}, parameters, []))

    first = digest(node(), [examples("a")], {"n": 1})
    assert digest(node(), [examples("a"), examples("b")], {"n": 1}) == first
    assert digest(node(), [examples("a")], {"n": 2}) != first
    assert digest(node(executor="other.Executor"), [examples("a")], {"n": 1}) != first


def a_first_run_finds_none():
    assert find(node(), "code") == (None, "")


def the_newest_of_the_same_code_and_node_is_taken():
    first, second = published(node(), "code"), published(node(), "code")
    published(node(), "other code")
    published(node(name="another"), "code")
    taken, said = find(node(), "code")
    assert taken == second.uri and "are taken up" in said
    Path(second.uri, "entry").write_text("spoilt")
    taken, said = find(node(), "code")
    assert taken == first.uri and f"{second.uri} has" in said
    Path(first.uri, "entry").unlink()
    Path(first.uri).rmdir()
    taken, said = find(node(), "code")
    assert taken is None and f"{first.uri} is gone" in said and said.endswith("everything is analysed anew")


def what_a_clean_up_removed_is_not_looked_for():
    made = published(node(), "removed")
    [stored] = handle.store.get_artifacts_by_id([made.id])
    stored.state = metadata_store_pb2.Artifact.DELETED
    handle.store.put_artifacts([stored])
    assert find(node(), "removed") == (None, "")


def data_of_unknown_content_is_analysed():
    published(node(), "some code")
    taken, said = find(node(), "some code", examples("a"), examples(""))
    assert taken is None and "no digest of /examples- was recorded" in said


def what_it_took_does_not_tell_executions_of_a_run_apart():
    part = node()
    contexts = context_lib.prepare_contexts(handle, part.proto.contexts)
    taken, given = published(part, "x"), examples()
    execution = execution_publish_utils.register_execution(
        handle, part.proto.node_info.type, contexts, {"examples": [given], analyses.INPUT: [taken]}
    )
    assert reuse._key(part, handle, execution) == input_key({"examples": [given]})


def what_code_made_it_does_not_count_for_who_reads_it():
    made, other = published(node(), "x"), TransformCache()
    other.set_mlmd_artifact(made.mlmd_artifact)
    other.set_string_custom_property(content.CODE_PROPERTY, "y")
    keys = {cache.key(cache.key_parts(node(), {"c": [each]}, {}, [])) for each in (made, other)}
    assert len(keys) == 1


for check in [
    who_takes_them,
    the_code_counts_and_the_data_does_not,
    a_first_run_finds_none,
    the_newest_of_the_same_code_and_node_is_taken,
    what_a_clean_up_removed_is_not_looked_for,
    data_of_unknown_content_is_analysed,
    what_it_took_does_not_tell_executions_of_a_run_apart,
    what_code_made_it_does_not_count_for_who_reads_it,
]:
    check()
    print(check.__name__, "held")
"""


def test_which_analyses_are_taken_up(tmp_path: Path) -> None:
    assert len(run_checks(PROGRAM, tmp_path)) == 8

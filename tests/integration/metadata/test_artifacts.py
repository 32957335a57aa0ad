"""Artifacts, their uses and lineage, read from stores the real ml-metadata wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from google.protobuf import struct_pb2
from ml_metadata.proto import metadata_store_pb2 as proto

from penstock.errors import ArtifactNotFoundError, UsageError
from penstock.metadata import artifacts
from penstock.metadata.database import Database, connect
from penstock.metadata.executions import executions_of_run
from penstock.metadata.lineage import lineage
from penstock.metadata.location import StoreLocation
from tests.integration.metadata.stores import StoreWriter


@dataclass
class Taxi:
    """A store with two runs of one pipeline, the second from the cache up to its trainer, and a run of another."""

    writer: StoreWriter
    database: Database
    examples: int
    statistics: int
    model_1: int
    model_2: int
    penguins: int
    training_1: int


@pytest.fixture
def taxi(location: StoreLocation) -> Iterator[Taxi]:
    writer = StoreWriter(location)
    examples_properties: dict[str, str | int | float] = {
        "split_names": '["train", "eval"]',
        "rows": 15002,
        "share": 0.5,
    }
    _, [examples] = writer.execute(
        "taxi", "run-1", "gen", outputs={"examples": [writer.artifact("Examples", "/x/1", examples_properties)]}
    )
    _, [statistics] = writer.execute(
        "taxi",
        "run-1",
        "stats",
        inputs={"examples": [examples]},
        outputs={"statistics": [writer.artifact("ExampleStatistics", "/s/1")]},
    )
    training_1, [model_1] = writer.execute(
        "taxi",
        "run-1",
        "trainer",
        inputs={"examples": [examples], "statistics": [statistics]},
        outputs={"model": [writer.artifact("Model", "/m/1")]},
    )
    _, [penguins] = writer.execute(
        "penguin", "run-p", "gen", outputs={"examples": [writer.artifact("Examples", "/p/1")]}
    )
    cached = proto.Execution.CACHED
    writer.execute("taxi", "run-2", "gen", outputs={"examples": [examples]}, state=cached)
    writer.execute(
        "taxi", "run-2", "stats", inputs={"examples": [examples]}, outputs={"statistics": [statistics]}, state=cached
    )
    writer.execute("taxi", "run-2", "latest", outputs={"model": [model_1]}, output_event=proto.Event.INTERNAL_OUTPUT)
    _, [model_2] = writer.execute(
        "taxi",
        "run-2",
        "trainer",
        inputs={"examples": [examples], "base_model": [model_1]},
        outputs={"model": [writer.artifact("Model", "/m/2")]},
    )
    with connect(location, create=False) as database:
        yield Taxi(writer, database, examples, statistics, model_1, model_2, penguins, training_1)


def _ids(found: list[artifacts.Artifact]) -> list[int]:
    return [artifact.artifact_id for artifact in found]


def test_artifacts_are_listed_newest_first_with_who_made_them(taxi: Taxi) -> None:
    found = artifacts.list_artifacts(taxi.database)
    assert _ids(found) == [taxi.model_2, taxi.penguins, taxi.model_1, taxi.statistics, taxi.examples]
    first = found[-1]
    assert (first.type, first.uri, first.state) == ("Examples", "/x/1", "live")
    assert first.producer is not None
    execution = first.producer.execution
    assert (execution.pipeline, execution.run, execution.node) == ("taxi", "run-1", "gen")
    assert (first.producer.key, execution.state) == ("examples", "complete")
    written = taxi.writer.mlmd.get_artifacts_by_id([taxi.examples])[0]
    assert first.created_at == written.create_time_since_epoch / 1000


def test_artifacts_are_filtered(taxi: Taxi) -> None:
    database = taxi.database
    assert _ids(artifacts.list_artifacts(database, type="Model")) == [taxi.model_2, taxi.model_1]
    assert _ids(artifacts.list_artifacts(database, pipeline="penguin")) == [taxi.penguins]
    assert _ids(artifacts.list_artifacts(database, run="run-1")) == [taxi.model_1, taxi.statistics, taxi.examples]
    assert _ids(artifacts.list_artifacts(database, state="deleted")) == []
    with pytest.raises(UsageError, match="no artifact state 'gone'"):
        artifacts.list_artifacts(database, state="gone")


def test_a_run_has_what_it_took_from_the_cache_but_not_what_its_resolver_found(taxi: Taxi) -> None:
    assert _ids(artifacts.list_artifacts(taxi.database, run="run-2")) == [taxi.model_2, taxi.statistics, taxi.examples]


def test_pages_of_artifacts_follow_each_other(taxi: Taxi) -> None:
    seen: list[int] = []
    before = None
    while page := artifacts.list_artifacts(taxi.database, limit=2, before=before):
        seen += _ids(page)
        before = seen[-1]
    assert seen == _ids(artifacts.list_artifacts(taxi.database))


def test_the_number_of_queries_does_not_grow_with_the_page(taxi: Taxi, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    query = taxi.database.query

    def counting(sql: str, *rest: object) -> object:
        asked.append(sql)
        return query(sql, *rest)  # type: ignore[arg-type]

    taxi.database.has_mlmd()
    monkeypatch.setattr(taxi.database, "query", counting)
    artifacts.list_artifacts(taxi.database, limit=1)
    for_one = len(asked)
    asked.clear()
    artifacts.list_artifacts(taxi.database, limit=5)
    assert len(asked) == for_one


def test_an_artifact_is_shown_with_properties_and_uses(taxi: Taxi) -> None:
    details = artifacts.get_artifact(taxi.database, taxi.examples)
    assert details.properties == {}
    assert details.custom_properties == {"split_names": '["train", "eval"]', "rows": 15002, "share": 0.5}
    uses = [(use.execution.run, use.execution.node, use.key, use.execution.state) for use in details.consumers]
    assert uses == [
        ("run-1", "stats", "examples", "complete"),
        ("run-1", "trainer", "examples", "complete"),
        ("run-2", "stats", "examples", "cached"),
        ("run-2", "trainer", "examples", "complete"),
    ]


def test_every_kind_of_property_is_read(taxi: Taxi) -> None:
    artifact = taxi.writer.artifact("Examples", "/x/9")
    artifact.properties["span"].int_value = 7
    artifact.custom_properties["flag"].bool_value = True
    artifact.custom_properties["table"].struct_value.CopyFrom(struct_pb2.Struct())
    artifact.custom_properties["table"].struct_value.update({"rows": [1.5, "ü"]})
    artifact.custom_properties["zero"].int_value = 0
    artifact.custom_properties["empty"].string_value = ""
    [artifact_id] = taxi.writer.mlmd.put_artifacts([artifact])
    details = artifacts.get_artifact(taxi.database, artifact_id)
    assert details.properties == {"span": 7}
    assert details.custom_properties == {"empty": "", "flag": True, "table": {"rows": [1.5, "ü"]}, "zero": 0}
    assert details.artifact.producer is None


def test_an_unknown_artifact_is_named_with_the_ids_there_are(taxi: Taxi) -> None:
    with pytest.raises(ArtifactNotFoundError, match=rf"no artifact 999 in .* from {taxi.examples} to {taxi.model_2}"):
        artifacts.get_artifact(taxi.database, 999)
    with pytest.raises(ArtifactNotFoundError, match="no artifact 999"):
        lineage(taxi.database, 999)


def test_a_nodes_inputs_and_outputs(taxi: Taxi) -> None:
    trainer = artifacts.artifacts_of_node(taxi.database, "run-2", "trainer")
    assert {key: _ids(list(found)) for key, found in trainer.inputs.items()} == {
        "base_model": [taxi.model_1],
        "examples": [taxi.examples],
    }
    assert {key: _ids(list(found)) for key, found in trainer.outputs.items()} == {"model": [taxi.model_2]}
    resolver = artifacts.artifacts_of_node(taxi.database, "run-2", "latest")
    assert {key: _ids(list(found)) for key, found in resolver.outputs.items()} == {"model": [taxi.model_1]}
    assert artifacts.artifacts_of_node(taxi.database, "run-2", "nope").inputs == {}


def test_several_artifacts_under_one_name_keep_their_order(taxi: Taxi) -> None:
    _, made = taxi.writer.execute(
        "taxi", "run-3", "gen", outputs={"examples": [taxi.writer.artifact("Examples", f"/x/3/{n}") for n in range(12)]}
    )
    outputs = artifacts.artifacts_of_node(taxi.database, "run-3", "gen").outputs
    assert _ids(list(outputs["examples"])) == made


def test_lineage_up_goes_through_a_resolved_model_to_the_data(taxi: Taxi) -> None:
    graph = lineage(taxi.database, taxi.model_2, "up")
    assert set(graph.artifacts) == {taxi.model_2, taxi.model_1, taxi.statistics, taxi.examples}
    assert [(e.run, e.node) for e in graph.executions.values()] == [
        ("run-1", "gen"),
        ("run-1", "stats"),
        ("run-1", "trainer"),
        ("run-2", "trainer"),
    ]
    into_training = {(use.artifact_id, use.key) for use in graph.edges
                     if use.execution.execution_id == taxi.training_1 and use.direction == "input"}  # fmt: skip
    assert into_training == {(taxi.examples, "examples"), (taxi.statistics, "statistics")}


def test_lineage_stops_at_the_depth_asked_for(taxi: Taxi) -> None:
    one = lineage(taxi.database, taxi.model_2, "up", depth=1)
    assert set(one.artifacts) == {taxi.model_2, taxi.model_1, taxi.examples}
    assert [e.node for e in one.executions.values()] == ["trainer"]
    two = lineage(taxi.database, taxi.model_2, "up", depth=2)
    assert set(two.artifacts) == {taxi.model_2, taxi.model_1, taxi.statistics, taxi.examples}
    assert "stats" not in [e.node for e in two.executions.values()]
    assert lineage(taxi.database, taxi.model_2, "up", depth=50) == lineage(taxi.database, taxi.model_2, "up")


def test_lineage_down_leaves_out_what_only_came_from_the_cache(taxi: Taxi) -> None:
    graph = lineage(taxi.database, taxi.examples, "down")
    assert set(graph.artifacts) == {taxi.examples, taxi.statistics, taxi.model_1, taxi.model_2}
    assert [(e.run, e.node) for e in graph.executions.values()] == [
        ("run-1", "stats"),
        ("run-1", "trainer"),
        ("run-2", "trainer"),
    ]


def test_lineage_down_names_a_consumer_that_made_nothing(taxi: Taxi) -> None:
    taxi.writer.execute("taxi", "run-4", "pusher", inputs={"model": [taxi.model_2]}, state=proto.Execution.FAILED)
    graph = lineage(taxi.database, taxi.model_2, "down")
    assert [(e.node, e.state) for e in graph.executions.values()] == [("pusher", "failed")]
    assert list(graph.artifacts) == [taxi.model_2]
    assert [(use.artifact_id, use.direction) for use in graph.edges] == [(taxi.model_2, "input")]


def test_lineage_of_a_long_chain_with_side_branches_is_found_whole(taxi: Taxi) -> None:
    """Every link takes the two before it: the number of ways through doubles with each, the nodes do not."""
    chain = [taxi.penguins]
    for number in range(60):
        _, [made] = taxi.writer.execute(
            "long",
            "run-l",
            f"n{number}",
            inputs={"data": chain[-2:]},
            outputs={"data": [taxi.writer.artifact("D", "")]},
        )
        chain.append(made)
    assert set(lineage(taxi.database, chain[-1], "up").artifacts) == set(chain)
    assert set(lineage(taxi.database, taxi.penguins, "down").artifacts) == set(chain)
    assert len(lineage(taxi.database, taxi.penguins, "down", depth=10).artifacts) == 21


def test_lineage_ends_where_an_artifact_is_made_from_itself(taxi: Taxi) -> None:
    _, [made] = taxi.writer.execute("loop", "run-c", "n", outputs={"x": [taxi.writer.artifact("D", "")]})
    _, [other] = taxi.writer.execute(
        "loop", "run-c", "m", inputs={"x": [made]}, outputs={"x": [taxi.writer.artifact("D", "")]}
    )
    first = taxi.writer.mlmd.get_events_by_artifact_ids([made])[0].execution_id
    taxi.writer.mlmd.put_events([proto.Event(artifact_id=other, execution_id=first, type=proto.Event.INPUT)])
    assert set(lineage(taxi.database, made, "up").artifacts) == {made, other}
    assert set(lineage(taxi.database, made, "down").artifacts) == {made, other}


def test_lineage_refuses_what_it_cannot_do(taxi: Taxi) -> None:
    with pytest.raises(UsageError, match="Allowed: up, down"):
        lineage(taxi.database, taxi.examples, "sideways")
    with pytest.raises(UsageError, match="Allowed: 1 and more"):
        lineage(taxi.database, taxi.examples, "up", depth=0)


def test_a_sub_pipelines_node_belongs_to_the_outermost_run(taxi: Taxi) -> None:
    """The contexts TFX's compiler gives a node of pipeline `inner` inside `outer`, in its order."""
    taxi.writer.execute(
        "",
        "",
        "step",
        contexts=[
            ("pipeline", "inner"),
            ("pipeline_run", "inner_run-9"),
            ("node", "outer.inner"),
            ("pipeline", "outer"),
            ("pipeline_run", "run-9"),
            ("node", "inner.step"),
        ],
    )
    [execution] = executions_of_run(taxi.database, "run-9")
    assert (execution.pipeline, execution.run, execution.node) == ("outer", "run-9", "step")


def test_artifacts_of_a_store_that_does_not_exist(location: StoreLocation) -> None:
    with connect(location, create=False) as database:
        assert artifacts.list_artifacts(database) == []
        assert artifacts.artifacts_of_node(database, "r", "n").outputs == {}
        assert artifacts.outputs_of_run(database, "r") == []
        with pytest.raises(ArtifactNotFoundError, match="holds none yet"):
            artifacts.get_artifact(database, 1)
        with pytest.raises(ArtifactNotFoundError, match="holds none yet"):
            lineage(database, 1)


def test_a_connection_sees_ml_metadatas_tables_once_they_are_made(location: StoreLocation) -> None:
    with connect(location, create=True) as database:
        assert artifacts.list_artifacts(database) == []
        writer = StoreWriter(location)
        writer.execute("p", "r", "n", outputs={"x": [writer.artifact("D", "/d")]})
        assert [artifact.uri for artifact in artifacts.list_artifacts(database)] == ["/d"]

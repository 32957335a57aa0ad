"""Properties with backslashes come back as they were, from either database."""

from __future__ import annotations

from contextlib import closing

import pytest
from ml_metadata.proto import metadata_store_pb2

from penstock.metadata import mlmd
from penstock.metadata.database import connect
from penstock.metadata.location import StoreLocation

TEXT = '{"config": "{\\"curve\\": \\"PR\\"}", "path": "C:\\\\data", "quote": "it\'s"}'


@pytest.mark.parametrize("text", [TEXT, "\\", "plain", "\\'"], ids=["json", "one", "none", "quote"])
def test_properties_come_back_as_they_were(location: StoreLocation, text: str) -> None:
    with closing(mlmd.open_store(location)) as store:
        kinds = {"a": metadata_store_pb2.STRING}
        execution_type = store.put_execution_type(metadata_store_pb2.ExecutionType(name="E", properties=kinds))
        artifact_type = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="A", properties=kinds))
        context_type = store.put_context_type(metadata_store_pb2.ContextType(name="C", properties=kinds))
        execution = metadata_store_pb2.Execution(type_id=execution_type)
        artifact = metadata_store_pb2.Artifact(type_id=artifact_type, uri="there")
        context = metadata_store_pb2.Context(type_id=context_type, name="one")
        for each in (execution, artifact, context):
            each.properties["a"].string_value = text
            each.custom_properties["b"].string_value = text
        event = metadata_store_pb2.Event(type=metadata_store_pb2.Event.OUTPUT)
        execution_id, [artifact_id], _ = store.put_execution(execution, [(artifact, event)], [context])
        [again] = store.get_executions_by_id([execution_id])
        again.last_known_state = metadata_store_pb2.Execution.COMPLETE
        store.put_executions([again])
        found = [*store.get_executions(), *store.get_artifacts(), *store.get_contexts()]
        assert [each.properties["a"].string_value for each in found] == [text] * 3
        assert [each.custom_properties["b"].string_value for each in found] == [text] * 3
    assert execution.properties["a"].string_value == text
    with connect(location, create=False) as database:
        assert database.has_mlmd()
        rows = database.query(
            "SELECT string_value FROM ExecutionProperty UNION ALL SELECT string_value FROM ArtifactProperty"
        )
        assert [row["string_value"] for row in rows] == [text] * 4
    assert artifact_id

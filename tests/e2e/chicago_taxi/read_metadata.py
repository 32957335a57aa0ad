"""Prints, as JSON, what ml-metadata's own client reads in a SQLite file."""

from __future__ import annotations

import json
import sys

from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2


def main() -> None:
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = sys.argv[1]
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READONLY
    store = metadata_store.MetadataStore(config)
    executions = store.get_executions()
    events = store.get_events_by_execution_ids([execution.id for execution in executions])
    state, event_type = metadata_store_pb2.Execution.State, metadata_store_pb2.Event.Type
    found = {
        "contexts": [{"type": context.type, "name": context.name} for context in store.get_contexts()],
        "artifacts": [
            {"id": artifact.id, "type": artifact.type, "uri": artifact.uri, "state": artifact.state}
            for artifact in store.get_artifacts()
        ],
        "executions": [
            {
                "id": execution.id,
                "type": execution.type,
                "state": state.Name(execution.last_known_state),
                "contexts": [[context.type, context.name] for context in store.get_contexts_by_execution(execution.id)],
            }
            for execution in executions
        ],
        "events": [
            {
                "artifact": event.artifact_id,
                "execution": event.execution_id,
                "type": event_type.Name(event.type),
                "key": event.path.steps[0].key,
            }
            for event in events
        ],
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()

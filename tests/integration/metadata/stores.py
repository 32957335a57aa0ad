"""Stores for tests, written by the real ml-metadata with types, contexts and events as TFX writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as proto

from penstock.metadata.location import StoreLocation

Key = Mapping[str, Sequence[int]]


def open_mlmd(location: StoreLocation) -> metadata_store.MetadataStore:
    """Opens ml-metadata's side of a store, making its tables."""
    config = proto.ConnectionConfig()
    address = location.postgres
    if address is None:
        location.folder.mkdir(parents=True, exist_ok=True)
        config.sqlite.filename_uri = str(location.mlmd_path)
        config.sqlite.connection_mode = proto.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    else:
        config.postgresql.host = address.host
        config.postgresql.port = str(address.port)
        config.postgresql.user = address.user
        config.postgresql.password = address.password
        config.postgresql.dbname = address.dbname
    return metadata_store.MetadataStore(config)


class StoreWriter:
    """Writes executions with their contexts, artifacts and events, as TFX's publishers do."""

    def __init__(self, location: StoreLocation):
        self.mlmd = open_mlmd(location)
        self._types: dict[tuple[str, str], int] = {}

    def execute(
        self,
        pipeline: str,
        run: str,
        node: str,
        *,
        inputs: Key | None = None,
        outputs: Mapping[str, Sequence[int | proto.Artifact]] | None = None,
        state: int = proto.Execution.COMPLETE,
        output_event: int = proto.Event.OUTPUT,
        contexts: Sequence[tuple[str, str]] | None = None,
    ) -> tuple[int, list[int]]:
        """Records one execution and returns its id and its outputs' ids. An int is an artifact that is there."""
        pairs: list[tuple[proto.Artifact, proto.Event]] = []
        for ids, event_type in ((inputs or {}, proto.Event.INPUT), (outputs or {}, output_event)):
            for key, items in ids.items():
                for index, item in enumerate(items):
                    artifact = self.mlmd.get_artifacts_by_id([item])[0] if isinstance(item, int) else item
                    event = proto.Event(type=event_type)
                    event.path.steps.add(key=key)
                    event.path.steps.add(index=index)
                    pairs.append((artifact, event))
        if contexts is None:
            contexts = [("pipeline", pipeline), ("pipeline_run", run), ("node", f"{pipeline}.{node}")]
        execution = proto.Execution(type_id=self._type("execution", f"tfx.{node}"), last_known_state=state)
        execution_id, artifact_ids, _ = self.mlmd.put_execution(
            execution,
            pairs,
            [proto.Context(type_id=self._type("context", kind), name=name) for kind, name in contexts],
            reuse_context_if_already_exist=True,
        )
        given = sum(len(ids) for ids in (inputs or {}).values())
        return execution_id, artifact_ids[given:]

    def artifact(
        self, type_: str, uri: str, properties: Mapping[str, str | int | float] | None = None
    ) -> proto.Artifact:
        """An artifact to be put out, live, with these custom properties."""
        artifact = proto.Artifact(type_id=self._type("artifact", type_), uri=uri, state=proto.Artifact.LIVE)
        for name, value in (properties or {}).items():
            if isinstance(value, str):
                artifact.custom_properties[name].string_value = value
            elif isinstance(value, int):
                artifact.custom_properties[name].int_value = value
            else:
                artifact.custom_properties[name].double_value = value
        return artifact

    def _type(self, kind: str, name: str) -> int:
        if (kind, name) not in self._types:
            if kind == "artifact":
                type_ = proto.ArtifactType(name=name)
                type_.properties["span"] = proto.INT
                self._types[kind, name] = self.mlmd.put_artifact_type(type_)
            elif kind == "execution":
                self._types[kind, name] = self.mlmd.put_execution_type(proto.ExecutionType(name=name))
            else:
                self._types[kind, name] = self.mlmd.put_context_type(proto.ContextType(name=name))
        return self._types[kind, name]

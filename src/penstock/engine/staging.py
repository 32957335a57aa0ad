"""Executions whose inputs and outputs lie on object storage, which TensorFlow does not read or write.

Their inputs are fetched into a folder of this machine, the executor works there, and what it made is written to object
storage when it has succeeded. Only then is it published: what an execution that was cut short left there is nobody's.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from tfx import types
from tfx.orchestration.portable import data_types
from tfx.proto import example_gen_pb2, pusher_pb2
from tfx.proto.orchestration import executable_spec_pb2, execution_result_pb2
from tfx.types import standard_component_specs
from tfx.types.value_artifact import ValueArtifact

from penstock.engine import content, remote_files
from penstock.storage import buckets, objects

_LOG = logging.getLogger(__name__)
_INPUT_BASE = standard_component_specs.INPUT_BASE_KEY
_INPUT_CONFIG = standard_component_specs.INPUT_CONFIG_KEY
_PUSH_DESTINATION = standard_component_specs.PUSH_DESTINATION_KEY
_MODULE_PATH = standard_component_specs.MODULE_PATH_KEY
# Where TFX notes what an evaluation was made from.
_FILES_WITH_PATHS = frozenset(("eval_config.json",))


# Beam's runners whose workers see the files of this machine. The others share nothing with it but object storage.
_RUNNERS_HERE = ("DirectRunner", "BundleBasedDirectRunner", "PrismRunner", "FnApiRunner")


@contextmanager
def staged(info: data_types.ExecutionInfo, executor_spec: Any) -> Iterator[Stage | None]:
    """Lets an execution that reads or writes object storage work on local copies; all others go on as they are.

    Args:
        info: the execution; it is changed so that it names the copies, which are gone in the end.
        executor_spec: says which of Beam's runners the executor uses.

    Yields:
        The stage, or None where there is nothing to stage: all is on this machine, or Beam's workers are elsewhere.
    """
    if not _touches_objects(info) or _works_elsewhere(executor_spec):
        yield None
        return
    remote_files.register()
    stage = Stage(info)
    try:
        stage.clear()
        yield stage
    except BaseException as error:
        error.args = tuple(stage.original(part) if isinstance(part, str) else part for part in error.args)
        stage.discard()
        raise
    finally:
        shutil.rmtree(stage.folder, ignore_errors=True)


class Stage:
    """The local copies of one execution, and where they belong.

    Attributes:
        folder: holds all of them.
    """

    def __init__(self, info: data_types.ExecutionInfo):
        """Makes a folder and lets `info` name places in it instead of object storage. Nothing is fetched yet."""
        self.folder = Path(tempfile.mkdtemp(prefix="penstock-stage-"))
        self._remote: dict[str, str] = {}
        self._to_fetch: dict[str, str] = {}
        self._slots: dict[str, str] = {}
        self._pushes: dict[str, str] = {}
        self._given: dict[str, str] = {}
        for name, artifacts in info.output_dict.items():
            self._place_outputs(name, artifacts)
        for name, artifacts in info.input_dict.items():
            self._place_inputs(name, artifacts)
        info.tmp_dir = self._local("tmp", "")
        info.stateful_working_dir = self._local("state")
        info.execution_output_uri = self._local("executor_output.pb")
        os.mkdir(info.stateful_working_dir)
        self._place_pushes(info.exec_properties)

    def fetch(self, properties: dict[str, Any]) -> None:
        """Fetches inputs, and lets the executor's parameters that name data on object storage name their copies.

        Raises:
            StorageError: the store refuses them.
            StorageAwayError: it was away for too long.
            FileNotFoundError: one is gone.
        """
        for uri, local in self._to_fetch.items():
            objects.get_folder(uri, Path(local))
        base = properties.get(_INPUT_BASE)
        if base and buckets.is_object(base) and properties.get(_INPUT_CONFIG):
            self._replace(properties, _INPUT_BASE, self._fetch_data(base, properties[_INPUT_CONFIG]))
        name, separator, wheel = str(properties.get(_MODULE_PATH) or "").rpartition("@")
        if separator and buckets.is_object(wheel):
            local = self._local("module", os.path.basename(wheel))
            Path(local).parent.mkdir(exist_ok=True)
            objects.get(wheel, Path(local))
            self._replace(properties, _MODULE_PATH, f"{name}@{local}")

    def correct_files(self) -> None:
        """Puts the addresses on object storage into the files in which TFX notes where something came from."""
        for local in self._slots:
            for path in Path(local).rglob("*"):
                if path.name in _FILES_WITH_PATHS and path.is_file():
                    path.write_text(self.original(path.read_text()))

    def publish(self, output: execution_result_pb2.ExecutorOutput) -> None:
        """Writes to object storage what the executor made, and puts its addresses into what it answered.

        Raises:
            StorageError: the store refuses it.
            StorageAwayError: it was away for too long.
        """
        written = {uri: objects.put_folder(Path(local), uri) for local, uri in self._slots.items()}
        # A model server may take it as soon as it is there.
        for local, uri in self._pushes.items():
            for version in sorted(path for path in Path(local).iterdir()):
                objects.put_folder(version, objects.join(uri, version.name))
        for artifacts in output.output_artifacts.values():
            for artifact in artifacts.artifacts:
                artifact.uri = self.original(artifact.uri)
                for properties in (artifact.properties, artifact.custom_properties):
                    self._correct(properties)
                for slot, files in written.items():
                    if f"{artifact.uri}/".startswith(f"{slot}/"):
                        listing = objects.listing(_below(files, artifact.uri[len(slot) + 1 :]))
                        artifact.custom_properties[content.LISTING_PROPERTY].string_value = listing
        self._correct(output.execution_properties)
        for name, value in self._given.items():
            if name in output.execution_properties:
                output.execution_properties[name].string_value = value

    def clear(self) -> None:
        """Removes what lies on object storage where the outputs go."""
        for uri in self._slots.values():
            if objects.entry(uri) is not None:
                objects.remove_folder(uri)

    def original(self, text: str) -> str:
        """Returns a text with the addresses on object storage in place of the local ones."""
        if str(self.folder) in text:
            for local in sorted(self._remote, key=len, reverse=True):
                text = text.replace(local, self._remote[local])
        return text

    def original_view(self, value: Any) -> Any:
        """Returns a JSON value with the addresses on object storage in place of the local ones."""
        return json.loads(self.original(json.dumps(value)))

    def discard(self) -> None:
        """Removes what was written of the outputs. Where that cannot be done now, the next attempt does it."""
        try:
            self.clear()
        except OSError as error:
            _LOG.warning("outputs of the failed attempt could not be removed: %s", error)

    def _local(self, *parts: str) -> str:
        return os.path.join(self.folder, *parts)

    def _place_outputs(self, name: str, artifacts: Sequence[types.Artifact]) -> None:
        for artifact in artifacts:
            if artifact.is_external or not buckets.is_object(artifact.uri):
                continue
            is_value = isinstance(artifact, ValueArtifact)
            slot = os.path.dirname(artifact.uri) if is_value else artifact.uri
            local = self._local("outputs", name, os.path.basename(slot))
            self._slots[local] = self._remote[local] = slot
            artifact.uri = os.path.join(local, os.path.basename(artifact.uri)) if is_value else local

    def _place_inputs(self, name: str, artifacts: Sequence[types.Artifact]) -> None:
        for number, artifact in enumerate(artifacts):
            uri = artifact.uri
            if not buckets.is_object(uri):
                continue
            if uri not in self._to_fetch:
                local = self._local("inputs", name, str(number), os.path.basename(uri.rstrip("/")))
                Path(local).parent.mkdir(parents=True)
                self._to_fetch[uri] = local
                self._remote[local] = uri
            artifact.uri = self._to_fetch[uri]

    def _place_pushes(self, properties: dict[str, Any]) -> None:
        text = properties.get(_PUSH_DESTINATION)
        if not text or ("s3://" not in text and "gs://" not in text):
            return
        destination = json_format.Parse(text, pusher_pb2.PushDestination())
        base = destination.filesystem.base_directory
        if not buckets.is_object(base):
            return
        local = self._local("pushed")
        os.mkdir(local)
        self._pushes[local] = self._remote[local] = base.rstrip("/")
        destination.filesystem.base_directory = local
        replaced = json_format.MessageToJson(destination, preserving_proto_field_name=True)
        self._replace(properties, _PUSH_DESTINATION, replaced)

    def _replace(self, properties: dict[str, Any], name: str, value: str) -> None:
        self._given[name] = properties[name]
        properties[name] = value

    def _fetch_data(self, base: str, config: str) -> str:
        """Fetches the files of all splits of an ExampleGen."""
        local = self._local("data")
        self._remote[local] = base.rstrip("/")
        os.mkdir(local)
        names: set[str] = set()
        for split in json_format.Parse(config, example_gen_pb2.Input()).splits:
            names.update(
                path[len(base.rstrip("/")) + 1 :]
                for path in map(str, remote_files.ObjectFilesystem.glob(objects.join(base, split.pattern)))
            )
        files = [each.name for each in objects.children(base, deep=True) if not each.is_folder and each.name in names]
        objects.get_files(base, Path(local), files)
        return local

    def _correct(self, properties: Mapping[str, Any]) -> None:
        for value in properties.values():
            if value.WhichOneof("value") == "string_value":
                value.string_value = self.original(value.string_value)


def _touches_objects(info: data_types.ExecutionInfo) -> bool:
    uris = [artifact.uri for artifacts in info.output_dict.values() for artifact in artifacts]
    uris += [artifact.uri for artifacts in info.input_dict.values() for artifact in artifacts]
    uris += [str(info.exec_properties.get(name) or "") for name in (_INPUT_BASE, _PUSH_DESTINATION, _MODULE_PATH)]
    return any(f"{scheme}://" in uri for uri in uris for scheme in buckets.SCHEMES)


def _works_elsewhere(spec: Any) -> bool:
    if not isinstance(spec, executable_spec_pb2.BeamExecutableSpec):
        return False
    args = [*spec.beam_pipeline_args, *(each.value.string_value for each in spec.beam_pipeline_args_placeholders)]
    given = dict(arg.partition("=")[::2] for arg in args)
    runner = given.get("--runner", "DirectRunner")
    masters = (given.get("--flink_master", ""), given.get("--spark_master", ""))
    return runner not in _RUNNERS_HERE and not any(master.startswith(("[local", "local")) for master in masters)


def _below(files: Sequence[objects.Entry], place: str) -> list[objects.Entry]:
    """Those of a folder's files that are below a place in it, or are that place, named from there."""
    if not place:
        return list(files)
    found = [each for each in files if f"{each.name}/".startswith(f"{place}/")]
    return [replace(each, name=each.name[len(place) + 1 :]) for each in found]

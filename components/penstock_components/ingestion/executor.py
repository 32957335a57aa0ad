"""The executor of ArrowExampleGen."""

from __future__ import annotations

import os
from typing import Any

import apache_beam as beam
from absl import logging
from tfx import types
from tfx.components.example_gen import utils, write_split
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, proto_utils

from penstock_components.ingestion import columns, formats, options, pipeline
from penstock_components.ingestion.errors import DataError, as_raised

ROWS_PROPERTY = "rows"
SKIPPED_PROPERTY = "skipped_rows"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Writes the files that an input configuration names as splits of examples."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See the base class.

        Raises:
            DataError: the data cannot be taken as it is.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        input_config, output_config = configurations(exec_properties)
        base = exec_properties[standard_component_specs.INPUT_BASE_KEY]
        paths = [_files(os.path.join(base, split.pattern)) for split in input_config.splits]
        loaded = options.load(exec_properties, schema_types(input_dict))
        source = formats.source(loaded, [path for listed in paths for path in listed])
        output = splits_output(output_dict, input_config, output_config, exec_properties)
        with as_raised(), self._make_beam_pipeline() as run:
            _ = (
                run
                | pipeline.ReadAndWrite(source, paths, output)
                | "SaveCounts" >> beam.Map(pipeline.save, counts_file(output_dict))
            )
        finish(output_dict, exec_properties)


def schema_types(input_dict: dict[str, list[types.Artifact]]) -> columns.ColumnTypes:
    """Returns the types of columns that the schema among the inputs gives, if there is one."""
    artifacts = input_dict.get(standard_component_specs.SCHEMA_KEY)
    if not artifacts:
        return {}
    uri = artifact_utils.get_single_uri(artifacts)
    return columns.of_schema(io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(uri)))


def counts_file(output_dict: dict[str, list[types.Artifact]]) -> str:
    """Returns where a pipeline leaves its counts for `finish`, which removes the file."""
    return os.path.join(artifact_utils.get_single_uri(output_dict[standard_component_specs.EXAMPLES_KEY]), ".counts")


def configurations(exec_properties: dict[str, Any]) -> tuple[example_gen_pb2.Input, example_gen_pb2.Output]:
    """Returns the input and output configuration that execution properties hold as JSON."""
    input_config, output_config = example_gen_pb2.Input(), example_gen_pb2.Output()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.INPUT_CONFIG_KEY], input_config)
    proto_utils.json_to_proto(exec_properties[standard_component_specs.OUTPUT_CONFIG_KEY], output_config)
    return input_config, output_config


def splits_output(
    output_dict: dict[str, list[types.Artifact]],
    input_config: example_gen_pb2.Input,
    output_config: example_gen_pb2.Output,
    exec_properties: dict[str, Any],
) -> pipeline.Output:
    """Names the splits in the output artifact, and returns where their rows go.

    Raises:
        ValueError: the configuration names output splits, and more than one input split.
    """
    names = utils.generate_output_split_names(input_config, output_config)
    artifact = artifact_utils.get_single_instance(output_dict[standard_component_specs.EXAMPLES_KEY])
    artifact.split_names = artifact_utils.encode_split_names(names)
    split_config = output_config.split_config
    if split_config.splits and len(input_config.splits) != 1:
        raise ValueError(
            f"output_config names splits, and input_config has {len(input_config.splits)}; there must be one"
            " where rows are split by hash"
        )
    feature = split_config.partition_feature_name if split_config.HasField("partition_feature_name") else None
    return pipeline.Output(
        folders=tuple(
            artifact_utils.get_split_uri(output_dict[standard_component_specs.EXAMPLES_KEY], name) for name in names
        ),
        hash_buckets=tuple(split.hash_buckets for split in split_config.splits),
        partition_feature=feature,
        parquet=exec_properties.get(standard_component_specs.OUTPUT_DATA_FORMAT_KEY)
        == example_gen_pb2.PayloadFormat.FORMAT_PARQUET,
    )


def finish(output_dict: dict[str, list[types.Artifact]], exec_properties: dict[str, Any]) -> None:
    """Records format and counts with the output artifact, once the pipeline is through.

    Raises:
        DataError: there was no row at all.
    """
    counts = counts_file(output_dict)
    written = pipeline.load(counts)
    fileio.remove(counts)
    if not sum(written.rows):
        raise DataError(f"no row of data was left to write; {written.skipped} were skipped")
    for artifact in output_dict[standard_component_specs.EXAMPLES_KEY]:
        payload_format = exec_properties.get(standard_component_specs.OUTPUT_DATA_FORMAT_KEY)
        if payload_format:
            examples_utils.set_payload_format(artifact, payload_format)
        file_format = exec_properties.get(standard_component_specs.OUTPUT_FILE_FORMAT_KEY)
        if file_format:
            examples_utils.set_file_format(artifact, write_split.to_file_format_str(file_format))
        artifact.set_int_custom_property(ROWS_PROPERTY, sum(written.rows))
        artifact.set_int_custom_property(SKIPPED_PROPERTY, written.skipped)
    logging.info("%d rows written, %d skipped", sum(written.rows), written.skipped)


def _files(pattern: str) -> list[str]:
    found = [path for path in fileio.glob(pattern) if not fileio.isdir(path)]
    if not found:
        raise DataError(f"{pattern}: no file matches this pattern")
    return found

"""ArrowExampleGen: files to examples, on record batches of Arrow."""

from __future__ import annotations

from typing import ClassVar

from tfx import types
from tfx.components.example_gen import driver, utils
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.orchestration import data_types
from tfx.proto import example_gen_pb2, range_config_pb2
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from penstock_components.ingestion import options
from penstock_components.ingestion.executor import Executor


class ArrowExampleGenSpec(types.ComponentSpec):
    """What ArrowExampleGen takes and gives: TFX's FileBasedExampleGen's, and options of its own."""

    PARAMETERS: ClassVar = {
        **{
            key: parameter
            for key, parameter in standard_component_specs.FileBasedExampleGenSpec.PARAMETERS.items()
            if key != standard_component_specs.CUSTOM_CONFIG_KEY
        },
        options.PROPERTY: ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {
        **standard_component_specs.FileBasedExampleGenSpec.INPUTS,
        standard_component_specs.SCHEMA_KEY: ChannelParameter(type=standard_artifacts.Schema, optional=True),
    }
    OUTPUTS = standard_component_specs.FileBasedExampleGenSpec.OUTPUTS


class ArrowExampleGen(base_beam_component.BaseBeamComponent):
    """Reads CSV, Parquet, JSON lines or Arrow files and writes splits of examples."""

    SPEC_CLASS = ArrowExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
    DRIVER_CLASS = driver.FileBasedDriver

    def __init__(
        self,
        input_base: str | data_types.RuntimeParameter | None = None,
        input_config: example_gen_pb2.Input | data_types.RuntimeParameter | None = None,
        output_config: example_gen_pb2.Output | data_types.RuntimeParameter | None = None,
        range_config: range_config_pb2.RangeConfig | data_types.RuntimeParameter | None = None,
        output_data_format: int | None = example_gen_pb2.FORMAT_TF_EXAMPLE,
        format: str | None = None,
        column_types: dict[str, str] | None = None,
        schema: types.BaseChannel | None = None,
        columns: list[str] | None = None,
        drop_columns: list[str] | None = None,
        ragged_rows: str = "fail",
        encoding: str = "utf-8",
    ):
        """Makes the component.

        Args:
            input_base: the folder that holds the files.
            input_config: the input splits and their patterns, with spans and versions as TFX has them; all files in
                `input_base` by default.
            output_config: the output splits; `train` and `eval`, 2:1, by default.
            range_config: which spans to take; the latest by default.
            output_data_format: FORMAT_TF_EXAMPLE or FORMAT_PARQUET.
            format: csv, parquet, jsonl or arrow; what the files' suffixes say by default.
            column_types: int, float or bytes for columns whose type shall not be inferred.
            schema: gives the types of the columns it has as features; a type in `column_types` counts before it.
            columns: the columns to read; all by default.
            drop_columns: columns that no artifact shall hold.
            ragged_rows: `fail`, or `skip` to leave out rows of CSV that have too many or too few values.
            encoding: how CSV and JSON lines are encoded.

        Raises:
            ValueError: an option has a value that is not allowed.
        """
        options.check_payload(output_data_format)
        input_config = input_config or utils.make_default_input_config()
        spec = ArrowExampleGenSpec(
            input_base=input_base,
            input_config=input_config,
            output_config=output_config or utils.make_default_output_config(input_config),
            range_config=range_config,
            output_data_format=output_data_format,
            output_file_format=example_gen_pb2.FORMAT_TFRECORDS_GZIP,
            schema=schema,
            examples=types.Channel(type=standard_artifacts.Examples),
            **{
                options.PROPERTY: options.dump(
                    format=format,
                    column_types=column_types,
                    columns_=columns,
                    drop_columns=drop_columns,
                    ragged_rows=ragged_rows,
                    encoding=encoding,
                )
            },
        )
        super().__init__(spec=spec)

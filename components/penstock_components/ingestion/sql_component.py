"""SqlExampleGen: the result of a query to examples, on record batches of Arrow."""

from __future__ import annotations

from typing import ClassVar

from tfx import types
from tfx.components.example_gen import driver, utils
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.orchestration import data_types
from tfx.proto import example_gen_pb2, range_config_pb2
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from penstock_components.ingestion import options, sql
from penstock_components.ingestion.sql_executor import URL_PROPERTY, Executor


class SqlExampleGenSpec(types.ComponentSpec):
    """What SqlExampleGen takes and gives: TFX's QueryBasedExampleGen's, the database, and options of its own."""

    PARAMETERS: ClassVar = {
        **{
            key: parameter
            for key, parameter in standard_component_specs.QueryBasedExampleGenSpec.PARAMETERS.items()
            if key != standard_component_specs.CUSTOM_CONFIG_KEY
        },
        URL_PROPERTY: ExecutionParameter(type=str),
        options.PROPERTY: ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {
        **standard_component_specs.QueryBasedExampleGenSpec.INPUTS,
        standard_component_specs.SCHEMA_KEY: ChannelParameter(type=standard_artifacts.Schema, optional=True),
    }
    OUTPUTS = standard_component_specs.QueryBasedExampleGenSpec.OUTPUTS


class SqlExampleGen(base_beam_component.BaseBeamComponent):
    """Runs a query on a database and writes splits of examples."""

    SPEC_CLASS = SqlExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
    DRIVER_CLASS = driver.QueryBasedDriver

    def __init__(
        self,
        url: str,
        query: str | None = None,
        input_config: example_gen_pb2.Input | data_types.RuntimeParameter | None = None,
        output_config: example_gen_pb2.Output | data_types.RuntimeParameter | None = None,
        range_config: range_config_pb2.RangeConfig | data_types.RuntimeParameter | None = None,
        output_data_format: int | None = example_gen_pb2.FORMAT_TF_EXAMPLE,
        column_types: dict[str, str] | None = None,
        schema: types.BaseChannel | None = None,
        columns: list[str] | None = None,
        drop_columns: list[str] | None = None,
    ):
        """Makes the component.

        Args:
            url: the database, as SQLAlchemy writes it, or `duckdb:///FILE`. `${env.NAME}` in it stands for an
                environment variable of the process that runs the query; a password must be given so.
            query: the statement; `{SPAN}` and the like in it as in TFX.
            input_config: instead of `query`, input splits with a statement each as `pattern`.
            output_config: the output splits; `train` and `eval`, 2:1, by default.
            range_config: which spans the statement's `{SPAN}` stands for.
            output_data_format: FORMAT_TF_EXAMPLE or FORMAT_PARQUET.
            column_types: int, float or bytes for columns whose type shall not be told from the result.
            schema: gives the types of the columns it has as features; a type in `column_types` counts before it.
            columns: the columns to read; all by default.
            drop_columns: columns that no artifact shall hold.

        Raises:
            ValueError: an option has a value that is not allowed; the URL holds a password.
        """
        if (query is None) == (input_config is None):
            raise ValueError("exactly one of query and input_config must be set")
        sql.check_url(url)
        options.check_payload(output_data_format)
        input_config = input_config or utils.make_default_input_config(query)
        spec = SqlExampleGenSpec(
            input_config=input_config,
            output_config=output_config or utils.make_default_output_config(input_config),
            range_config=range_config,
            output_data_format=output_data_format,
            output_file_format=example_gen_pb2.FORMAT_TFRECORDS_GZIP,
            schema=schema,
            examples=types.Channel(type=standard_artifacts.Examples),
            **{
                URL_PROPERTY: url,
                options.PROPERTY: options.dump(column_types=column_types, columns_=columns, drop_columns=drop_columns),
            },
        )
        super().__init__(spec=spec)

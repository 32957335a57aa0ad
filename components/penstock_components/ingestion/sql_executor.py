"""The executor of SqlExampleGen."""

from __future__ import annotations

import os
from typing import Any

import apache_beam as beam
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_component_specs

from penstock_components.ingestion import executor, options, pipeline, sql
from penstock_components.ingestion.arrow_source import ArrowFileSource
from penstock_components.ingestion.errors import DataError, as_raised

URL_PROPERTY = "url"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Writes the results of queries, one for each input split, as splits of examples.

    A result is first written to Arrow files beside the output, in one stream, and from there on goes the way of files.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See the base class.

        Raises:
            DataError: the query fails, or its result cannot be taken as it is.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        input_config, output_config = executor.configurations(exec_properties)
        given = options.load(exec_properties, executor.schema_types(input_dict)).options
        output = executor.splits_output(output_dict, input_config, output_config, exec_properties)
        root = artifact_utils.get_single_uri(output_dict[standard_component_specs.EXAMPLES_KEY])
        spool = os.path.join(root, ".spool")
        try:
            paths = []
            for index, split in enumerate(input_config.splits):
                folder = os.path.join(spool, str(index))
                fileio.makedirs(folder)
                url = exec_properties[URL_PROPERTY]
                paths.append(sql.spool(url, split.pattern, folder, given.columns, given.drop_columns))
                if not paths[-1]:
                    raise DataError(f"the query of split {split.name!r} returns no row")
            counts = executor.counts_file(output_dict)
            source = ArrowFileSource(options.of_types(given))
            with as_raised(), self._make_beam_pipeline() as run:
                _ = run | pipeline.ReadAndWrite(source, paths, output) | "SaveCounts" >> beam.Map(pipeline.save, counts)
        finally:
            if fileio.exists(spool):
                fileio.rmtree(spool)
        executor.finish(output_dict, exec_properties)

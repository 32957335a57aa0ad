"""Whether there are files where an ExampleGen is to read them. Needs no TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import standard_component_specs

from penstock.engine.csv_check import DataError

_MOST_SHOWN = 5


def check_present(parameters: Mapping[str, Any]) -> None:
    """Refuses a data folder that has nothing for a split, which TFX finds out only when Beam runs.

    Args:
        parameters: an ExampleGen's, with the patterns of its splits already resolved; others are ignored.

    Raises:
        DataError: the folder is missing, or no file in it matches the pattern of a split.
    """
    folder = parameters.get(standard_component_specs.INPUT_BASE_KEY)
    if not folder:
        return
    if not fileio.isdir(folder):
        found = "it is a file" if fileio.exists(folder) else "there is no such folder"
        raise DataError(f"{folder}: {found}; input_base must be a folder that holds the data")
    config = example_gen_pb2.Input()
    json_format.Parse(parameters[standard_component_specs.INPUT_CONFIG_KEY], config)
    for split in config.splits:
        if not fileio.glob(os.path.join(folder, split.pattern)):
            present = ", ".join(sorted(fileio.listdir(folder))[:_MOST_SHOWN]) or "nothing"
            raise DataError(
                f"{folder}: no file in it matches {split.pattern!r}, the pattern of {split.name!r}; it holds {present}"
            )

"""Spans of an ExampleGen: which one a run takes, and what is there when the one it wants is not.

TFX's own parts are used where they can be: its driver finds span and version, and writes them to the artifact.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import json_format
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2, range_config_pb2
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2

from penstock.errors import UsageError
from penstock.spec import span_files

DRIVER_MODULE = "tfx.components.example_gen.driver."
# Parameters of every ExampleGen.
INPUT_BASE, INPUT_CONFIG, RANGE_CONFIG = "input_base", "input_config", "range_config"
# In a pattern of files, and in a query (BigQueryExampleGen and its like).
_SPAN = re.compile(r"\{SPAN(?::.*?)?\}|\{YYYY\}|@span_(?:begin_timestamp|end_timestamp|yyyymmdd_utc)")
_MOST_SHOWN = 12


def fix_span(pipeline: pipeline_pb2.Pipeline, span: int) -> list[str]:
    """Makes every ExampleGen of a compiled pipeline that takes one span at a time take this one.

    Args:
        pipeline: the IR; it is changed.
        span: the span's number; with dates in the pattern the days since 1970-01-01.

    Returns:
        The ids of those nodes.

    Raises:
        UsageError: there is none.
    """
    found = list(_fix(pipeline, span))
    if not found:
        raise UsageError(
            f"--span {span}: no ExampleGen of {pipeline.pipeline_info.id} takes its data by spans. Give it a pattern"
            " with {SPAN}, or {YYYY}, {MM} and {DD}, in input_config, as in 'span-{SPAN}/*'."
        )
    return found


def _fix(pipeline: pipeline_pb2.Pipeline, span: int) -> Iterator[str]:
    deployment = pipeline_pb2.IntermediateDeploymentConfig()
    pipeline.deployment_config.Unpack(deployment)
    wanted = range_config_pb2.RangeConfig()
    wanted.static_range.start_span_number = wanted.static_range.end_span_number = span
    for entry in pipeline.nodes:
        if entry.HasField("sub_pipeline"):
            yield from _fix(entry.sub_pipeline, span)
            continue
        node = entry.pipeline_node
        driver = executable_spec_pb2.PythonClassExecutableSpec()
        packed = deployment.custom_driver_specs.get(node.node_info.id)
        if packed is None or not packed.Unpack(driver) or not driver.class_path.startswith(DRIVER_MODULE):
            continue
        if not _SPAN.search(_text(node.parameters.parameters[INPUT_CONFIG])):
            continue
        node.parameters.parameters[RANGE_CONFIG].Clear()
        node.parameters.parameters[RANGE_CONFIG].field_value.string_value = json_format.MessageToJson(
            wanted, preserving_proto_field_name=True, indent=0
        )
        yield node.node_info.id


def _text(value: pipeline_pb2.Value) -> str:
    """A parameter's text, be it fixed or the default of one that the run fills in."""
    if value.WhichOneof("value") == "runtime_parameter":
        return value.runtime_parameter.default_value.string_value
    return value.field_value.string_value


def explain(parameters: Mapping[str, Any]) -> str | None:
    """Says why TFX's driver found no span for an ExampleGen, from the files that are there; None if it cannot tell.

    Args:
        parameters: the ExampleGen's, with the patterns of its splits as they are declared.
    """
    folder = parameters.get(INPUT_BASE)
    if not folder or not fileio.isdir(folder):
        return None
    config = json_format.Parse(parameters[INPUT_CONFIG], example_gen_pb2.Input())
    wanted = _wanted(parameters)
    latest: dict[str, int] = {}
    for split in config.splits:
        if not span_files.has_spec(split.pattern):
            continue
        spans: dict[int, str] = {}
        for file, tokens in span_files.matches(folder, split.pattern, fileio.glob):
            strange = [name for name, token in tokens.items() if not re.fullmatch("[0-9]+", token)]
            if not strange:
                spans[span_files.number(tokens)] = tokens.get("SPAN", "")
            elif wanted is None or strange == ["VERSION"]:
                return (
                    f"{file}: {tokens[strange[0]]!r} in the place of {{{strange[0]}}} is no number; move it away, or"
                    f" change the pattern {split.pattern!r} so that it does not fit"
                )
        span = max(spans, default=-1) if wanted is None else wanted
        if not spans:
            present = ", ".join(sorted(fileio.listdir(folder))[:_MOST_SHOWN]) or "nothing"
            return f"{folder}: there is no span at all: nothing fits {split.pattern!r}; it holds {present}"
        if span not in spans:
            named, present = _named(span, split.pattern), _list(spans, split.pattern)
            return f"{folder}: there is no span {named} for {split.pattern!r}; there are {present}"
        if "{SPAN}" in split.pattern and spans[span] != str(span):
            padded = f"{{SPAN:{len(spans[span])}}}"
            return f"{folder}: span {span} is written {spans[span]!r}; say so in the pattern: {padded} for {{SPAN}}"
        latest[split.name] = span
    if len(set(latest.values())) > 1:
        each = ", ".join(f"{span} of {name!r}" for name, span in latest.items())
        return f"{folder}: the splits have different latest spans: {each}; all of them must have the span"
    return None


def _wanted(parameters: Mapping[str, Any]) -> int | None:
    text = parameters.get(RANGE_CONFIG)
    if not text:
        return None
    config = json_format.Parse(text, range_config_pb2.RangeConfig())
    return config.static_range.start_span_number if config.HasField("static_range") else None


def _named(span: int, pattern: str) -> str:
    if "{YYYY}" not in pattern:
        return str(span)
    from tfx.components.example_gen import utils

    return "{} ({:04}-{:02}-{:02})".format(span, *utils.span_number_to_date(span))


def _list(spans: Mapping[int, str], pattern: str) -> str:
    names = [_named(span, pattern) for span in sorted(spans)]
    return ", ".join(names if len(names) <= _MOST_SHOWN else [*names[:5], "…", *names[-5:]])

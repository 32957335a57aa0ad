"""A compiled pipeline as people read it: as text, its nodes with parameters and options, and two of them compared."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from penstock.dashboard import ir_messages
from penstock.dashboard.redaction import HIDDEN, shown
from penstock.secrets import is_secret

Document = dict[str, Any]

_PIPELINE = "tfx.orchestration.Pipeline"
# protobuf keeps no order in maps.
_MAPS = frozenset(
    ("inputs", "outputs", "parameters", "properties", "custom_properties", "executor_specs", "custom_driver_specs",
     "node_level_platform_configs", "input_graphs")
)  # fmt: skip
# Comparing longer texts line by line takes seconds.
_MOST_LINES = 20_000
_MOST_DIFFERENCES = 4000


class UnreadableError(Exception):
    """Indicates that a compiled pipeline cannot be shown as text."""


@dataclass(frozen=True)
class CompiledNode:
    """A node of a compiled pipeline; values are texts as people read them.

    Attributes:
        id: its id.
        component: its component's class path.
        inputs: where each of its inputs comes from, as NODE.OUTPUT.
        parameters: its execution properties.
        options: how it is run: retries, timeout, cache, executor, resources and more.
        resources: what it asks of the machine: `cpu`, `memory`, `gpu`.
    """

    id: str
    component: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """One thing in which two versions differ; None where one of them does not have it.

    Attributes:
        node: the node, or empty for what concerns the pipeline as a whole.
        kind: `node`, `component`, `input`, `parameter`, `option` or `pipeline`.
        name: which one.
        before: its value in the first version.
        after: its value in the second.
    """

    node: str
    kind: str
    name: str
    before: str | None
    after: str | None


def read(serialized: bytes, redact: Callable[[str], str]) -> Document:
    """Reads a serialized `tfx.orchestration.Pipeline` as plain values, without secrets.

    Raises:
        UnreadableError: the bytes are none, or hold messages that are not installed here.
    """
    try:
        message = ir_messages.message_class(_PIPELINE)()
        message.ParseFromString(serialized)
        document = json_format.MessageToDict(
            message, preserving_proto_field_name=True, descriptor_pool=ir_messages.pool()
        )
    except (DecodeError, TypeError, json_format.Error, ir_messages.MessagesNotFoundError) as error:
        raise UnreadableError(f"The compiled pipeline cannot be shown as text: {error}") from error
    cleaned: Document = _cleaned(document, redact)
    return cleaned


def text(document: Any) -> str:
    """Plain values as YAML."""
    written: str = yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=False
    )
    return written


def nodes(document: Document) -> dict[str, CompiledNode]:
    """The nodes of a compiled pipeline by id, those of sub-pipelines among them."""
    found = {}
    for entry, deployment in _walk(document):
        node_id = entry.get("node_info", {}).get("id", "")
        settings = deployment.get("node_level_platform_configs", {}).get(node_id, {}).get("value", {})
        executor = deployment.get("executor_specs", {}).get(node_id, {})
        found[node_id] = CompiledNode(
            id=node_id,
            component=entry.get("node_info", {}).get("type", {}).get("name", ""),
            inputs={name: _source(spec) for name, spec in entry.get("inputs", {}).get("inputs", {}).items()},
            parameters={
                name: _value(value) for name, value in entry.get("parameters", {}).get("parameters", {}).items()
            },
            options=_options(entry.get("execution_options", {}), settings, executor),
            resources={name: _text(value) for name, value in settings.get("resources", {}).items()},
        )
    return found


def policy(document: Document) -> Mapping[str, Any]:
    """How a run as a whole is carried out: timeout, concurrency, exit handlers; empty where nothing is declared."""
    config = document.get("deployment_config", {}).get("pipeline_level_platform_config", {})
    value: Mapping[str, Any] = config.get("value", {}) if isinstance(config, dict) else {}
    return value


def differences(before: Document, after: Document) -> list[Difference]:
    """What differs between two compiled pipelines, node by node in the second one's order."""
    sides = nodes(before), nodes(after)
    found = []
    for name in dict.fromkeys([*sides[1], *sides[0]]):
        old, new = sides[0].get(name), sides[1].get(name)
        if old is None or new is None:
            sides_of = [None if side is None else _short(side.component) for side in (old, new)]
            found.append(Difference(name, "node", name, sides_of[0], sides_of[1]))
            continue
        if old.component != new.component:
            found.append(Difference(name, "component", "component", old.component, new.component))
        for kind, one, other in (
            ("input", old.inputs, new.inputs),
            ("parameter", old.parameters, new.parameters),
            ("option", old.options, new.options),
        ):
            found += _between(name, kind, one, other)
    policies = [{key: _text(value) for key, value in policy(side).items()} for side in (before, after)]
    found += _between("", "pipeline", policies[0], policies[1])
    return found


def text_difference(before: Document, after: Document) -> list[str] | None:
    """The unified difference of two compiled pipelines' texts; None where they are too long to compare."""
    sides = [text(side).splitlines() for side in (before, after)]
    if max(map(len, sides)) > _MOST_LINES:
        return None
    lines = list(difflib.unified_diff(sides[0], sides[1], lineterm="", n=3))[2:]
    return lines if len(lines) <= _MOST_DIFFERENCES else None


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:
        """Nothing is written by reference."""
        return True


def _represent_text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    style = "|" if "\n" in data else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _represent_text)


def _cleaned(value: Any, redact: Callable[[str], str], key: str = "") -> Any:
    """The same without secrets and with maps in order; texts that hold JSON are spread over lines."""
    if isinstance(value, dict):
        names = sorted(value) if key in _MAPS else list(value)
        return {redact(name): _cleaned(_hidden(name, value[name]), redact, name) for name in names}
    if isinstance(value, list):
        return [_cleaned(item, redact) for item in value]
    if isinstance(value, str):
        return _opened(redact(value))
    return value


def _hidden(name: str, value: Any) -> Any:
    """A named value as people may see it, be it one of TFX's parameters."""
    if is_secret(name) and isinstance(value, dict) and "field_value" in value:
        return {"field_value": {"string_value": HIDDEN}}
    return shown(name, value)


def _opened(value: str) -> str:
    """A text that holds a JSON object or array, spread over lines and without secrets; any other as it is."""
    if value[:1] in ("{", "["):
        try:
            return json.dumps(_without_secrets(json.loads(value)), indent=2, ensure_ascii=False)
        except ValueError:
            return value
    return value


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_secrets(shown(name, item)) for name, item in value.items()}
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value


def _walk(document: Document) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Yields each node with the deployment configuration of the pipeline it is in."""
    deployment = document.get("deployment_config", {})
    for entry in document.get("nodes", ()):
        if "sub_pipeline" in entry:
            yield from _walk(entry["sub_pipeline"])
        elif "pipeline_node" in entry:
            yield entry["pipeline_node"], deployment


def _source(spec: Mapping[str, Any]) -> str:
    found = []
    for channel in spec.get("channels", ()):
        producer = channel.get("producer_node_query", {}).get("id")
        kind = channel.get("artifact_query", {}).get("type", {}).get("name", "")
        found.append(f"{producer}.{channel.get('output_key', '')}" if producer else f"any {kind}")
    return ", ".join(found) or _text({name: value for name, value in spec.items() if name != "min_count"})


def _value(value: Mapping[str, Any]) -> str:
    """A parameter's value: what it is set to, or where it comes from."""
    fixed = value.get("field_value")
    if isinstance(fixed, dict) and len(fixed) == 1:
        return _text(next(iter(fixed.values())))
    return _text(value)


def _options(execution: Mapping[str, Any], settings: Mapping[str, Any], executor: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, Any] = {
        "cache": execution.get("caching_options", {}).get("enable_cache"),
        "retries": execution.get("max_execution_retries"),
        "timeout": execution.get("execution_timeout_sec"),
        "executor": executor.get("class_path") or executor.get("python_executor_spec", {}).get("class_path"),
    }
    beam = executor.get("beam_pipeline_args_placeholders") or executor.get("beam_pipeline_args")
    if beam:
        found["Beam options"] = " ".join(
            str(item.get("value", {}).get("string_value", "…")) if isinstance(item, dict) else str(item)
            for item in beam
        )
    for name, value in sorted(settings.items()):
        if value not in ({}, 0, 0.0, "", None):
            found[name.replace("_", " ")] = value
    return {name: _text(value) for name, value in found.items() if value is not None}


def _between(node: str, kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> Sequence[Difference]:
    return [
        Difference(node, kind, name, before.get(name), after.get(name))
        for name in dict.fromkeys([*after, *before])
        if before.get(name) != after.get(name)
    ]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)


def _short(component: str) -> str:
    return component.rpartition(".")[2]

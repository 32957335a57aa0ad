"""What a declaration says, as immutable values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from penstock.spec import conditions
from penstock.spec.cluster import Cluster
from penstock.spec.yaml_source import Place, Source

NAME_PATTERN = r"[a-z0-9][a-z0-9-]{0,62}"
NODE_ID_PATTERN = r"[A-Za-z][A-Za-z0-9_-]{0,62}"
PARAMETER_NAME_PATTERN = r"[A-Za-z_][A-Za-z0-9_]{0,62}"
ENVIRONMENT_NAME_PATTERN = r"[A-Za-z][A-Za-z0-9_-]{0,62}"
EACH_NAME_PATTERN = r"[A-Za-z][A-Za-z0-9_]{0,62}"

ParameterType = Literal["str", "int", "float", "bool", "path", "list", "dict"]
Backend = Literal["local", "kubeflow"]
Runner = Literal["direct", "direct-multi", "prism", "flink", "spark", "dataflow", "auto"]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MEMORY = re.compile(r"\d+(\.\d+)?(Ki|Mi|Gi|Ti|k|M|G|T)?")


def _duration_seconds(value: Any) -> Any:
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match[1]) * _SECONDS[match[2]]
    if isinstance(value, str | bool):
        raise ValueError("wants a duration such as 90, 30s, 5m, 2h or 1d")
    return value


def _memory(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return str(value)
    if not isinstance(value, str) or not _MEMORY.fullmatch(value):
        raise ValueError("wants an amount of memory such as 512Mi, 8Gi or 16G")
    return value


def _environment_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Seconds = Annotated[float, BeforeValidator(_duration_seconds), Field(ge=0, allow_inf_nan=False)]
Memory = Annotated[str, BeforeValidator(_memory)]
EnvironmentText = Annotated[str, BeforeValidator(_environment_text)]


class StrictModel(BaseModel):
    """A model that takes its own keys and types only."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ParameterSpec(StrictModel):
    """A parameter of a pipeline: set with `-p name=value`, else its default; required if it has none."""

    type: ParameterType
    default: Any = None
    help: str | None = None
    min: float | None = None
    max: float | None = None
    choices: list[Any] | None = Field(default=None, min_length=1)

    @property
    def required(self) -> bool:
        """Whether a run must set it."""
        return "default" not in self.model_fields_set


class Resources(StrictModel):
    """What a node asks of the machine it runs on: CPU cores, memory (Kubernetes notation), GPUs."""

    cpu: Annotated[float, Field(gt=0)] | None = None
    memory: Memory | None = None
    gpu: Annotated[int, Field(ge=0)] | None = None


def _cache_options(value: Any) -> Any:
    return {"enabled": value} if isinstance(value, bool) else value


class CacheOptions(StrictModel):
    """Whether a node's results may come from the cache, and how old they may be."""

    enabled: bool = True
    ttl_seconds: Annotated[Seconds, Field(gt=0)] | None = Field(default=None, alias="ttl")


class NodeOptions(StrictModel):
    """How a node is run, whatever its component. Times are in seconds. `when` and `for_each` are read apart."""

    retries: Annotated[int, Field(ge=0, le=100)] = 0
    backoff_seconds: Seconds = Field(default=0.0, alias="backoff")
    timeout_seconds: Annotated[Seconds, Field(gt=0)] | None = Field(default=None, alias="timeout")
    cache: Annotated[CacheOptions, BeforeValidator(_cache_options)] = CacheOptions()
    resources: Resources = Resources()
    env: dict[str, EnvironmentText] = {}
    after: list[str] = []
    runner: Runner | None = None


WHEN = "when"
FOR_EACH = "for_each"
OPTION_NAMES = (*(option.alias or name for name, option in NodeOptions.model_fields.items()), WHEN, FOR_EACH)


class EnvironmentSpec(StrictModel):
    """Where and how a pipeline runs, as declared."""

    backend: Backend = "local"
    runner: Runner = "direct"
    pipeline_root: str | None = None
    metadata: str | None = Field(default=None, repr=False)
    beam_args: list[str] = []
    jobs: Annotated[int, Field(ge=1)] | None = None
    env: dict[str, EnvironmentText] = Field(default={}, repr=False)
    resources: Resources = Resources()
    kubeflow: Cluster | None = None
    sample_rows: Annotated[int, Field(ge=0, le=100)] = 0


class Environment(EnvironmentSpec):
    """An environment with its name; relative `pipeline_root` and `metadata` are made absolute."""

    name: str


class Concurrency(StrictModel):
    """What happens when a run starts while others of the same pipeline are going on.

    `queue` waits until fewer than `limit` are, `skip` does not start, `replace` cancels the oldest.
    """

    policy: Literal["queue", "skip", "replace"]
    limit: Annotated[int, Field(ge=1)] = 1


class ExitHandler(StrictModel):
    """What is done when a run has ended.

    A command, a request to an address (`webhook`) with the run as JSON, or a node, which then runs at no other time.
    """

    command: Annotated[list[str], Field(min_length=1)] | None = None
    webhook: Annotated[str, Field(pattern=r"^(https?://|\$\{secret\.)")] | None = None
    node: str | None = None
    timeout_seconds: Annotated[Seconds, Field(gt=0)] = Field(default=60.0, alias="timeout")

    @model_validator(mode="after")
    def _one_of_all(self) -> ExitHandler:
        if sum(kind is not None for kind in (self.command, self.webhook, self.node)) != 1:
            raise ValueError("wants one of 'command', 'webhook' and 'node'")
        if self.node is not None and "timeout_seconds" in self.model_fields_set:
            raise ValueError("has a node, which says its timeout itself, under 'nodes'")
        return self


class RunPolicy(StrictModel):
    """How a run as a whole is carried out. Time in seconds."""

    timeout_seconds: Annotated[Seconds, Field(gt=0)] | None = Field(default=None, alias="timeout")
    concurrency: Concurrency | None = None
    on_success: list[ExitHandler] = []
    on_failure: list[ExitHandler] = []
    always: list[ExitHandler] = []


POLICY_NAMES = tuple(field.alias or name for name, field in RunPolicy.model_fields.items())


@dataclass(frozen=True)
class OutputReference:
    """An output of another node, as an input's value."""

    node: str
    output: str

    def __str__(self) -> str:
        return f"${{nodes.{self.node}.{self.output}}}"


@dataclass(frozen=True)
class EachArtifact:
    """One artifact of an output, as an input's value: its node runs for each of them."""

    reference: OutputReference


@dataclass(frozen=True)
class ChannelQuery:
    """A resolver's input that is looked up in the metadata store rather than made by a node.

    Attributes:
        type: a standard artifact type's name, or `package.module:Class`.
        producer_component_id: only artifacts of this node.
        output_key: only artifacts of this output.
    """

    type: str
    producer_component_id: str | None = None
    output_key: str | None = None


@dataclass(frozen=True)
class Node:
    """One node, checked and with every reference but those to other nodes replaced.

    Attributes:
        id: its key under `nodes`.
        component: a standard component's name or `package.module:Name`, as declared.
        arguments: by the component's own parameter names. An input is an `OutputReference`, a tuple of them, or an
            `EachArtifact` (a resolver's may be a `ChannelQuery`); a message is a dictionary that
            `json_format.ParseDict` takes; an enum is its number; a path is absolute; an own class is
            `package.module:Class`, a standard artifact type or strategy its name; a function is
            `package.module.function`.
        options: how it is run.
        when: what must hold for it to run; None for always.
    """

    id: str
    component: str
    arguments: Mapping[str, Any]
    options: NodeOptions
    when: conditions.Condition | None = None

    def references(self) -> list[OutputReference]:
        """Returns the outputs this node takes or whose properties it asks for, in the order of its arguments."""
        found: list[OutputReference] = []
        for value in self.arguments.values():
            items = value if isinstance(value, tuple) else (value,)
            items = tuple(item.reference if isinstance(item, EachArtifact) else item for item in items)
            found += [item for item in items if isinstance(item, OutputReference)]
        if self.when is not None:
            found += [OutputReference(asked.node, asked.output) for asked in conditions.comparisons(self.when)]
        return found


@dataclass(frozen=True)
class Declaration:
    """A whole declaration for one environment and one set of parameter values.

    Attributes:
        file: the declaration's file, absolute.
        project: the project's root folder.
        import_roots: the folders that user code is imported from, first one first.
        name: the pipeline's name.
        description: what the pipeline is for; may be empty.
        parameters: the declared parameters.
        parameter_values: the value of each; a path is absolute.
        nodes: the nodes by id, in the file's order.
        environment: the chosen environment.
        environments: the names of all declared environments.
        policy: how a run as a whole is carried out.
    """

    file: Path
    project: Path
    import_roots: tuple[Path, ...]
    name: str
    description: str
    parameters: Mapping[str, ParameterSpec]
    parameter_values: Mapping[str, Any]
    nodes: Mapping[str, Node]
    environment: Environment
    environments: tuple[str, ...]
    policy: RunPolicy
    source: Source = field(repr=False, compare=False)

    def user_code(self) -> list[str]:
        """Returns the dotted names that could name user code, prose and names of installed packages among them."""
        texts = [node.component for node in self.nodes.values()]
        texts += [value for node in self.nodes.values() for value in node.arguments.values() if isinstance(value, str)]
        return [text.replace(":", ".") for text in texts]

    def place(self, node_id: str, *path: str | int) -> Place:
        """Returns where a node, or the value at `path` inside it, stands in the file."""
        if not path:
            return self.source.key_place(("nodes", node_id))
        return self.source.place(("nodes", node_id, *path))

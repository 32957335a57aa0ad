"""The declaration: `pipeline.yaml` read into a typed model, every mistake found with its place."""

from penstock.spec.loader import load
from penstock.spec.model import (
    ChannelQuery,
    Declaration,
    EachArtifact,
    Environment,
    Node,
    NodeOptions,
    OutputReference,
    ParameterSpec,
    Resources,
    RunPolicy,
)
from penstock.spec.yaml_source import Place

__all__ = [
    "ChannelQuery",
    "Declaration",
    "EachArtifact",
    "Environment",
    "Node",
    "NodeOptions",
    "OutputReference",
    "ParameterSpec",
    "Place",
    "Resources",
    "RunPolicy",
    "load",
]

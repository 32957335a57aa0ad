"""What a pipeline asks of the machine it runs on, checked before its first node starts."""

from __future__ import annotations

from google.protobuf import json_format
from tfx.proto import infra_validator_pb2
from tfx.proto.orchestration import executable_spec_pb2

from penstock.engine.graph import Graph, GraphNode
from penstock.errors import UsageError

_INFRA_VALIDATOR = "tfx.components.infra_validator.component.InfraValidator"
_DOCKER_SECONDS = 5


def check(graph: Graph) -> None:
    """Checks that this machine can run every node.

    Raises:
        UsageError: it cannot; the message names each such node and says what to do.
    """
    missing = []
    for node in graph.nodes.values():
        cause = _missing(node)
        if cause is not None:
            missing.append(f"node {node.id!r}: {cause}")
    if missing:
        raise UsageError("\n".join([f"{graph.pipeline} cannot run on this machine; nothing was started.", *missing]))


def _missing(node: GraphNode) -> str | None:
    if isinstance(node.executor_spec, executable_spec_pb2.ContainerExecutableSpec):
        return (
            f"{node.component} is a container component (image {node.executor_spec.image!r}), and the local backend"
            " runs Python executors only. Use a backend that runs containers, or write the step as a @component"
            " function."
        )
    if node.proto.node_info.type.name == _INFRA_VALIDATOR:
        return _missing_for_infra_validator(node)
    return None


def _missing_for_infra_validator(node: GraphNode) -> str | None:
    spec = infra_validator_pb2.ServingSpec()
    json_format.Parse(node.proto.parameters.parameters["serving_spec"].field_value.string_value, spec)
    if spec.WhichOneof("serving_platform") == "kubernetes":
        return (
            "InfraValidator with serving_spec.kubernetes starts a model server beside its own pod, and here is no pod."
            " Use serving_spec.local_docker, or leave the node out."
        )
    import docker
    from docker.errors import DockerException

    config = spec.local_docker
    options = {"version": config.client_api_version} if config.client_api_version else {}
    address = config.client_base_url or None
    try:
        docker.DockerClient(base_url=address, timeout=_DOCKER_SECONDS, **options).ping()
    except DockerException as error:
        return (
            f"InfraValidator starts a model server in Docker, and no Docker answers at {address or 'its usual socket'}."
            f" Start Docker and run again, or leave the node out.\n  ({error})"
        )
    return None

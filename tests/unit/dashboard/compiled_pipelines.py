"""Compiled pipelines for tests, written with the messages that the dashboard reads out of TFX's modules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf import struct_pb2

from penstock.dashboard.ir_messages import message_class

PACKAGE = "tfx.orchestration"


def pipeline(
    *,
    steps: int = 10,
    component: str = "tfx.components.trainer.component.Trainer",
    extra: bool = False,
    settings: Mapping[str, Any] | None = None,
    policy: Mapping[str, Any] | None = None,
    custom: Mapping[str, Any] | None = None,
) -> bytes:
    """`examples` feeds `trainer`, which takes `steps` steps; `extra` adds a node after it."""
    message = message_class(f"{PACKAGE}.Pipeline")()
    message.pipeline_info.id = "taxi"
    _node(message, "examples", "tfx.components.example_gen.csv_example_gen.component.CsvExampleGen")
    trainer = _node(message, "trainer", component, upstream="examples")
    trainer.parameters.parameters["num_steps"].field_value.int_value = steps
    if custom is not None:
        trainer.parameters.parameters["custom_config"].field_value.string_value = json.dumps(custom)
    channel = trainer.inputs.inputs["examples"].channels.add(output_key="examples")
    channel.producer_node_query.id = "examples"
    trainer.execution_options.max_execution_retries = 2
    if extra:
        _node(message, "evaluator", "tfx.components.evaluator.component.Evaluator", upstream="trainer")
    deployment = message_class(f"{PACKAGE}.IntermediateDeploymentConfig")()
    executor = message_class(f"{PACKAGE}.executable_spec.PythonClassExecutableSpec")()
    executor.class_path = "tfx.components.trainer.executor.GenericExecutor"
    deployment.executor_specs["trainer"].Pack(executor)
    if settings:
        deployment.node_level_platform_configs["trainer"].Pack(_struct(settings))
    if policy:
        deployment.pipeline_level_platform_config.Pack(_struct(policy))
    message.deployment_config.Pack(deployment)
    content: bytes = message.SerializeToString(deterministic=True)
    return content


def _node(message: Any, name: str, component: str, upstream: str | None = None) -> Any:
    node = message.nodes.add().pipeline_node
    node.node_info.id = name
    node.node_info.type.name = component
    if upstream:
        node.upstream_nodes.append(upstream)
    return node


def _struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    packed = struct_pb2.Struct()
    packed.update(dict(values))
    return packed

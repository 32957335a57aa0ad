"""The package that Kubeflow Pipelines takes: one container a node, in the order that the graph gives them.

Made with the KFP SDK. What a node does is not in it: every container finds the compiled pipeline in the metadata store.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Optional

from kfp import compiler, dsl, kubernetes
from kfp.dsl import component_factory

from penstock.backends.local.attempts import Policy
from penstock.engine.graph import Graph, GraphNode
from penstock.errors import UsageError
from penstock.spec import Declaration, ParameterSpec
from penstock.spec.cluster import Cluster

_COMMAND = ["python", "-m", "penstock.backends.kubeflow.pod"]
# What KFP calls the types of a declaration's parameters.
_TYPES: dict[str, type] = {"int": int, "float": float, "bool": bool, "list": list, "dict": dict}
# The first and the last step of a run meet databases and file systems that may be away for a while.
_STEP_RETRIES = 3
_MEMORY_FACTORS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def write(declaration: Declaration, graph: Graph, given: Mapping[str, str], target: Path) -> None:
    """Writes the package of a declaration.

    Args:
        declaration: the declaration, for an environment on a cluster.
        graph: the graph of what it compiles to.
        given: parameters that were set, as text; they become the package's defaults.
        target: the file to write, YAML.

    Raises:
        UsageError: the environment lacks what a cluster needs.
    """
    compiler.Compiler().compile(_Package(declaration, graph, given).pipeline(), str(target))


class _Package:
    def __init__(self, declaration: Declaration, graph: Graph, given: Mapping[str, str]):
        self._declaration = declaration
        self._graph = graph
        self._given = given
        self._cluster = _cluster(declaration)
        folder = PurePosixPath(self._cluster.project)
        self._source = str(folder / declaration.file.relative_to(declaration.project).as_posix())

    def pipeline(self) -> Any:
        """Returns the pipeline as KFP's own object."""

        def body(*values: Any) -> None:
            parameters = dict(zip(self._declaration.parameters, values, strict=True))
            with dsl.ExitHandler(self._task("end", ["end"], parameters), name="run"):
                begin = self._task("begin", ["begin"], parameters, ["--graph", self._graph.digest()])
                tasks: dict[str, Any] = {}
                for node in self._graph.nodes.values():
                    if node.id in self._graph.exit_nodes():
                        continue
                    task = self._node_task(node, parameters)
                    task.after(*(tasks[name] for name in node.upstream))
                    if not node.upstream:
                        task.after(begin)
                    tasks[node.id] = task

        _sign(body, [self._parameter(*each) for each in self._declaration.parameters.items()])
        return component_factory.create_graph_component_from_func(
            body, name=self._declaration.name, description=self._declaration.description or None
        )

    def _parameter(self, name: str, spec: ParameterSpec) -> inspect.Parameter:
        kind: Any = _TYPES.get(spec.type, str)
        default = inspect.Parameter.empty if spec.required and name not in self._given else self._default(name, spec)
        if default is None:
            kind = Optional[kind]  # noqa: UP045 - the SDK does not know the other way to write it
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)

    def _default(self, name: str, spec: ParameterSpec) -> Any:
        """A path stays as it is written: it means a place in the image, or in an object store."""
        if spec.type == "path":
            return self._given.get(name, spec.default)
        return self._declaration.parameter_values[name]

    def _task(self, name: str, step: Sequence[str], parameters: Mapping[str, Any], more: Sequence[str] = ()) -> Any:
        task = self._component(name, step, more)(**parameters)
        task.set_retry(num_retries=_STEP_RETRIES, backoff_duration="5s", backoff_factor=2.0)
        return self._placed(task, name)

    def _node_task(self, node: GraphNode, parameters: Mapping[str, Any]) -> Any:
        task = self._component(node.id, ["node"], [node.id])(**parameters)
        policy = Policy.of(node)
        if policy.retries:
            # KFP has no backoff of less than a second.
            task.set_retry(
                num_retries=policy.retries,
                backoff_duration=f"{max(1, round(policy.backoff_seconds))}s",
                backoff_factor=2.0,
            )
        if policy.timeout_seconds is not None:
            # The node ends itself in time, and says why; the cluster ends what could not.
            kubernetes.set_timeout(task, round(policy.timeout_seconds) + 120)
        self._give(task, node.settings.get("resources", {}))
        return self._placed(task, node.id)

    def _component(self, name: str, step: Sequence[str], more: Sequence[str]) -> Callable[..., Any]:
        """Returns a component of one step, whose arguments are the pipeline's parameters."""

        def container(*values: Any) -> dsl.ContainerSpec:
            arguments: list[Any] = [self._source, "--env", self._declaration.environment.name]
            arguments += ["--run-id", dsl.PIPELINE_JOB_ID_PLACEHOLDER]
            for (key, spec), value in zip(self._declaration.parameters.items(), values, strict=True):
                pair = ["-p", dsl.ConcatPlaceholder([f"{key}=", value])]
                optional = not spec.required and self._default(key, spec) is None
                arguments += [dsl.IfPresentPlaceholder(input_name=key, then=pair)] if optional else pair
            return dsl.ContainerSpec(image=self._cluster.image, command=_COMMAND, args=[*step, *arguments, *more])

        parameters = [self._parameter(*each) for each in self._declaration.parameters.items()]
        bare = [each.replace(default=None if each.default is None else inspect.Parameter.empty) for each in parameters]
        _sign(container, bare, dsl.ContainerSpec)
        container.__name__ = name
        component: Callable[..., Any] = component_factory.create_container_component_from_func(container)
        return component

    def _placed(self, task: Any, name: str) -> Any:
        """Gives a task what the environment says of all pods."""
        cluster = self._cluster
        task.set_display_name(name)
        task.set_caching_options(False)  # Penstock's own cache decides
        for variable, entry in cluster.secrets.items():
            kubernetes.use_secret_as_env(task, entry.secret, {entry.key: variable})
        for volume in cluster.volumes:
            kubernetes.mount_pvc(task, volume.claim, volume.path)
        for key, value in cluster.node_selector.items():
            kubernetes.add_node_selector(task, key, value)
        for toleration in cluster.tolerations:
            kubernetes.add_toleration(task, toleration.key, toleration.operator, toleration.value, toleration.effect)
        for key, value in cluster.labels.items():
            kubernetes.add_pod_label(task, key, value)
        for key, value in cluster.annotations.items():
            kubernetes.add_pod_annotation(task, key, value)
        if cluster.image_pull_policy is not None:
            kubernetes.set_image_pull_policy(task, cluster.image_pull_policy)
        if cluster.image_pull_secrets:
            kubernetes.set_image_pull_secrets(task, cluster.image_pull_secrets)
        return task

    def _give(self, task: Any, resources: Mapping[str, Any]) -> None:
        if resources.get("cpu"):
            task.set_cpu_request(f"{resources['cpu']:g}").set_cpu_limit(f"{resources['cpu']:g}")
        if resources.get("memory"):
            memory = _memory(resources["memory"])
            task.set_memory_request(memory).set_memory_limit(memory)
        if resources.get("gpu"):
            task.set_accelerator_type(self._cluster.accelerator).set_accelerator_limit(int(resources["gpu"]))


def _sign(function: Any, parameters: Sequence[inspect.Parameter], returns: Any = None) -> None:
    """Gives a function the parameters that the SDK is to see."""
    function.__signature__ = inspect.Signature(parameters, return_annotation=returns)


def _cluster(declaration: Declaration) -> Cluster:
    environment = declaration.environment
    where = f"{declaration.file}: environment {environment.name!r}"
    if environment.kubeflow is None:
        raise UsageError(
            f"{where} has the backend kubeflow and does not say which image its nodes run in. Add"
            " kubeflow: {image: …}"
        )
    if environment.pipeline_root is None and not environment.kubeflow.volumes:
        raise UsageError(
            f"{where} has no pipeline_root, and its containers share no disk. Name a bucket, as in pipeline_root:"
            " s3://bucket/pipelines, or a folder in a volume under kubeflow: {volumes: …}"
        )
    if not declaration.file.is_relative_to(declaration.project):
        raise UsageError(f"{declaration.file} lies outside of its project {declaration.project}")
    return environment.kubeflow


def _memory(text: str) -> str:
    """KFP takes whole numbers only."""
    number = text.rstrip("KMGTikm")
    if "." not in number:
        return text
    return f"{round(float(number) * _MEMORY_FACTORS[text[len(number) :]] / 2**20)}Mi"

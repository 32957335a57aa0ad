"""What an environment says of the cluster its nodes run on: the value of `kubeflow`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# Kubernetes' own rules: a DNS label, an environment variable, an absolute path.
_Label = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
_Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
_Path = Annotated[str, Field(pattern=r"^/[^:]*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SecretKey(_Strict):
    """An entry of a Kubernetes secret. The package holds these names, never the value."""

    secret: _Label
    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$")]


class Volume(_Strict):
    """A persistent volume claim, and where nodes find it."""

    claim: _Label
    path: _Path


class Toleration(_Strict):
    """A taint of cluster nodes that pods may run in spite of."""

    key: str
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class Cluster(_Strict):
    """How the pods of a run are made.

    Attributes:
        image: the container image of every node: Penstock and the project.
        project: the project's folder in that image.
        image_pull_policy: when the image is fetched.
        image_pull_secrets: secrets to fetch it with.
        secrets: environment variables of every pod, by name, from Kubernetes secrets.
        volumes: persistent volume claims mounted in every pod.
        node_selector: labels that cluster nodes must have.
        tolerations: taints that pods tolerate.
        labels: labels of every pod.
        annotations: annotations of every pod.
        accelerator: the resource that `resources.gpu` counts.
        endpoint: where Kubeflow Pipelines answers, as the browser shows it; else PENSTOCK_KFP_ENDPOINT.
        namespace: the namespace that runs belong to, where users have their own.
        experiment: the experiment that runs belong to; made if missing.
        service_account: what the pods run as.
    """

    image: Annotated[str, Field(min_length=1)]
    project: _Path = "/project"
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    image_pull_secrets: list[_Label] = []
    secrets: dict[_Variable, SecretKey] = {}
    volumes: list[Volume] = []
    node_selector: dict[str, str] = {}
    tolerations: list[Toleration] = []
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    accelerator: str = "nvidia.com/gpu"
    endpoint: str | None = None
    namespace: _Label | None = None
    experiment: Annotated[str, Field(min_length=1)] = "Default"
    service_account: _Label | None = None

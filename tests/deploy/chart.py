"""The chart, rendered by Helm, and what is in the manifests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "penstock"
VALUES = sorted((Path(__file__).parent / "values").glob("*.yaml"))
RELEASE, NAMESPACE = "taxi", "ml"

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Helm:
    """Helm, without anything of the user's own."""

    program: Path
    home: Path

    def __call__(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Runs it to its end; raises no error for its status."""
        environ = {**os.environ, "HOME": str(self.home), "KUBECONFIG": str(self.home / "none")}
        environ = {name: value for name, value in environ.items() if not name.startswith(("HELM_", "XDG_"))}
        command = [str(self.program), *map(str, arguments)]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)

    def render(
        self, *arguments: str | Path, release: str = RELEASE, version: str = "v1.33.0"
    ) -> subprocess.CompletedProcess[str]:
        """Makes manifests of the chart, for a version of Kubernetes."""
        return self("template", release, CHART, "--namespace", NAMESPACE, "--kube-version", version, *arguments)

    def template(self, *arguments: str | Path, release: str = RELEASE, version: str = "v1.33.0") -> list[Manifest]:
        """Returns what the chart makes of values, for a version of Kubernetes."""
        done = self.render(*arguments, release=release, version=version)
        assert done.returncode == 0, done.stderr
        return [document for document in yaml.safe_load_all(done.stdout) if document]


@dataclass(frozen=True)
class Pod:
    """A pod that a manifest makes.

    Attributes:
        owner: the manifest's kind and name.
        labels: the pod's own.
        spec: its specification.
    """

    owner: str
    labels: Mapping[str, str]
    spec: Mapping[str, Any]

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        """All of its containers, also those that come first."""
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]


def pods(manifests: Sequence[Manifest]) -> Iterator[Pod]:
    """Yields the pods that manifests make."""
    for manifest in manifests:
        if manifest["kind"] == "Pod":
            yield Pod(name_of(manifest), manifest["metadata"].get("labels", {}), manifest["spec"])
        elif "template" in manifest.get("spec", {}):
            template = manifest["spec"]["template"]
            yield Pod(name_of(manifest), template["metadata"].get("labels", {}), template["spec"])


def name_of(manifest: Manifest) -> str:
    """A manifest's kind and name, as kubectl writes it."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def of_kind(manifests: Sequence[Manifest], kind: str) -> dict[str, Manifest]:
    """The manifests of a kind, by name."""
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}

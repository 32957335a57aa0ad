"""What no manifest may do: each policy yields a sentence for what breaks it.

Those of pods are the "restricted" profile of Kubernetes' pod security standards, and more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.deploy.chart import Manifest, Pod, name_of, of_kind, pods

Policy = Callable[[Sequence[Manifest]], Iterator[str]]

_ALLOWED_VOLUMES = frozenset(
    ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret")
)
_SECRET = re.compile(r"password|passwd|secret|token|api_?key|access_?key|private_?key|credential", re.IGNORECASE)
_URL_WITH_PASSWORD = re.compile(r"://[^/\s:@]*:(?!\$\()[^/\s@]+@")


def nobody_is_root(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Each container has a user's number other than 0, and Kubernetes checks it."""
    for pod, container, security in _securities(manifests):
        if security.get("runAsNonRoot") is not True or not security.get("runAsUser") or not security.get("runAsGroup"):
            yield f"{pod.owner}: {container['name']} may be root"


def nobody_gains_privileges(manifests: Sequence[Manifest]) -> Iterator[str]:
    """No escalation, no capability, no privileged container."""
    for pod, container, security in _securities(manifests):
        if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
            yield f"{pod.owner}: {container['name']} may gain privileges"
        if security.get("capabilities", {}) != {"drop": ["ALL"]}:
            yield f"{pod.owner}: {container['name']} keeps capabilities"


def system_calls_are_filtered(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Each container has the runtime's own filter."""
    for pod, container, security in _securities(manifests):
        if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{pod.owner}: {container['name']} has no seccomp profile"


def root_file_systems_are_read_only(manifests: Sequence[Manifest]) -> Iterator[str]:
    """What a container writes goes to volumes."""
    for pod, container, security in _securities(manifests):
        if security.get("readOnlyRootFilesystem") is not True:
            yield f"{pod.owner}: {container['name']} can write to its image"


def nothing_of_the_host(manifests: Sequence[Manifest]) -> Iterator[str]:
    """No folder, network, process or port of the machine."""
    for pod in pods(manifests):
        for volume in pod.spec.get("volumes", ()):
            if kinds := set(volume) - {"name"} - _ALLOWED_VOLUMES:
                yield f"{pod.owner}: volume {volume['name']} is a {', '.join(kinds)}"
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(key):
                yield f"{pod.owner}: has {key}"
        for container in pod.containers:
            if any("hostPort" in port for port in container.get("ports", ())):
                yield f"{pod.owner}: {container['name']} has a port of the host's"


def amounts_are_set(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Each container says how much it wants and may have; volumes in memory and on the machine's disk have an end."""
    for pod in pods(manifests):
        for container in pod.containers:
            for kind in ("requests", "limits"):
                if missing := {"cpu", "memory"} - set(container.get("resources", {}).get(kind, ())):
                    yield f"{pod.owner}: {container['name']} has no {kind} of {', '.join(sorted(missing))}"
        for volume in pod.spec.get("volumes", ()):
            if "emptyDir" in volume and not (volume["emptyDir"] or {}).get("sizeLimit"):
                yield f"{pod.owner}: volume {volume['name']} has no end"


def services_are_probed(manifests: Sequence[Manifest]) -> Iterator[str]:
    """What goes on for ever says whether it works."""
    for pod in pods([each for each in manifests if each["kind"] != "Job"]):
        for container in pod.spec["containers"]:
            if "readinessProbe" not in container:
                yield f"{pod.owner}: {container['name']} has no readiness probe"


def secrets_are_in_secrets(manifests: Sequence[Manifest]) -> Iterator[str]:
    """No ConfigMap, argument, annotation or plain variable holds one."""
    for config in of_kind(manifests, "ConfigMap").values():
        for key, value in {**config.get("data", {}), **config.get("binaryData", {})}.items():
            if _SECRET.search(key) or _URL_WITH_PASSWORD.search(str(value)):
                yield f"{name_of(config)}: {key} looks like a secret"
    for pod in pods(manifests):
        for container in pod.containers:
            for variable in container.get("env", ()):
                value = variable.get("value", "")
                # What begins with a slash is the name of a file.
                is_named_so = bool(value) and not value.startswith("/") and _SECRET.search(variable["name"])
                if is_named_so or _URL_WITH_PASSWORD.search(value):
                    yield f"{pod.owner}: {container['name']} has {variable['name']} in the open"
    generated = {
        value for secret in of_kind(manifests, "Secret").values() for value in secret.get("data", {}).values() if value
    }
    others = json.dumps([each for each in manifests if each["kind"] != "Secret"])
    for value in generated:
        if value in others:
            yield "a secret's value is in another manifest"


def the_api_is_closed(manifests: Sequence[Manifest]) -> Iterator[str]:
    """No pod holds a token of the cluster's API, and no role names everything."""
    for pod in pods(manifests):
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.owner}: has a token of the API"
        if pod.spec.get("serviceAccountName", "default") == "default":
            yield f"{pod.owner}: has the account that all others have"
    for manifest in manifests:
        if manifest["kind"].startswith("Cluster"):
            yield f"{name_of(manifest)}: reaches beyond its namespace"
        for rule in manifest.get("rules", ()) if manifest["kind"] == "Role" else ():
            if any("*" in rule.get(key, ()) for key in ("apiGroups", "resources", "verbs")):
                yield f"{name_of(manifest)}: has a rule for everything"
            if "secrets" in rule["resources"]:
                yield f"{name_of(manifest)}: reads secrets"


def images_are_named(manifests: Sequence[Manifest]) -> Iterator[str]:
    """An image has a tag or digest, and the tag is not the one that moves."""
    for pod in pods(manifests):
        for container in pod.containers:
            image = container["image"]
            if "@sha256:" not in image and (":" not in image.rpartition("/")[2] or image.endswith(":latest")):
                yield f"{pod.owner}: {container['name']} takes whatever {image} is today"


ALL: tuple[Policy, ...] = (
    nobody_is_root,
    nobody_gains_privileges,
    system_calls_are_filtered,
    root_file_systems_are_read_only,
    nothing_of_the_host,
    amounts_are_set,
    services_are_probed,
    secrets_are_in_secrets,
    the_api_is_closed,
    images_are_named,
)


def _securities(manifests: Sequence[Manifest]) -> Iterator[tuple[Pod, Any, dict[str, Any]]]:
    """Each container with the security settings that hold for it: its own before those of its pod."""
    for pod in pods(manifests):
        for container in pod.containers:
            yield pod, container, {**pod.spec.get("securityContext", {}), **container.get("securityContext", {})}

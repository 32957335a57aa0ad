"""What a real API server says of the chart: it takes every object, and installing twice changes nothing."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.api_server import ApiServer
from tests.deploy.chart import CHART, RELEASE, VALUES, Helm, Pod, name_of, pods

# Building the server takes a quarter of an hour the first time.
pytestmark = pytest.mark.timeout(3600)

_FOLDER = Path(__file__).parent / "values"


@pytest.fixture(scope="module")
def namespace(api_server: ApiServer) -> str:
    """A namespace in which pods have to keep to the strictest level, with the accounts that they name."""
    name = api_server.make_namespace("restricted")
    for account in (RELEASE, f"{RELEASE}-database"):
        manifest = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}}
        assert api_server.create(manifest, name, dry_run=False).is_success
    return name


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_the_server_takes_every_object_and_every_pod(
    helm: Helm, api_server: ApiServer, namespace: str, values: Path
) -> None:
    manifests = helm.template("--values", values)
    made = [_pod(pod) for pod in pods(manifests)]
    there = {f"ServiceAccount/{RELEASE}", f"ServiceAccount/{RELEASE}-database"}
    for manifest in [*(each for each in manifests if name_of(each) not in there), *made]:
        answer = api_server.create(manifest, namespace)
        assert answer.is_success, f"{name_of(manifest)}: {answer.text}"
        assert "warning" not in answer.headers, f"{name_of(manifest)}: {answer.headers['warning']}"


def test_the_server_does_refuse_what_falls_below_the_level(helm: Helm, api_server: ApiServer, namespace: str) -> None:
    pod = _pod(next(pods(helm.template("--values", _FOLDER / "minimal.yaml"))))
    pod["spec"]["hostNetwork"] = True
    answer = api_server.create(pod, namespace)
    assert answer.status_code == 403
    assert "hostNetwork" in answer.text


def test_installing_twice_changes_nothing_and_uninstalling_leaves_what_is_kept(
    helm: Helm, api_server: ApiServer
) -> None:
    namespace = api_server.make_namespace("restricted")
    _install(helm, api_server, namespace, _FOLDER / "ingress.yaml")
    first = api_server.objects(namespace)
    assert {"StatefulSet/taxi-dashboard", "StatefulSet/taxi-scheduler", "StatefulSet/taxi-database"} <= set(first)
    _install(helm, api_server, namespace, _FOLDER / "ingress.yaml")
    assert _versions(api_server.objects(namespace)) == _versions(first)
    _helm(helm, api_server, "uninstall", RELEASE, "--namespace", namespace)
    assert set(api_server.objects(namespace)) == {"PersistentVolumeClaim/taxi-state", "Secret/taxi-database"}


def test_generated_passwords_stay_over_an_upgrade_and_a_new_install(helm: Helm, api_server: ApiServer) -> None:
    namespace = api_server.make_namespace("restricted")
    _install(helm, api_server, namespace, _FOLDER / "minimal.yaml")
    first = api_server.objects(namespace)
    _install(helm, api_server, namespace, _FOLDER / "minimal.yaml", "--set", "image.tag=v8")
    second = api_server.objects(namespace)
    tokens = _secret(second, "taxi-dashboard")
    assert tokens == _secret(first, "taxi-dashboard")
    assert len({*tokens.values()}) == 3 and all(len(token) >= 40 for token in tokens.values())
    assert {name for name in second if name.startswith("Job/")} != {name for name in first if name.startswith("Job/")}
    _helm(helm, api_server, "uninstall", RELEASE, "--namespace", namespace)
    _install(helm, api_server, namespace, _FOLDER / "minimal.yaml")
    third = api_server.objects(namespace)
    assert _secret(third, "taxi-database") == _secret(first, "taxi-database")


def test_uninstalling_without_keeping_leaves_nothing(helm: Helm, api_server: ApiServer) -> None:
    namespace = api_server.make_namespace("restricted")
    _install(helm, api_server, namespace, _FOLDER / "google.yaml")
    assert api_server.objects(namespace)
    _helm(helm, api_server, "uninstall", RELEASE, "--namespace", namespace)
    assert not api_server.objects(namespace)


def test_people_may_do_what_their_role_says_and_no_more(helm: Helm, api_server: ApiServer) -> None:
    namespace = api_server.make_namespace("restricted")
    _install(helm, api_server, namespace, _FOLDER / "ingress.yaml")
    dashboard, scheduler, database = (f"{RELEASE}-{name}-0" for name in ("dashboard", "scheduler", "database"))
    people: dict[str, tuple[str, list[str]]] = {
        "operator": ("grace", ["ml:engineers"]),
        "deployer": (f"system:serviceaccount:{namespace}:deployer", []),
        "viewer": ("ada@example.org", []),
        "stranger": ("eve", []),
        "pod": (f"system:serviceaccount:{namespace}:{RELEASE}", []),
    }
    expected = {
        ("list", "pods", ""): {"operator", "deployer", "viewer"},
        ("get", "pods/log", scheduler): {"operator", "deployer", "viewer"},
        ("create", "pods/portforward", dashboard): {"operator", "deployer", "viewer"},
        ("create", "pods/exec", scheduler): {"operator", "deployer"},
        ("create", "pods/exec", database): set(),
        ("create", "pods/portforward", database): set(),
        ("get", "secrets", "taxi-database"): set(),
        ("delete", "pods", scheduler): set(),
        ("create", "pods", ""): set(),
    }
    for (verb, resource, name), who in expected.items():
        may = {role for role, person in people.items() if api_server.may(*person, verb, namespace, resource, name)}
        assert may == who, f"{verb} {resource} {name}"


def _pod(pod: Pod) -> dict[str, Any]:
    """A pod by itself, which pod security judges; with the claims that a set's controller would add."""
    volumes = list(pod.spec.get("volumes", ()))
    named = {mount["name"] for each in pod.spec["containers"] for mount in each["volumeMounts"]}
    missing = sorted(named - {volume["name"] for volume in volumes})
    claims = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in missing]
    spec = {**pod.spec, "volumes": volumes + claims}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}


def _install(helm: Helm, api_server: ApiServer, namespace: str, values: Path, *more: str) -> None:
    release = ("upgrade", RELEASE, str(CHART), "--install", "--namespace", namespace, "--values", str(values))
    _helm(helm, api_server, *release, *more)


def _helm(helm: Helm, api_server: ApiServer, *arguments: str) -> None:
    done = helm(*arguments, "--kubeconfig", api_server.kubeconfig)
    assert done.returncode == 0, done.stderr


def _versions(objects: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {name: each["metadata"]["resourceVersion"] for name, each in objects.items()}


def _secret(objects: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in objects[f"Secret/{name}"]["data"].items()}

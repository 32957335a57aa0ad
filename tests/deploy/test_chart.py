"""The chart: what it makes of sets of values is right for Kubernetes, safe, and fits together."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import policies
from tests.deploy.chart import CHART, RELEASE, VALUES, Helm, Manifest, Pod, name_of, of_kind, pods
from tests.deploy.schemas import Schemas

# A chart's first template takes a moment; building Helm takes minutes.
pytestmark = pytest.mark.timeout(3600)

_MINIMAL, _EXTERNAL = (Path(__file__).parent / "values" / f"{name}.yaml" for name in ("minimal", "external-database"))


@pytest.fixture(scope="module", params=VALUES, ids=lambda path: path.stem)
def values(request: pytest.FixtureRequest) -> Path:
    """Each of the sets of values."""
    file: Path = request.param
    return file


@pytest.fixture(scope="module")
def manifests(helm: Helm, values: Path) -> list[Manifest]:
    """What the chart makes of it."""
    return helm.template("--values", values)


@pytest.fixture(scope="module")
def all_schemas(tools: Path) -> list[Schemas]:
    found = [Schemas(file) for file in sorted(tools.glob("kubernetes-*.json"))]
    assert len(found) == 3
    return found


def test_lint_finds_nothing(helm: Helm, values: Path) -> None:
    done = helm("lint", "--strict", CHART, "--values", values)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout and "[ERROR]" not in done.stdout


def test_manifests_are_what_three_versions_of_kubernetes_take(
    helm: Helm, all_schemas: list[Schemas], values: Path
) -> None:
    for schemas in all_schemas:
        manifests = helm.template("--values", values, version=schemas.version)
        found = {name_of(each): problems for each in manifests if (problems := schemas.problems(each))}
        assert not found, f"Kubernetes {schemas.version}: {found}"


def test_the_schemas_find_what_is_wrong(helm: Helm, all_schemas: list[Schemas]) -> None:
    def change(manifest: Any, value: Any, *path: str | int) -> Any:
        changed = inner = copy.deepcopy(manifest)
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        return changed

    good = of_kind(helm.template("--values", _MINIMAL), "StatefulSet")["taxi-dashboard"]
    pod = ("spec", "template", "spec")
    wrong = [
        change(good, "one", "spec", "replicas"),
        change(good, {}, "spec", "replicsa"),
        change(good, True, *pod, "containers", 0, "readOnlyRootFilesystem"),
        change(good, [80], *pod, "containers", 0, "command"),
        change(good, "apps/v1beta1", "apiVersion"),
        change(good, 5, *pod, "containers", 0, "resources", "limits", "memory"),
        {key: value for key, value in good.items() if key != "spec"} | {"spec": {"replicas": 1}},
    ]
    for schemas in all_schemas:
        assert not schemas.problems(good)
        for manifest in wrong:
            assert schemas.problems(manifest), manifest


@pytest.mark.parametrize("policy", policies.ALL, ids=lambda policy: policy.__name__)
def test_manifests_keep_the_policies(manifests: list[Manifest], policy: policies.Policy) -> None:
    assert list(policy(manifests)) == []


def _spoil_pods(change: Callable[[Any], None]) -> Callable[[list[Any]], None]:
    def spoil(manifests: list[Any]) -> None:
        for pod in pods(manifests):
            change(pod.spec)

    return spoil


def _spoil_containers(change: Callable[[Any], None]) -> Callable[[list[Any]], None]:
    def spoil(manifests: list[Any]) -> None:
        for pod in pods(manifests):
            change(pod.containers[-1])

    return spoil


def _add_config(key: str, value: str) -> Callable[[list[Any]], None]:
    def spoil(manifests: list[Any]) -> None:
        config: Any = next(iter(of_kind(manifests, "ConfigMap").values()))
        config["data"] = {key: value}

    return spoil


@pytest.mark.parametrize(
    ("policy", "spoil"),
    [
        (policies.nobody_is_root, _spoil_pods(lambda pod: pod["securityContext"].update(runAsUser=0))),
        (policies.nobody_is_root, _spoil_containers(lambda each: each["securityContext"].update(runAsUser=0))),
        (policies.nobody_is_root, _spoil_pods(lambda pod: pod["securityContext"].pop("runAsNonRoot"))),
        (
            policies.nobody_gains_privileges,
            _spoil_containers(lambda each: each["securityContext"].pop("allowPrivilegeEscalation")),
        ),
        (
            policies.nobody_gains_privileges,
            _spoil_containers(lambda each: each["securityContext"].update(capabilities={"add": ["SYS_ADMIN"]})),
        ),
        (policies.system_calls_are_filtered, _spoil_pods(lambda pod: pod["securityContext"].pop("seccompProfile"))),
        (policies.root_file_systems_are_read_only, _spoil_containers(lambda each: each.pop("securityContext"))),
        (
            policies.nothing_of_the_host,
            _spoil_pods(lambda pod: pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}})),
        ),
        (policies.nothing_of_the_host, _spoil_pods(lambda pod: pod.update(hostNetwork=True))),
        (policies.nothing_of_the_host, _spoil_containers(lambda each: each.update(ports=[{"hostPort": 80}]))),
        (policies.amounts_are_set, _spoil_containers(lambda each: each["resources"].pop("limits"))),
        (policies.amounts_are_set, _spoil_pods(lambda pod: pod["volumes"].append({"name": "more", "emptyDir": {}}))),
        (policies.services_are_probed, _spoil_containers(lambda each: each.pop("readinessProbe", None))),
        (policies.secrets_are_in_secrets, _add_config("DB_PASSWORD", "x")),
        (policies.secrets_are_in_secrets, _add_config("DB", "postgresql://ada:lovelace@db/x")),
        (
            policies.secrets_are_in_secrets,
            _spoil_containers(lambda each: each["env"].append({"name": "API_KEY", "value": "x"})),
        ),
        (policies.the_api_is_closed, _spoil_pods(lambda pod: pod.pop("automountServiceAccountToken"))),
        (policies.the_api_is_closed, _spoil_pods(lambda pod: pod.pop("serviceAccountName"))),
        (policies.images_are_named, _spoil_containers(lambda each: each.update(image="localhost:5000/taxi"))),
    ],
)
def test_the_policies_find_what_breaks_them(
    helm: Helm, policy: policies.Policy, spoil: Callable[[list[Any]], None]
) -> None:
    manifests = helm.template("--values", _MINIMAL)
    assert not list(policy(manifests))
    spoil(manifests)
    assert list(policy(manifests))


def test_what_manifests_name_is_there(manifests: list[Manifest], values: Path) -> None:
    """Every claim, account, secret's entry and ConfigMap a pod names is in the release, or named in the values."""
    given = values.read_text()
    for pod in pods(manifests):
        if pod.owner.startswith("StatefulSet/"):
            owner = of_kind(manifests, "StatefulSet")[pod.owner.partition("/")[2]]
            assert owner["spec"]["serviceName"] in of_kind(manifests, "Service")
            assert owner["spec"]["selector"]["matchLabels"].items() <= pod.labels.items()
        for kind, name, key in _named_by(pod):
            there = of_kind(manifests, kind).get(name)
            if there is None:
                assert re.search(rf"\b{name}\b", given), f"{pod.owner} names {kind} {name}"
            elif key is not None:
                assert key in there["data"], f"{pod.owner} names {key} of {kind} {name}"
        mounted = {mount["name"] for each in pod.containers for mount in each.get("volumeMounts", ())}
        volumes = {volume["name"] for volume in pod.spec.get("volumes", ())}
        claimed = {"data"} if pod.labels["app.kubernetes.io/component"] == "database" else set()
        assert mounted == volumes | claimed, pod.owner


def _named_by(pod: Pod) -> Iterator[tuple[str, str, str | None]]:
    yield "ServiceAccount", pod.spec["serviceAccountName"], None
    for volume in pod.spec.get("volumes", ()):
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"], None
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"], None
    for each in pod.spec.get("imagePullSecrets", ()):
        yield "Secret", each["name"], None
    for container in pod.containers:
        for source in container.get("envFrom", ()):
            yield "ConfigMap", source["configMapRef"]["name"], None
        for variable in container.get("env", ()):
            if "valueFrom" in variable:
                reference = variable["valueFrom"]["secretKeyRef"]
                yield "Secret", reference["name"], reference["key"]


def test_services_and_policies_find_their_pods(manifests: list[Manifest]) -> None:
    found = list(pods(manifests))
    for service in of_kind(manifests, "Service").values():
        [pod] = [each for each in found if service["spec"]["selector"].items() <= each.labels.items()]
        ports = {port["name"] for container in pod.containers for port in container.get("ports", ())}
        assert {port["targetPort"] for port in service["spec"].get("ports", ())} <= ports
    network = of_kind(manifests, "NetworkPolicy").values()
    for pod in found if network else ():
        applied = [each for each in network if _selects(each["spec"]["podSelector"], pod.labels)]
        kinds = {kind for each in applied for kind in each["spec"]["policyTypes"]}
        assert kinds == {"Ingress", "Egress"}, f"{pod.owner}: the network is open in some direction"


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    expressions = selector.get("matchExpressions", ())
    assert all(each["operator"] == "In" for each in expressions)
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in expressions
    )


def test_the_database_is_reached_by_nobody_else_and_reaches_nobody(helm: Helm) -> None:
    policy = of_kind(helm.template("--values", _MINIMAL), "NetworkPolicy")["taxi-database"]["spec"]
    [rule] = policy["ingress"]
    stranger = {"app.kubernetes.io/name": "penstock", "app.kubernetes.io/instance": "another"}
    friend = stranger | {"app.kubernetes.io/instance": RELEASE, "app.kubernetes.io/component": "scheduler"}
    assert [_selects(each["podSelector"], friend) for each in rule["from"]] == [True]
    assert [_selects(each["podSelector"], stranger) for each in rule["from"]] == [False]
    assert "egress" not in policy


def test_without_an_ingress_nobody_in_the_cluster_reaches_the_dashboard(helm: Helm) -> None:
    for policy in of_kind(helm.template("--values", _MINIMAL), "NetworkPolicy").values():
        if policy["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/component") != "database":
            assert "ingress" not in policy["spec"]


def test_the_ports_of_stores_are_open(helm: Helm) -> None:
    def open_ports(values: Path) -> set[Any]:
        policy = of_kind(helm.template("--values", values), "NetworkPolicy")[RELEASE]
        return {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}

    folder = _MINIMAL.parent
    assert open_ports(_MINIMAL) == {53, 5432}
    assert open_ports(_EXTERNAL) == {53, 6432}
    assert open_ports(folder / "s3.yaml") == {53, 5432, 9000, 3306}
    assert open_ports(folder / "google.yaml") == {53, 5432, 443}


def test_the_migration_has_another_name_when_it_is_another_one(helm: Helm) -> None:
    def job(*arguments: str) -> str:
        [name] = of_kind(helm.template("--values", str(_MINIMAL), *arguments), "Job")
        return name

    assert job() == job("--set", "dashboard.resources.limits.memory=8Gi")
    assert job() != job("--set", "image.tag=v8")
    assert job() != job("--set", "database.bundled=false", "--set", "database.url.secret=store")


def test_pods_start_anew_when_their_environment_changes(helm: Helm) -> None:
    def annotations(*arguments: str) -> list[Any]:
        manifests = of_kind(helm.template("--values", str(_MINIMAL), *arguments), "StatefulSet")
        return [
            manifests[f"taxi-{name}"]["spec"]["template"]["metadata"]["annotations"]
            for name in ("dashboard", "scheduler")
        ]

    assert annotations() == annotations()
    assert all(a != b for a, b in zip(annotations(), annotations("--set", "env.A=1"), strict=True))


def test_data_is_kept_unless_one_says_otherwise(helm: Helm) -> None:
    def kept(manifests: Sequence[Manifest]) -> set[str]:
        keep = ("helm.sh/resource-policy", "keep")
        return {name_of(each) for each in manifests if keep in (each["metadata"].get("annotations") or {}).items()}

    def deleted(manifests: Sequence[Manifest]) -> str:
        policy = of_kind(manifests, "StatefulSet")["taxi-database"]["spec"]["persistentVolumeClaimRetentionPolicy"]
        return str(policy["whenDeleted"])

    default = helm.template("--values", _MINIMAL)
    assert kept(default) == {"PersistentVolumeClaim/taxi-state", "Secret/taxi-database"}
    assert deleted(default) == "Retain"
    without = helm.template("--values", _MINIMAL, "--set", "keepData=false")
    assert kept(without) == set()
    assert deleted(without) == "Delete"


def test_the_longest_names_fit(helm: Helm) -> None:
    manifests = helm.template("--values", _MINIMAL, release="a" * 53)
    # 63 characters have to hold the revision of a set, or the random part of a job's pod, too.
    assert max(map(len, of_kind(manifests, "StatefulSet"))) <= 52
    assert max(len(each["metadata"]["name"]) for each in manifests) <= 57


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("image.repository=", "repository"),
        ("image.digest=abc", "digest"),
        ("database.bundled=false", "secret"),
        ("database.url.secret=store", "secret"),
        ("ingress.enabled=true", "host"),
        ("ingress.enabled=true,ingress.host=a.example.org", "tlsSecret"),
        ("env.DB_PASSWORD=x", "DB_PASSWORD"),
        ("env.PENSTOCK_STORE=x", "PENSTOCK_STORE"),
        ("secretEnv.A=x", "secretEnv"),
        ("dashboard.proxy.header=X-User", "addresses"),
        ("dashboard.proxy.roles.ada=owner", "roles"),
        ("objectStore.s3.endpoint=minio:9000", "endpoint"),
        ("scheduler.replicas=2", "replicas"),
        ("scheduler.resources.limits=null", "limits"),
        ("dashbord.enabled=false", "dashbord"),
        ("state.accessMode=ReadOnlyMany", "accessMode"),
    ],
)
def test_wrong_values_are_refused_by_name(helm: Helm, settings: str, said: str) -> None:
    done = helm.render("--values", _MINIMAL, "--set", settings)
    assert done.returncode != 0
    assert said in done.stderr


def test_every_value_has_a_default_and_a_schema() -> None:
    """The schema and values.yaml know the same keys."""

    def keys(value: Any, path: str = "") -> set[str]:
        if not isinstance(value, dict) or not value:
            return {path}
        return {key for name, inner in value.items() for key in keys(inner, f"{path}.{name}")}

    schema = json.loads((CHART / "values.schema.json").read_text())

    def known(path: Sequence[str], node: Mapping[str, Any]) -> bool:
        if "$ref" in node:
            node = schema["definitions"][node["$ref"].rpartition("/")[2]]
        if not path:
            return True
        inner = node.get("properties", {}).get(path[0], node.get("additionalProperties") or None)
        return isinstance(inner, dict) and known(path[1:], inner)

    for key in keys(yaml.safe_load((CHART / "values.yaml").read_text())):
        assert known(key.strip(".").split("."), schema), key

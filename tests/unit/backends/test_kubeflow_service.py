"""Kubeflow Pipelines' API, from a server that answers with KFP's own messages: what is asked, and what may go wrong."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kfp import Client, compiler, dsl

from penstock.backends.kubeflow import service as services
from penstock.backends.kubeflow.endpoint import Endpoint
from penstock.backends.kubeflow.service import Registered, RunState, Service, ServiceError
from penstock.errors import UsageError
from penstock.spec.cluster import Cluster
from tests.servers.kubeflow_api import KubeflowApi, Trouble, kubeflow_server

__all__ = ["kubeflow_server"]


@pytest.fixture
def service(server: KubeflowApi) -> Service:
    return Service(Endpoint(server.address), None)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def step(size: int) -> dsl.ContainerSpec:
        return dsl.ContainerSpec(image="image", command=["true"], args=[size])

    # Real types, which the SDK needs, and not their names.
    step.__annotations__ = {"size": int, "return": dsl.ContainerSpec}
    component = dsl.container_component(step)

    def taxi(size: int = 3) -> None:
        component(size=size)

    taxi.__annotations__ = {"size": int}
    target = tmp_path_factory.mktemp("package") / "package.yaml"
    compiler.Compiler().compile(dsl.pipeline(name="taxi")(taxi), str(target))
    return target


def started(service: Service, package: Path, name: str = "taxi-1") -> str:
    registered = service.register("taxi", package, "Who tips?")
    return service.start(registered, name, {"size": 5}, experiment="Default", service_account="runner")


def test_a_package_is_registered_once(server: KubeflowApi, service: Service, package: Path, tmp_path: Path) -> None:
    service.check()
    first = service.register("taxi", package, "Who tips?")
    assert first.is_new
    assert service.register("taxi", package) == Registered(
        first.pipeline_id, first.version_id, first.version, is_new=False
    )
    other = tmp_path / "other.yaml"
    other.write_text(package.read_text().replace("image: image", "image: other"))
    changed = service.register("taxi", other)
    assert changed.is_new
    assert changed.pipeline_id == first.pipeline_id
    assert {each.display_name for each in server.versions.values()} == {"taxi", first.version, changed.version}


def test_two_may_register_a_package_at_once(server: KubeflowApi, service: Service, package: Path) -> None:
    def register() -> Registered:
        return Service(Endpoint(server.address), None).register("taxi", package)

    with ThreadPoolExecutor(8) as pool:
        found = [future.result() for future in [pool.submit(register) for _ in range(8)]]
    assert len({(each.pipeline_id, each.version_id) for each in found}) == 1
    assert (len(server.pipelines), len(server.versions)) == (1, 2)


def test_a_run_has_what_it_was_started_with(server: KubeflowApi, service: Service, package: Path) -> None:
    [run] = [server.runs[started(service, package)]]
    assert (run.display_name, run.service_account, run.runtime_config.parameters) == ("taxi-1", "runner", {"size": 5})
    [experiment] = server.experiments.values()
    assert (experiment.display_name, run.experiment_id) == ("Default", experiment.experiment_id)
    started(service, package, "taxi-2")
    assert len(server.experiments) == 1


def test_the_sdk_finds_what_was_started(
    server: KubeflowApi, service: Service, package: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    run_id = started(service, package)
    client = Client(host=server.address)
    assert client.get_run(run_id).display_name == "taxi-1"
    assert [run.run_id for run in client.list_runs().runs] == [run_id]
    assert client.get_pipeline_id("taxi") in server.pipelines


def test_a_run_is_watched_and_ended(server: KubeflowApi, service: Service, package: Path) -> None:
    run_id = started(service, package)
    assert service.state(run_id) == RunState("PENDING", None)
    server.runs[run_id].state = "FAILED"
    assert service.state(run_id).has_ended
    server.runs[run_id].state = "RUNNING"
    assert not service.state(run_id).has_ended
    service.terminate(run_id)
    assert service.state(run_id) == RunState("CANCELING", None)


def test_where_users_have_namespaces_one_is_needed(server: KubeflowApi, service: Service, package: Path) -> None:
    server.multi_user = True
    with pytest.raises(ServiceError, match=r"names none\. Add kubeflow: \{namespace"):
        service.check()
    own = Service(Endpoint(server.address), "team-a")
    own.check()
    assert started(own, package) in server.runs
    assert {each.namespace for each in [*server.pipelines.values(), *server.experiments.values()]} == {"team-a"}


def test_the_token_is_sent_and_never_told(server: KubeflowApi, service: Service) -> None:
    server.token = "canary-4711"
    with pytest.raises(ServiceError, match="PENSTOCK_KFP_TOKEN is missing, wrong or has expired"):
        service.check()
    with pytest.raises(ServiceError) as raised:
        Service(Endpoint(server.address), None, "canary-0815").check()
    assert "canary" not in str(raised.value)
    Service(Endpoint(server.address), None, "canary-4711").check()


ANSWERS = {
    401: "PENSTOCK_KFP_TOKEN",
    403: r"you may not do that \(so the test wants it\)",
    404: "older than Kubeflow Pipelines 2.0",
    409: "it answered 409",
    500: r"it answered 500 \(so the test wants it\)",
    503: "it answered 503",
    "page": "a page to sign in on",
    "cut": "no answer|none of Kubeflow Pipelines' API",
    "lost": "no answer",
    "slow": "no answer",
}


@pytest.mark.parametrize("kind", ANSWERS, ids=str)
@pytest.mark.parametrize(
    "asked", ["GET /apis/v2beta1/healthz$", "POST .*/upload$", "POST .*/upload_version$", "POST .*/runs$"]
)
def test_a_bad_answer_is_told_and_leaves_nothing_half_done(
    server: KubeflowApi,
    service: Service,
    package: Path,
    kind: int | str,
    asked: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(services, "_TIMEOUT", (0.5, 0.5))
    server.trouble.append(Trouble(asked, kind))

    def submit() -> str:
        service.check()
        return started(service, package)

    # The server did what it was asked for, and its answer was lost on the way: the run is found by its name.
    if asked.endswith("/runs$") and kind in ("cut", "lost"):
        assert submit() in server.runs
    else:
        with pytest.raises(ServiceError, match=ANSWERS[kind]) as raised:
            submit()
        assert str(raised.value).startswith(f"{server.address}: ")
        assert not server.runs or asked.endswith("/runs$")
    server.released.set()
    server.trouble.clear()
    if asked.endswith("/runs$") and kind == "slow":
        assert server.has_runs.wait(10)  # it comes after nobody waits for it any more, as the message says it may
    elif not server.runs:
        submit()
    names = [each.display_name for each in server.versions.values()]
    assert (len(server.runs), len(server.pipelines), len(names)) == (1, 1, len(set(names)))


def test_whether_a_run_was_started_may_stay_unknown(
    server: KubeflowApi, service: Service, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.trouble += [Trouble("POST .*/runs$", "lost"), Trouble("GET .*/runs$", 503)]
    with pytest.raises(ServiceError, match="Whether run taxi-1 was started is not known") as raised:
        started(service, package)
    assert f"{server.address}/#/runs" in str(raised.value)


def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ServiceError, match=r"no answer \(.*refused.*\).*port-forward"):
            Service(Endpoint(address), None).check()


def test_no_secure_connection(server: KubeflowApi) -> None:
    with pytest.raises(ServiceError, match=r"no secure connection|no answer"):
        Service(Endpoint(server.address.replace("http:", "https:")), None).check()


def test_an_environment_says_where_or_a_variable_does(monkeypatch: pytest.MonkeyPatch, server: KubeflowApi) -> None:
    monkeypatch.delenv(services.ENDPOINT_VARIABLE, raising=False)
    with pytest.raises(UsageError, match=r"here does not say where .*endpoint.*PENSTOCK_KFP_ENDPOINT"):
        services.connect(Cluster(image="i"), "here")
    monkeypatch.setenv(services.ENDPOINT_VARIABLE, f"{server.address}/#/pipelines")
    services.connect(Cluster(image="i"), "here").check()
    monkeypatch.setenv(services.TOKEN_VARIABLE, "t")
    server.token = "t"
    services.connect(Cluster(image="i", endpoint=server.address), "here").check()

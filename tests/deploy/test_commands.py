"""What the chart's containers are started with, started here: the commands are there and take their options."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Penstock
from tests.deploy.chart import Helm, pods

pytestmark = pytest.mark.timeout(3600)

_VALUES = Path(__file__).parent / "values"


def _container(helm: Helm, values: str, name: str) -> Mapping[str, Any]:
    found = [each for pod in pods(helm.template("--values", _VALUES / values)) for each in pod.containers]
    [container] = [each for each in found if each["name"] == name]
    return container


def _arguments(container: Mapping[str, Any]) -> list[str]:
    words: list[str] = [*container["command"], *container.get("args", ())]
    assert words[0] == "penstock"
    return words[1:]


def test_a_store_is_migrated_and_then_found_good(helm: Helm, penstock: Penstock, tmp_path: Path) -> None:
    environ = {"PENSTOCK_STORE": str(tmp_path / "store")}
    probe = ["penstock", *_container(helm, "minimal.yaml", "scheduler")["readinessProbe"]["exec"]["command"][1:]]
    assert penstock(*probe[1:], environ=environ).status == 1
    migrate = _arguments(_container(helm, "minimal.yaml", "migrate"))
    assert penstock(*migrate, environ=environ).status == 0
    assert penstock(*probe[1:], environ=environ).status == 0
    wait = _arguments(next(each for each in _first_containers(helm) if each["name"] == "store"))
    assert penstock(*wait, environ=environ).status == 0


def _first_containers(helm: Helm) -> Sequence[Mapping[str, Any]]:
    manifests = helm.template("--values", _VALUES / "minimal.yaml")
    return [each for pod in pods(manifests) for each in pod.spec.get("initContainers", ())]


@pytest.mark.parametrize("values", ["minimal.yaml", "ingress.yaml", "proxy.yaml"])
def test_the_dashboard_answers_its_probes_and_to_its_names_alone(
    helm: Helm, penstock: Penstock, tmp_path: Path, values: str
) -> None:
    container = _container(helm, values, "dashboard")
    port = _free_port()
    # Here it listens to this machine alone.
    replaced = {"--host=0.0.0.0": "--host=127.0.0.1", "--port=8765": f"--port={port}"}
    arguments = [replaced.get(each, each) for each in _arguments(container)]
    assert set(replaced) <= set(_arguments(container))
    environ = {"PENSTOCK_STORE": str(tmp_path / "store"), "PENSTOCK_DASHBOARD_TOKEN": "a-token-for-this-test"}
    process = penstock.start(*arguments, environ=environ)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(address, process)
        probe = container["readinessProbe"]["httpGet"]
        headers = {each["name"]: each["value"] for each in probe["httpHeaders"]}
        assert httpx.get(address + probe["path"], headers=headers, trust_env=False).status_code == 200
        names = {"localhost:8765": 303, "taxi-dashboard.ml.svc": 303, "other.example.org": 421}
        names["penstock.example.org"] = 421 if values == "minimal.yaml" else 303
        for name, status in names.items():
            assert httpx.get(address, headers={"Host": name}, trust_env=False).status_code == status, name
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 0, said


def test_the_scheduler_starts_and_ends_when_asked(helm: Helm, penstock: Penstock, tmp_path: Path) -> None:
    environ = {"PENSTOCK_STORE": str(tmp_path / "store")}
    process = penstock.start(*_arguments(_container(helm, "minimal.yaml", "scheduler")), environ=environ)
    assert process.stderr is not None
    assert "Starting what is scheduled" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 0, said


def _wait_for(address: str, process: subprocess.Popen[str]) -> None:
    give_up = time.monotonic() + 60
    while True:
        try:
            httpx.get(address, trust_env=False)
            return
        except httpx.HTTPError:
            if process.poll() is not None or time.monotonic() > give_up:
                process.kill()
                pytest.fail(f"the dashboard did not start: {process.communicate()[1]}", pytrace=False)
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

"""What the chart is tested with: Helm, and an API server of a real cluster's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.api_server import ApiServer
from tests.deploy.chart import Helm

_TOOLS = Path(__file__).with_name("tools.sh")


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder that `tools.sh` fills, on the first call in some minutes."""
    return _fetch()


@pytest.fixture(scope="session")
def helm(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm."""
    return Helm(tools / "helm", tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A running API server, with nothing behind it that would run a pod."""
    server = ApiServer(_fetch("--server"), tmp_path_factory.mktemp("api-server"))
    try:
        server.wait()
        yield server
    finally:
        server.stop()


def _fetch(*arguments: str) -> Path:
    done = subprocess.run(
        ["bash", _TOOLS, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=os.environ, check=False
    )
    if done.returncode:
        pytest.fail(f"{_TOOLS.name} could not fetch or build what these tests need; see its messages", pytrace=False)
    return Path(done.stdout.decode().strip())

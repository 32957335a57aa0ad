"""Docker, Penstock's image on it, and a registry."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from penstock import doctor
from penstock.images import BASE

_ROOT = Path(__file__).parents[2]
_SERVER = _ROOT / "tests" / "servers" / "docker.sh"
# How this machine reaches packages is its own matter; what it says of that goes into the build as secrets.
_PIP_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")
_CERTIFICATES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True)
class Docker:
    """Docker's command line."""

    program: str

    def __call__(self, *arguments: str | Path, timeout: float = 3000) -> subprocess.CompletedProcess[str]:
        """Runs it to its end; raises no error for its status."""
        return subprocess.run(
            [self.program, *map(str, arguments)],
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def run(
        self, image: str, *command: str, user: str = "10001:10001", options: Sequence[str] = ("--network=none",)
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in an image as a cluster's strictest rules would have it, and without any network."""
        closed = (*options, "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--init")
        temporary = "--tmpfs=/tmp:rw,exec,size=6g,mode=1777"
        return self("run", "--rm", *closed, f"--user={user}", temporary, image, *command)


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """Docker with a base image; one that ran before stays as it is."""
    if os.geteuid():
        pytest.fail("Docker is started as root; run these tests as root", pytrace=False)
    was_there = doctor.docker_trouble(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")) is None
    started = subprocess.run(["bash", _SERVER, "start"], stdin=subprocess.DEVNULL, check=False)
    if started.returncode:
        pytest.fail("Docker could not be installed or started; see its messages", pytrace=False)
    try:
        yield Docker(_builder())
    finally:
        if not was_there:
            subprocess.run(["bash", _SERVER, "stop"], check=True)


@pytest.fixture(scope="session")
def image(docker: Docker) -> str:
    """Penstock's image, built from deploy/Dockerfile."""
    done = docker("build", "--network=host", *_settings(), "--file", _ROOT / "deploy/Dockerfile", "--tag", BASE, _ROOT)
    if done.returncode:
        pytest.fail(f"The image could not be built:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}", pytrace=False)
    return BASE


@pytest.fixture(scope="session")
def registry(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty registry on loopback, to which Docker needs no certificate."""
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    settings = folder / "settings.yaml"
    settings.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder / 'data'}}}}}\nhttp: {{addr: '{address}'}}\n"
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(["docker-registry", "serve", settings], stdout=log, stderr=log)
    try:
        _wait_for(address)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(address: str) -> None:
    host, _, port = address.partition(":")
    give_up = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > give_up:
                pytest.fail(f"The registry at {address} did not start", pytrace=False)
            time.sleep(0.1)


def _builder() -> str:
    """A command line that can build with secrets: one that has buildx, or one from before that was apart."""
    for program in (shutil.which("docker"), "/usr/bin/docker"):
        if program and Path(program).exists():
            version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
            has_buildx = (
                subprocess.run([program, "buildx", "version"], capture_output=True, check=False).returncode == 0
            )
            if has_buildx or version.startswith("Docker version 20."):
                return program
    pytest.fail("No docker command here can build with secrets: install docker-buildx, or Debian's docker.io")


def _settings() -> list[str]:
    options = [f"--build-arg={name}" for name in _PROXIES if name in os.environ]
    if index := os.environ.get("PIP_INDEX_URL"):
        options.append(f"--build-arg=INDEX_URL={index}")
    files = [os.environ.get("PIP_CONFIG_FILE", ""), *_PIP_FILES]
    if file := next((file for file in map(os.path.expanduser, files) if os.path.isfile(file)), None):
        options.append(f"--secret=id=pip.conf,src={file}")
    if file := next((os.environ[name] for name in _CERTIFICATES if os.path.isfile(os.environ.get(name, ""))), None):
        options.append(f"--secret=id=certificates,src={file}")
    return options

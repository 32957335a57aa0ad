"""The image, built for real: pipelines run in it with nothing writable but /tmp, and projects are put on top of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Penstock
from tests.image.conftest import Docker
from tests.servers.postgres import PostgresServer, postgres_server

__all__ = ["postgres_server"]

# The image takes minutes to build the first time.
pytestmark = pytest.mark.timeout(3600)

_MOST_BYTES = 3.6e9


@pytest.fixture(scope="module")
def project(penstock: Penstock, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of one's own."""
    folder = tmp_path_factory.mktemp("projects")
    made = penstock("new", "birds", "--template", "penguin", "--into", folder)
    assert made.status == 0, made.stderr
    return folder / "birds"


@pytest.mark.parametrize("user", ["10001:10001", "54321:0"], ids=["its own user", "any user"])
def test_doctor_finds_nothing_wrong(docker: Docker, image: str, user: str) -> None:
    done = docker.run(image, "penstock", "doctor", "--store", "/tmp/store", "--json", user=user)
    assert done.returncode == 0, done.stdout
    wrong = {each["name"] for each in json.loads(done.stdout)["checks"] if each["status"] != "ok"}
    assert wrong == {"Docker"}


def test_a_pipeline_runs_to_a_pushed_model(docker: Docker, image: str, penstock: Penstock, project: Path) -> None:
    built = penstock("image", "build", project, "--base", image)
    assert built.status == 0, built.stderr
    run = "penstock run /project --store /tmp/store -p push_to=/tmp/pushed && ls /tmp/pushed/*/saved_model.pb"
    done = docker.run(built.stdout.strip(), "sh", "-c", run)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "saved_model.pb" in done.stdout
    assert "9 succeeded" in done.stderr


def test_a_pipeline_runs_as_in_a_cluster(
    docker: Docker, image: str, penstock: Penstock, project: Path, postgres_server: PostgresServer
) -> None:
    """The store in PostgreSQL, logs and models on a volume, and the project where only root could write."""
    built = penstock("image", "build", project, "--base", image).stdout.strip()
    volume = docker("volume", "create").stdout.strip()
    url = postgres_server.new_database()
    options = (f"--env=PENSTOCK_STORE={url}", f"--volume={volume}:/project/.penstock", "--network=host")
    try:
        for command in (
            ("store", "migrate"),
            ("store", "check"),
            ("run", "/project", "-p", "push_to=/project/.penstock/pushed"),
            ("run", "/project", "-p", "push_to=/project/.penstock/pushed"),
        ):
            done = docker.run(built, "penstock", *command, options=options)
            assert done.returncode == 0, done.stdout + done.stderr
        assert "cached" in done.stderr
        shown = docker.run(built, "penstock", "runs", "list", "--json", options=options)
        assert [run["state"] for run in json.loads(shown.stdout)] == ["succeeded", "succeeded"]
        log = docker.run(built, "penstock", "runs", "logs", "latest", "evaluator", options=options)
        assert log.returncode == 0, log.stderr
    finally:
        docker("volume", "rm", volume)


def test_the_image_is_slim(docker: Docker, image: str) -> None:
    size = int(docker("image", "inspect", "--format", "{{.Size}}", image).stdout)
    print(f"{image}: {size / 1e6:,.0f} MB")
    assert size < _MOST_BYTES
    tools = "for tool in g++ gcc cc make git pytest ruff mypy uv; do command -v $tool && exit 1; done; true"
    assert docker.run(image, "sh", "-c", tools).stdout == ""
    leftovers = (
        "find / -xdev \\( -name '.cache' -o -name '*.pyc.*' -o -path /var/lib/apt/lists/?* \\) -print 2>/dev/null"
    )
    assert docker.run(image, "sh", "-c", leftovers).stdout == ""
    # Everything is compiled: a file system that is only read cannot take it later.
    compiled = "ls /opt/penstock/lib/python3*/site-packages/penstock/__pycache__/errors.*.pyc"
    assert docker.run(image, "sh", "-c", compiled).returncode == 0


def test_the_image_says_who_it_is_and_not_where_it_comes_from(docker: Docker, image: str) -> None:
    [document] = json.loads(docker("image", "inspect", image).stdout)
    assert document["Config"]["User"] == "10001:10001"
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image).stdout
    assert "://" not in history + json.dumps(document["Config"])
    settings = docker.run(image, "sh", "-c", "cat /etc/pip.conf /run/secrets/* 2>/dev/null; true")
    assert settings.stdout == ""


def test_the_same_content_has_the_same_tag_and_another_has_another(
    image: str, penstock: Penstock, project: Path, tmp_path: Path
) -> None:
    first = penstock("image", "build", project, "--base", image, "--json")
    assert first.status == 0, first.stderr
    assert first.json["pushed"] is False
    assert "no registry is set" in first.stderr and "--push" in first.stderr
    (project / ".penstock").mkdir()
    (project / ".penstock" / "metadata.db").write_text("not part of it")
    (project / "pipeline.yaml").touch()
    again = penstock("image", "build", project / "pipeline.yaml", "--base", image, "--json")
    assert again.json == first.json
    assert "is there already" in again.stderr
    (project / "note.txt").write_text("part of it\n")
    other = penstock("image", "build", project, "--base", image, "--json")
    assert other.json["tag"] != first.json["tag"]
    assert other.json["files"] == first.json["files"] + 1


def test_an_image_is_pushed_and_named_by_its_digest(
    docker: Docker, image: str, registry: str, penstock: Penstock, project: Path
) -> None:
    # Without Penstock's own layers, which take minutes to push.
    small = "python:3.11-slim-bookworm"
    pushed = penstock("image", "build", project, "--base", small, environ={"PENSTOCK_REGISTRY": f"{registry}/ml"})
    assert pushed.status == 0, pushed.stderr
    name = pushed.stdout.strip()
    assert name.startswith(f"{registry}/ml/birds@sha256:")
    pulled = docker("run", "--rm", "--network=none", name, "cat", "/project/pipeline.yaml")
    assert pulled.stdout == (project / "pipeline.yaml").read_text()


def test_what_is_missing_is_said(docker: Docker, image: str, penstock: Penstock, project: Path) -> None:
    nowhere = penstock("image", "build", project, "--base", image, "--push", "127.0.0.1:1")
    assert nowhere.status == 1
    assert "127.0.0.1:1/birds: the registry did not take the image" in nowhere.stderr
    assert "docker login 127.0.0.1:1" in nowhere.stderr
    nothing = penstock("image", "build", project, "--base", "127.0.0.1:1/base:1")
    assert nothing.status == 2
    assert "There is no base image 127.0.0.1:1/base:1" in nothing.stderr and "--base" in nothing.stderr

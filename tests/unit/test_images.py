"""Which files make up a project's image, what its tag stands for, and what is said where Docker does not help."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock import images
from penstock.errors import PenstockError, UsageError
from tests.conftest import Penstock


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with what belongs into its image, and what does not."""
    for name in ("pipeline.yaml", "model/__init__.py", "data/a.csv", "data/b.csv", "run.sh"):
        _write(tmp_path / name, name)
    for name in (".git/HEAD", ".penstock/metadata.db", "model/__pycache__/x.pyc", ".venv/bin/python", "pushed/1/model"):
        _write(tmp_path / name, name)
    _write(tmp_path / ".dockerignore", "# what is made here\npushed\n\n")
    return tmp_path


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _digest(project: Path, base: str = "sha256:1") -> str:
    return images.digest_of(project, images.files_of(project), base)


def test_what_runs_leave_behind_is_not_in_the_image(project: Path) -> None:
    names = [path.as_posix() for path in images.files_of(project)]
    assert names == ["data/a.csv", "data/b.csv", "model/__init__.py", "pipeline.yaml", "run.sh"]


def test_the_projects_own_list_can_bring_files_back(project: Path) -> None:
    _write(project / ".dockerignore", "data\n!data/b.csv\n")
    names = [path.as_posix() for path in images.files_of(project)]
    assert "data/b.csv" in names and "data/a.csv" not in names


def test_the_digest_changes_with_content_names_rights_and_base_and_with_nothing_else(project: Path) -> None:
    digests = {_digest(project)}
    (project / "pipeline.yaml").touch()
    _write(project / "pushed/2/model", "another")
    assert {_digest(project)} == digests
    (project / "data/a.csv").write_text("changed")
    digests.add(_digest(project))
    (project / "data/b.csv").rename(project / "data/c.csv")
    digests.add(_digest(project))
    (project / "run.sh").chmod(0o755)
    digests.add(_digest(project))
    (project / "link").symlink_to("run.sh")
    digests.add(_digest(project))
    digests.add(_digest(project, "sha256:2"))
    assert len(digests) == 6


def test_a_link_out_of_the_project_is_refused_by_name(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "data.csv"
    outside.write_text("1")
    (project / "data/more.csv").symlink_to(outside)
    with pytest.raises(UsageError, match=r"data/more\.csv: this link leads out of the project, to .*data\.csv"):
        images.files_of(project)


def test_a_project_without_files_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / ".dockerignore", "*\n")
    with pytest.raises(UsageError, match="no files"):
        images.files_of(tmp_path)


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ("[project]\nname = 'My_Taxi.Fares'\n", "my-taxi-fares"),
        ("[tool.ruff]\n", "folder-1"),
        ("[project\n", "folder-1"),
    ],
)
def test_an_image_is_called_like_its_project(tmp_path: Path, document: str, name: str) -> None:
    _write(tmp_path / "Folder 1" / "pyproject.toml", document)
    assert images.project_name(tmp_path / "Folder 1") == name


def test_a_docker_that_is_not_there_is_said(penstock: Penstock, project: Path) -> None:
    environ = {"DOCKER_HOST": f"unix://{project}/none.sock"}
    result = penstock("image", "build", project, environ=environ)
    assert result.status == 1
    assert "Docker cannot be reached" in result.stderr and "DOCKER_HOST" in result.stderr
    assert result.stdout == ""


def test_a_path_that_is_not_there_is_said(penstock: Penstock, tmp_path: Path) -> None:
    result = penstock("image", "build", tmp_path / "none")
    assert result.status == 2
    assert f"{tmp_path / 'none'}: there is no such folder or file" in result.stderr


def test_a_push_that_ends_early_is_no_success() -> None:
    with pytest.raises(PenstockError, match="before the registry had confirmed"):
        images._pushed_digest([{"status": "Preparing"}], "registry.example.org/taxi")

"""The wheel works away from the checkout: new projects are made, checked, tested and run from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 900


def call(*command: str | Path, cwd: Path, status: int = 0) -> str:
    """Runs a command without the checkout on its path, and returns its standard output."""
    dropped = {"PYTHONPATH", "VIRTUAL_ENV"}
    environ = {key: value for key, value in os.environ.items() if key not in dropped}
    result = subprocess.run(
        command, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS
    )
    assert result.returncode == status, f"{command}\n{result.stdout[-4000:]}\n{result.stderr[-8000:]}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("penstock-*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a virtual environment that has the wheel, and borrows every other package from this one."""
    folder = tmp_path_factory.mktemp("environment")
    call(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    # A folder named in a .pth file has its own .pth files left alone, so the editable checkout is not found.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = folder / "bin" / "python"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    call(*pip, "install", "--no-index", "--no-deps", "--ignore-installed", wheel, cwd=folder)
    return folder / "bin"


@pytest.fixture(scope="module", params=["penguin", "chicago_taxi"])
def project(request: pytest.FixtureRequest, environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("projects")
    call(environment / "penstock", "new", "my-first", "--template", request.param, cwd=folder)
    return folder / "my-first"


def test_the_wheel_holds_the_code_and_the_data_and_no_rubbish(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"penstock", "penstock_components"}
    assert names >= {
        "penstock/cli/main.py",
        "penstock/spec/catalog.json",
        "penstock/spec/pipeline.schema.json",
        "penstock/_data/pipelines/chicago_taxi/pipeline.yaml",
        "penstock/_data/pipelines/penguin/model.py",
        "penstock/_data/templates/common/gitignore",
        "penstock_components/__init__.py",
    }
    rubbish = ("__pycache__", ".penstock/", "/pushed/", ".pyc", ".db")
    assert [name for name in names if any(part in name for part in rubbish)] == []
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_and_not_the_checkout_is_tested(environment: Path) -> None:
    place = call(environment / "python", "-c", "import penstock; print(penstock.__file__)", cwd=environment)
    assert Path(place.strip()).is_relative_to(environment.parent)


def test_the_command_starts(environment: Path, tmp_path: Path) -> None:
    assert "Commands:" in call(environment / "penstock", "--help", cwd=tmp_path)
    assert json.loads(call(environment / "penstock", "doctor", "--json", cwd=tmp_path))["status"] != "fail"


def test_a_new_project_is_valid(environment: Path, project: Path) -> None:
    assert call(environment / "penstock", "validate", ".", cwd=project).startswith("my-first:")


@pytest.mark.slow
@pytest.mark.timeout(SECONDS)
def test_the_tests_of_a_new_project_pass(environment: Path, project: Path) -> None:
    assert " passed" in call(environment / "python", "-m", "pytest", "-q", cwd=project)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS)
def test_a_new_project_runs(environment: Path, project: Path) -> None:
    call(environment / "penstock", "run", ".", cwd=project)
    (run,) = json.loads(call(environment / "penstock", "runs", "list", "--json", cwd=project))
    assert (run["pipeline"], run["state"]) == ("my-first", "succeeded")
    assert (project / ".penstock").is_dir()

"""`penstock warm`: workers ahead of time, the user's alone, which make way for new packages and end by themselves."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import Penstock
from tests.integration.backends.test_workers import is_gone, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages beside the environment's own."""
    folder = tmp_path_factory.mktemp("more") / "site-packages"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def command(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Penstock]:
    """The command line with workers of this module's own."""
    # Not pytest's own folder: the path of a Unix socket may have 107 bytes only.
    runtime = Path("/tmp", f"penstock-warm-{os.getpid()}")
    path = os.pathsep.join(filter(None, [str(packages), os.environ.get("PYTHONPATH")]))
    own = Penstock({"PENSTOCK_RUNTIME_DIR": str(runtime), "PENSTOCK_WARM_MINUTES": "5", "PYTHONPATH": path})
    yield own
    assert own("warm", "--stop").status == 0
    for file in runtime.iterdir():
        file.unlink()
    runtime.rmdir()


@pytest.fixture(scope="module")
def pid(command: Penstock) -> int:
    """The process of workers started ahead of time."""
    started = command("warm")
    assert started.status == 0, started.stderr
    assert "Starting workers" in started.stderr and "for 5 minutes" in started.stderr
    return pid_in(started.stderr)


def pid_in(said: str) -> int:
    [found] = re.findall(r"process (\d+)", said)
    return int(found)


def test_without_workers_it_says_so_and_starts_none(penstock: Penstock, tmp_path: Path) -> None:
    other = replace(penstock, environ={**penstock.environ, "PENSTOCK_RUNTIME_DIR": str(tmp_path / "rt")})
    status, stop = other("warm", "--status"), other("warm", "--stop")
    assert (status.status, stop.status) == (1, 0)
    assert "no warm workers" in status.stderr and "no warm workers" in stop.stderr
    assert not list((tmp_path / "rt").glob("*.sock"))
    assert other("warm", "--status", "--stop").status == 2


def test_the_same_workers_are_found_again(command: Penstock, pid: int) -> None:
    for arguments in (["warm"], ["warm", "--status"]):
        again = command(*arguments)
        assert again.status == 0
        assert pid_in(again.stderr) == pid
        assert "Starting" not in again.stderr


def test_only_the_user_can_reach_them(command: Penstock, pid: int) -> None:
    folder = Path(command.environ["PENSTOCK_RUNTIME_DIR"])
    [socket] = folder.glob("*.sock")
    for path, mode in ((folder, 0o700), (socket, 0o600)):
        status = path.stat()
        assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (os.getuid(), mode)
    if os.getuid() == 0:
        connect = f"import os, socket; os.setuid(65534); socket.socket(socket.AF_UNIX).connect({str(socket)!r})"
        refused = subprocess.run([sys.executable, "-c", connect], capture_output=True, text=True)
        assert "PermissionError" in refused.stderr
        # A way around the folder's mode leads no further: the workers look who it is.
        stranger = (
            f"import os, socket; s = socket.socket(socket.AF_UNIX); folder = os.open({str(folder)!r}, os.O_PATH); "
            f"os.chdir(folder); os.chmod({socket.name!r}, 0o666); os.setuid(65534); s.connect({socket.name!r}); "
            "print(s.recv(100))"
        )
        answered = subprocess.run([sys.executable, "-c", stranger], capture_output=True, text=True)
        socket.chmod(0o600)
        assert answered.stdout.strip() == "b''" or "PermissionError" in answered.stderr
    assert pid_in(command("warm", "--status").stderr) == pid


def test_new_packages_get_new_workers_which_end_when_idle(command: Penstock, pid: int, packages: Path) -> None:
    (packages / "installed_since.py").touch()
    again = command("warm", environ={"PENSTOCK_WARM_MINUTES": "0.1"})
    assert again.status == 0, again.stderr
    following = pid_in(again.stderr)
    assert following != pid
    wait_for(lambda: is_gone(pid))
    wait_for(lambda: is_gone(following))
    assert command("warm", "--status").status == 1


def test_a_run_starts_workers_before_it_loads_anything_else(command: Penstock, tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(
        f"penstock: 1\nname: p\nnodes:\n  examples: {{component: CsvExampleGen, input_base: {tmp_path}}}\n"
    )
    with command.start("run", tmp_path, "--store", tmp_path / "store") as running:
        assert running.stderr is not None
        lines = [running.stderr.readline() for _ in range(2)]
        loaded = Path(f"/proc/{running.pid}/maps").read_text()
        running.kill()
    assert lines[0].startswith("penstock ") and lines[1].startswith("Starting workers")
    assert "pydantic_core" in loaded
    assert "ml_metadata" not in loaded
    assert command("warm", "--status").stderr == "The workers are loading.\n"

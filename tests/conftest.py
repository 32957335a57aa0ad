"""What every test shares: the command line in a process of its own, and one warm zygote for the whole session."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# Other tests than those of its own folder run the shapes.
pytest.register_assert_rewrite("tests.contract.shapes")

# Where a shell without job control started the tests in the background, they and what they start would ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A store the user has chosen is not for tests to write to, nor are its runs theirs to read.
os.environ.pop("PENSTOCK_STORE", None)

REPOSITORY = Path(__file__).parents[1]


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document."""
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Penstock:
    """Runs `penstock` with the session's workers. `environ` is what its processes see beyond this one's variables."""

    environ: Mapping[str, str]

    def __call__(
        self,
        *arguments: str | Path,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
        timeout: float = 300,
    ) -> Result:
        """Runs the command to its end and returns what it printed; raises no error for its status."""
        done = subprocess.run(
            self.command(arguments),
            cwd=cwd or REPOSITORY,
            env={**os.environ, **self.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(
        self, *arguments: str | Path, cwd: Path | None = None, environ: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Starts the command and returns the running process, for tests that act while it runs."""
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(
            self.command(arguments),
            cwd=cwd or REPOSITORY,
            env={**os.environ, **self.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            **{**pipes, **options},
        )

    @staticmethod
    def command(arguments: Sequence[str | Path]) -> list[str]:
        """The command line of `penstock` with these arguments."""
        return [sys.executable, "-m", "penstock", *map(str, arguments)]


@pytest.fixture(scope="session")
def penstock() -> Iterator[Penstock]:
    """The command line. All its runs share one zygote, which ends with the session."""
    # Not pytest's own folder: the path of a Unix socket may have 107 bytes only.
    folder = tempfile.mkdtemp(prefix="penstock-")
    environ = {"PENSTOCK_RUNTIME_DIR": folder, "PENSTOCK_WARM_MINUTES": "5"}
    command = Penstock(environ)
    yield command
    stopped = command("warm", "--stop", timeout=60)
    assert stopped.status == 0, stopped.stderr
    shutil.rmtree(folder)

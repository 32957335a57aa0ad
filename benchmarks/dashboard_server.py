"""The dashboard as people start it, for what asks it or watches it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from urllib.request import urlopen

from benchmarks import sides
from penstock.metadata.location import StoreLocation


class DashboardServer:
    """A `penstock dashboard` that listens on this machine.

    Attributes:
        port: where.
        pid: its process.
        start_seconds: how long it took until it answered.
    """

    def __init__(self, location: StoreLocation, port: int = 0) -> None:
        folders = (sides.REPOSITORY / name for name in ("src", "components"))
        store = location.database or str(location.folder)
        began = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "penstock", "dashboard", "--store", store, "--port", str(port)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        said = ""
        for line in self._process.stderr:
            said += line
            found = re.search(r"http://[^/\s]+:(\d+)/", line)
            if found:
                break
        else:
            sys.exit(f"The dashboard did not start:\n{said}")
        self.port = int(found[1])
        self.pid = self._process.pid
        # It says where it listens, and answers as soon as it has learnt what no page may show.
        urlopen(f"{self.address}/health", timeout=60).close()
        self.start_seconds = time.perf_counter() - began
        # A full pipe would stop the server.
        threading.Thread(target=self._process.stderr.read, daemon=True).start()

    @property
    def address(self) -> str:
        """What its pages' addresses begin with."""
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """What its process has computed so far, in seconds."""
        # The kernel's clock of another process, see clock_getcpuclockid(3).
        return time.clock_gettime(~self.pid << 3 | 2)

    def kill(self) -> None:
        """Ends it without a chance to say goodbye."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Asks it to end, and waits until it has."""
        self._process.terminate()
        self._process.wait(timeout=30)

"""What `penstock doctor` looks at: the machine, the installed packages, the store, and optional services.

Nothing here imports the pipeline libraries; their versions are read from the metadata of their installations.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path

from packaging.specifiers import SpecifierSet

from penstock.errors import PenstockError, StoreError

GIGABYTE = 1e9
# Peak of the Chicago taxi pipeline is 1.4 GB; nodes in parallel need more.
MEMORY_LEAST, MEMORY_COMFORTABLE = 2 * GIGABYTE, 4 * GIGABYTE
DISK_LEAST, DISK_COMFORTABLE = 0.5 * GIGABYTE, 5 * GIGABYTE
GLIBC_LEAST, GLIBC_FOR_NEW_PYTHON = (2, 28), (2, 39)
SERVICE_TIMEOUT_SECONDS = 2.0
INSTALL_HINT = (
    "In a checkout: make setup. Otherwise: pip install --require-hashes --no-deps -r requirements.lock, "
    "with the requirements.lock of this release."
)

# Releases that were run together. The alternatives are the releases that a Python and C library can choose between.
PACKAGES: dict[str, tuple[str, ...]] = {
    "tfx": (">=1.21,<1.22",),
    "tensorflow": (">=2.21,<2.22",),
    "tensorflow-transform": (">=1.21,<1.22",),
    "tensorflow-model-analysis": (">=0.52,<0.53",),
    "tensorflow-data-validation": ("==1.16.1", ">=1.21,<1.22"),
    "tensorflow-metadata": (">=1.21,<1.22",),
    "tfx-bsl": (">=1.21,<1.22",),
    "ml-metadata": ("==1.17.1", ">=1.21,<1.22"),
    "apache-beam": (">=2.77,<3",),
    "protobuf": (">=6.31,<7",),
    "pyarrow": (">=14,<19",),
    "pandas": (">=2,<3",),
    "numpy": (">=1.26,<3",),
    "tensorboard": (">=2.20",),
    "setuptools": ("<82",),
    "pip": ("",),
    "wheel": ("",),
}
OPTIONAL_PACKAGES: dict[str, tuple[str, ...]] = {"kfp": (">=2.16,<3",)}
PACKAGE_USES = {
    "tensorboard": "training logs",
    "setuptools": "pipelines that name a module_file",
    "pip": "pipelines that name a module_file",
    "wheel": "pipelines that name a module_file",
    "kfp": "the kubeflow backend",
}


class Status(Enum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what it is.
        status: `fail` if pipelines cannot run like this, `warn` if some cannot.
        found: what is there.
        needed: what should be there.
        mend: what to do about it; empty when all is well.
    """

    name: str
    status: Status
    found: str
    needed: str
    mend: str = ""


def examine(store: str | None = None, *, with_store: bool = True) -> list[Check]:
    """Looks at this machine.

    Args:
        store: the value of `--store`.
        with_store: whether to look at the store too.
    """
    groups: tuple[Callable[[], Iterator[Check]], ...] = (
        _python,
        _system,
        _packages,
        _sql_slices,
        lambda: _memory(available_memory()),
        *([lambda: check_store(store)] if with_store else []),
        _docker,
    )
    checks: list[Check] = []
    for group in groups:
        checks.extend(group())
    return checks


def worst(checks: list[Check]) -> Status:
    """The status of all checks together."""
    found = {check.status for check in checks}
    return next((status for status in (Status.FAIL, Status.WARN) if status in found), Status.OK)


def _python() -> Iterator[Check]:
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    yield Check(
        "Python",
        Status.OK if fits else Status.FAIL,
        f"{platform.python_version()} at {sys.executable}",
        "3.11, 3.12 or 3.13",
        "" if fits else "Make a virtual environment with one of these and install Penstock into it.",
    )


def _system() -> Iterator[Check]:
    needed = "Linux on x86-64 with glibc"
    system, machine = platform.system(), platform.machine()
    found = f"{system} {machine}"
    if system == "Darwin" and machine == "arm64":
        yield Check("system", Status.WARN, found, needed, "Releases for this system exist; they were not tried.")
        return
    if system != "Linux" or machine != "x86_64":
        yield Check("system", Status.FAIL, found, needed, "TFX has no releases for this system. Use a Linux container.")
        return
    yield from check_glibc(platform.libc_ver(), sys.version_info[:2])
    flags = _first_line_with("/proc/cpuinfo", "flags").split()
    if flags and "avx" not in flags:
        yield Check("processor", Status.FAIL, "no AVX", "AVX", "TensorFlow needs a processor with AVX instructions.")


def check_glibc(libc: tuple[str, str], python: tuple[int, int]) -> Iterator[Check]:
    """Checks the C library: `libc` as `platform.libc_ver` gives it, `python` as major and minor version."""
    least = GLIBC_LEAST if python < (3, 12) else GLIBC_FOR_NEW_PYTHON
    needed = f"glibc {least[0]}.{least[1]} or newer for Python {python[0]}.{python[1]}"
    name, version = libc
    if name != "glibc":
        mend = "TFX has no releases for other C libraries. Use a Debian or Ubuntu container."
        yield Check("C library", Status.FAIL, name or "not glibc", needed, mend)
        return
    if tuple(int(part) for part in version.split(".")[:2]) >= least:
        yield Check("C library", Status.OK, f"glibc {version}", needed)
        return
    older = "Use Python 3.11 here, or " if python >= (3, 12) else "Use "
    yield Check("C library", Status.FAIL, f"glibc {version}", needed, f"{older}a newer system such as Debian 13.")


def _packages() -> Iterator[Check]:
    for name, alternatives in PACKAGES.items():
        yield check_package(name, _installed(name), alternatives, Status.FAIL)
    for name, alternatives in OPTIONAL_PACKAGES.items():
        yield check_package(name, _installed(name), alternatives, Status.WARN)


def check_package(name: str, version: str | None, alternatives: tuple[str, ...], otherwise: Status) -> Check:
    """Checks one package.

    Args:
        name: its name.
        version: the installed version; None if it is not installed.
        alternatives: version ranges, any of which will do; an empty one means any version.
        otherwise: the status when it does not fit.
    """
    needed = " or ".join(alternatives) or "any version"
    if name in PACKAGE_USES:
        needed += f" (for {PACKAGE_USES[name]})"
    if version is None:
        return Check(name, otherwise, "not installed", needed, INSTALL_HINT)
    if any(SpecifierSet(text).contains(version, prereleases=True) for text in alternatives):
        return Check(name, Status.OK, version, needed)
    return Check(name, otherwise, version, needed, INSTALL_HINT)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _sql_slices() -> Iterator[Check]:
    validation = _installed("tensorflow-data-validation")
    bsl = importlib.util.find_spec("tfx_bsl")
    if validation is None or bsl is None or SpecifierSet(">=1.17").contains(validation):
        return
    folders = bsl.submodule_search_locations or ()
    if any(Path(folder, "arrow", "sql_util.py").is_file() for folder in folders):
        return
    yield Check(
        "SQL slices in statistics",
        Status.OK,
        f"left out: tensorflow-data-validation {validation} looks for a module that tfx-bsl no longer has",
        "nothing; Penstock puts a stand-in in its place, and all else works",
    )


def _memory(available: float | None) -> Iterator[Check]:
    if available is None:
        return
    yield check_amount(
        "memory", available, MEMORY_LEAST, MEMORY_COMFORTABLE, "Close other programs, or run with --jobs 1."
    )


def check_amount(name: str, amount: float, least: float, comfortable: float, mend: str) -> Check:
    """Checks an amount of bytes against what is needed and what is comfortable."""
    status = Status.FAIL if amount < least else Status.WARN if amount < comfortable else Status.OK
    found = f"{amount / GIGABYTE:.1f} GB free"
    needed = f"{least / GIGABYTE:g} GB, better {comfortable / GIGABYTE:g} GB"
    return Check(name, status, found, needed, "" if status is Status.OK else mend)


def available_memory() -> float | None:
    """Bytes that new processes can use, within the limit of a container; None where the system does not tell."""
    line = _first_line_with("/proc/meminfo", "MemAvailable")
    if not line:
        return None
    available = float(line.split()[1]) * 1024
    try:
        limit = float(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
        used = float(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return available
    return min(available, limit - used)


def check_store(option: str | None, declared: str | None = None, project: Path | None = None) -> Iterator[Check]:
    """Checks the store that `penstock.metadata.location.resolve` finds for these."""
    from penstock.metadata import location as locations
    from penstock.metadata.database import connect

    needed = "a store this user can read and write, or a place to make one"
    try:
        location = locations.resolve(option, declared, project)
    except PenstockError as error:
        yield Check("metadata store", Status.FAIL, str(error), needed, "Set --store or PENSTOCK_STORE anew.")
        return
    existing = next(folder for folder in (location.folder, *location.folder.parents) if os.path.exists(folder))
    yield check_amount(
        f"disk at {existing}",
        shutil.disk_usage(existing).free,
        DISK_LEAST,
        DISK_COMFORTABLE,
        "Free some space, or put the store elsewhere with --store or PENSTOCK_STORE.",
    )
    if not os.access(existing, os.W_OK | os.X_OK):
        mend = f"Give yourself write access to {existing}, or choose another place with --store or PENSTOCK_STORE."
        yield Check("metadata store", Status.FAIL, f"{existing} cannot be written to", needed, mend)
        return
    try:
        with connect(location, create=False, busy_timeout_seconds=SERVICE_TIMEOUT_SECONDS) as database:
            database.has_mlmd()
            if database.has_own_tables:
                runs = database.query("SELECT count(*) AS runs FROM penstock_runs")[0]["runs"]
                found = f"{runs} {'run' if runs == 1 else 'runs'} in {location.display}"
            else:
                found = f"none yet at {location.display}; the first run makes it"
    except StoreError as error:
        mend = "Mend or move the store, or choose another with --store or PENSTOCK_STORE."
        yield Check("metadata store", Status.FAIL, str(error), needed, mend)
        return
    yield Check("metadata store", Status.OK, found, needed)


def _docker() -> Iterator[Check]:
    needed = "optional: InfraValidator and container images use it"
    client = shutil.which("docker")
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    trouble = docker_trouble(host)
    if trouble is None and client:
        yield Check("Docker", Status.OK, f"client {client}, daemon at {host}", needed)
    elif trouble is None:
        mend = "Install Docker's command line (Debian: apt-get install docker.io)."
        yield Check("Docker", Status.WARN, f"daemon at {host}, no client", needed, mend)
    else:
        found = f"{'client ' + client if client else 'no client'}; {trouble}"
        mend = "Start Docker's daemon." if client else "Install Docker Engine if you need it."
        yield Check("Docker", Status.WARN, found, needed, mend)


def docker_trouble(host: str) -> str | None:
    """Asks Docker's daemon whether it is there; None if it is.

    Args:
        host: its address as in DOCKER_HOST: `unix://PATH` or `tcp://HOST:PORT`. Others are not asked.
    """
    scheme, _, address = host.partition("://")
    try:
        if scheme == "unix":
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(SERVICE_TIMEOUT_SECONDS)
            connection.connect(address)
        elif scheme == "tcp":
            name, _, port = address.rpartition(":")
            connection = socket.create_connection((name.strip("[]"), int(port)), timeout=SERVICE_TIMEOUT_SECONDS)
        else:
            return f"the daemon at {host} was not asked: only unix:// and tcp:// addresses are"
        with connection:
            if scheme == "unix":
                connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
                if b" 200 " not in connection.recv(64):
                    return f"what answers at {host} is not Docker"
    except (OSError, ValueError) as error:
        return f"no daemon at {host} ({getattr(error, 'strerror', None) or error})"
    return None


def _first_line_with(file: str, start: str) -> str:
    try:
        with open(file, encoding="utf-8", errors="replace") as lines:
            return next((line for line in lines if line.startswith(start)), "")
    except OSError:
        return ""

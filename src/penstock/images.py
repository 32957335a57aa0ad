"""Container images of projects: a base image that has Penstock in it, and the project's files as one more layer."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from penstock import __version__
from penstock.errors import PenstockError, UsageError

BASE = f"penstock:{__version__}"
REGISTRY_VARIABLE = "PENSTOCK_REGISTRY"
# Where the backends look for a project in its image.
PROJECT_FOLDER = "/project"
# What is never part of an image, whatever the project's .dockerignore says.
IGNORED = (
    ".git",
    "**/.penstock",
    "**/.venv",
    "**/__pycache__",
    "**/*.pyc",
    "**/.pytest_cache",
    "**/.mypy_cache",
    "**/.ruff_cache",
    "**/.hypothesis",
)
_IGNORE_FILE = ".dockerignore"
_DOCKERFILE = f"ARG BASE\nFROM ${{BASE}}\nCOPY project/ {PROJECT_FOLDER}/\n"
_DIGEST_LABEL = "penstock.project-digest"
_TAG_LENGTH = 16
# With letters in front YAML takes no tag for a number.
_TAG_PREFIX = "sha-"


@dataclass(frozen=True)
class Image:
    """An image that was built.

    Attributes:
        reference: its name and tag; the tag is made of what is in the image.
        id: its digest on this machine.
        size: bytes, the base image's included.
        files: how many files of the project are in it.
        project_bytes: their size.
        was_there: whether an image with the same content was there already.
    """

    reference: str
    id: str
    size: int
    files: int
    project_bytes: int
    was_there: bool


def project_name(project: Path) -> str:
    """Returns what a project's image is called by default: its name in pyproject.toml, or its folder's."""
    name = project.resolve().name
    try:
        document = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
        name = str(document.get("project", {}).get("name", name))
    except (OSError, ValueError):  # it need not be there, and others will say what is wrong with it
        pass
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "project"


def files_of(project: Path) -> list[Path]:
    """Returns the files of a project that belong into its image, relative to it and sorted.

    Raises:
        UsageError: there are none, or a symbolic link leads out of the project.
    """
    from docker.utils.build import PatternMatcher

    matcher = PatternMatcher([*_ignore_lines(project), *IGNORED])
    found = []
    for name in sorted(matcher.walk(str(project))):
        path = project / name
        if path.is_symlink() and not path.resolve().is_relative_to(project.resolve()):
            raise UsageError(
                f"{path}: this link leads out of the project, to {os.readlink(path)}, which will not be in the image."
                f" Copy the file into the project, or name the link in {project / _IGNORE_FILE}"
            )
        # Docker's own matching never leaves the list itself out.
        if name != _IGNORE_FILE and (path.is_symlink() or path.is_file()):
            found.append(Path(name))
    if not found:
        raise UsageError(f"{project}: there are no files to put into an image; see {_IGNORE_FILE}")
    return found


def digest_of(project: Path, files: Iterable[Path], base_id: str) -> str:
    """Returns a digest of a project's files and of the base image they are put on."""
    digest = hashlib.sha256(f"{base_id}\n".encode())
    for name in files:
        path = project / name
        if path.is_symlink():
            kind, content = "link", hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()
        else:
            kind = "program" if os.access(path, os.X_OK) else "file"
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{kind} {content} {name.as_posix()}\n".encode())
    return digest.hexdigest()


def build(project: Path, name: str, base: str = BASE) -> Image:
    """Builds the image of a project, unless one with the same content is there.

    Args:
        project: the project's root folder.
        name: what to call the image.
        base: the image to put the project's files on.

    Raises:
        UsageError: the project has no files for it, or there is no such base image.
        PenstockError: Docker cannot be reached or does not build it.
    """
    files = files_of(project)
    with _docker() as docker:
        base_id = _base(docker, base)
        digest = digest_of(project, files, base_id)
        reference = f"{name}:{_TAG_PREFIX}{digest[:_TAG_LENGTH]}"
        there = docker.images.list(name=reference, filters={"label": f"{_DIGEST_LABEL}={digest}"})
        if not there:
            with tempfile.TemporaryFile() as context:
                _write_context(context, project, files)
                context.seek(0)
                docker.images.build(
                    fileobj=context,
                    custom_context=True,
                    tag=reference,
                    buildargs={"BASE": base},
                    labels={_DIGEST_LABEL: digest},
                    rm=True,
                    forcerm=True,
                )
        built = docker.images.get(reference)
        project_bytes = sum((project / file).lstat().st_size for file in files)
        return Image(reference, built.id, built.attrs["Size"], len(files), project_bytes, bool(there))


def push(image: Image, registry: str) -> str:
    """Pushes an image to a registry.

    Args:
        image: what was built.
        registry: where to: HOST[:PORT], with the folder if the registry has such.

    Returns:
        The image's name by its digest there: REGISTRY/NAME@sha256:…

    Raises:
        PenstockError: Docker cannot be reached, or the registry does not take it.
    """
    name, _, tag = image.reference.partition(":")
    repository = f"{registry.rstrip('/')}/{name}"
    with _docker() as docker:
        docker.images.get(image.id).tag(repository, tag)
        digest = _pushed_digest(docker.images.push(repository, tag, stream=True, decode=True), repository)
    return f"{repository}@{digest}"


def _pushed_digest(answers: Iterable[Mapping[str, Any]], repository: str) -> str:
    digest = ""
    for answer in answers:
        if "error" in answer:
            raise PenstockError(
                f"{repository}: the registry did not take the image: {answer['error']}. Check its name, and that you"
                f" may push there: docker login {repository.partition('/')[0]}"
            )
        digest = answer.get("aux", {}).get("Digest", digest)
    if not digest:
        raise PenstockError(f"{repository}: the push ended before the registry had confirmed the image. Push it again")
    return digest


def _base(docker: Any, base: str) -> str:
    from docker.errors import APIError, ImageNotFound

    try:
        return str(docker.images.get(base).id)
    except ImageNotFound:
        pass
    try:
        return str(docker.images.pull(base).id)
    except APIError as error:
        raise UsageError(
            f"There is no base image {base}: it is not on this machine, and pulling it failed ({error.explanation})."
            " Build it in Penstock's checkout, with `docker build --file deploy/Dockerfile --tag"
            f" {BASE} .`, or name another with --base"
        ) from error


def _ignore_lines(project: Path) -> list[str]:
    try:
        text = (project / _IGNORE_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _write_context(target: IO[bytes], project: Path, files: Iterable[Path]) -> None:
    """Writes what Docker builds from. Who owns the files, and when they were written, makes no difference."""
    with tarfile.open(fileobj=target, mode="w") as archive:
        _add(archive, tarfile.TarInfo("Dockerfile"), io.BytesIO(_DOCKERFILE.encode()), len(_DOCKERFILE))
        for name in files:
            path = project / name
            entry = tarfile.TarInfo(f"project/{name.as_posix()}")
            if path.is_symlink():
                entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(path)
                archive.addfile(entry)
                continue
            entry.mode = 0o755 if os.access(path, os.X_OK) else 0o644
            with path.open("rb") as stream:
                _add(archive, entry, stream, path.stat().st_size)


def _add(archive: tarfile.TarFile, entry: tarfile.TarInfo, content: IO[bytes], size: int) -> None:
    entry.size = size
    archive.addfile(entry, content)


@contextmanager
def _docker() -> Iterator[Any]:
    """A connection to Docker, as DOCKER_HOST says; turns its errors into ours."""
    import docker
    from docker import errors
    from requests.exceptions import RequestException

    try:
        client = docker.from_env(timeout=600)
    except errors.DockerException as error:
        raise PenstockError(
            f"Docker cannot be reached ({error}). Start its daemon, or set DOCKER_HOST; `penstock doctor` looks for it"
        ) from error
    try:
        yield client
    except errors.BuildError as error:
        said = "".join(str(line.get("stream", "")) for line in error.build_log).strip()
        raise PenstockError(f"Docker could not build the image: {error.msg}\n{said}") from error
    except (errors.DockerException, RequestException) as error:
        raise PenstockError(f"Docker did not do what was asked: {error}") from error
    finally:
        client.close()

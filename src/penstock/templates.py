"""Templates: the ready pipelines, as projects to start from.

A template is a folder `templates/NAME` with a `template.yaml`:

    description: one line
    source: pipelines/chicago_taxi     # the pipeline it is made of
    package: chicago_taxi              # the import name its modules use

A new project gets the files of `templates/common`, the pipeline's declaration, its modules as a package, and its tests.
"""

from __future__ import annotations

import difflib
import keyword
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

import yaml

from penstock.errors import PenstockError, UsageError

NAME_PATTERN = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")
NAME_LENGTH = 63
NAME_RULE = (
    f"a name has lower-case letters, digits and hyphens, starts with a letter, ends with a letter or digit, "
    f"and is at most {NAME_LENGTH} characters long"
)
IGNORED = ("__pycache__", ".*", "*.pyc")


@dataclass(frozen=True)
class Template:
    """A pipeline that `create_project` can copy.

    Attributes:
        name: what people call it by.
        description: one line about it.
        source: the pipeline's folder.
        package: the import name the pipeline's modules use.
    """

    name: str
    description: str
    source: Path
    package: str


@dataclass(frozen=True)
class Project:
    """A project that was just made.

    Attributes:
        folder: its root.
        name: its pipeline's name.
        package: the import name of its modules.
        template: the template it was made from.
    """

    folder: Path
    name: str
    package: str
    template: str


def data_root() -> Path:
    """Returns the folder that holds `templates/` and `pipelines/`: inside the wheel, or the checkout's root.

    Raises:
        PenstockError: if neither is there.
    """
    package = Path(__file__).resolve().parent
    for root in (package / "_data", package.parent.parent):
        if (root / "templates" / "common").is_dir() and (root / "pipelines").is_dir():
            return root
    raise PenstockError(
        f"Penstock's templates are missing: neither {package / '_data'} nor {package.parent.parent} has them. "
        "The installation is incomplete; install Penstock again."
    )


def templates(root: Path | None = None) -> dict[str, Template]:
    """Returns every template by its name, sorted; `root` is the folder that holds `templates/`."""
    root = data_root() if root is None else root
    found = {}
    for file in sorted((root / "templates").glob("*/template.yaml")):
        entry = yaml.safe_load(file.read_text(encoding="utf-8"))
        found[file.parent.name] = Template(
            name=file.parent.name,
            description=entry["description"],
            source=root / entry["source"],
            package=entry["package"],
        )
    return found


def package_name(name: str) -> str:
    """Returns the import name of a project called `name`.

    Raises:
        UsageError: if `name` breaks `NAME_RULE`, or its import name is reserved or belongs to another module.
    """
    if len(name) > NAME_LENGTH or not NAME_PATTERN.fullmatch(name):
        near = re.sub(r"[^a-z0-9]+", "-", name.lower())[:NAME_LENGTH].strip("-").lstrip("-0123456789")
        hint = f" Did you mean {near!r}?" if near else ""
        raise UsageError(f"{name!r} cannot be a project's name: {NAME_RULE}.{hint}")
    package = name.replace("-", "_")
    if keyword.iskeyword(package):
        reason = f"{package!r} is a reserved word of Python"
    elif package == "tests":
        reason = "the project's tests stand in a folder of that name"
    elif package in sys.stdlib_module_names or package == "test":
        reason = f"it would hide Python's own module {package!r}"
    elif (taken := _installed_module(package)) is not None:
        reason = f"it would hide the installed package {package!r} ({taken})"
    else:
        return package
    raise UsageError(f"{name!r} cannot be a project's name: {reason}. Choose another, such as 'my-{name}'.")


def create_project(name: str, template: str, parent: Path, root: Path | None = None) -> Project:
    """Copies a template into the folder `parent/name`; the folder is there complete or not at all.

    Args:
        name: the new project's and pipeline's name.
        template: name of the template; `-` and `_` mean the same.
        parent: an existing folder.
        root: the folder that holds `templates/`; None for Penstock's own.

    Raises:
        UsageError: if the name or template does not fit, or the folder exists and is not empty.
        PenstockError: if the files cannot be written.
    """
    root = data_root() if root is None else root
    chosen = _find(template, templates(root))
    package = package_name(name)
    folder = parent / name
    if not parent.is_dir():
        raise UsageError(f"There is no folder {parent}. Create it first, or name one that exists.")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"{folder} exists and is not a folder. Choose another name, or move it away.")
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"The folder {folder} exists and is not empty. Choose another name, or move it away.")
    partial: Path | None = None
    try:
        partial = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=parent))
        for target, content in _files(chosen, root / "templates" / "common", name, package):
            path = partial / target
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        # mkdtemp's folder is closed to others; a project is as open as the user's umask says.
        umask = os.umask(0)
        os.umask(umask)
        partial.chmod(0o777 & ~umask)
        partial.rename(folder)
    except OSError as error:
        raise PenstockError(f"Cannot write {folder}: {error.strerror or error}. Nothing was created.") from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    return Project(folder=folder, name=name, package=package, template=chosen.name)


def _find(template: str, known: dict[str, Template]) -> Template:
    wanted = template.replace("-", "_")
    if wanted in known:
        return known[wanted]
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"There is no template {template!r}. Templates: {', '.join(known)}.{hint}")


def _installed_module(package: str) -> str | None:
    # The current folder is on the path under `python -m`; what stands there is the user's own.
    here = os.getcwd()
    spec = PathFinder.find_spec(package, [entry for entry in sys.path if entry and entry != here])
    if spec is None:
        return None
    return spec.origin or next(iter(spec.submodule_search_locations or ()), package)


def _files(template: Template, common: Path, name: str, package: str) -> Iterator[tuple[Path, bytes]]:
    """Yields each file of the new project: its path below the project's folder, and its content."""
    fields = {"name": name, "package": package, "description": template.description}
    for path in _walk(common):
        relative = path.relative_to(common)
        # A file called .gitignore would act on the checkout that holds the template.
        target = relative.with_name(".gitignore") if relative.name == "gitignore" else relative
        yield target, _fill(path.read_bytes(), fields)
    for path in _walk(template.source):
        relative = path.relative_to(template.source)
        if relative.parts[0] == "tests" or relative == Path("pipeline.yaml"):
            target = relative
        elif path.suffix == ".py":
            target = Path(package) / relative
        else:
            continue
        yield target, rename(path.read_bytes(), template.package, name, package)


def _walk(folder: Path) -> list[Path]:
    def ignored(path: Path) -> bool:
        return any(Path(part).match(pattern) for part in path.relative_to(folder).parts for pattern in IGNORED)

    return sorted(path for path in folder.rglob("*") if path.is_file() and not ignored(path))


def _fill(content: bytes, fields: dict[str, str]) -> bytes:
    for key, value in fields.items():
        content = content.replace(f"{{{{ {key} }}}}".encode(), value.encode())
    return content


def rename(content: bytes, old: str, name: str, package: str) -> bytes:
    """Returns a template's file with the template's own package and pipeline name replaced.

    A word such as `chicago_taxi` or `chicago-taxi` can only mean the package or the pipeline and is replaced wherever
    it stands alone. A word of the language, such as `penguin`, is replaced only where it is used as a name: as a
    module, between quotes, as a folder, or as the value of the declaration's `name:`.

    Args:
        content: the file, UTF-8; any other content is returned as it is.
        old: the template's package.
        name: the new pipeline's name.
        package: the new package.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content
    hyphenated = old.replace("_", "-")
    text = re.sub(rf"^(name:\s*)([\"']?){re.escape(hyphenated)}\2(?=\s|$)", rf"\g<1>{name}", text, flags=re.MULTILINE)
    if hyphenated != old:
        text = re.sub(rf"(?<![\w-]){re.escape(hyphenated)}(?![\w-])", name, text)
        return re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", package, text).encode()
    word = re.escape(old)
    as_module = rf"(?<![\w.-]){word}(?=\.[a-z_])|(?<=^import ){word}(?!\w)|(?<=^from ){word}(?= import)"
    as_value = rf"(?<=[\"']){word}(?=[\"'])|(?<![\w-]){word}(?=/\w)"
    return re.sub(f"{as_module}|{as_value}", package, text, flags=re.MULTILINE).encode()

"""TFX's plug-in for object storage: `fileio` on `s3://` and `gs://`, in processes with TensorFlow and without.

It behaves as the plug-in for local files does, but for folders: making one writes nothing, and one is there as soon as
something is below it. Files are read in pieces, and written when they are closed, unless an exception left them.
"""

from __future__ import annotations

import io
import os
import posixpath
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tfx.dsl.io import filesystem, filesystem_registry
from tfx.dsl.io.filesystem import NotFoundError, PathType

from penstock.engine.local_files import FileStatistics
from penstock.storage import buckets, objects

_MODES = {"r": "r", "rt": "r", "rb": "rb", "w": "w", "wt": "w", "wb": "wb"}
_WILD = re.compile(r"[*?\[]")

# The names of the folders and of the files in each folder.
_Folders = dict[str, tuple[list[PathType], list[PathType]]]


class ObjectFilesystem(filesystem.Filesystem):
    """Object storage. What the methods mean is said at TFX's `fileio`; all of them may raise `StorageError`."""

    SUPPORTED_SCHEMES = ("s3://", "gs://")

    @staticmethod
    def open(name: PathType, mode: str = "r") -> Any:
        """Opens a file to read it, or to write it anew."""
        uri = os.fsdecode(name)
        if mode not in _MODES:
            raise ValueError(
                f"{uri}: cannot be opened with mode {mode!r}: on object storage a file is read, or written anew"
                f" ({', '.join(_MODES)})"
            )
        if _MODES[mode].startswith("w"):
            binary = _Writer(_Upload(uri))
            return binary if _MODES[mode] == "wb" else _TextWriter(binary, encoding="utf-8", newline="")
        try:
            reader = objects.open_binary(uri)
        except FileNotFoundError as error:
            raise NotFoundError(f"{uri}: there is no such file") from error
        return reader if _MODES[mode] == "rb" else io.TextIOWrapper(reader, encoding="utf-8")

    @staticmethod
    def copy(src: PathType, dst: PathType, overwrite: bool = False) -> None:
        """Copies a file within object storage."""
        source, target = os.fsdecode(src), os.fsdecode(dst)
        _refuse_existing(target, overwrite)
        try:
            objects.copy(source, target)
        except FileNotFoundError as error:
            raise NotFoundError(f"{source}: there is no such file") from error

    @staticmethod
    def exists(path: PathType) -> bool:
        """Whether a file is there, or anything below it."""
        return objects.entry(os.fsdecode(path)) is not None

    @staticmethod
    def glob(pattern: PathType) -> list[PathType]:
        """Returns the files and folders that fit a pattern of the shell's; no star stands for a slash."""
        text = os.fsdecode(pattern)
        found = _WILD.search(text)
        if found is None:
            return [text] if objects.entry(text) is not None else []
        folder = text[: text.rindex("/", 0, found.start())]
        rest = text[len(folder) + 1 :]
        expression = re.compile(_expression(rest))
        return [
            f"{folder}/{each.name}"
            for each in objects.children(folder, deep="/" in rest)
            if expression.fullmatch(each.name)
        ]

    @staticmethod
    def isdir(path: PathType) -> bool:
        """Whether something is below it."""
        found = objects.entry(os.fsdecode(path))
        return found is not None and found.is_folder

    @staticmethod
    def listdir(path: PathType) -> list[PathType]:
        """Returns the names of what is in a folder."""
        uri = os.fsdecode(path)
        names: list[PathType] = [each.name for each in objects.children(uri)]
        if not names and not ObjectFilesystem.isdir(uri):
            raise NotFoundError(f"{uri}: there is no such folder")
        return names

    @staticmethod
    def makedirs(path: PathType) -> None:
        """Makes sure that the bucket is there; folders need not be made."""
        buckets.check(os.fsdecode(path))

    @staticmethod
    def mkdir(path: PathType) -> None:
        """Does what `makedirs` does."""
        buckets.check(os.fsdecode(path))

    @staticmethod
    def remove(path: PathType) -> None:
        """Removes a file."""
        uri = os.fsdecode(path)
        try:
            objects.remove(uri)
        except FileNotFoundError as error:
            raise NotFoundError(f"{uri}: there is no such file") from error

    @staticmethod
    def rename(src: PathType, dst: PathType, overwrite: bool = False) -> None:
        """Copies a file or folder, then removes it: others may see both, and never half a file."""
        source, target = os.fsdecode(src), os.fsdecode(dst)
        found = objects.files(source)
        if found is None:
            raise NotFoundError(f"{source}: there is nothing to rename")
        _refuse_existing(target, overwrite)
        if [each.name for each in found] == [""]:
            objects.copy(source, target)
            objects.remove(source)
            return
        for each in found:
            objects.copy(objects.join(source, each.name), objects.join(target, each.name))
        objects.remove_folder(source)

    @staticmethod
    def rmtree(path: PathType) -> None:
        """Removes a folder with all below it."""
        uri = os.fsdecode(path)
        try:
            objects.remove_folder(uri)
        except FileNotFoundError as error:
            raise NotFoundError(f"{uri}: there is no such folder") from error

    @staticmethod
    def stat(path: PathType) -> FileStatistics:
        """Returns the size and time of a file."""
        uri = os.fsdecode(path)
        found = objects.entry(uri)
        if found is None:
            raise NotFoundError(f"{uri}: there is no such file")
        return FileStatistics(found.size, found.modified_ns)

    @staticmethod
    def walk(
        top: PathType, topdown: bool = True, onerror: Callable[..., None] | None = None
    ) -> Iterator[tuple[PathType, list[PathType], list[PathType]]]:
        """Yields each folder with the names of the folders and files in it, as `os.walk` does."""
        root = os.fsdecode(top)
        inside: _Folders = {}
        for each in objects.children(root, deep=True):
            folder, name = posixpath.split(each.name)
            _note(inside, each.name if each.is_folder else folder)
            if not each.is_folder:
                inside[folder][1].append(name)
        if not inside and ObjectFilesystem.isdir(root):
            _note(inside, "")
        order = sorted(inside, key=lambda folder: folder.split("/") if folder else [], reverse=not topdown)
        for folder in order:
            yield (objects.join(root, folder), *inside[folder])


class _Upload(io.FileIO):
    """A local file that is written to an address when it is closed, unless it was left by an exception."""

    def __init__(self, uri: str):
        descriptor, self._path = tempfile.mkstemp(prefix="penstock-upload-")
        super().__init__(descriptor, "w")
        self._uri = uri
        self.is_abandoned = False

    def close(self) -> None:
        """Writes the file to its address, whole."""
        if self.closed:
            return
        super().close()
        try:
            if not self.is_abandoned:
                objects.put(Path(self._path), self._uri)
        finally:
            os.unlink(self._path)


class _Writer(io.BufferedWriter):
    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            self.abandon()
        self.close()

    def abandon(self) -> None:
        """Lets closing write nothing."""
        upload: Any = self.raw
        upload.is_abandoned = True


class _TextWriter(io.TextIOWrapper):
    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            writer: Any = self.buffer
            writer.abandon()
        self.close()


def _note(inside: _Folders, folder: str) -> None:
    """Notes a folder, and those around it where the store did not list them."""
    if folder in inside:
        return
    inside[folder] = ([], [])
    if folder:
        around, name = posixpath.split(folder)
        _note(inside, around)
        inside[around][0].append(name)


def _refuse_existing(target: str, overwrite: bool) -> None:
    if not overwrite and objects.entry(target) is not None:
        raise OSError(f"{target}: is there already, and is not to be overwritten")


def _expression(pattern: str) -> str:
    """A pattern of the shell's as a regular expression; names that begin with a dot must be asked for by it."""
    parts, at = [], 0
    while at < len(pattern):
        character = pattern[at]
        if character in "*?[" and (at == 0 or pattern[at - 1] == "/"):
            parts.append(r"(?!\.)")
        end = pattern.find("]", at + 2) if character == "[" else -1
        if character == "*":
            parts.append("[^/]*")
        elif character == "?":
            parts.append("[^/]")
        elif end > 0:
            inner = pattern[at + 1 : end].replace("\\", r"\\")
            parts.append(f"[{'^' + inner[1:] if inner.startswith('!') else inner}]")
            at = end
        else:
            parts.append(re.escape(character))
        at += 1
    return "".join(parts)


def register() -> None:
    """Makes TFX use this plug-in for object storage, before TensorFlow's own."""
    filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.register(ObjectFilesystem, priority=1)

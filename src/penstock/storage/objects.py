"""Files and folders of an object store: looked at, read, written, copied, removed.

A folder is there while anything lies below it; an empty one only if it was marked. What is written appears at once and
whole, in place of what was there before.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from penstock.storage import buckets
from penstock.storage.buckets import locate
from penstock.storage.waiting import StorageError, no_bucket, patiently

_Item = TypeVar("_Item")

PIECE_BYTES = 8 << 20
# How many files are on their way at a time.
_SIDE_BY_SIDE = 8
# What S3 copies by itself; larger objects go through this machine.
_MOST_COPIED_BYTES = 5 << 30
# What says that a folder's content is usable is written last.
_LAST = frozenset(("saved_model.pb",))


@dataclass(frozen=True)
class Entry:
    """A file or folder.

    Attributes:
        name: its path below the folder that was listed; empty for the address itself.
        is_folder: whether it is a folder.
        size: bytes; 0 for a folder.
        modified_ns: when it was written, in nanoseconds since the epoch; 0 for a folder.
    """

    name: str
    is_folder: bool = False
    size: int = 0
    modified_ns: int = 0


def entry(uri: str) -> Entry | None:
    """Returns what is at an address, or None."""
    system, path = locate(uri)
    found = _entry("", patiently(uri, lambda: system.get_file_info(path)))
    if found is not None and found.is_folder:
        buckets.check(uri)  # of Google's, Arrow takes anything in a bucket that is missing for a folder
    return found


def children(uri: str, *, deep: bool = False) -> list[Entry]:
    """Returns what is in a folder, or, if `deep`, anywhere below it, in the order of paths; nothing for no folder."""
    from pyarrow import fs

    system, path = locate(uri)
    # Of Google's buckets, Arrow lists no folders but those that were marked.
    is_google = uri.startswith("gs://")
    selector = fs.FileSelector(path, recursive=deep or is_google, allow_not_found=True)
    found = patiently(uri, lambda: system.get_file_info(selector))
    entries = [_entry(info.path[len(path) + 1 :], info) for info in found]
    listed = {each.name: each for each in entries if each is not None}
    if is_google:
        listed |= {str(folder): Entry(str(folder), is_folder=True) for name in listed for folder in _folders_of(name)}
    wanted = [each for each in listed.values() if deep or "/" not in each.name]
    return sorted(wanted, key=lambda each: each.name.split("/"))


def files(uri: str) -> list[Entry] | None:
    """Returns all files below a folder, or a file itself under the name ``; None if nothing is there."""
    found = [each for each in children(uri, deep=True) if not each.is_folder]
    if found:
        return found
    itself = entry(uri)
    return None if itself is None else [] if itself.is_folder else [itself]


def listing(found: Iterable[Entry]) -> str:
    """Returns a digest of names, sizes and times. It changes with whatever is written, also if it is written again."""
    # Of one file alone stores tell no fractions of seconds, of those in a folder some do.
    lines = [f"{each.name}\0{each.size}\0{each.modified_ns // 10**9}\n" for each in found]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class Reader(io.RawIOBase):
    """A file's content, read in pieces; each is asked for again while the store is away."""

    def __init__(self, uri: str):
        """Opens the file.

        Raises:
            FileNotFoundError: there is none.
        """
        self._uri = uri
        system, path = locate(uri)
        self._file = patiently(uri, lambda: system.open_input_file(path))
        self._size: int = patiently(uri, self._file.size)
        self._offset = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._offset

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._offset = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: self._size}[whence])
        return self._offset

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._offset)
        if wanted <= 0:
            return 0
        offset = self._offset
        content = patiently(self._uri, lambda: self._file.read_at(wanted, offset))
        buffer[: len(content)] = content
        self._offset += len(content)
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def open_binary(uri: str) -> io.BufferedReader:
    """Opens a file to read it.

    Raises:
        FileNotFoundError: there is none.
    """
    return io.BufferedReader(Reader(uri), PIECE_BYTES)


def put(source: Path, uri: str) -> None:
    """Writes a local file to an address. Cut off, it is sent again from its beginning."""
    system, path = locate(uri)

    def send() -> None:
        with source.open("rb") as content, _new_object(uri, system, path) as stream:
            shutil.copyfileobj(content, stream, PIECE_BYTES)

    patiently(uri, send)


def get(uri: str, target: Path) -> None:
    """Writes what is at an address to a local file, whose folder exists."""
    with Reader(uri) as source, target.open("wb") as stream:
        shutil.copyfileobj(source, stream, PIECE_BYTES)


def put_folder(source: Path, uri: str) -> list[Entry]:
    """Writes a local folder, or file, to an address, and returns what then lies there.

    What makes a SavedModel usable goes last.

    Raises:
        StorageError: what lies there is not what was sent: somebody else wrote to it.
    """
    names = [""] if source.is_file() else sorted(_local_files(source))
    sizes = {name: (source / name).stat().st_size for name in names}
    if not names:
        mark_folder(uri)
    for some in _parted(names):
        _side_by_side(lambda name: put(source / name, join(uri, name)), some)
    found = files(uri) or []
    if {each.name: each.size for each in found} != sizes:
        raise StorageError(
            f"{uri}: {len(sizes)} files of {sum(sizes.values())} bytes were written, and {len(found)} of"
            f" {sum(each.size for each in found)} bytes are there. Something else writes to the same place; give each"
            " store a pipeline_root of its own, and run again"
        )
    return found


def get_folder(uri: str, target: Path) -> None:
    """Writes what is below an address to a local folder, or a file to a local file.

    Raises:
        FileNotFoundError: nothing is there.
    """
    found = files(uri)
    if found is None:
        raise FileNotFoundError(f"{uri}: is gone")
    get_files(uri, target, [each.name for each in found])
    if not found:
        target.mkdir(parents=True, exist_ok=True)


def get_files(uri: str, target: Path, names: Sequence[str]) -> None:
    """Writes some files below an address to the same places below a local folder."""
    for folder in {(target / name).parent for name in names}:
        folder.mkdir(parents=True, exist_ok=True)
    _side_by_side(lambda name: get(join(uri, name), target / name), names)


def mark_folder(uri: str) -> None:
    """Makes an empty folder that is there although nothing is below it."""
    system, path = locate(uri)
    patiently(uri, lambda: system.create_dir(path))


def copy(source: str, target: str) -> None:
    """Copies a file to another address.

    Raises:
        FileNotFoundError: there is none.
    """
    system, path = locate(source)
    target_system, target_path = locate(target)
    found = entry(source)
    if found is None or found.is_folder:
        raise FileNotFoundError(f"{source}: there is no such file")
    if system is target_system and found.size <= _MOST_COPIED_BYTES:
        patiently(target, lambda: system.copy_file(path, target_path))
        return
    with tempfile.NamedTemporaryFile() as passing:
        get(source, Path(passing.name))
        put(Path(passing.name), target)


def remove(uri: str) -> None:
    """Removes a file.

    Raises:
        FileNotFoundError: there is none.
    """
    system, path = locate(uri)
    patiently(uri, lambda: system.delete_file(path))


def remove_folder(uri: str) -> None:
    """Removes a folder with all below it.

    Raises:
        FileNotFoundError: there is none.
    """
    if entry(uri) is None:
        raise FileNotFoundError(f"{uri}: there is no such folder")
    system, path = locate(uri)

    def delete() -> None:
        with contextlib.suppress(FileNotFoundError):  # an attempt before this one, whose answer got lost
            system.delete_dir(path)

    patiently(uri, delete)


def sha256(uri: str) -> bytes:
    """Reads a file and returns its SHA-256."""
    whole = hashlib.sha256()
    with Reader(uri) as source:
        while piece := source.read(PIECE_BYTES):
            whole.update(piece)
    return whole.digest()


def join(uri: str, name: str) -> str:
    """Returns the address of something below a folder; the folder's own for the empty name."""
    return f"{uri.rstrip('/')}/{name}" if name else uri


def _entry(name: str, info: Any) -> Entry | None:
    from pyarrow import fs

    if info.type == fs.FileType.NotFound:
        return None
    if info.type == fs.FileType.Directory:
        return Entry(name, is_folder=True)
    return Entry(name, size=info.size, modified_ns=info.mtime_ns or 0)


def _new_object(uri: str, system: Any, path: str) -> Any:
    try:
        return system.open_output_stream(path, compression=None)
    except FileNotFoundError as error:
        raise no_bucket(uri) from error


def _folders_of(name: str) -> list[PurePosixPath]:
    return list(PurePosixPath(name).parents)[:-1]


def _local_files(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _parted(names: Sequence[str]) -> tuple[list[str], list[str]]:
    last = [name for name in names if name.rpartition("/")[2] in _LAST]
    return [name for name in names if name not in last], last


def _side_by_side(action: Callable[[_Item], None], items: Sequence[_Item]) -> None:
    if len(items) < 2:
        for item in items:
            action(item)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(_SIDE_BY_SIDE, len(items)), thread_name_prefix="storage") as threads:
        futures = [threads.submit(action, item) for item in items]
        try:
            for future in futures:
                future.result()
        except BaseException:
            threads.shutdown(wait=True, cancel_futures=True)
            raise

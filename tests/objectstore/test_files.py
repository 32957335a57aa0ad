"""`fileio` on object storage does what it does on local files; folders and faults are where they differ."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tfx.dsl.io import fileio

from penstock.engine import content
from penstock.storage import objects, waiting
from penstock.storage.waiting import StorageAwayError, StorageError
from tests.objectstore.conftest import forget
from tests.objectstore.server import ObjectStore


def write(path: str, text: str = "") -> None:
    fileio.makedirs(os.path.dirname(path))
    with fileio.open(path, "w") as stream:
        stream.write(text)


def tree(root: str) -> None:
    for name in ("a.txt", "b.csv", ".hidden", "deep/a.txt", "deep/deeper/c.txt", "deep-er/a.txt", "ä b/+.txt"):
        write(f"{root}/{name}", name * 3)


@pytest.fixture
def both(place: str, tmp_path: Path) -> tuple[str, str]:
    """A folder on object storage and a local one with the same files."""
    remote, local = f"{place}/some/root", str(tmp_path / "some" / "root")
    tree(remote)
    tree(local)
    return remote, local


def below(found: Any, root: str) -> list[str]:
    return sorted(os.path.relpath(path, root) for path in found)


@pytest.mark.parametrize(
    "pattern",
    ["*", "*.txt", "*/*", "deep/*", "deep*/a.txt", "deep/*/c.txt", "?.txt", "[ab].*", "[!a].*", "a.txt", "no/*"],
)
def test_patterns_find_what_they_find_in_local_folders(both: tuple[str, str], pattern: str) -> None:
    remote, local = both
    assert below(fileio.glob(f"{remote}/{pattern}"), remote) == below(fileio.glob(f"{local}/{pattern}"), local)


@pytest.mark.parametrize("topdown", [True, False])
def test_walking_shows_the_same_folders_and_files(both: tuple[str, str], topdown: bool) -> None:
    def walked(root: str) -> list[tuple[str, list[str], list[str]]]:
        found = fileio.walk(root, topdown=topdown)
        return [(os.path.relpath(at, root), sorted(folders), sorted(files)) for at, folders, files in found]

    remote, local = map(walked, both)
    assert sorted(remote) == sorted(local)
    depth = [at.count("/") + (at != ".") for at, _, _ in remote]
    assert max(depth) == 2 and depth.index(2) > depth.index(1) if topdown else depth.index(2) < len(depth) - 1
    assert list(fileio.walk(f"{both[0]}/nowhere")) == []


def test_reading_writing_and_looking(both: tuple[str, str]) -> None:
    remote, _ = both
    assert fileio.exists(f"{remote}/a.txt") and not fileio.isdir(f"{remote}/a.txt")
    assert fileio.exists(f"{remote}/deep") and fileio.isdir(f"{remote}/deep/")
    assert not fileio.exists(f"{remote}/dee")
    assert sorted(fileio.listdir(f"{remote}/deep")) == ["a.txt", "deeper"]
    assert fileio.open(f"{remote}/ä b/+.txt").read() == "ä b/+.txt" * 3
    status = fileio.stat(f"{remote}/a.txt")
    assert status.length == 15 and abs(status.mtime_nsec / 1e9 - time.time()) < 600
    with fileio.open(f"{remote}/a.txt", "rb") as stream:
        assert (stream.seek(-3, os.SEEK_END), stream.read()) == (12, b"txt")
    fileio.copy(f"{remote}/a.txt", f"{remote}/new/copy.txt")
    with pytest.raises(OSError, match="is there already"):
        fileio.copy(f"{remote}/b.csv", f"{remote}/new/copy.txt")
    fileio.copy(f"{remote}/b.csv", f"{remote}/new/copy.txt", overwrite=True)
    assert fileio.open(f"{remote}/new/copy.txt").read() == "b.csv" * 3
    fileio.rename(f"{remote}/deep", f"{remote}/moved")
    assert fileio.exists(f"{remote}/moved/deeper/c.txt") and not fileio.exists(f"{remote}/deep")
    fileio.remove(f"{remote}/a.txt")
    assert not fileio.exists(f"{remote}/a.txt")
    fileio.rmtree(remote)
    assert not fileio.exists(remote)


def test_what_is_not_there_is_said_as_of_local_files(place: str, tmp_path: Path) -> None:
    for root in (f"{place}/root", str(tmp_path)):
        for action in (
            lambda path: fileio.open(path).read(),
            lambda path: fileio.copy(path, f"{path}2"),
            fileio.listdir,
            fileio.remove,
            fileio.rename if root.startswith("/") else fileio.remove,
            fileio.rmtree,
            fileio.stat,
        ):
            if action is not fileio.rename:
                with pytest.raises(fileio.NotFoundError):
                    action(f"{root}/nothing")
        assert fileio.glob(f"{root}/nothing/*") == []
        assert not fileio.isdir(f"{root}/nothing")


def test_a_file_left_by_an_exception_is_not_written(place: str) -> None:
    for mode, half in (("w", "half"), ("wb", b"half")):
        with pytest.raises(ZeroDivisionError), fileio.open(f"{place}/half", mode) as stream:
            stream.write(half)
            raise ZeroDivisionError
    assert not fileio.exists(f"{place}/half")
    with pytest.raises(ValueError, match="read, or written anew"):
        fileio.open(f"{place}/half", "a")


def test_a_folder_has_the_digest_of_its_local_copy(both: tuple[str, str], tmp_path: Path) -> None:
    remote, local = both
    files = objects.files(remote)
    assert files is not None
    assert content.remote_digest(remote, files) == content.digest(local)[0]
    objects.get_folder(remote, tmp_path / "copy")
    assert content.digest(str(tmp_path / "copy")) == content.digest(local)
    one = objects.files(f"{remote}/a.txt")
    assert one is not None and [each.name for each in one] == [""]
    assert content.remote_digest(f"{remote}/a.txt", one) == content.digest(f"{local}/a.txt")[0]
    assert objects.files(f"{remote}/nowhere") is None


def test_an_empty_folder_stays_one(place: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert objects.put_folder(tmp_path / "empty", f"{place}/empty") == []
    assert objects.files(f"{place}/empty") == [] and fileio.isdir(f"{place}/empty")
    objects.get_folder(f"{place}/empty", tmp_path / "back")
    assert list((tmp_path / "back").iterdir()) == []


def test_a_store_that_is_away_for_a_while_is_waited_for(store: ObjectStore, bucket: str) -> None:
    store.faults.away = True
    threading.Timer(4, lambda: setattr(store.faults, "away", False)).start()
    began = time.monotonic()
    write(f"s3://{bucket}/late", "late")
    assert 3 < time.monotonic() - began < 30
    store.faults.refusals = 5
    assert fileio.open(f"s3://{bucket}/late").read() == "late"


def test_a_store_that_stays_away_is_given_up(store: ObjectStore, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 2.0)
    store.faults.away = True
    with pytest.raises(StorageAwayError, match=r"has not answered for \d+ s.*127\.0\.0\.1.*AWS_ENDPOINT_URL"):
        fileio.exists(f"s3://{bucket}/x")
    store.faults.requests.clear()
    with pytest.raises(StorageAwayError):
        fileio.exists(f"s3://{bucket}/y")
    assert len(store.faults.requests) <= 3, "nobody waits twice for the same bucket"
    store.faults.away = False
    assert not fileio.exists(f"s3://{bucket}/x")


def test_nobody_listening_is_a_store_that_is_away(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:hidden@127.0.0.1:1")
    forget()
    with pytest.raises(StorageAwayError) as raised:
        fileio.exists(f"s3://{bucket}/x")
    assert "hidden" not in str(raised.value)


def test_hurrying_ends_a_wait(store: ObjectStore, bucket: str) -> None:
    store.faults.away = True
    threading.Timer(1, waiting.hurry).start()
    began = time.monotonic()
    with pytest.raises(StorageAwayError):
        fileio.exists(f"s3://{bucket}/x")
    assert time.monotonic() - began < 20


def test_a_missing_bucket_is_said_at_once(store: ObjectStore, place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    missing = f"{place.partition(':')[0]}://no-such-bucket"
    for action in (fileio.makedirs, lambda path: write(path, "x"), lambda path: objects.put(tmp_path / "file", path)):
        with pytest.raises(StorageError, match=f"{missing}: there is no such bucket at http://127"):
            action(f"{missing}/some/where")
    with pytest.raises(StorageError, match="names no bucket"):
        fileio.exists("s3:///key")


def test_wrong_credentials_are_said_at_once(
    store: ObjectStore, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody-else")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    forget()
    began = time.monotonic()
    for action in (fileio.exists, fileio.listdir, fileio.makedirs, fileio.open, lambda uri: write(uri, "x")):
        with pytest.raises(StorageError) as raised:
            action(f"s3://{bucket}/x")
        message = str(raised.value)
        assert message.startswith(f"s3://{bucket}: the storage refuses access at http://127.0.0.1:")
        assert "AWS_ACCESS_KEY_ID is set" in message and "AWS_SESSION_TOKEN is not set" in message
        assert "wrong-secret" not in message and "somebody-else" not in message
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("count", [1, 3])
def test_an_upload_that_is_cut_is_sent_again(store: ObjectStore, bucket: str, tmp_path: Path, count: int) -> None:
    whole = tmp_path / "data"
    whole.mkdir()
    (whole / "large").write_bytes(os.urandom(23 << 20))
    (whole / "small.gz").write_bytes(b"small")
    store.faults.cuts, store.faults.cut_bytes = count, 1 << 20
    found = objects.put_folder(whole, f"s3://{bucket}/data")
    assert store.faults.cuts == 0
    assert content.remote_digest(f"s3://{bucket}/data", found) == content.digest(str(whole))[0]
    assert store.keys(bucket) == {"data/large": 23 << 20, "data/small.gz": 5}


def test_what_makes_a_model_usable_is_written_last(store: ObjectStore, bucket: str, tmp_path: Path) -> None:
    for name in ("saved_model.pb", "variables/variables.index", "assets/x", "zzz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    objects.put_folder(tmp_path, f"s3://{bucket}/model/1")
    written = [path.partition("?")[0] for method, path in store.faults.requests if method == "PUT"]
    assert written[-1].endswith("/saved_model.pb") and len(written) == 4


def test_somebody_elses_files_are_noticed(place: str, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"x")
    write(f"{place}/slot/theirs", "y")
    with pytest.raises(StorageError, match="Something else writes to the same place"):
        objects.put_folder(tmp_path, f"{place}/slot")

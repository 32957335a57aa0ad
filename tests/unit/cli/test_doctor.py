"""`penstock doctor` sees what is wrong and says how to mend it."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from penstock import doctor
from penstock.cli.doctor import doctor as command
from penstock.doctor import Check, Status


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test looks at the store of the checkout or of the user."""
    monkeypatch.chdir(tmp_path)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def named(checks: list[Check], name: str) -> Check:
    (check,) = [check for check in checks if check.name == name]
    return check


def test_this_machine_is_fit_and_the_listing_says_so() -> None:
    result = call()
    assert result.exit_code == 0, result.output
    assert "fail" not in result.stdout
    assert "tensorflow-model-analysis" in result.stdout


def test_json_is_one_document_with_every_check() -> None:
    document = json.loads(call("--json").stdout)
    assert document["status"] in {"ok", "warn"}
    assert {check["name"] for check in document["checks"]} >= {"Python", "C library", "tfx", "metadata store", "Docker"}
    for check in document["checks"]:
        assert set(check) == {"name", "status", "found", "needed", "mend"}
        assert check["status"] == "ok" or check["mend"]


def test_a_store_that_is_no_store_fails(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "penstock.db").write_text("This is a letter, not a database.\n" * 40)
    result = call("--store", str(store))
    assert result.exit_code == 1
    assert str(store / "penstock.db") in result.stdout
    assert "Pipelines cannot run here" in result.stderr


def test_the_sqlite_file_of_something_else_in_place_of_the_metadata_fails(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    with sqlite3.connect(store / "metadata.db") as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    check = named(doctor.examine(str(store)), "metadata store")
    assert check.status is Status.FAIL
    assert "metadata.db" in check.found


def test_looking_at_a_store_creates_nothing(tmp_path: Path) -> None:
    check = named(doctor.examine(str(tmp_path / "store")), "metadata store")
    assert check.status is Status.OK
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_database_fails_without_telling_its_password() -> None:
    checks = doctor.examine("postgresql://somebody:open-sesame@127.0.0.1:1/runs")
    check = named(checks, "metadata store")
    assert check.status is Status.FAIL
    assert "127.0.0.1" in check.found
    assert "open-sesame" not in "".join(str(entry) for entry in checks)


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("1.17.1", Status.OK),
        ("1.21.0", Status.OK),
        ("1.16.0", Status.FAIL),
        ("1.22.0", Status.FAIL),
        (None, Status.FAIL),
    ],
)
def test_a_package_fits_one_of_its_alternatives(version: str | None, status: Status) -> None:
    check = doctor.check_package("ml-metadata", version, doctor.PACKAGES["ml-metadata"], Status.FAIL)
    assert check.status is status
    assert check.found == (version or "not installed")
    assert check.needed == "==1.17.1 or >=1.21,<1.22"


def test_what_is_optional_only_warns() -> None:
    assert doctor.check_package("kfp", None, (">=2.16,<3",), Status.WARN).status is Status.WARN


@pytest.mark.parametrize(
    ("libc", "python", "status"),
    [
        (("glibc", "2.36"), (3, 11), Status.OK),
        (("glibc", "2.28"), (3, 11), Status.OK),
        (("glibc", "2.17"), (3, 11), Status.FAIL),
        (("glibc", "2.36"), (3, 12), Status.FAIL),
        (("glibc", "2.41"), (3, 13), Status.OK),
        (("", ""), (3, 11), Status.FAIL),
    ],
)
def test_the_c_library_fits_the_python(libc: tuple[str, str], python: tuple[int, int], status: Status) -> None:
    (check,) = doctor.check_glibc(libc, python)
    assert check.status is status
    assert bool(check.mend) == (status is not Status.OK)


@pytest.mark.parametrize(("gigabytes", "status"), [(1.0, Status.FAIL), (3.0, Status.WARN), (8.0, Status.OK)])
def test_an_amount_has_a_least_and_a_comfortable_size(gigabytes: float, status: Status) -> None:
    check = doctor.check_amount("memory", gigabytes * 1e9, 2e9, 4e9, "Close something.")
    assert check.status is status
    assert check.found == f"{gigabytes:.1f} GB free"


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Path]:
    """The address of a Unix socket that answers one HTTP request with what stands in the file `answer` beside it."""
    path = tmp_path / "daemon.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall((tmp_path / "answer").read_bytes())

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield path
        thread.join(timeout=5)


def test_a_docker_daemon_that_answers_is_found(answering: Path) -> None:
    (answering.parent / "answer").write_bytes(b"HTTP/1.0 200 OK\r\nApi-Version: 1.41\r\n\r\nOK")
    assert doctor.docker_trouble(f"unix://{answering}") is None


def test_another_program_on_dockers_socket_is_not_docker(answering: Path) -> None:
    (answering.parent / "answer").write_bytes(b"HTTP/1.0 404 Not Found\r\n\r\n")
    assert "not Docker" in str(doctor.docker_trouble(f"unix://{answering}"))


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1", "tcp://nonsense", "ssh://host"])
def test_a_docker_daemon_that_is_not_there_is_reported_with_its_address(host: str) -> None:
    assert host in str(doctor.docker_trouble(host))

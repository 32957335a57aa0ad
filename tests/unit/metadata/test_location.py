"""Where a store is found, and that its password is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.errors import UsageError
from penstock.metadata.location import PostgresAddress, StoreLocation, resolve

URL = "postgresql://me:s3c%40ret@db.example:5433/penstock"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's root, with the working folder somewhere inside."""
    root = tmp_path / "project"
    (root / "deep" / "down").mkdir(parents=True)
    (root / "pyproject.toml").touch()
    monkeypatch.chdir(root / "deep" / "down")
    return root


def test_the_default_is_a_folder_at_the_projects_root(project: Path) -> None:
    assert resolve(environ={}) == StoreLocation(project / ".penstock")
    assert resolve(project=project / "deep", environ={}) == StoreLocation(project / "deep" / ".penstock")


@pytest.mark.parametrize("marker", [".git", ".penstock"])
def test_the_nearest_marker_upwards_is_the_project(project: Path, marker: str) -> None:
    (project / "deep" / marker).mkdir()
    assert resolve(environ={}).folder == project / "deep" / ".penstock"


def test_option_comes_before_variable_before_environment(project: Path) -> None:
    environ = {"PENSTOCK_STORE": "from-variable"}
    here = project / "deep" / "down"
    assert resolve("from-option", "declared", project, environ).folder == here / "from-option"
    assert resolve(None, "declared", project, environ).folder == here / "from-variable"
    assert resolve(None, "declared", project, {}).folder == project / "declared"
    assert resolve(None, "declared", project, {"PENSTOCK_STORE": ""}).folder == project / "declared"


@pytest.mark.parametrize("value", ["/srv/store", "sqlite:////srv/store", "/srv/x/../store/"])
def test_absolute_folders(value: str) -> None:
    assert resolve(value, environ={}) == StoreLocation(Path("/srv/store"))


def test_a_relative_sqlite_url_and_the_home_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(None, "sqlite:///data/store", project, {}).folder == project / "data" / "store"
    monkeypatch.setenv("HOME", "/home/someone")
    assert resolve("~/store", environ={}).folder == Path("/home/someone/store")


def test_a_postgresql_url_keeps_the_projects_folder(project: Path) -> None:
    location = resolve(URL, environ={})
    assert location == StoreLocation(project / ".penstock", URL)
    assert location.postgres == PostgresAddress("db.example", 5433, "me", "s3c@ret", "penstock")
    assert resolve("postgres" + URL.removeprefix("postgresql"), environ={}) == location


def test_what_a_postgresql_url_leaves_out_has_libpqs_defaults() -> None:
    assert StoreLocation(Path(), "postgresql://me@/db?host=/run/pg&port=6000").postgres == PostgresAddress(
        "/run/pg", 6000, "me", "", "db"
    )


def test_the_password_is_never_shown() -> None:
    location = StoreLocation(Path(), URL)
    assert location.display == "postgresql://me:***@db.example:5433/penstock"
    by_query = StoreLocation(Path(), "postgresql://db/penstock?user=me&password=s3cret")
    for text in (location.display, repr(location), str(location), f"{location}", by_query.display, repr(by_query)):
        assert "s3c" not in text


@pytest.mark.parametrize(
    "value",
    ["mysql://me@db/x", "http://store", "sqlite://", "sqlite:///", "sqlite://folder", "postgresql://me:s3cret@db",
     "postgresql://me:s3cret@db:port/x", "postgresql://me:s3cret@[db/x"],
)  # fmt: skip
def test_what_is_no_store_is_refused_with_what_is_allowed(value: str) -> None:
    with pytest.raises(UsageError, match=r"^--store: .*Allowed: a folder, sqlite:///FOLDER") as caught:
        resolve(value, environ={})
    assert "s3cret" not in str(caught.value)


def test_a_file_is_no_store_and_the_folder_it_is_in_is_named(tmp_path: Path) -> None:
    (tmp_path / "metadata.db").touch()
    with pytest.raises(UsageError, match=r"is a file, not a store's folder\. Did you mean the folder it is in"):
        resolve(None, environ={"PENSTOCK_STORE": str(tmp_path / "metadata.db")})


def test_places_in_a_store() -> None:
    location = StoreLocation(Path("/s"))
    assert location.mlmd_path == Path("/s/metadata.db")
    assert location.own_path == Path("/s/penstock.db")
    assert location.run_folder("r1") == Path("/s/runs/r1")
    assert location.pipeline_root("taxi") == Path("/s/pipelines/taxi")
    assert location.postgres is None

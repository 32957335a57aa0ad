"""Where a metadata store is: a folder, and for teams a PostgreSQL database beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from penstock.errors import UsageError
from penstock.project import STORE_FOLDER, find_root

STORE_VARIABLE = "PENSTOCK_STORE"
_ALLOWED = (
    "a folder, sqlite:///FOLDER (sqlite:////FOLDER for an absolute path) "
    "or postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
)


@dataclass(frozen=True)
class PostgresAddress:
    """The parts of a PostgreSQL URL, with libpq's defaults filled in; `host` may be a folder with a socket."""

    host: str
    port: int
    user: str
    password: str
    dbname: str


@dataclass(frozen=True)
class StoreLocation:
    """A store's folder and, when its tables live in PostgreSQL, that database's URL.

    Attributes:
        folder: holds logs, invocations and pipeline roots, and with SQLite also both databases.
        database: `postgresql://…` URL with its password, or None for SQLite. Never print it; print `display`.
    """

    folder: Path
    database: str | None = None

    def __repr__(self) -> str:
        return f"StoreLocation({self.display})"

    @property
    def display(self) -> str:
        """The store as people may read it: the folder, or the URL without its password."""
        if self.database is None:
            return str(self.folder)
        parts = urlsplit(self.database)
        address = postgres_address(self.database)
        secret = ":***" if address.password else ""
        place = parts.netloc.rpartition("@")[2]
        return f"postgresql://{address.user}{secret}@{place}/{address.dbname}"

    @property
    def mlmd_path(self) -> Path:
        """ml-metadata's SQLite file; not there when `database` is set."""
        return self.folder / "metadata.db"

    @property
    def own_path(self) -> Path:
        """The SQLite file of Penstock's own tables; not there when `database` is set."""
        return self.folder / "penstock.db"

    @property
    def postgres(self) -> PostgresAddress | None:
        """The parts of `database`, or None for SQLite."""
        return None if self.database is None else postgres_address(self.database)

    def run_folder(self, run_id: str) -> Path:
        """The folder of a run's logs, invocations and outcomes."""
        return self.folder / "runs" / run_id

    def pipeline_root(self, pipeline_name: str) -> Path:
        """The folder a pipeline's artifacts go to unless its environment names another."""
        return self.folder / "pipelines" / pipeline_name


def resolve(
    option: str | None = None,
    declared: str | None = None,
    project: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> StoreLocation:
    """Finds the store: `--store`, PENSTOCK_STORE, the environment's `metadata`, or else `.penstock` of the project.

    Args:
        option: the value of `--store`; a relative path starts at the working folder, as in PENSTOCK_STORE.
        declared: the environment's `metadata` value; a relative path starts at the project's root.
        project: the project's root; None for the nearest folder upwards that has `.penstock`, `pyproject.toml` or
            `.git`, or else the working folder.
        environ: where PENSTOCK_STORE is looked up; the process's own environment if None.

    Raises:
        UsageError: a value is neither a folder nor a URL of a kind that is supported.
    """
    root = (project or find_root(Path.cwd())).absolute()
    variable = (os.environ if environ is None else environ).get(STORE_VARIABLE)
    candidates = (
        (option, "--store", Path.cwd()),
        (variable, STORE_VARIABLE, Path.cwd()),
        (declared, "metadata of the environment", root),
    )
    for value, source, start in candidates:
        if value:
            return _parse(value, source, start, root)
    return StoreLocation(root / STORE_FOLDER)


def postgres_address(url: str) -> PostgresAddress:
    """Splits a `postgresql://` URL; host and port may also stand in its query, as libpq allows."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    user = unquote(parts.username or query.get("user", "")) or os.environ.get("USER", "postgres")
    return PostgresAddress(
        host=unquote(parts.hostname or query.get("host", "localhost")),
        port=parts.port or int(query.get("port", "5432")),
        user=user,
        password=unquote(parts.password or query.get("password", "")),
        dbname=unquote(parts.path.lstrip("/")) or user,
    )


def _parse(value: str, source: str, start: Path, root: Path) -> StoreLocation:
    scheme, separator, rest = value.partition("://")
    if not separator:
        return StoreLocation(_folder(value, source, start))
    if scheme == "sqlite":
        if not rest.startswith("/") or not rest[1:]:
            raise UsageError(f"{source}: {value!r} names no folder. Allowed: {_ALLOWED}.")
        return StoreLocation(_folder(rest[1:], source, start))
    if scheme in ("postgresql", "postgres"):
        _check_postgres(value, source)
        return StoreLocation(root / STORE_FOLDER, "postgresql://" + rest)
    raise UsageError(f"{source}: a store cannot be of kind {scheme + '://'!r}. Allowed: {_ALLOWED}.")


def _folder(value: str, source: str, start: Path) -> Path:
    folder = Path(os.path.normpath(start / Path(value).expanduser()))
    if folder.is_file():
        near = f" Did you mean the folder it is in, {str(folder.parent)!r}?" if folder.suffix == ".db" else ""
        raise UsageError(f"{source}: {str(folder)!r} is a file, not a store's folder.{near} Allowed: {_ALLOWED}.")
    return folder


def _check_postgres(url: str, source: str) -> None:
    try:
        parts: SplitResult = urlsplit(url)
        address = postgres_address(url)
    except ValueError as error:
        # The URL may hold a password, so it is not repeated, and neither is an error text that quotes it.
        raise UsageError(f"{source}: the PostgreSQL URL cannot be read. Allowed: {_ALLOWED}.") from error
    if "@" in parts.path + parts.query + parts.fragment:
        # Part of a password: not repeated either.
        raise UsageError(
            f"{source}: the PostgreSQL URL cannot be read: '@' comes after '/', '?' or '#'. In user and password write "
            f"these as %2F, %3F and %23. Allowed: {_ALLOWED}."
        )
    if not parts.path.lstrip("/"):
        raise UsageError(f"{source}: the PostgreSQL URL for {address.host} names no database. Allowed: {_ALLOWED}.")

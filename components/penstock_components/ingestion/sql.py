"""A query's result, streamed from a database into Arrow files.

The URL is SQLAlchemy's; `duckdb:///FILE` goes through DuckDB's own package, which gives Arrow itself, and `duckdb://`
is a database in memory. In a URL, `${env.NAME}` stands for an environment variable of the process that runs the query,
so that a password is written down nowhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import parse_qsl, quote, urlsplit

import pyarrow as pa

from penstock_components.ingestion import columns, files
from penstock_components.ingestion.errors import DataError

_REFERENCE = re.compile(r"\$\{env\.([A-Za-z_][A-Za-z0-9_]*)\}")
_DUCKDB = "duckdb://"
_FETCHED_ROWS = 20_000
_PASSWORD_KEYS = {"password", "passwd", "pwd"}
_MISSING = "{package} is not installed, which SqlExampleGen needs for {url}; install penstock[sql]"


def check_url(url: str) -> None:
    """Refuses a URL that holds a password, or is none.

    Raises:
        ValueError: see above.
    """
    if "://" not in url and not _REFERENCE.fullmatch(url):
        raise ValueError(f"url: {url!r} is no URL of a database; write, for example, postgresql://user@host/name")
    found = urlsplit(_REFERENCE.sub("", url))
    in_query = {key.lower() for key, _ in parse_qsl(found.query)} & _PASSWORD_KEYS
    if found.password or in_query:
        raise ValueError(
            "url: holds a password, which would be kept with the run's metadata; put it into an environment variable,"
            " and write ${env.NAME} in its place ($${env.NAME} in a pipeline.yaml)"
        )


def resolve_url(url: str, environ: Mapping[str, str]) -> str:
    """Returns the URL with environment variables in place of references to them.

    Raises:
        DataError: a variable is not set.
    """

    def value(reference: re.Match[str]) -> str:
        name = reference[1]
        if name not in environ:
            raise DataError(f"url: the environment variable {name} is not set; set it for this node, or mend the name")
        whole = reference[0] == url
        return environ[name] if whole else quote(environ[name], safe="")

    return _REFERENCE.sub(value, url)


def spool(url: str, query: str, folder: str, keep: Sequence[str] = (), drop: Sequence[str] = ()) -> list[str]:
    """Runs a query and writes its result as Arrow streams, a new file wherever the types of columns change.

    Args:
        url: the database; see above.
        query: one statement that returns rows.
        folder: where files are written.
        keep: the columns to write; all when empty.
        drop: columns not to write.

    Returns:
        The files' paths.

    Raises:
        DataError: the database or the query fails, or the result has two columns of one name.
    """
    resolved = resolve_url(url, os.environ)
    batches = _duckdb(resolved, query) if resolved.startswith(_DUCKDB) else _sqlalchemy(resolved, query)
    paths: list[str] = []
    writer: pa.ipc.RecordBatchStreamWriter | None = None
    sink = None
    schema: pa.Schema | None = None
    names: list[str] = []
    try:
        for batch in batches:
            if not paths:
                _check_names(batch.schema.names)
                names = columns.selected(batch.schema.names, keep, drop, "the query's result")
            batch = batch.select(names)
            if batch.schema != schema:
                if writer is not None and sink is not None:
                    writer.close()
                    sink.close()
                paths.append(os.path.join(folder, f"{len(paths):05d}.arrow"))
                sink = files.create(paths[-1])
                schema = batch.schema
                writer = pa.ipc.new_stream(sink, schema)
            assert writer is not None
            writer.write_batch(batch)
    finally:
        if writer is not None and sink is not None:
            writer.close()
            sink.close()
    return paths


def _check_names(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"the query's result has {names.count(twice[0])} columns named {twice[0]!r}; rename them with AS"
        )


def _duckdb(url: str, query: str) -> Iterator[pa.RecordBatch]:
    try:
        import duckdb
    except ImportError as error:
        raise DataError(_MISSING.format(package="duckdb", url=_DUCKDB)) from error
    path = url.removeprefix(_DUCKDB).removeprefix("/")
    try:
        with duckdb.connect(path or ":memory:", read_only=bool(path)) as connection:
            result = connection.sql(query)
            if result is None:
                raise DataError("the query is no statement that returns rows")
            yield from result.fetch_record_batch(_FETCHED_ROWS)
    except duckdb.Error as error:
        raise DataError(f"DuckDB refuses the query: {error}") from error


def _sqlalchemy(url: str, query: str) -> Iterator[pa.RecordBatch]:
    try:
        import sqlalchemy
    except ImportError as error:
        raise DataError(_MISSING.format(package="sqlalchemy", url="URLs other than duckdb://")) from error
    try:
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            streaming = connection.execution_options(stream_results=True, max_row_buffer=_FETCHED_ROWS)
            result = streaming.exec_driver_sql(query)
            names = list(result.keys())
            for rows in result.partitions(_FETCHED_ROWS):
                yield _batch(names, rows)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        shown = sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
        raise DataError(f"{shown}: the query fails: {error}") from error


def _batch(names: Sequence[str], rows: Sequence[Sequence[object]]) -> pa.RecordBatch:
    _check_names(names)
    arrays = []
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        try:
            arrays.append(pa.array(values))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise DataError(
                f"the query's result: column {name!r} cannot be read: {error}\n  CAST it to a number or to text."
            ) from error
    return pa.RecordBatch.from_arrays(arrays, names=list(names))

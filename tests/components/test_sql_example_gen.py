"""SqlExampleGen: what a query returns becomes examples, by the path that files take."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.example_gen import utils
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts, standard_component_specs

from penstock.beam import packaging
from penstock_components.ingestion import options, sql
from penstock_components.ingestion.errors import DataError
from penstock_components.ingestion.sql_component import SqlExampleGen
from penstock_components.ingestion.sql_executor import URL_PROPERTY, Executor
from tests.components.ingestion_helpers import ONE_WORKER, TAXI, contents, ingest, make_schema, splits
from tests.servers.postgres import PostgresServer, postgres_server

__all__ = ["postgres_server"]

ROWS = [(1, 1.5, "one", None), (2, None, "two", None), (3, -0.0, None, None), (4, 1e300, "vier", None)]


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """URLs of two databases with the same table of 25,000 rows and a small one."""
    folder = tmp_path_factory.mktemp("databases")
    many = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 24999) "
    columns = "SELECT i AS id, i / 7.0e0 AS share, 'row ' || i AS name FROM n"
    with sqlite3.connect(folder / "lite.db") as lite:
        lite.execute("CREATE TABLE small (a INTEGER, b REAL, c TEXT, d TEXT)")
        lite.executemany("INSERT INTO small VALUES (?, ?, ?, ?)", ROWS)
        lite.execute(f"CREATE TABLE big AS {many}{columns}")
    with duckdb.connect(str(folder / "duck.db")) as duck:
        duck.execute("CREATE TABLE small (a BIGINT, b DOUBLE, c TEXT, d TEXT)")
        duck.executemany("INSERT INTO small VALUES (?, ?, ?, ?)", ROWS)
        duck.execute(f"CREATE TABLE big AS {many}{columns}")
    return {"sqlite": f"sqlite:///{folder}/lite.db", "duckdb": f"duckdb:///{folder}/duck.db"}


def _run(
    output: Path, url: str, *queries: str, schema: standard_artifacts.Schema | None = None, **given: Any
) -> standard_artifacts.Examples:
    packaging.leave_tfx_out()
    if len(queries) == 1:
        input_config = utils.make_default_input_config(queries[0])
    else:
        named = [example_gen_pb2.Input.Split(name=f"part{index}", pattern=each) for index, each in enumerate(queries)]
        input_config = example_gen_pb2.Input(splits=named)
    artifact = standard_artifacts.Examples()
    artifact.uri = str(output)
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=list(ONE_WORKER), tmp_dir=f"{output}-tmp", unique_id="1"
    )
    Executor(context).Do(
        {} if schema is None else {standard_component_specs.SCHEMA_KEY: [schema]},
        {standard_component_specs.EXAMPLES_KEY: [artifact]},
        {
            standard_component_specs.INPUT_CONFIG_KEY: json_format.MessageToJson(input_config),
            standard_component_specs.OUTPUT_CONFIG_KEY: json_format.MessageToJson(
                utils.make_default_output_config(input_config)
            ),
            URL_PROPERTY: url,
            options.PROPERTY: options.dump(**given),
        },
    )
    return artifact


def _rows(artifact: standard_artifacts.Examples) -> list[dict[str, Any]]:
    found = []
    for records in splits(artifact).values():
        for record in records:
            features = tf.train.Example.FromString(record).features.feature
            kinds = {name: feature.WhichOneof("kind") for name, feature in features.items()}
            found.append({name: kind and list(getattr(features[name], kind).value) for name, kind in kinds.items()})
    return sorted(found, key=lambda row: json.dumps(row["a"]))


@pytest.mark.parametrize("database", ["sqlite", "duckdb"])
def test_values_of_each_type(database: str, databases: dict[str, str], tmp_path: Path) -> None:
    found = _rows(_run(tmp_path / "out", databases[database], "SELECT * FROM small"))
    assert found == [
        {"a": [1], "b": [1.5], "c": [b"one"], "d": None},
        {"a": [2], "b": None, "c": [b"two"], "d": None},
        {"a": [3], "b": [0.0], "c": None, "d": None},
        {"a": [4], "b": [float("inf")], "c": [b"vier"], "d": None},
    ]


def test_both_ways_to_a_database_and_a_file_give_the_same_splits(databases: dict[str, str], tmp_path: Path) -> None:
    query = "SELECT * FROM big"
    lite = splits(_run(tmp_path / "lite", databases["sqlite"], query))
    duck = splits(_run(tmp_path / "duck", databases["duckdb"], query))
    folder = tmp_path / "file"
    folder.mkdir()
    ids = range(25_000)
    table = {"id": ids, "share": [i / 7.0 for i in ids], "name": [f"row {i}" for i in ids]}
    pq.write_table(pa.table({name: pa.array(values) for name, values in table.items()}), folder / "big.parquet")
    assert lite == duck == splits(ingest(folder, tmp_path / "out"))
    assert sum(map(len, lite.values())) == 25_000


def test_postgresql_gives_the_same_splits(
    databases: dict[str, str], postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streamed from a real server, with a password that is in the environment alone."""
    made = postgres_server.new_database()
    with psycopg.connect(made) as connection:
        connection.execute(
            "CREATE TABLE big AS SELECT i::bigint AS id, i / 7.0::float8 AS share, 'row ' || i AS name"
            " FROM generate_series(0, 24999) AS i"
        )
    monkeypatch.setenv("TEST_PASSWORD", postgres_server.password)
    place = made.rpartition("@")[2]
    url = f"postgresql+psycopg://penstock:${{env.TEST_PASSWORD}}@{place}"
    query = "SELECT * FROM big"
    found = splits(_run(tmp_path / "postgres", url, query))
    assert found == splits(_run(tmp_path / "lite", databases["sqlite"], query))


def test_a_schema_gives_types(databases: dict[str, str], tmp_path: Path) -> None:
    schema = make_schema(tmp_path / "schema", a=schema_pb2.FLOAT, absent=schema_pb2.INT)
    found = _rows(_run(tmp_path / "out", databases["duckdb"], "SELECT a, c FROM small", schema=schema))
    assert [row["a"] for row in found] == [[1.0], [2.0], [3.0], [4.0]]


def test_one_query_a_split(databases: dict[str, str], tmp_path: Path) -> None:
    queries = ("SELECT a, c FROM small WHERE a < 2", "SELECT a, c FROM small WHERE a >= 2")
    found = splits(_run(tmp_path / "out", databases["duckdb"], *queries))
    assert {name: len(records) for name, records in found.items()} == {"part0": 1, "part1": 3}


def test_duckdb_reads_files_of_its_own(tmp_path: Path) -> None:
    query = f"SELECT company, count(*) AS trips, sum(fare) AS fares FROM read_csv('{TAXI}') GROUP BY company"
    artifact = _run(tmp_path / "out", "duckdb://", query)
    assert sum(map(len, splits(artifact).values())) > 20


def test_a_dropped_column_and_the_spooled_result_are_gone(databases: dict[str, str], tmp_path: Path) -> None:
    artifact = _run(tmp_path / "out", databases["sqlite"], "SELECT * FROM small", drop_columns=["c"])
    assert b"vier" not in b"".join(contents(artifact).values())
    folders = {path.name for path in (tmp_path / "out").iterdir()}
    assert folders == {"Split-train", "Split-eval"}


def test_types_that_change_between_batches(
    databases: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "_FETCHED_ROWS", 2)
    query = "SELECT 1 AS a, NULL AS b UNION ALL SELECT 2, NULL UNION ALL SELECT 3, 5 UNION ALL SELECT 4, 2.5"
    found = _rows(_run(tmp_path / "out", databases["sqlite"], query))
    assert [row["b"] for row in found] == [None, None, [5.0], [2.5]]
    query = "SELECT 1 AS a, 5 AS b UNION ALL SELECT 2, 6 UNION ALL SELECT 3, 'x'"
    with pytest.raises(DataError, match="column 'b', which is int64, cannot become bytes: elsewhere it is text"):
        _run(tmp_path / "mixed", databases["sqlite"], query)


@pytest.mark.parametrize(
    ("url", "query", "message"),
    [
        ("sqlite:///{folder}/lite.db", "SELECT * FROM nowhere", "no such table: nowhere"),
        ("duckdb:///{folder}/duck.db", "SELECT * FROM nowhere", "nowhere does not exist"),
        ("duckdb:///{folder}/none.db", "SELECT 1", "none.db"),
        ("duckdb://", "SELECT 1 AS a, 2 AS a", "2 columns named 'a'; rename them with AS"),
        ("duckdb://", "SELECT 1 AS a WHERE 1 = 0", "no row"),
        ("duckdb://", "SELECT TIMESTAMP '2020-01-01 00:00:01' AS t", "column 't' is timestamp[us], which can become"),
        ("nodialect://host/name", "SELECT 1", "nodialect"),
        ("sqlite:///${{env.NO_SUCH_VARIABLE}}", "SELECT 1", "environment variable NO_SUCH_VARIABLE is not set"),
    ],
)
def test_what_is_refused(url: str, query: str, message: str, databases: dict[str, str], tmp_path: Path) -> None:
    folder = Path(databases["sqlite"].removeprefix("sqlite:///")).parent
    with pytest.raises(DataError) as caught:
        _run(tmp_path / "out", url.format(folder=folder), query)
    assert message in str(caught.value)


def test_points_in_time_become_what_is_asked_for(tmp_path: Path) -> None:
    query = "SELECT 1 AS a, TIMESTAMP '1970-01-02 00:00:01.9' AS t, DATE '1970-01-03' AS d"
    found = _rows(_run(tmp_path / "out", "duckdb://", query, column_types={"t": "int", "d": "bytes"}))
    assert found == [{"a": [1], "t": [86401], "d": [b"1970-01-03"]}]


PASSWORD = "p@ss:w/rd"


def test_a_password_stays_out_of_what_is_recorded() -> None:
    component = SqlExampleGen(url="postgresql://me:${env.DB_PASSWORD}@db/name", query="SELECT 1")
    assert component.exec_properties[URL_PROPERTY] == "postgresql://me:${env.DB_PASSWORD}@db/name"
    resolved = sql.resolve_url(component.exec_properties[URL_PROPERTY], {"DB_PASSWORD": PASSWORD})
    assert resolved == "postgresql://me:p%40ss%3Aw%2Frd@db/name"
    assert sql.resolve_url("${env.URL}", {"URL": "sqlite:///x"}) == "sqlite:///x"


@pytest.mark.parametrize(
    "url", ["postgresql://me:secret@db/name", "postgresql://me@db/name?password=secret", "mysql://me:a${env.B}@db"]
)
def test_a_password_in_the_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="holds a password"):
        SqlExampleGen(url=url, query="SELECT 1")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SqlExampleGen(url="sqlite://"), "exactly one of query and input_config"),
        (lambda: SqlExampleGen(url="data.db", query="SELECT 1"), "'data.db' is no URL of a database"),
    ],
)
def test_arguments_that_do_not_fit(make: Callable[[], SqlExampleGen], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()

"""A large store for the dashboard: one pipeline really run, and its rows copied by SQL as often as asked for.

Every row is one that ml-metadata or Penstock wrote, with other ids, names and times. What no copy can have is written
beside: metrics of evaluations, plots, a chain of warm-started models.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import data, sides
from benchmarks.dashboard_summaries import evaluation, plots_of, slices, statistics
from benchmarks.dashboard_tables import PostgresTables, SqliteTables, Tables
from penstock.metadata import mlmd as mlmd_store
from penstock.metadata import plots
from penstock.metadata.location import StoreLocation

RUNS = 200_000
# To be raised with every change of what is made.
_LAYOUT = 1
_PROJECT = Path(__file__).with_name("dashboard_project")
TEMPLATE = "template-pipeline"
DAILY, WARM = "daily", "warm-started"
DAILY_RUNS = 400
# Each run of the chain adds five executions and as many artifacts to the lineage of its model.
CHAINED_RUNS = 50
_TEMPLATE_RUN = "template-run"
_OTHER_PIPELINES = 40
_DAYS = 400
# The newest evaluations have plots, the newest statistics a summary.
_RICH = 20
_SAMPLE = 200
# Of ml-metadata's events and states of artifacts.
_INPUT, _OUTPUT = 3, 4
_DELETED = 4


@dataclass(frozen=True)
class LargeStore:
    """What was made.

    Attributes:
        folder: the store's folder.
        runs: how many runs it has; each has eight nodes and ten artifacts.
        pipelines: their names, the one with the most runs first.
        sample: ids of some runs that succeeded, from the oldest to the newest.
        failed: ids of some runs that failed.
        artifacts: by type ids of some artifacts, from the oldest to the newest.
        warm_model: the last model of the chain, whose lineage is long.
        evaluations: ids of the newest evaluations of pipeline `DAILY`, oldest first; they have slices and plots.
    """

    folder: str
    runs: int
    pipelines: Sequence[str]
    sample: Sequence[str]
    failed: Sequence[str]
    artifacts: Mapping[str, Sequence[int]]
    warm_model: int
    evaluations: Sequence[int]


def kept(runs: int = RUNS) -> tuple[StoreLocation, LargeStore]:
    """The store of this many runs in SQLite, made unless it was before."""
    folder = data.cache_folder() / f"dashboard-{runs}-{_LAYOUT}"
    location = StoreLocation(folder)
    record = folder / "made.json"
    if not record.is_file():
        for old in folder.parent.glob(f"dashboard-{runs}-*"):
            shutil.rmtree(old)
        record.write_text(json.dumps(asdict(make(location, runs))))
    return location, LargeStore(**json.loads(record.read_text()))


def make(location: StoreLocation, runs: int = RUNS) -> LargeStore:
    """Makes a store of this many runs where there is none yet."""
    _run_template(location)
    location.folder.mkdir(parents=True, exist_ok=True)
    if location.database is None:
        with closing(SqliteTables(location.mlmd_path)) as mlmd, closing(SqliteTables(location.own_path)) as own:
            made = _multiply(location, mlmd, own, runs)
        # As the next run does: it makes what indices are missing.
        mlmd_store.open_store(location).close()
        return made
    with closing(PostgresTables(location.database)) as tables:
        return _multiply(location, tables, tables, runs)


def _run_template(location: StoreLocation) -> None:
    project = location.folder.parent / f"{location.folder.name}-project"
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree(_PROJECT, project, ignore=shutil.ignore_patterns("__pycache__"))
    store = location.database or str(location.folder)
    command = ["run", str(project), "--store", store, "--run-id", _TEMPLATE_RUN]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(sides.REPOSITORY / n) for n in ("src", "components")),
    }
    done = subprocess.run(
        [sys.executable, "-m", "penstock", *command], cwd=project, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"penstock {' '.join(command)}\n{done.stdout}{done.stderr}")


@dataclass(frozen=True)
class _Copy:
    """One run that is to be."""

    number: int
    pipeline: int
    name: str
    run_id: str
    shift: float
    state: str
    error: str | None
    parameters: str


def _plan(runs: int) -> list[_Copy]:
    """The runs but the template's, oldest first."""
    choose = random.Random(7)
    names = [TEMPLATE, DAILY, WARM, *(f"team-{number:02d}" for number in range(_OTHER_PIPELINES))]
    often = min(DAILY_RUNS, runs // 4)
    daily = {round((index + 1) * (runs - 1) / often) for index in range(often)}
    warm = set(sorted(set(range(1, runs)) - daily)[-min(CHAINED_RUNS, runs // 4) :])
    step = _DAYS * 86400 / runs
    copies = []
    for number in range(1, runs):
        # The first of the other pipelines has a fifth of all runs, the last ones have few.
        other = 3 + min(int(choose.expovariate(0.2)), _OTHER_PIPELINES - 1)
        pipeline = 1 if number in daily else 2 if number in warm else other
        state, error = "succeeded", None
        draw = choose.random()
        if pipeline > 2 and draw < 0.08:
            state = "failed" if draw < 0.05 else "cancelled"
            error = (
                None if state == "cancelled" else f"trainer: ValueError: loss is not a number at step {number % 997}"
            )
        parameters = {
            "data": f"/data/{names[pipeline]}/{number % 365:03d}",
            "train_steps": 1000 + number % 7,
            "penstock.span": number % 365,
        }
        copies.append(
            _Copy(
                number, pipeline, names[pipeline], f"run-{number:06d}-{choose.randrange(16**4):04x}",
                number * step, state, error, json.dumps(parameters),
            )
        )  # fmt: skip
    return copies


def _multiply(location: StoreLocation, mlmd: Tables, own: Tables, runs: int) -> LargeStore:
    copies = _plan(runs)
    template = _read_template(mlmd)
    both = [mlmd] if mlmd is own else [mlmd, own]
    dropped = [(tables, *index) for tables in both for index in tables.indices()]
    for tables, name, _ in dropped:
        tables.run(f'DROP INDEX "{name}"')
    for tables in both:
        tables.run(
            "CREATE TEMPORARY TABLE made (number BIGINT, pipeline BIGINT, name TEXT, run_id TEXT, "
            "shift DOUBLE PRECISION, state TEXT, error TEXT, parameters TEXT)"
        )
        tables.many("INSERT INTO made VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [tuple(vars(copy).values()) for copy in copies])
    _set_back(mlmd, own)
    _copy_mlmd(mlmd, template.widths, runs)
    _copy_own(own, template.widths)
    _chain(mlmd, template, [copy for copy in copies if copy.name == WARM])
    _summaries(own, template, copies)
    mlmd.run(f"UPDATE Artifact SET state = {_DELETED} WHERE id % 997 = 0")
    for tables, _, statement in dropped:
        tables.run(statement)
    return _made(location, template, copies)


def _made(location: StoreLocation, template: _Template, copies: Sequence[_Copy]) -> LargeStore:
    good = [copy for copy in copies if copy.state == "succeeded"]
    some = [good[index * (len(good) - 1) // (_SAMPLE - 1)] for index in range(_SAMPLE)]
    sizes = Counter(copy.name for copy in copies)

    def artifacts(output: str, chosen: Sequence[_Copy]) -> list[int]:
        return [template.artifacts[output] + copy.number * template.widths["Artifact"] for copy in chosen]

    return LargeStore(
        folder=str(location.folder),
        runs=len(copies) + 1,
        pipelines=[name for name, _ in sizes.most_common()],
        sample=[copy.run_id for copy in some],
        failed=[copy.run_id for copy in copies if copy.state == "failed"][-_SAMPLE:],
        artifacts={output: artifacts(output, some) for output in template.artifacts},
        warm_model=artifacts("model", [copy for copy in copies if copy.name == WARM])[-1],
        evaluations=artifacts("evaluation", [copy for copy in copies if copy.name == DAILY])[-_RICH:],
    )


_MILLISECONDS = ("create_time_since_epoch", "last_update_time_since_epoch", "milliseconds_since_epoch")
_SECONDS = ("created_at", "started_at", "finished_at")


def _set_back(mlmd: Tables, own: Tables) -> None:
    """Makes the template's run the oldest one."""
    seconds = _DAYS * 86400
    for tables, names, columns, shift in (
        (mlmd, ("Artifact", "Execution", "Context", "Event"), _MILLISECONDS, 1000 * seconds),
        (own, ("penstock_runs", "penstock_nodes"), _SECONDS, seconds),
    ):
        for table in names:
            changes = [f"{column} = {column} - {shift}" for column in tables.columns(table) if column in columns]
            tables.run(f"UPDATE {table} SET {', '.join(changes)}")


def _copy(tables: Tables, table: str, changes: Mapping[str, str], source: str = "made m", where: str = "") -> None:
    """Copies a table's rows once for each row of the source, in its order; columns that do not change as they are."""
    columns = tables.columns(table)
    times = {c: f"t.{c} + CAST(1000 * m.shift AS BIGINT)" for c in _MILLISECONDS} | {
        c: f"t.{c} + m.shift" for c in _SECONDS
    }
    values = [changes.get(column, times.get(column, f"t.{column}")) for column in columns]
    tables.run(f"CREATE TEMPORARY TABLE template_{table} AS SELECT * FROM {table} t {where}")
    tables.run(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} "
        f"FROM {source} CROSS JOIN template_{table} t"
    )
    tables.run(f"DROP TABLE template_{table}")


def _copy_mlmd(tables: Tables, widths: Mapping[str, int], runs: int) -> None:
    def moved(column: str, table: str) -> str:
        return f"t.{column} + m.number * {widths[table]}"

    # Contexts of a pipeline and of its nodes are shared by its runs; a run, and an entry of TFX's cache, has its own.
    shared = ", ".join(
        str(context)
        for (context,) in tables.rows(
            "SELECT c.id FROM Context c JOIN Type t ON t.id = c.type_id WHERE t.name IN ('pipeline', 'node')"
        )
    )
    of_pipeline = f"({runs} + m.pipeline) * {widths['Context']}"
    context = (
        f"t.context_id + CASE WHEN t.context_id NOT IN ({shared}) THEN m.number * {widths['Context']} "
        f"ELSE {of_pipeline} END"
    )
    each_pipeline = "(SELECT DISTINCT pipeline AS number, pipeline, name, 0 AS shift FROM made) m"
    _copy(
        tables, "Context",
        {"id": moved("id", "Context"),
         "name": f"CASE WHEN t.name = '{_TEMPLATE_RUN}' THEN m.run_id ELSE t.name || '-' || m.number END"},
        where=f"WHERE t.id NOT IN ({shared})",
    )  # fmt: skip
    _copy(
        tables, "Context",
        {"id": f"t.id + {of_pipeline}", "name": f"replace(t.name, '{TEMPLATE}', m.name)"},
        source=each_pipeline, where=f"WHERE t.id IN ({shared})",
    )  # fmt: skip
    # The slot of an artifact ends with the id of the execution that made it.
    slot = "rtrim(t.uri, '0123456789')"
    maker = f"CAST(substr(t.uri, length({slot}) + 1) AS BIGINT)"
    _copy(
        tables, "Artifact",
        {"id": moved("id", "Artifact"), "name": "t.name || '-' || m.number",
         "uri": f"replace({slot}, '{TEMPLATE}', m.name) || ({maker} + m.number * {widths['Execution']})"},
    )  # fmt: skip
    _copy(tables, "Execution", {"id": moved("id", "Execution"), "name": "t.name || '-' || m.number"})
    told = {"string_value": f"replace(t.string_value, '{_TEMPLATE_RUN}', m.run_id)"}
    _copy(tables, "ArtifactProperty", {"artifact_id": moved("artifact_id", "Artifact"), **told})
    _copy(tables, "ExecutionProperty", {"execution_id": moved("execution_id", "Execution"), **told})
    _copy(
        tables, "ContextProperty", {"context_id": moved("context_id", "Context")},
        where=f"WHERE t.context_id NOT IN ({shared})",
    )  # fmt: skip
    ends = {"artifact_id": moved("artifact_id", "Artifact"), "execution_id": moved("execution_id", "Execution")}
    _copy(tables, "Event", {"id": moved("id", "Event"), **ends})
    _copy(tables, "EventPath", {"event_id": moved("event_id", "Event")})
    for table in ("Association", "Attribution"):
        _copy(tables, table, {"id": moved("id", table), "context_id": context, **ends})


def _copy_own(tables: Tables, widths: Mapping[str, int]) -> None:
    _copy(
        tables, "penstock_runs",
        {"run_id": "m.run_id", "pipeline": "m.name", "state": "m.state", "error": "m.error",
         "parameters": "m.parameters", "pid": "NULL"},
    )  # fmt: skip
    state = (
        "CASE WHEN m.state = 'succeeded' OR t.position < 5 THEN t.state WHEN t.position = 5 THEN m.state "
        "ELSE 'upstream_failed' END"
    )
    _copy(
        tables, "penstock_nodes",
        {"run_id": "m.run_id", "execution_id": f"t.execution_id + m.number * {widths['Execution']}",
         "log": f"replace(t.log, '{_TEMPLATE_RUN}', m.run_id)", "state": state},
    )  # fmt: skip
    _copy(tables, "penstock_cache_decisions", {"run_id": "m.run_id", "cache_key": "t.cache_key || m.number"})
    _copy(tables, "penstock_summaries", {"artifact_id": f"t.artifact_id + m.number * {widths['Artifact']}"})


@dataclass(frozen=True)
class _Template:
    """What is to be known of the template's run.

    Attributes:
        artifacts: its artifacts by the name of the output they are.
        trainer: the execution that made the model.
        path: what ml-metadata keeps of the place of one of its inputs: (is index, index, name).
        widths: by table the highest id.
    """

    artifacts: Mapping[str, int]
    trainer: int
    path: Sequence[tuple[Any, ...]]
    widths: Mapping[str, int]


def _read_template(tables: Tables) -> _Template:
    outputs = tables.rows(
        "SELECT p.step_key, e.artifact_id, e.execution_id FROM Event e JOIN EventPath p ON p.event_id = e.id "
        f"WHERE e.type = {_OUTPUT} AND p.step_key IS NOT NULL"
    )
    artifacts = {str(key): int(artifact) for key, artifact, _ in outputs}
    trainer = next(execution for key, _, execution in outputs if key == "model")
    [(event,)] = tables.rows(f"SELECT min(id) FROM Event WHERE execution_id = {trainer} AND type = {_INPUT}")
    path = tables.rows(f"SELECT is_index_step, step_index, step_key FROM EventPath WHERE event_id = {event}")
    names = ("Artifact", "Execution", "Context", "Event", "Association", "Attribution")
    widths = {table: tables.rows(f"SELECT max(id) FROM {table}")[0][0] for table in names}
    return _Template(artifacts, trainer, path, widths)


def _chain(tables: Tables, template: _Template, copies: Sequence[_Copy]) -> None:
    """Lets each trainer of some runs start from the model of the run before."""
    [(last,)] = tables.rows("SELECT max(id) FROM Event")
    events, paths = [], []
    for event, (before, after) in enumerate(pairwise(copies), start=last + 1):
        model = template.artifacts["model"] + before.number * template.widths["Artifact"]
        trainer = template.trainer + after.number * template.widths["Execution"]
        events.append((event, model, trainer, _INPUT))
        paths += [(event, is_index, index, name and "base_model") for is_index, index, name in template.path]
    tables.many("INSERT INTO Event (id, artifact_id, execution_id, type) VALUES (?, ?, ?, ?)", events)
    tables.many("INSERT INTO EventPath (event_id, is_index_step, step_index, step_key) VALUES (?, ?, ?, ?)", paths)


def _summaries(tables: Tables, template: _Template, copies: Sequence[_Copy]) -> None:
    """Gives every evaluation metrics, those of `DAILY` by slice, and the newest ones plots and statistics."""
    choose = random.Random(8)
    artifacts, width = template.artifacts, template.widths["Artifact"]
    taken = {artifact for (artifact,) in tables.rows("SELECT artifact_id FROM penstock_summaries")}
    rich = {copy.number for copy in [copy for copy in copies if copy.name == DAILY][-_RICH:]}
    drawn = []

    def summaries() -> Iterable[tuple[int, str, str]]:
        for copy in copies:
            shift = copy.number * width
            quality = 0.7 + 0.1 * choose.random() + 0.1 * copy.number / len(copies)
            yield artifacts["evaluation"] + shift, "evaluation", evaluation(quality, copy.name == DAILY)
            if copy.number in rich:
                yield artifacts["statistics"] + shift, "statistics", statistics(quality)

    tables.many(
        "INSERT INTO penstock_summaries (artifact_id, kind, content) VALUES (?, ?, ?)",
        (row for row in summaries() if row[0] not in taken),
    )
    for copy in copies:
        if copy.number in rich:
            artifact = artifacts["evaluation"] + copy.number * width
            drawn += [(artifact, plots.slice_key(features), plots_of(size)) for features, size in slices()]
    tables.many("INSERT INTO penstock_plots (artifact_id, slice, content) VALUES (?, ?, ?)", drawn)

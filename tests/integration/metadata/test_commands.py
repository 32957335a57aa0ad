"""The commands that read a store, called as people call them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from penstock.metadata import recording, runs
from penstock.metadata.database import Database, connect
from penstock.metadata.location import StoreLocation
from tests.integration.metadata.stores import StoreWriter

SOURCE = Path(__file__).parents[3] / "src"
HEAVY = ("tensorflow", "tfx", "apache_beam", "ml_metadata", "sqlalchemy", "pyarrow", "pandas", "psycopg")


@dataclass
class Result:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def penstock(*arguments: str, cwd: Path | None = None, **environ: str) -> Result:
    done = subprocess.run(
        [sys.executable, "-m", "penstock", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(SOURCE), **environ},
        timeout=60,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def evaluation(auc: float, hours: Sequence[float], blessed: bool) -> dict[str, Any]:
    return {
        "model": "/m",
        "slices": [
            *(
                {"slice": {"trip_start_hour": str(hour)}, "metrics": {"auc": value, "example_count": 10.0}}
                for hour, value in reversed(list(enumerate(hours, start=8)))
            ),
            {"slice": {"hour": "1", "kind": "Cash"}, "metrics": {"auc": None, "example_count": 1.0}},
            {"slice": {}, "metrics": {"auc": auc, "example_count": 5000.0}},
        ],
        "thresholds": [
            {
                "metric": "auc",
                "slice": {"trip_start_hour": "9"},
                "bound": ">= 0.8",
                "value": hours[1],
                "baseline": 0.9,
                "passed": blessed,
            }
        ],
        "blessed": blessed,
    }


@pytest.fixture
def store(tmp_path: Path) -> Iterator[str]:
    """Two runs of a taxi pipeline: r1 blessed and pushed, r2 not blessed and failed."""
    location = StoreLocation(tmp_path / "store")
    writer = StoreWriter(location)
    with connect(location, create=True) as database:
        _fill(database, writer)
    yield str(location.folder)


def _fill(database: Database, writer: StoreWriter) -> None:
    for run, auc, hours, blessed in (("r1", 0.9, (0.8, 0.85, 0.9), True), ("r2", 0.88, (0.8, 0.75, 0.9), False)):
        recording.create_run(database, run, "taxi", parameters={"steps": 10 if blessed else 20, "data": "d"})
        recording.create_nodes(database, run, [("trainer", "Trainer"), ("evaluator", "Evaluator"), ("push", "Pusher")])
        _, [model] = writer.execute("taxi", run, "trainer", outputs={"model": [writer.artifact("Model", f"/m/{run}")]})
        _, [made, _blessing] = writer.execute(
            "taxi",
            run,
            "evaluator",
            inputs={"model": [model]},
            outputs={
                "evaluation": [writer.artifact("ModelEvaluation", f"/e/{run}")],
                "blessing": [writer.artifact("ModelBlessing", f"/b/{run}", {"blessed": int(blessed)})],
            },
        )
        recording.put_summary(database, made, "evaluation", evaluation(auc, hours, blessed))
        recording.set_node(database, run, "trainer", state="running", attempt=1, started_at=1000.0)
        log = f"runs/{run}/trainer/attempt-1/log.txt"
        (database.location.folder / log).parent.mkdir(parents=True)
        (database.location.folder / log).write_bytes(b"step 1\nstep 2 \xff\n")
        recording.set_node(
            database, run, "trainer", state="succeeded", log=log, finished_at=1065.0, detail={"steps": 10}
        )
        recording.set_node(database, run, "evaluator", state="cached")
    pushed: dict[str, str | int | float] = {"pushed": 1, "pushed_destination": "/pushed/1"}
    writer.execute("taxi", "r1", "push", outputs={"pushed_model": [writer.artifact("PushedModel", "/pm", pushed)]})
    recording.set_node(database, "r1", "push", state="succeeded")
    recording.set_node(database, "r2", "push", state="failed", error="disk full:\n/pushed")
    recording.set_run_state(database, "r1", "succeeded")
    recording.set_run_state(database, "r2", "failed", error="push: disk full")


def test_runs_are_listed_as_an_aligned_table_without_colours(store: str) -> None:
    result = penstock("runs", "list", "--store", store)
    head, first, second = result.out.splitlines()
    assert (result.status, result.err) == (0, "")
    assert head.split() == ["RUN", "PIPELINE", "STATE", "STARTED", "TIME", "NODES", "CAUSE"]
    assert first.split()[:3] == ["r2", "taxi", "failed"]
    assert first.endswith("2/3  push: disk full")
    assert second.split()[:3] == ["r1", "taxi", "succeeded"]
    assert head.index("STATE") == first.index("failed") == second.index("succeeded")
    assert "\x1b" not in result.out


def test_runs_are_listed_as_one_json_document(store: str) -> None:
    result = penstock("runs", "list", "--json", "--limit", "1", "--store", store)
    [run] = result.json
    assert (run["run_id"], run["state"], run["error"]) == ("r2", "failed", "push: disk full")
    assert run["parameters"] == {"steps": 20, "data": "d"}
    assert run["nodes"] == {"succeeded": 1, "cached": 1, "failed": 1}
    age = datetime.now(UTC) - datetime.fromisoformat(run["created_at"])
    assert run["created_at"].endswith("Z") and 0 <= age.total_seconds() < 60
    assert 0 <= run["seconds"] < 60


def test_the_next_page_is_named_and_found(store: str) -> None:
    result = penstock("runs", "list", "--limit", "1", "--store", store)
    assert "--before r2" in result.err
    assert [run["run_id"] for run in penstock("runs", "list", "--before", "r2", "--json", "--store", store).json] == [
        "r1"
    ]


def test_a_terminal_gets_colours_and_words(store: str) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    environ = {**os.environ, "PYTHONPATH": str(SOURCE), "TERM": "xterm", "COLUMNS": "200"}
    environ.pop("NO_COLOR", None)
    subprocess.run(
        [sys.executable, "-m", "penstock", "runs", "list", "--store", store], stdout=theirs, env=environ, check=True
    )
    os.close(theirs)
    text = os.read(ours, 10000).decode()
    os.close(ours)
    assert "\x1b[32msucceeded" in text
    assert "\x1b[31mfailed" in text
    assert "\x1b[1mRUN" in text


def test_an_empty_store_says_how_to_fill_it(tmp_path: Path) -> None:
    for command in ("runs", "artifacts"):
        result = penstock(command, "list", "--store", str(tmp_path / "none"))
        assert (result.status, result.out) == (0, "")
        assert "penstock run PATH" in result.err
        result = penstock(command, "list", "--json", "--store", str(tmp_path / "none"))
        assert (result.status, result.json) == (0, [])
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "command",
    [
        "runs show r3",
        "runs logs r3 trainer",
        "runs cancel r3",
        "runs compare r1 r3",
        "metrics r3",
        "artifacts list --run r3",
    ],
)
def test_an_unknown_run_is_a_wrong_call_and_near_ids_are_named(store: str, command: str) -> None:
    result = penstock(*command.split(), "--store", store)
    assert (result.status, result.out) == (2, "")
    assert "There is no run 'r3'" in result.err and "r1" in result.err and "r2" in result.err
    assert "Traceback" not in result.err


def test_a_run_is_shown_with_its_nodes_and_the_models_fate(store: str) -> None:
    result = penstock("runs", "show", "r1", "--store", store)
    lines = [line.split() for line in result.out.splitlines()]
    assert ["model", "blessed"] in lines
    assert ["pushed", "to", "/pushed/1"] in lines
    assert ["parameters", "steps=10,", "data=d"] in lines
    assert ["trainer", "Trainer", "succeeded", "1m", "05s", "1", "10", "steps"] in lines
    assert ["evaluator", "Evaluator", "cached", "-", "-"] in lines


def test_a_failed_run_names_gate_error_and_next_step(store: str) -> None:
    result = penstock("runs", "show", "latest", "--store", store)
    assert "failed: auc on trip_start_hour=9 is 0.7500, baseline 0.9000; bound >= 0.8" in result.out
    assert "push failed\ndisk full:\n/pushed" in result.out
    assert "penstock runs logs r2 push" in result.err
    document = penstock("runs", "show", "latest", "--json", "--store", store).json
    assert (document["run_id"], document["blessed"], document["pushed_to"]) == ("r2", False, None)
    assert [node["cached"] for node in document["nodes"]] == [False, True, False]
    assert document["nodes"][0]["seconds"] == 65.0


def test_logs_are_printed_byte_for_byte(store: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "runs", "logs", "r1", "trainer", "--store", store],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"step 1\nstep 2 \xff\n"


def test_logs_that_are_not_there_say_why(store: str) -> None:
    cached = penstock("runs", "logs", "r1", "evaluator", "--store", store)
    assert cached.status == 1 and "its results came from the cache" in cached.err
    unknown = penstock("runs", "logs", "r1", "trainr", "--store", store)
    assert unknown.status == 2 and "Did you mean 'trainer'?" in unknown.err
    (Path(store) / "runs/r1/trainer/attempt-1/log.txt").unlink()
    gone = penstock("runs", "logs", "r1", "trainer", "--store", store)
    assert gone.status == 1 and "the log is gone" in gone.err


def test_a_log_outside_the_store_is_not_shown(store: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush")
    with connect(StoreLocation(Path(store)), create=True) as database:
        database.execute("UPDATE penstock_nodes SET log = '../secret'")
    result = penstock("runs", "logs", "r1", "trainer", "--store", store)
    assert (result.status, result.out) == (1, "")
    assert "outside the store's folder" in result.err


def test_following_a_log_goes_on_over_a_second_attempt_to_the_end(tmp_path: Path) -> None:
    location = StoreLocation(tmp_path / "store")
    database = connect(location, create=True)
    recording.create_run(database, "live", "p")
    recording.create_nodes(database, "live", [("n", "N")])

    def work() -> None:
        for attempt, ends_as in ((1, "waiting"), (2, "failed")):
            log = f"runs/live/n/attempt-{attempt}/log.txt"
            (location.folder / log).parent.mkdir(parents=True)
            recording.set_node(database, "live", "n", state="running", attempt=attempt, log=log)
            with (location.folder / log).open("w", buffering=1) as file:
                for line in range(3):
                    time.sleep(0.4)
                    file.write(f"attempt {attempt} line {line}\n")
            recording.set_node(database, "live", "n", state=ends_as)

    worker = threading.Timer(1.0, work)
    worker.start()
    result = penstock("runs", "logs", "live", "n", "--follow", "--store", str(location.folder))
    worker.join()
    assert result.out.splitlines() == [f"attempt {attempt} line {line}" for attempt in (1, 2) for line in range(3)]
    assert result.status == 0
    recording.set_run_state(database, "live", "failed")
    database.close()


def test_runs_are_compared(store: str) -> None:
    document = penstock("runs", "compare", "r1", "r2", "--json", "--store", store).json
    assert [run["run_id"] for run in document["runs"]] == ["r1", "r2"]
    assert {"parameter": "steps", "values": [10, 20]} in document["parameters"]
    assert {"node": "push", "states": ["succeeded", "failed"], "seconds": [None, None]} in document["nodes"]
    [auc] = [row for row in document["metrics"] if row["metric"] == "auc"]
    assert auc["values"] == [0.9, 0.88]
    assert auc["change"] == pytest.approx(-0.02)
    table = penstock("runs", "compare", "r1", "r2", "--store", store).out
    assert "parameter steps  10" in table and "-0.0200" in table


def test_metrics_are_ordered_overall_first_then_by_the_size_of_values(store: str) -> None:
    result = penstock("metrics", "r1", "--store", store)
    names = [line.split("  ")[0] for line in result.out.splitlines()]
    assert names == [
        "SLICE",
        "Overall",
        "trip_start_hour=8",
        "trip_start_hour=9",
        "trip_start_hour=10",
        "hour=1, kind=Cash",
    ]
    assert result.out.splitlines()[1].split() == ["Overall", "5,000", "0.9000"]


def test_metrics_of_one_feature_and_of_a_crossed_pair(store: str) -> None:
    [document] = penstock("metrics", "r1", "--slice", "trip_start_hour", "--json", "--store", store).json
    assert [row["slice"] for row in document["slices"]] == [{}, *({"trip_start_hour": h} for h in ("8", "9", "10"))]
    assert document["slices"][0]["metrics"] == {"auc": 0.9, "example_count": 5000.0}
    assert (document["run"], document["node"], document["blessed"]) == ("r1", "evaluator", True)
    [crossed] = penstock("metrics", "r1", "--slice", "kind,hour", "--json", "--store", store).json
    assert [row["slice"] for row in crossed["slices"]] == [{}, {"hour": "1", "kind": "Cash"}]
    wrong = penstock("metrics", "r1", "--slice", "hours", "--store", store)
    assert wrong.status == 2 and "Allowed: trip_start_hour hour,kind" in wrong.err


def test_metrics_next_to_a_baseline(store: str) -> None:
    [document] = penstock("metrics", "r2", "--baseline", "r1", "--json", "--store", store).json
    changes = {(str(row["slice"]), row["metric"]): row["change"] for row in document["changes"]}
    assert changes["{'trip_start_hour': '9'}", "auc"] == pytest.approx(-0.1)
    assert changes["{'hour': '1', 'kind': 'Cash'}", "auc"] is None
    table = penstock("metrics", "r2", "--baseline", "r1", "--store", store)
    assert "-0.1000" in table.out
    assert "failed: auc on trip_start_hour=9" in table.err


def test_metrics_of_a_run_without_an_evaluation(tmp_path: Path) -> None:
    location = StoreLocation(tmp_path)
    with connect(location, create=True) as database:
        recording.create_run(database, "bare", "p")
    result = penstock("metrics", "bare", "--json", "--store", str(tmp_path))
    assert (result.status, result.json) == (0, [])
    assert "Add an Evaluator" in result.err


def test_artifacts_are_listed_shown_and_traced(store: str) -> None:
    listed = penstock("artifacts", "list", "--type", "ModelBlessing", "--run", "r1", "--json", "--store", store).json
    [blessing] = listed
    assert blessing["uri"] == "/b/r1"
    assert (blessing["producer"]["node"], blessing["producer"]["run"]) == ("evaluator", "r1")
    shown = penstock("artifacts", "show", str(blessing["artifact_id"]), "--store", store).out
    assert "made by   evaluator in run r1" in shown and "blessed" in shown
    up = penstock("artifacts", "lineage", str(blessing["artifact_id"]), "--store", store).out.splitlines()
    assert up[0].startswith("ModelBlessing")
    assert up[1].strip().startswith("made by evaluator in run r1")
    assert up[2].strip() == "model: Model 1  /m/r1"
    assert up[3].strip().startswith("made by trainer in run r1")
    graph = penstock("artifacts", "lineage", "1", "--down", "--json", "--store", store).json
    assert [artifact["type"] for artifact in graph["artifacts"]] == ["Model", "ModelEvaluation", "ModelBlessing"]
    [into] = [edge for edge in graph["edges"] if edge["from"] == {"kind": "artifact", "id": 1}]
    assert into["to"] == {"kind": "execution", "id": graph["executions"][0]["execution_id"]}
    missing = penstock("artifacts", "show", "999", "--store", store)
    assert missing.status == 2 and "There is no artifact 999" in missing.err


def test_a_store_of_another_tfx_program_can_be_read(tmp_path: Path) -> None:
    location = StoreLocation(tmp_path)
    writer = StoreWriter(location)
    writer.execute("p", "their-run", "gen", outputs={"x": [writer.artifact("Examples", "/x")]})
    listed = penstock("artifacts", "list", "--run", "their-run", "--json", "--store", str(tmp_path)).json
    assert [artifact["uri"] for artifact in listed] == ["/x"]
    assert not location.own_path.exists()


def test_the_store_is_found_through_the_environment_and_the_project(store: str, tmp_path: Path) -> None:
    assert len(penstock("runs", "list", "--json", PENSTOCK_STORE=store).json) == 2
    project = tmp_path / "project"
    (project / "deep" / "down").mkdir(parents=True)
    (project / "pyproject.toml").touch()
    Path(store).rename(project / ".penstock")
    assert len(penstock("runs", "list", "--json", cwd=project / "deep" / "down", PENSTOCK_STORE="").json) == 2


def test_a_file_that_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "penstock.db").write_text("no database at all, " * 100)
    result = penstock("runs", "list", "--store", str(tmp_path))
    assert (result.status, result.out) == (1, "")
    assert f"{tmp_path / 'penstock.db'}: this is no metadata store" in result.err
    assert "Traceback" not in result.err


SCHEDULER = textwrap.dedent(
    """
    # Stands for a `penstock run`: records a run as its own process and ends on SIGINT.
    import pathlib, sys, time
    from penstock.metadata import recording
    from penstock.metadata.database import connect
    from penstock.metadata.location import StoreLocation
    with connect(StoreLocation(pathlib.Path(sys.argv[1])), create=True) as database:
        recording.create_run(database, "live", "p")
        print("ready", flush=True)
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            recording.set_run_state(database, "live", "cancelled")
    """
)


def test_a_run_is_cancelled_by_its_own_process(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with subprocess.Popen(
        [sys.executable, "-c", SCHEDULER, str(store)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    ) as scheduler:
        assert scheduler.stdout is not None and scheduler.stdout.readline() == b"ready\n"
        result = penstock("runs", "cancel", "live", "--store", str(store))
        assert (result.status, result.out) == (0, "")
        assert scheduler.wait(timeout=20) == 0
    with connect(StoreLocation(store), create=False) as database:
        assert runs.get_run(database, "live").state == "cancelled"
    again = penstock("runs", "cancel", "live", "--store", str(store))
    assert again.status == 1 and "has ended already: it is cancelled" in again.err


def test_only_the_runs_own_process_is_signalled(tmp_path: Path) -> None:
    location = StoreLocation(tmp_path)
    with (
        subprocess.Popen(["sleep", "60"]) as stranger,
        connect(location, create=True) as database,
    ):
        recording.create_run(database, "r", "p")
        database.execute("UPDATE penstock_runs SET pid = :pid", {"pid": stranger.pid})
        other_command = penstock("runs", "cancel", "r", "--store", str(tmp_path))
        assert other_command.status == 1 and "is no penstock command but 'sleep 60'" in other_command.err
        database.execute("UPDATE penstock_runs SET created_at = created_at - 900, started_at = started_at - 900")
        younger = penstock("runs", "cancel", "r", "--store", str(tmp_path))
        assert younger.status == 1 and "its process" in younger.err and "is gone" in younger.err
        database.execute("UPDATE penstock_runs SET host = 'elsewhere'")
        far = penstock("runs", "cancel", "r", "--store", str(tmp_path))
        assert far.status == 1 and "runs on elsewhere" in far.err
        assert stranger.poll() is None
        stranger.send_signal(signal.SIGTERM)


@pytest.fixture(scope="module")
def thousand_runs(tmp_path_factory: pytest.TempPathFactory) -> str:
    location = StoreLocation(tmp_path_factory.mktemp("thousand"))
    StoreWriter(location)
    with connect(location, create=True) as database:
        for number in range(1000):
            run_id = f"20261120-{number:06}-abcd"
            recording.create_run(database, run_id, f"p{number % 3}", parameters={"n": number}, ir=b"x" * 50_000)
            recording.create_nodes(database, run_id, [(f"n{index}", "N") for index in range(9)])
            recording.set_run_state(database, run_id, "succeeded")
    return str(location.folder)


@pytest.mark.parametrize("command", ["runs list", "runs show latest", "artifacts list", "metrics latest"])
def test_read_commands_load_nothing_heavy(thousand_runs: str, command: str) -> None:
    program = (
        "import sys; from penstock.cli.main import cli; "
        f"cli.main({[*command.split(), '--store', thousand_runs]!r}, standalone_mode=False); "
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "LOADED []"


@pytest.mark.parametrize(
    "command", ["runs list", "runs list --json --limit 1000", "runs show latest", "artifacts list"]
)
def test_read_commands_answer_within_half_a_second(thousand_runs: str, command: str) -> None:
    """The best of five: other work on the machine is not the command's doing."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        assert penstock(*command.split(), "--store", thousand_runs).status == 0
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5, times

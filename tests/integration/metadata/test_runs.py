"""Runs, nodes and summaries, written and read back."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock.errors import RunNotFoundError, StoreError, UsageError
from penstock.metadata import approvals, recording, runs
from penstock.metadata.database import Database, connect
from penstock.metadata.location import StoreLocation
from penstock.metadata.tables import SCHEMA_VERSION


def _create(database: Database, run_id: str, pipeline: str = "taxi", at: float | None = None) -> None:
    recording.create_run(database, run_id, pipeline)
    if at is not None:
        database.execute("UPDATE penstock_runs SET created_at = :at WHERE run_id = :id", {"at": at, "id": run_id})


def _abandon(database: Database, run_id: str) -> None:
    """Makes a run look as if its process had died: its pid is that of one that has ended."""
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    database.execute("UPDATE penstock_runs SET pid = :pid WHERE run_id = :id", {"pid": int(ended.stdout), "id": run_id})


def test_a_run_is_read_back_as_it_was_recorded(database: Database) -> None:
    ir = bytes(range(256))
    recording.create_run(
        database,
        "r1",
        "taxi",
        source="pipelines/taxi/pipeline.yaml",
        project="/p",
        environment="local",
        backend="local",
        parameters={"steps": 10, "who's": "50 % :x ü"},
        ir=ir,
    )
    run = runs.get_run(database, "r1")
    assert (run.pipeline, run.state, run.environment, run.backend) == ("taxi", "running", "local", "local")
    assert run.parameters == {"steps": 10, "who's": "50 % :x ü"}
    assert (run.host, run.pid) == (socket.gethostname(), os.getpid())
    assert run.finished_at is None
    assert runs.run_ir(database, "r1") == ir


def test_a_second_run_cannot_take_an_id(database: Database) -> None:
    _create(database, "r1")
    with pytest.raises(UsageError, match="already is a run 'r1'"):
        _create(database, "r1")


@pytest.mark.parametrize("run_id", ["latest", "", "../up", "a/b", "-x", ".hidden", "x" * 101])
def test_ids_that_would_not_do_as_a_folder_are_refused(database: Database, run_id: str) -> None:
    with pytest.raises(UsageError, match="cannot be a run's id"):
        _create(database, run_id)


def test_new_ids_differ_and_look_like_a_date() -> None:
    ids = {recording.new_run_id() for _ in range(50)}
    assert len(ids) == 50
    assert all(len(run_id) == 20 and run_id[8] == run_id[15] == "-" for run_id in ids)


def test_pages_follow_each_other_without_gap_even_at_equal_times(database: Database) -> None:
    for number in range(25):
        _create(database, f"run-{number:02}", at=1000.0 + number // 5)
    seen: list[str] = []
    before = None
    while page := runs.list_runs(database, limit=7, before=before):
        seen += [run.run_id for run in page]
        before = page[-1].run_id
    assert seen == [f"run-{number:02}" for number in reversed(range(25))]


def test_runs_are_filtered_by_pipeline_and_state(database: Database) -> None:
    _create(database, "a", "taxi")
    _create(database, "b", "penguin")
    recording.set_run_state(database, "b", "failed", error="trainer: boom")
    assert [run.run_id for run in runs.list_runs(database, pipeline="taxi")] == ["a"]
    [failed] = runs.list_runs(database, state="failed")
    assert (failed.run_id, failed.error) == ("b", "trainer: boom")
    assert failed.finished_at is not None


def test_a_run_is_found_by_id_by_start_and_as_latest(database: Database) -> None:
    _create(database, "20261120-143015-aaaa", at=1.0)
    _create(database, "20261120-143016-bbbb", at=2.0)
    assert runs.get_run(database, "latest").run_id == "20261120-143016-bbbb"
    assert runs.get_run(database, "20261120-143015").run_id == "20261120-143015-aaaa"
    with pytest.raises(RunNotFoundError, match=r"Several runs.*143016-bbbb, 20261120-143015-aaaa"):
        runs.get_run(database, "20261120")
    with pytest.raises(RunNotFoundError, match="Nearest: 20261120-143016-bbbb"):
        runs.get_run(database, "20261120-143016-bbbx")


def test_wildcards_in_a_run_name_are_plain_letters(database: Database) -> None:
    _create(database, "abc")
    with pytest.raises(RunNotFoundError):
        runs.get_run(database, "a%")
    with pytest.raises(RunNotFoundError):
        runs.get_run(database, "'; DROP TABLE penstock_runs; --")


def test_a_running_run_without_its_process_is_interrupted(database: Database) -> None:
    _create(database, "alive")
    _create(database, "dead")
    _abandon(database, "dead")
    assert {run.run_id: run.state for run in runs.list_runs(database)} == {"alive": "running", "dead": "interrupted"}
    assert [run.run_id for run in runs.list_runs(database, state="interrupted")] == ["dead"]
    assert [run.run_id for run in runs.list_runs(database, state="running", limit=1)] == ["alive"]


def test_a_process_that_got_a_dead_runs_pid_is_not_taken_for_it(database: Database) -> None:
    _create(database, "old")
    database.execute("UPDATE penstock_runs SET created_at = created_at - 3600, started_at = started_at - 3600")
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as young:
        database.execute("UPDATE penstock_runs SET pid = :pid", {"pid": young.pid})
        assert runs.get_run(database, "old").state == "interrupted"


def test_a_run_of_another_host_stays_running(database: Database) -> None:
    _create(database, "far")
    _abandon(database, "far")
    database.execute("UPDATE penstock_runs SET host = 'elsewhere'")
    assert runs.get_run(database, "far").state == "running"


def test_a_run_changes_state_in_order_only(database: Database) -> None:
    _create(database, "r")
    recording.set_run_state(database, "r", "failed", error="x")
    recording.set_run_state(database, "r", "running")
    resumed = runs.get_run(database, "r")
    assert (resumed.state, resumed.error, resumed.finished_at) == ("running", None, None)
    recording.set_run_state(database, "r", "succeeded")
    with pytest.raises(StoreError, match="it is succeeded and cannot become running"):
        recording.set_run_state(database, "r", "running")
    with pytest.raises(StoreError, match="no state 'done'"):
        recording.set_run_state(database, "r", "done")
    with pytest.raises(StoreError, match="no run 'nope'"):
        recording.set_run_state(database, "nope", "failed")
    assert runs.get_run(database, "r").state == "succeeded"


def test_nodes_keep_their_order_and_what_was_set(database: Database) -> None:
    _create(database, "r")
    recording.create_nodes(database, "r", [("trainer", "Trainer"), ("a", "CsvExampleGen"), ("pusher", "Pusher")])
    recording.set_node(database, "r", "a", state="running", attempt=1, log="runs/r/a/attempt-1/log.txt")
    recording.set_node(database, "r", "a", detail={"examples": 10})
    recording.set_node(database, "r", "a", state="succeeded", execution_id=7, detail={"splits": 2})
    recording.set_node(database, "r", "trainer", state="cached")
    recording.set_node(database, "r", "pusher", state="upstream_failed")
    trainer, a, pusher = runs.nodes_of(database, "r")
    assert (trainer.node_id, trainer.state, trainer.started_at) == ("trainer", "cached", None)
    assert (a.state, a.execution_id, a.attempt, a.log) == ("succeeded", 7, 1, "runs/r/a/attempt-1/log.txt")
    assert a.detail == {"examples": 10, "splits": 2}
    assert a.started_at is not None and a.finished_at is not None and a.finished_at >= a.started_at
    assert pusher.component == "Pusher"
    assert runs.count_nodes(database, ["r", "none"]) == {
        "r": {"succeeded": 1, "cached": 1, "upstream_failed": 1},
        "none": {},
    }


def test_a_second_attempt_clears_the_firsts_error_and_keeps_its_start(database: Database) -> None:
    _create(database, "r")
    recording.create_nodes(database, "r", [("n", "N")])
    recording.set_node(database, "r", "n", state="running", attempt=1, started_at=5.0)
    recording.set_node(database, "r", "n", state="failed", error="boom")
    recording.set_node(database, "r", "n", state="running", attempt=2)
    [node] = runs.nodes_of(database, "r")
    assert (node.error, node.attempt, node.started_at, node.finished_at) == (None, 2, 5.0, None)


def test_a_node_changes_state_in_order_only(database: Database) -> None:
    _create(database, "r")
    recording.create_nodes(database, "r", [("n", "N")])
    recording.set_node(database, "r", "n", state="succeeded")
    with pytest.raises(StoreError, match="node n of run r: it is succeeded and cannot become running"):
        recording.set_node(database, "r", "n", state="running", error="must not be kept")
    assert runs.nodes_of(database, "r")[0].error is None
    with pytest.raises(StoreError, match="no node 'm'"):
        recording.set_node(database, "r", "m", state="running")


def test_a_summary_replaces_the_one_before(database: Database) -> None:
    recording.put_summary(database, 4, "schema", {"features": 1})
    recording.put_summary(database, 4, "schema", {"features": [":x", "100 %"]})
    summary = runs.find_summary(database, 4)
    assert summary is not None
    assert (summary.kind, summary.content) == ("schema", {"features": [":x", "100 %"]})
    assert runs.find_summary(database, 5) is None
    assert runs.find_summaries(database, [4, 5], "statistics") == {}
    with pytest.raises(StoreError, match="no JSON"):
        recording.put_summary(database, 4, "schema", float("nan"))


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError), database.transaction():
        database.execute("INSERT INTO penstock_summaries VALUES (1, 'x', '{}')")
        raise RuntimeError
    assert runs.find_summary(database, 1) is None


def test_several_connections_may_make_the_tables_at_once(location: StoreLocation) -> None:
    start = threading.Barrier(8)

    def create(number: int) -> None:
        start.wait()
        with connect(location, create=True) as database:
            recording.create_run(database, f"run-{number}", "p")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, range(8)))
    with connect(location, create=False) as database:
        assert len(runs.list_runs(database)) == 8
        assert database.query("SELECT version FROM penstock_schema") == [{"version": SCHEMA_VERSION}]


def test_one_connection_may_be_shared_by_threads(database: Database) -> None:
    _create(database, "r")
    recording.create_nodes(database, "r", [(f"n{number}", "N") for number in range(20)])

    def run(number: int) -> None:
        recording.set_node(database, "r", f"n{number}", state="running")
        recording.set_node(database, "r", f"n{number}", state="succeeded", detail={"number": number})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(20)))
    assert [node.detail["number"] for node in runs.nodes_of(database, "r")] == list(range(20))


def test_a_store_that_does_not_exist_reads_as_empty_and_is_not_made(location: StoreLocation) -> None:
    with connect(location, create=False) as database:
        assert runs.list_runs(database) == []
        assert runs.nodes_of(database, "r") == []
        assert runs.run_ir(database, "r") is None
        assert runs.find_summary(database, 1) is None
        assert not database.has_mlmd()
        for name in ("latest", "x"):
            with pytest.raises(RunNotFoundError, match="penstock run PATH"):
                runs.get_run(database, name)
    with connect(location, create=False) as database:
        assert not database.has_own_tables
    assert not location.folder.exists()


def test_a_reader_cannot_write(database: Database) -> None:
    with connect(database.location, create=False) as reader, pytest.raises(StoreError):
        reader.execute("DELETE FROM penstock_runs")


def test_a_store_of_a_newer_penstock_is_refused(database: Database) -> None:
    database.execute("UPDATE penstock_schema SET version = 99")
    for create in (True, False):
        with pytest.raises(StoreError, match=f"have version 99, this Penstock reads version {SCHEMA_VERSION}"):
            connect(database.location, create=create)


def test_a_store_of_an_older_penstock_is_read_as_it_is_and_brought_up_to_date_by_writers(database: Database) -> None:
    _create(database, "r")
    recording.create_nodes(database, "r", [("gate", "ManualApproval")])
    recording.set_node(database, "r", "gate", state="awaiting_approval", attempt=1)
    database.execute("DROP TABLE penstock_approvals")
    database.execute("UPDATE penstock_schema SET version = 1")
    with connect(database.location, create=False) as reader:
        assert [run.run_id for run in runs.list_runs(reader)] == ["r"]
        assert reader.query("SELECT version FROM penstock_schema") == [{"version": 1}]
    with connect(database.location, create=True) as writer:
        approvals.decide(writer, "r", "gate", approved=True, decided_by="Ada", comment="")
        assert approvals.decisions(writer, "r", {"gate": 1})["gate"].decided_by == "Ada"
        assert writer.query("SELECT version FROM penstock_schema") == [{"version": SCHEMA_VERSION}]


def test_an_approval_counts_for_later_attempts_and_a_rejection_for_its_own(database: Database) -> None:
    _create(database, "r")
    recording.create_nodes(database, "r", [("gate", "ManualApproval"), ("other", "ManualApproval")])
    for node, approved in (("gate", True), ("other", False)):
        recording.set_node(database, "r", node, state="awaiting_approval", attempt=1)
        approvals.decide(database, "r", node, approved=approved, decided_by="Ada", comment="so")
        with pytest.raises(UsageError, match="already, by Ada"):
            approvals.decide(database, "r", node, approved=not approved, decided_by="Bob", comment="")
    first = approvals.decisions(database, "r", {"gate": 1, "other": 1})
    assert {name: word.approved for name, word in first.items()} == {"gate": True, "other": False}
    assert set(approvals.decisions(database, "r", {"gate": 2, "other": 2})) == {"gate"}
    assert approvals.decisions(database, "r", {}) == {}

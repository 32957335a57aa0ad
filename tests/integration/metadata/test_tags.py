"""Tags and versions of runs, on each kind of store."""

from __future__ import annotations

import pytest

from penstock.errors import UsageError
from penstock.metadata import recording, runs, schedules, tags, versions
from penstock.metadata.database import Database, connect
from penstock.metadata.schedules import Schedule, Tick
from penstock.metadata.tables import SCHEMA_VERSION


def make(database: Database, *run_ids: str, ir: bytes | None = None, version: str | None = None) -> None:
    for run_id in run_ids:
        recording.create_run(database, run_id, "taxi", ir=ir, version=version)


def test_tags_are_added_removed_and_found(database: Database) -> None:
    make(database, "one", "two", "three")
    tags.add(database, "one", ["good", "baseline"])
    tags.add(database, "two", ["good", "good", "team:a/b=c.d-e_f"])
    assert tags.find(database, ["one", "two", "three"]) == {
        "one": ["baseline", "good"],
        "two": ["good", "team:a/b=c.d-e_f"],
    }
    assert [run.run_id for run in runs.list_runs(database, tags=["good"])] == ["two", "one"]
    assert [run.run_id for run in runs.list_runs(database, tags=["good", "baseline"])] == ["one"]
    assert runs.list_runs(database, tags=["goo"]) == []
    tags.remove(database, "one", ["good", "never had"])
    assert tags.known(database) == ["baseline", "good", "team:a/b=c.d-e_f"]
    assert [run.run_id for run in runs.list_runs(database, tags=["good"])] == ["two"]


@pytest.mark.parametrize("tag", ["", " ", "two words", "-x", "ä", "a" * 51, "a\n", "'; DROP TABLE penstock_tags --"])
def test_what_is_no_tag_is_refused_and_nothing_is_added(database: Database, tag: str) -> None:
    make(database, "one")
    with pytest.raises(UsageError, match="cannot be a tag"):
        tags.add(database, "one", ["fine", tag])
    assert tags.find(database, ["one"]) == {}


def test_a_run_has_so_many_tags_and_no_more(database: Database) -> None:
    make(database, "one")
    tags.add(database, "one", [f"t{number}" for number in range(tags.MOST_TAGS)])
    with pytest.raises(UsageError, match="20 are allowed"):
        tags.add(database, "one", ["one-more"])


def test_versions_are_the_distinct_compiled_declarations(database: Database) -> None:
    make(database, "a", "b", ir=b"first")
    make(database, "c", ir=b"second")
    make(database, "d", ir=b"first")
    make(database, "e")
    # What differs by a span alone is one version.
    make(database, "f", ir=b"first, span 7", version=versions.digest_of(b"first"))
    with connect(database.location, create=False) as reader:
        found = versions.of_pipeline(reader, "taxi", 10)
        assert [(entry.runs, entry.first_run, entry.last_run) for entry in found] == [(4, "a", "f"), (1, "c", "c")]
        assert found[0].digest == versions.digest_of(b"first")
        assert found[0].first_at < found[0].last_at
        listed = runs.list_runs(reader, version=found[0].digest)
        assert [run.run_id for run in listed] == ["f", "d", "b", "a"]
        assert versions.of_run(reader, "c") == versions.digest_of(b"second")
        assert versions.of_run(reader, "e") is None
        assert versions.of_pipeline(reader, "other", 10) == []


def test_a_store_of_version_5_gets_tags_and_the_versions_of_its_runs(database: Database) -> None:
    make(database, "old", ir=b"first")
    make(database, "older", ir=b"first")
    database.execute("DROP TABLE penstock_tags")
    database.execute("DROP TABLE penstock_versions")
    database.execute("UPDATE penstock_schema SET version = 5")
    with connect(database.location, create=False) as reader:
        assert tags.find(reader, ["old"]) == {} and tags.known(reader) == []
        assert versions.of_pipeline(reader, "taxi", 10) == []
        assert runs.list_runs(reader, tags=["x"]) == []
        assert [run.run_id for run in runs.list_runs(reader)] == ["older", "old"]
    with connect(database.location, create=True) as writer:
        assert writer.query("SELECT version FROM penstock_schema") == [{"version": SCHEMA_VERSION}]
        [found] = versions.of_pipeline(writer, "taxi", 10)
        assert (found.runs, found.first_run, found.last_run) == (2, "old", "older")
        tags.add(writer, "old", ["kept"])
        assert tags.find(writer, ["old"]) == {"old": ["kept"]}


def test_the_last_times_of_several_schedules_come_in_one_query(database: Database) -> None:
    for name in ("a", "b"):
        made = Schedule(name, "/p", None, {}, "* * * * *", "UTC", False, "skip", False, 0.0, False, 0.0)
        schedules.create_schedule(database, made)
        ticks = [Tick(name, float(at), float(at), "queued", f"{name}-{at}") for at in range(5)]
        assert schedules.add_ticks(database, made, ticks, 5.0)
    make(database, "a-4")
    found = schedules.last_ticks(database, ["a", "b", "none"], 2)
    assert {name: [(tick.run_id, state) for tick, state in ticks] for name, ticks in found.items()} == {
        "a": [("a-4", "running"), ("a-3", None)],
        "b": [("b-4", None), ("b-3", None)],
    }


def test_attempts_are_kept_with_a_node_and_are_no_facts(database: Database) -> None:
    make(database, "one")
    recording.create_nodes(database, "one", [("trainer", "Trainer")])
    recording.set_node(database, "one", "trainer", state="running", attempt=1)
    attempt = {"attempt": 1, "state": "failed", "seconds": 2.5, "peak_bytes": 10}
    recording.set_node(database, "one", "trainer", detail={runs.ATTEMPTS: [attempt]})
    recording.set_node(database, "one", "trainer", state="succeeded", detail={"steps": 3})
    [node] = runs.nodes_of(database, "one")
    assert node.detail == {"steps": 3}
    assert list(node.attempts) == [attempt]

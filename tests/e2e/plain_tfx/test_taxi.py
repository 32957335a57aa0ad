"""The Chicago taxi pipeline that ships inside the tfx package, unmodified, from its CSV file to a pushed model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Penstock

FILE = Path(__file__).with_name("taxi.py")
ROWS = 15_002

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_it_runs_to_a_pushed_model(penstock: Penstock, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "store")
    home = tmp_path / "home"
    result = penstock("run", f"{FILE}:taxi", "-p", f"home={home}", *store, cwd=tmp_path, timeout=1700)
    assert result.status == 0, result.stderr

    run = penstock("runs", "show", "latest", "--json", *store).json
    assert (run["pipeline"], run["state"], run["blessed"]) == ("taxi-of-tfx", "succeeded", True)
    nodes = {node["node_id"]: node for node in run["nodes"]}
    assert {node["state"] for node in nodes.values()} == {"succeeded"}
    assert nodes.keys() == {
        "CsvExampleGen",
        "StatisticsGen",
        "SchemaGen",
        "ExampleValidator",
        "Transform",
        "latest_blessed_model_resolver",
        "Trainer",
        "Evaluator",
        "Pusher",
    }
    assert nodes["CsvExampleGen"]["detail"]["examples"] == ROWS

    [version] = (home / "serving").iterdir()
    assert (version / "saved_model.pb").is_file()
    assert not (home / "unused.db").exists(), "its own metadata store is not for Penstock to write"
    listed = penstock("artifacts", "list", "--run", run["run_id"], "--limit", "1000", "--json", *store).json
    assert all(Path(artifact["uri"]).is_relative_to(home / "root") for artifact in listed), "its own pipeline root"
    [pushed] = [artifact for artifact in listed if artifact["type"] == "PushedModel"]
    graph = penstock("artifacts", "lineage", str(pushed["artifact_id"]), "--json", *store).json
    assert {execution["node"] for execution in graph["executions"]} == nodes.keys() - {
        "latest_blessed_model_resolver",
        "ExampleValidator",
    }

"""Commands that end a run on a cluster, or take it up again, and what the store then says of it."""

from __future__ import annotations

from pathlib import Path

import kfp_server_api
import pytest

from penstock.metadata import recording, runs
from penstock.metadata.database import connect
from penstock.metadata.location import StoreLocation
from tests.integration.metadata.test_commands import penstock
from tests.servers.kubeflow_api import Trouble, serving


def test_a_run_on_a_cluster_is_ended_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENSTOCK_KFP_ENDPOINT", raising=False)
    store = str(tmp_path)
    with serving() as server, connect(StoreLocation(tmp_path), create=True) as database:
        for name in ("known", "unknown"):
            server.runs[name] = kfp_server_api.V2beta1Run(run_id=name, state="RUNNING")
            recording.create_run(
                database,
                name,
                "p",
                backend="kubeflow",
                nodes=[("done", "C"), ("open", "C")],
                cluster=f"{server.address}/#/runs" if name == "known" else "",
            )
            recording.set_node(database, name, "done", state="succeeded")
        # Nobody can tell from here whether a cluster's run still runs.
        assert runs.get_run(database, "known").state == "running"
        nowhere = penstock("runs", "cancel", "unknown", "--store", store)
        assert nowhere.status == 1 and "PENSTOCK_KFP_ENDPOINT" in nowhere.err
        monkeypatch.setenv("PENSTOCK_KFP_TOKEN", "canary-4711")
        kept = penstock("runs", "cancel", "known", "--store", store)
        assert kept.status == 1 and "no address that only the store names" in kept.err
        assert server.requests == []
        monkeypatch.delenv("PENSTOCK_KFP_TOKEN")
        server.trouble.append(Trouble(":terminate$", 403, times=1))
        refused = penstock("runs", "cancel", "known", "--store", store)
        assert refused.status == 1 and "you may not do that" in refused.err
        assert runs.get_run(database, "known").state == "running"
        for name in ("known", "unknown"):
            result = penstock("runs", "cancel", name, "--store", store)
            assert (result.status, result.out) == (0, ""), result.err
            assert server.runs[name].state == "CANCELING"
            assert runs.get_run(database, name).state == "cancelled"
            states = {node.node_id: node.state for node in runs.nodes_of(database, name)}
            assert states == {"done": "succeeded", "open": "cancelled"}
            again = penstock("runs", "cancel", name, "--store", store)
            assert again.status == 1 and "has ended already" in again.err
            monkeypatch.setenv("PENSTOCK_KFP_ENDPOINT", server.address)


def test_a_run_on_a_cluster_is_taken_up_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENSTOCK_KFP_ENDPOINT", raising=False)
    store = str(tmp_path)
    with serving() as server, connect(StoreLocation(tmp_path), create=True) as database:
        server.runs["r"] = kfp_server_api.V2beta1Run(run_id="r", state="FAILED")
        nodes = [("done", "C"), ("broken", "C"), ("after", "C")]
        recording.create_run(database, "r", "p", backend="kubeflow", nodes=nodes, cluster=server.address)
        running = penstock("run", "--resume", "r", "--store", store)
        assert running.status == 2 and "is still running" in running.err
        recording.set_node(database, "r", "done", state="succeeded")
        recording.set_node(database, "r", "broken", state="failed", error="no data", detail={runs.NO_RETRY: True})
        recording.set_node(database, "r", "after", state="upstream_failed", error="needs broken")
        recording.set_run_state(database, "r", "failed", error="broken failed")

        def states() -> dict[str, tuple[str, str | None, bool]]:
            found = runs.nodes_of(database, "r")
            return {node.node_id: (node.state, node.error, bool(node.detail.get(runs.NO_RETRY))) for node in found}

        before = states()
        server.trouble.append(Trouble(":retry$", 403, times=1))
        refused = penstock("run", "--resume", "r", "--store", store)
        assert refused.status == 1 and "you may not do that" in refused.err
        assert (runs.get_run(database, "r").state, states()) == ("failed", before)
        assert runs.get_run(database, "r").error == "broken failed"
        result = penstock("run", "--resume", "r", "--store", store)
        assert (result.status, result.out) == (0, ""), result.err
        assert server.runs["r"].state == "PENDING"
        run = runs.get_run(database, "r")
        assert (run.state, run.host, run.pid) == ("running", server.address, None)
        waiting = ("waiting", None, False)
        assert states() == {"done": ("succeeded", None, False), "broken": waiting, "after": waiting}

"""Which nodes a partial run runs."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from penstock.engine.graph import Graph
from penstock.errors import RunNotFoundError, UsageError
from penstock.metadata import runs
from penstock.metadata.database import Database


def select(graph: Graph, from_nodes: Sequence[str], to_nodes: Sequence[str]) -> frozenset[str] | None:
    """Returns the nodes between `from_nodes` and `to_nodes`, both included; None for all of them.

    Resolvers and importers that come first in the pipeline are always among them: what they would find is asked anew.
    So are nodes that run when the run has ended.

    Raises:
        UsageError: there is no such node, or none lies between.
    """
    if not from_nodes and not to_nodes:
        return None
    for option, names in (("--from", from_nodes), ("--to", to_nodes)):
        for name in names:
            _check_known(graph, option, name)
    downstream = set(graph.nodes) if not from_nodes else set(from_nodes).union(*map(graph.downstream, from_nodes))
    upstream = set(graph.nodes) if not to_nodes else set(to_nodes).union(*map(graph.upstream, to_nodes))
    selected = downstream & upstream
    if not selected:
        raise UsageError(
            f"--from {','.join(from_nodes)} --to {','.join(to_nodes)}: no node lies between them. "
            f"Nodes in order: {', '.join(graph.nodes)}."
        )
    asked_anew = {node.id for node in graph.nodes.values() if node.executor_spec is None and not node.upstream}
    return frozenset(selected | asked_anew | graph.exit_nodes().keys())


def base_run(database: Database, graph: Graph, named: str | None) -> str:
    """Returns the run whose outputs stand in for nodes that are not selected.

    Raises:
        RunNotFoundError: the named run does not exist, or none of the pipeline has succeeded yet.
        UsageError: the named run is of another pipeline.
    """
    if named is not None:
        run = runs.get_run(database, named)
        if run.pipeline != graph.pipeline:
            raise UsageError(f"--base {named}: that is a run of {run.pipeline}, not of {graph.pipeline}.")
        return run.run_id
    found = runs.list_runs(database, pipeline=graph.pipeline, state="succeeded", limit=1)
    if not found:
        raise RunNotFoundError(
            f"There is no succeeded run of {graph.pipeline} whose outputs could stand in for the nodes outside "
            "--from and --to. Run the whole pipeline once, or name a run with --base."
        )
    return found[0].run_id


def _check_known(graph: Graph, option: str, name: str) -> None:
    if name in graph.exit_nodes():
        raise UsageError(f"{option} {name}: that node runs whenever a run has ended; name another.")
    if name in graph.nodes:
        return
    near = difflib.get_close_matches(name, graph.nodes, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"{option} {name}: there is no such node.{hint} Nodes: {', '.join(graph.nodes)}.")

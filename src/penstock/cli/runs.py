"""`penstock runs`: what ran, how it went, and stopping it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from penstock.cli import output
from penstock.cli.reading import json_option, open_for_reading, say_nothing_found, store_option
from penstock.cli.run_again import rerun
from penstock.cli.run_approval import approve, reject
from penstock.cli.run_tags import tag
from penstock.metadata import metrics
from penstock.metadata import runs as records
from penstock.metadata import tags as run_tags
from penstock.metadata.database import Database
from penstock.metadata.runs import NodeRecord, Run
from penstock.metadata.states import AWAITING_APPROVAL, INTERRUPTED, RUN_STATES


@click.group()
def runs() -> None:
    """List, show and compare runs, read their logs. RUN is a run's id, the start of one, or `latest`."""


@runs.command("list")
@click.option("--pipeline", metavar="NAME", help="Only runs of this pipeline.")
@click.option("--state", type=click.Choice([*RUN_STATES, INTERRUPTED]), help="Only runs in this state.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Only runs with this tag; repeatable.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many at most.")
@click.option("--before", metavar="RUN", help="Only runs older than this one, for the next page.")
@json_option
@store_option
def list_(
    pipeline: str | None,
    state: str | None,
    tags: tuple[str, ...],
    limit: int,
    before: str | None,
    as_json: bool,
    store: str | None,
) -> None:
    """List runs, newest first."""
    with open_for_reading(store) as database:
        older_than = records.get_run(database, before).run_id if before else None
        # One more than asked for tells whether there is a next page.
        found = records.list_runs(
            database, pipeline=pipeline, state=state, tags=tags, limit=limit + 1, before=older_than
        )
        more = len(found) > limit
        found = found[:limit]
        ids = [run.run_id for run in found]
        counts, tags_of = records.count_nodes(database, ids), run_tags.find(database, ids)
        if as_json:
            output.print_json(
                [
                    {**run_document(run), "tags": tags_of.get(run.run_id, []), "nodes": counts[run.run_id]}
                    for run in found
                ]
            )
        if not found:
            filtered = bool(tags) or pipeline is not None or state is not None or before is not None
            say_nothing_found("runs", database.location.display, filtered)
            return
    if not as_json:
        output.print_table(
            ["RUN", "PIPELINE", "STATE", "STARTED", "TIME", "NODES", *(["TAGS"] if tags_of else []), "CAUSE"],
            [
                [
                    run.run_id,
                    run.pipeline,
                    run.state,
                    output.ago(run.started_at),
                    output.duration(_run_seconds(run)),
                    _progress(counts[run.run_id]),
                    *([" ".join(tags_of.get(run.run_id, ()))] if tags_of else []),
                    run.error or "",
                ]
                for run in found
            ],
            right=["TIME", "NODES"],
        )
        if more:
            output.say(f"There are older ones: --before {found[-1].run_id}")


@runs.command()
@click.argument("run")
@json_option
@store_option
def show(run: str, as_json: bool, store: str | None) -> None:
    """Show a run: its nodes, their states and times, and what became of the model."""
    with open_for_reading(store) as database:
        record = records.get_run(database, run)
        nodes = records.nodes_of(database, record.run_id)
        verdict = metrics.verdict_of_run(database, record.run_id)
        tags = run_tags.find(database, [record.run_id]).get(record.run_id, [])
        evaluations = metrics.evaluations_of_run(database, record.run_id)
        failed_gates = [gate for evaluation in evaluations for gate in evaluation.thresholds if not gate.passed]
    if as_json:
        output.print_json(
            {
                **run_document(record),
                "tags": tags,
                "blessed": verdict.blessed,
                "pushed_to": verdict.pushed_to,
                "failed_thresholds": [vars(gate) for gate in failed_gates],
                "nodes": [node_document(node) for node in nodes],
            }
        )
        return
    output.print_facts(
        [
            ("run", record.run_id),
            ("pipeline", record.pipeline),
            ("state", record.state),
            ("started", f"{output.ago(record.started_at)} ({output.exact(record.started_at)})"),
            ("time", output.duration(_run_seconds(record))),
            ("tags", " ".join(tags) or None),
            ("environment", record.environment),
            ("source", record.source),
            ("parameters", ", ".join(f"{name}={value}" for name, value in record.parameters.items()) or None),
            ("process", f"{record.pid} on {record.host}" if record.state == "running" else None),
            ("error", record.error),
            ("model", None if verdict.blessed is None else "blessed" if verdict.blessed else "not blessed"),
            ("pushed to", verdict.pushed_to),
        ]
    )
    for gate in failed_gates:
        click.echo(gate_in_words(gate))
    output.print_heading("Nodes")
    output.print_table(
        ["NODE", "COMPONENT", "STATE", "TIME", "ATTEMPT", "DETAIL"],
        [
            [
                node.node_id,
                node.component or "",
                node.state,
                output.duration(_node_seconds(node)),
                str(node.attempt or output.NOTHING),
                (node.error or output.facts_in_words(node.detail)).split("\n")[0],
            ]
            for node in nodes
        ],
        right=["TIME", "ATTEMPT"],
    )
    for node in nodes:
        if node.state == AWAITING_APPROVAL and record.state == "running":
            output.print_heading(f"{node.node_id} waits for an approval")
            click.echo(f"penstock runs approve {record.run_id} {node.node_id} --comment '…'  (or: reject)")
        if node.state == "failed":
            output.print_heading(f"{node.node_id} failed")
            click.echo(node.error or "no cause is recorded")
            output.say(f"Its log: penstock runs logs {record.run_id} {node.node_id}")


@runs.command()
@click.argument("run")
@click.argument("node")
@click.option("--follow", "-f", is_flag=True, help="Go on printing until the node ends.")
@store_option
def logs(run: str, node: str, follow: bool, store: str | None) -> None:
    """Print the log of a node's last attempt."""
    from penstock.cli.run_logs import print_log

    with open_for_reading(store) as database:
        print_log(database, records.get_run(database, run).run_id, node, follow)


@runs.command()
@click.argument("run")
@store_option
def cancel(run: str, store: str | None) -> None:
    """Stop a run, on this machine or on its cluster: its nodes are ended and recorded as cancelled."""
    from penstock.backends.cancel import cancel_run

    with open_for_reading(store) as database:
        record = records.get_run(database, run)
    cancel_run(database.location, record)
    output.say(f"Asked run {record.run_id} to stop. See how it ends: penstock runs show {record.run_id}")


@runs.command()
@click.argument("first", metavar="RUN")
@click.argument("second", metavar="RUN")
@json_option
@store_option
def compare(first: str, second: str, as_json: bool, store: str | None) -> None:
    """Set two runs side by side: parameters, nodes and overall metrics."""
    with open_for_reading(store) as database:
        pair = records.get_run(database, first), records.get_run(database, second)
        document = comparison_document(database, *pair)
    if as_json:
        output.print_json(document)
        return
    heads = [run.run_id for run in pair]
    output.print_table(
        ["", *heads],
        [
            ["pipeline", *(run.pipeline for run in pair)],
            ["state", *(run.state for run in pair)],
            ["started", *(output.ago(run.started_at) for run in pair)],
            ["time", *(output.duration(_run_seconds(run)) for run in pair)],
            *(
                [f"parameter {row['parameter']}", *(output.NOTHING if v is None else str(v) for v in row["values"])]
                for row in document["parameters"]
            ),
        ],
    )
    output.print_heading("Nodes")
    output.print_table(
        ["NODE", *heads],
        [
            [
                row["node"],
                *(
                    f"{state or output.NOTHING}  {output.duration(seconds)}"
                    for state, seconds in zip(row["states"], row["seconds"], strict=True)
                ),
            ]
            for row in document["nodes"]
        ],
    )
    if document["metrics"]:
        output.print_heading("Metrics, overall")
        output.print_table(
            ["METRIC", *heads, "CHANGE"],
            [
                [row["metric"], *map(output.number, row["values"]), output.number(row["change"], signed=True)]
                for row in document["metrics"]
            ],
            right=[*heads, "CHANGE"],
        )


def run_document(run: Run) -> dict[str, Any]:
    """A run as JSON: times in ISO 8601 UTC, how long it took in seconds."""
    return {
        **vars(run),
        "created_at": output.exact(run.created_at),
        "started_at": output.exact(run.started_at),
        "finished_at": output.exact(run.finished_at),
        "seconds": _run_seconds(run),
    }


def node_document(node: NodeRecord) -> dict[str, Any]:
    """A node of a run as JSON: times in ISO 8601 UTC, how long it took in seconds."""
    return {
        **vars(node),
        "started_at": output.exact(node.started_at),
        "finished_at": output.exact(node.finished_at),
        "seconds": _node_seconds(node),
        "cached": node.state == "cached",
    }


def gate_in_words(gate: metrics.Threshold) -> str:
    """Which metric, on which slice, had which value, against which bound."""
    verb = "passed" if gate.passed else "failed"
    baseline = "" if gate.baseline is None else f", baseline {output.number(gate.baseline)}"
    where = output.slice_name(gate.slice)
    return f"{verb}: {gate.metric} on {where} is {output.number(gate.value)}{baseline}; bound {gate.bound}"


def _run_seconds(run: Run) -> float | None:
    return output.elapsed(run.started_at, run.finished_at, run.state == "running")


def _node_seconds(node: NodeRecord) -> float | None:
    return output.elapsed(node.started_at, node.finished_at, node.state in ("running", AWAITING_APPROVAL))


def _progress(counts: Mapping[str, int]) -> str:
    """How many of a run's nodes have what they should have, of all."""
    done = sum(counts.get(state, 0) for state in ("succeeded", "cached", "skipped"))
    return f"{done}/{sum(counts.values())}" if counts else output.NOTHING


def comparison_document(database: Database, first: Run, second: Run) -> dict[str, Any]:
    """Two runs side by side as JSON: parameters, nodes, overall metrics."""
    nodes = [{node.node_id: node for node in records.nodes_of(database, run.run_id)} for run in (first, second)]
    overall = [
        [row for found in metrics.evaluations_of_run(database, run.run_id) for row in metrics.slices_by(found, [])]
        for run in (first, second)
    ]
    return {
        "runs": [run_document(first), run_document(second)],
        "parameters": [
            {"parameter": name, "values": [first.parameters.get(name), second.parameters.get(name)]}
            for name in dict.fromkeys([*first.parameters, *second.parameters])
        ],
        "nodes": [
            {
                "node": name,
                "states": [side[name].state if name in side else None for side in nodes],
                "seconds": [_node_seconds(side[name]) if name in side else None for side in nodes],
            }
            for name in dict.fromkeys([*nodes[0], *nodes[1]])
        ],
        "metrics": [
            {"metric": row.metric, "values": [row.baseline, row.value], "change": row.change}
            for row in metrics.compare(overall[1], overall[0])
        ],
    }


runs.add_command(rerun)
runs.add_command(approve)
runs.add_command(reject)
runs.add_command(tag)

"""`penstock artifacts`: what runs made, and from what."""

from __future__ import annotations

from typing import Any

import click

from penstock.cli import output
from penstock.cli.reading import json_option, open_for_reading, run_id_of, say_nothing_found, store_option
from penstock.metadata import artifacts as records
from penstock.metadata.artifacts import Artifact
from penstock.metadata.executions import ARTIFACT_STATES, Execution, Use
from penstock.metadata.lineage import Lineage
from penstock.metadata.lineage import lineage as follow
from penstock.metadata.metrics import EVALUATION
from penstock.metadata.runs import Summary, find_summary


@click.group()
def artifacts() -> None:
    """List artifacts, show one, trace its lineage."""


@artifacts.command("list")
@click.option("--type", "type_", metavar="TYPE", help="Only artifacts of this type, like Model.")
@click.option("--pipeline", metavar="NAME", help="Only what this pipeline made.")
@click.option("--run", metavar="RUN", help="Only what this run put out, also from the cache.")
@click.option("--state", type=click.Choice(ARTIFACT_STATES), help="Only artifacts in this state.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many at most.")
@click.option("--before", type=int, metavar="ID", help="Only artifacts with a lower id, for the next page.")
@json_option
@store_option
def list_(
    type_: str | None,
    pipeline: str | None,
    run: str | None,
    state: str | None,
    limit: int,
    before: int | None,
    as_json: bool,
    store: str | None,
) -> None:
    """List artifacts, newest first."""
    with open_for_reading(store) as database:
        run_id = run_id_of(database, run) if run else None
        found = records.list_artifacts(
            database, type=type_, pipeline=pipeline, run=run_id, state=state, limit=limit + 1, before=before
        )
        where = database.location.display
    more = len(found) > limit
    found = found[:limit]
    if as_json:
        output.print_json([artifact_document(artifact) for artifact in found])
    if not found:
        filtered = any(value is not None for value in (type_, pipeline, run, state, before))
        say_nothing_found("artifacts", where, filtered)
        return
    if not as_json:
        output.print_table(
            ["ID", "TYPE", "NODE", "RUN", "CREATED", "STATE", "URI"],
            [
                [
                    str(artifact.artifact_id),
                    artifact.type,
                    _place(artifact)[0],
                    _place(artifact)[1],
                    output.ago(artifact.created_at),
                    artifact.state,
                    artifact.uri,
                ]
                for artifact in found
            ],
            right=["ID"],
        )
        if more:
            output.say(f"There are older ones: --before {found[-1].artifact_id}")


@artifacts.command()
@click.argument("id_", metavar="ID", type=int)
@json_option
@store_option
def show(id_: int, as_json: bool, store: str | None) -> None:
    """Show an artifact: its properties, what is in it, what made it and what used it."""
    with open_for_reading(store) as database:
        details = records.get_artifact(database, id_)
        summary = find_summary(database, id_)
    artifact = details.artifact
    if as_json:
        output.print_json(
            {
                **artifact_document(artifact),
                "properties": details.properties,
                "custom_properties": details.custom_properties,
                "summary": None if summary is None else {"kind": summary.kind, "content": summary.content},
                "consumers": [_use_document(use) for use in details.consumers],
            }
        )
        return
    output.print_facts(
        [
            ("artifact", str(artifact.artifact_id)),
            ("type", artifact.type),
            ("name", artifact.name),
            ("state", artifact.state),
            ("uri", artifact.uri),
            ("created", f"{output.ago(artifact.created_at)} ({output.exact(artifact.created_at)})"),
            ("made by", None if artifact.producer is None else _in_words(artifact.producer.execution)),
        ]
    )
    properties = {**details.properties, **details.custom_properties}
    if properties:
        output.print_heading("Properties")
        output.print_facts((name, str(value)) for name, value in properties.items())
    if summary is not None:
        _print_summary(summary)
    if details.consumers:
        output.print_heading("Used by")
        output.print_table(
            ["NODE", "INPUT", "RUN", "EXECUTION", "STATE"],
            [
                [
                    use.execution.node or use.execution.type,
                    use.key or "",
                    use.execution.run or "",
                    str(use.execution.execution_id),
                    use.execution.state,
                ]
                for use in details.consumers
            ],
            right=["EXECUTION"],
        )


@artifacts.command()
@click.argument("id_", metavar="ID", type=int)
@click.option("--up", "direction", flag_value="up", default="up", help="What it was made from. [default]")
@click.option("--down", "direction", flag_value="down", help="What was made from it.")
@click.option("--depth", type=click.IntRange(min=1), help="Over how many executions at most. [default: all the way]")
@json_option
@store_option
def lineage(id_: int, direction: str, depth: int | None, as_json: bool, store: str | None) -> None:
    """Trace an artifact to what it was made from, or to what was made from it."""
    with open_for_reading(store) as database:
        graph = follow(database, id_, direction, depth)
    if as_json:
        output.print_json(lineage_document(graph, direction))
        return
    _print_tree(graph, direction)


def lineage_document(graph: Lineage, direction: str) -> dict[str, Any]:
    """A lineage as JSON: an edge goes from what came before to what came after."""
    return {
        "start": graph.start,
        "direction": direction,
        "artifacts": [artifact_document(artifact) for artifact in graph.artifacts.values()],
        "executions": [_execution_document(execution) for execution in graph.executions.values()],
        "edges": [_edge_document(use) for use in graph.edges],
    }


def artifact_document(artifact: Artifact) -> dict[str, Any]:
    """An artifact as JSON: times in ISO 8601 UTC, its producer with the name of the output."""
    return {
        "artifact_id": artifact.artifact_id,
        "type": artifact.type,
        "name": artifact.name,
        "uri": artifact.uri,
        "state": artifact.state,
        "created_at": output.exact(artifact.created_at),
        "updated_at": output.exact(artifact.updated_at),
        "producer": None if artifact.producer is None else _use_document(artifact.producer),
    }


def _execution_document(execution: Execution) -> dict[str, Any]:
    return {
        **vars(execution),
        "created_at": output.exact(execution.created_at),
        "updated_at": output.exact(execution.updated_at),
    }


def _use_document(use: Use) -> dict[str, Any]:
    return {"key": use.key, "index": use.index, **_execution_document(use.execution)}


def _edge_document(use: Use) -> dict[str, Any]:
    ends = {"kind": "artifact", "id": use.artifact_id}, {"kind": "execution", "id": use.execution.execution_id}
    source, target = ends if use.direction == "input" else ends[::-1]
    return {"from": source, "to": target, "key": use.key, "index": use.index}


def _place(artifact: Artifact) -> tuple[str, str]:
    """The node and the run that made an artifact, as cells."""
    if artifact.producer is None:
        return output.NOTHING, output.NOTHING
    execution = artifact.producer.execution
    return execution.node or execution.type, execution.run or output.NOTHING


def _in_words(execution: Execution) -> str:
    parts = [execution.node or execution.type]
    if execution.run:
        parts.append(f"in run {execution.run}")
    return " ".join([*parts, f"(execution {execution.execution_id}, {execution.state})"])


def _print_summary(summary: Summary) -> None:
    """Writes the view as YAML, which people and programs read; for an evaluation there is `penstock metrics`."""
    if summary.kind == EVALUATION:
        return
    import yaml

    output.print_heading(summary.kind.replace("_", " ").capitalize())
    dumped = yaml.safe_dump(summary.content, sort_keys=False, default_flow_style=None, allow_unicode=True, width=10**6)
    click.echo(dumped, nl=False)


def _print_tree(graph: Lineage, direction: str) -> None:
    """Writes the graph as an indented tree; what came up before is named again but not followed again."""
    toward = "output" if direction == "up" else "input"
    next_uses: dict[int, list[Use]] = {}
    far_ends: dict[int, list[Use]] = {}
    for use in graph.edges:
        if use.direction == toward:
            following = next_uses.setdefault(use.artifact_id, [])
            if use.execution not in (earlier.execution for earlier in following):
                following.append(use)
        else:
            far_ends.setdefault(use.execution.execution_id, []).append(use)
    seen: set[int] = set()
    # A stack and not recursion: a store's chains can be longer than Python's.
    stack: list[tuple[int, str, int | Use]] = [(0, "", graph.start)]
    while stack:
        level, key, item = stack.pop()
        indent = "  " * level
        if isinstance(item, Use):
            click.echo(f"{indent}{'made by' if direction == 'up' else 'used by'} {_in_words(item.execution)}")
            ends = far_ends.get(item.execution.execution_id, [])
            stack += [(level + 1, end.key or "", end.artifact_id) for end in reversed(ends)]
            continue
        artifact = graph.artifacts[item]
        again = " (see above)" if item in seen and item in next_uses else ""
        click.echo(f"{indent}{key + ': ' if key else ''}{artifact.type} {item}  {artifact.uri}{again}".rstrip())
        if item not in seen:
            seen.add(item)
            stack += [(level + 1, "", use) for use in reversed(next_uses.get(item, []))]

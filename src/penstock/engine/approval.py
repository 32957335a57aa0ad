"""What a person's approval becomes: the output of the node that waited for it."""

from __future__ import annotations

import datetime
import json

from tfx.dsl.io import fileio
from tfx.proto.orchestration import execution_result_pb2

from penstock.engine.graph import GraphNode
from penstock.engine.prepared import Prepared


def question(node: GraphNode) -> str | None:
    """Returns what the person is asked, if the declaration says."""
    return node.proto.parameters.parameters["message"].field_value.string_value or None


def grant(
    prepared: Prepared, *, approved_by: str, approved_at: float, comment: str
) -> execution_result_pb2.ExecutorOutput:
    """Writes the approval to the node's output, and returns what the node's executor would have said.

    Args:
        prepared: the node, whose executor is not run.
        approved_by: who approved.
        approved_at: when, in seconds since the epoch.
        comment: what they said; may be empty.
    """
    [artifact] = prepared.outputs["approval"]
    when = datetime.datetime.fromtimestamp(approved_at, datetime.UTC).isoformat(timespec="seconds")
    facts = {"approved_by": approved_by, "approved_at": when, "comment": comment}
    fileio.makedirs(artifact.uri)
    with fileio.open(f"{artifact.uri}/approval.json", "w") as stream:
        stream.write(json.dumps(facts) + "\n")
    output = execution_result_pb2.ExecutorOutput()
    described = output.output_artifacts["approval"].artifacts.add()
    described.CopyFrom(artifact.mlmd_artifact)
    described.properties["approved_by"].string_value = approved_by
    described.properties["comment"].string_value = comment
    described.custom_properties["approved_at"].string_value = when
    return output

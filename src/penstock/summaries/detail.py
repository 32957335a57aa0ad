"""The few facts of a summary that fit into a run's table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ANOMALIES = "anomalies"
"""The kind of the summary of an ExampleAnomalies artifact."""


# Transform describes its data before and after on the side; that is not what it is about.
_BESIDES = ("pre_transform_", "post_transform_")


def facts(output: str, kind: str, view: Mapping[str, Any]) -> dict[str, Any]:
    """Returns facts by name, such as `{"examples": 15002}`; empty where a summary has none worth a cell.

    Args:
        output: the output's name.
        kind: the summary's kind.
        view: the summary.
    """
    if output.startswith(_BESIDES):
        return {}
    if kind == "examples":
        counts = [count for count in view["splits"].values() if count is not None]
        return {"examples": sum(counts)} if counts else {}
    if kind == ANOMALIES:
        return {"anomalies": view["count"]}
    if kind == "schema":
        return {"features": len(view["features"])}
    if kind == "model_run":
        return {"steps": view["steps"]} if view.get("steps") is not None else {}
    if kind == "blessing":
        return {"blessed": view["blessed"]}
    if kind == "pushed_model":
        return {"pushed_to": view["destination"]} if view["pushed"] else {"pushed": False}
    return {}

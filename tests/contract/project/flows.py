# mypy: ignore-errors
"""Pipelines that only Python can declare: conditions, sub-pipelines, lists of outputs."""

import steps
from tfx import types
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.control_flow.for_each import ForEach
from tfx.dsl.experimental.conditionals.conditional import Cond
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.orchestration.pipeline import Pipeline, PipelineInputs
from tfx.types.channel import union
from tfx.types.standard_artifacts import Model, ModelBlessing


def condition(value: int):
    one = steps.number(value=value).with_id("one")
    with Cond(one.outputs["made"].future()[0].value > 10):
        inside = steps.add(a=one.outputs["made"]).with_id("inside")
    beyond = steps.add(a=inside.outputs["made"]).with_id("beyond")
    beside = steps.add(a=one.outputs["made"]).with_id("beside")
    return Pipeline(pipeline_name="condition", components=[one, inside, beyond, beside], enable_cache=True)


def sub_pipeline():
    one = steps.number(value=1).with_id("one")
    inputs = PipelineInputs({"number": one.outputs["made"]})
    inner = steps.add(a=inputs.inputs["number"], b=inputs.inputs["number"]).with_id("inner")
    sub = Pipeline(pipeline_name="sub", components=[inner], inputs=inputs, outputs={"made": inner.outputs["made"]})
    last = steps.add(a=sub.outputs["made"]).with_id("last")
    return Pipeline(pipeline_name="outer", components=[one, sub, last], enable_cache=True)


def list_input():
    tables = [steps.make_table(rows=rows).with_id(f"table{rows}") for rows in (1, 2, 4)]
    total = steps.read_tables(tables=union([table.outputs["table"] for table in tables])).with_id("total")
    return Pipeline(pipeline_name="list-input", components=[*tables, total], enable_cache=True)


def blessed_model(weight: int, blessed: int):
    found = Resolver(
        strategy_class=LatestBlessedModelStrategy,
        model=types.Channel(type=Model),
        model_blessing=types.Channel(type=ModelBlessing),
    ).with_id("found")
    weighed = steps.weigh(model=found.outputs["model"]).with_id("weighed")
    made = steps.make_model(weight=weight).with_id("made")
    made.add_upstream_node(found)
    judged = steps.judge(model=made.outputs["model"], blessed=blessed).with_id("judged")
    return Pipeline(pipeline_name="blessed", components=[found, weighed, made, judged], enable_cache=True)


def for_each(folder: str):
    tables = [steps.make_table(rows=rows).with_id(f"table{rows}") for rows in (1, 2, 4)]
    with ForEach(union([table.outputs["table"] for table in tables])) as table:
        copied = steps.copy_table(table=table, tries=f"{folder}/tries", refused=f"{folder}/refused").with_id("copied")
    total = steps.read_tables(tables=copied.outputs["copy"]).with_id("total")
    return Pipeline(pipeline_name="for-each", components=[*tables, copied, total], enable_cache=True)

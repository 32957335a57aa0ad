"""Can I trust this model, and for whom not? Metrics by slice, plots, and error rates of groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from penstock.dashboard import app, bars, plot_series, queries, slices, words
from penstock.dashboard.pages.artifacts import LARGEST_ID, check_id
from penstock.dashboard.parts import EACH, WHOLE, class_parts, label_of, part_name, parts_of, split
from penstock.dashboard.rendering import is_embedded, url
from penstock.metadata import artifacts as records
from penstock.metadata import plots
from penstock.metadata.database import Database
from penstock.metadata.metrics import EXAMPLE_COUNT, Evaluation, metric_names, sliced_features
from penstock.metadata.series import Evaluations, key_metric, newest_evaluations

LEAST_EXAMPLES = 100
_MOST_BARS = 60
_MOST_SLICES = 2000
_MOST_CHOSEN = 6
_MOST_THRESHOLDS = 5
_COLUMNS = ("slice", "examples", "value", "difference", "other", "change")
_RATES = ("false_positive_rate", "false_negative_rate")
# How addresses name what is neither of an output nor of a class.
_WHOLE = "whole"

router = APIRouter()


class SlicesQuery(BaseModel):
    """What the address of a page of slices can ask for: any text, until it is checked. What it means says `Choice`."""

    metric: str | None = None
    feature: str | None = None
    least: str | None = None
    order: str | None = None
    desc: str | None = None
    slice: Sequence[str] = ()
    thresholds: str | None = None
    against: str | None = None
    by: str | None = None
    group: str | None = None
    of: str | None = None


@dataclass(frozen=True)
class Choice:
    """What a page of slices shows; all of it stands in its address.

    Attributes:
        metric: the metric.
        features: the slicing features, joined by commas.
        least: slices with fewer examples are hidden.
        order: the column the table is sorted by; None for the worst first.
        is_descending: whether from the largest to the smallest.
        chosen: keys of the slices whose plots are shown beside overall's.
        thresholds: predictions above count as positive; the first one is that of the confusion matrix.
        against: the evaluation compared with.
        by: the metric on the other axis of the scatter plot.
        group: key of the slice that groups are compared with.
        part: what of the model the plots are of; None for what there is most to say of.
    """

    metric: str
    features: str
    least: int
    order: str | None
    is_descending: bool
    chosen: Sequence[str]
    thresholds: Sequence[float]
    against: int | None
    by: str | None
    group: str
    part: str | None

    def query(self) -> dict[str, Any]:
        """The choice as an address has it."""
        return {
            "metric": self.metric,
            "feature": self.features,
            "least": self.least,
            "order": self.order,
            "desc": "1" if self.is_descending else None,
            "slice": list(self.chosen),
            "thresholds": " ".join(f"{threshold:g}" for threshold in self.thresholds),
            "against": self.against,
            "by": self.by,
            "group": self.group if self.group != plots.slice_key({}) else None,
            "of": self.part,
        }


@router.get("/artifacts/{artifact_id}/slices")
def show_slices(request: Request, artifact_id: int, query: Annotated[SlicesQuery, Query()]) -> Response:
    """An evaluation's slices."""
    context = app.context_of(request)
    check_id(artifact_id)
    with context.connections.reading() as database:
        # Both at once; whether the other one is any is checked with the rest of the address.
        against = query.against or ""
        asked = [artifact_id, *([int(against)] if against.isascii() and against.isdigit() else [])]
        found_artifacts = records.read_artifacts(database, [name for name in asked if name < LARGEST_ID])
        if artifact_id not in found_artifacts:
            raise records.not_found(database, artifact_id)
        evaluations = context.evaluations.read(database, list(found_artifacts.values()))
        evaluation = _known(evaluations, artifact_id)
        choice = choose(evaluation, query)
        other = None if choice.against is None else _known(evaluations, choice.against)
        values = slices_values(database, evaluation, other, choice)
        others = newest_evaluations(database, queries.PAGE_SIZE)
    path = request.url.path
    # Who holds the page hides what is too small, and shows the worst of what is left.
    most_bars = _MOST_SLICES if is_embedded(request) else _MOST_BARS
    values |= {
        "title": f"{choice.metric} by {choice.features or 'no slice'}",
        "artifact": found_artifacts[artifact_id],
        "others": [entry for entry in others if entry.artifact_id != artifact_id],
        "bars": bars.draw(
            values["visible"][:most_bars],
            values["overall"],
            choice.metric,
            choice.chosen,
            lambda row: url(path, **toggled(choice, row.key).query()) + "#plots",
        ),
        "most_bars": most_bars,
        "sort_link": lambda column: url(path, **sorted_by(choice, column).query()) + "#slices",
        "slice_link": lambda row: url(path, **toggled(choice, row.key).query()) + "#plots",
        "examples_link": lambda row: url(f"/artifacts/{artifact_id}/slice", slice=row.key),
        "choice_link": lambda **changes: url(path, **{**choice.query(), **changes}),
    }
    return context.pages.page(request, "slices.html", values, plots=True)


def find_evaluation(database: Database, evaluations: Evaluations, artifact_id: int) -> Evaluation:
    """The evaluation of this id.

    Raises:
        NotFoundError: the artifact is none, or has no summary.
    """
    return _known(
        evaluations.read(database, list(records.read_artifacts(database, [artifact_id]).values())), artifact_id
    )


def _known(evaluations: Mapping[int, Evaluation], artifact_id: int) -> Evaluation:
    if artifact_id not in evaluations:
        raise app.NotFoundError(f"Artifact {artifact_id} is no evaluation with a summary.")
    return evaluations[artifact_id]


def choose(evaluation: Evaluation, query: SlicesQuery) -> Choice:
    """Checks what an address asks for against what the evaluation has, and fills in the rest."""
    metrics = metric_names(evaluation.slices)
    features = [",".join(names) for names in sliced_features(evaluation)]
    keys = [plots.slice_key(row.slice) for row in evaluation.slices]
    if not metrics:
        raise app.NotFoundError(f"Evaluation {evaluation.artifact_id} has no metrics.")
    chosen = queries.names("slice", query.slice, keys)
    least_examples = queries.whole("least", query.least, 0)
    return Choice(
        metric=queries.choice("metric", query.metric, metrics) or key_metric(evaluation) or metrics[0],
        features=queries.choice("feature", query.feature, features) or (features[0] if features else ""),
        least=LEAST_EXAMPLES if least_examples is None else least_examples,
        order=queries.choice("order", query.order, [*_COLUMNS, *metrics]),
        is_descending=queries.choice("desc", query.desc, ["1"]) is not None,
        chosen=[key for key in chosen if key != plots.slice_key({})][:_MOST_CHOSEN],
        thresholds=_thresholds(query.thresholds),
        against=queries.whole("against", query.against, 1),
        by=queries.choice("by", query.by, metrics),
        group=queries.choice("group", query.group, keys) or plots.slice_key({}),
        # Which parts there are stands with the plots, which are read after this.
        part=query.of or None,
    )


def slices_values(
    database: Database, evaluation: Evaluation, other: Evaluation | None, choice: Choice
) -> dict[str, Any]:
    """What the page shows of its choice."""
    features = choice.features.split(",") if choice.features else []
    wanted = [row.slice for row in evaluation.slices if not row.slice or set(row.slice) == set(features)]
    by_key = {plots.slice_key(row.slice): row.slice for row in evaluation.slices}
    wanted += [by_key[key] for key in choice.chosen]
    drawn = plots.find(database, evaluation.artifact_id, wanted)
    other_drawn = plots.find(database, other.artifact_id, wanted) if other is not None else {}
    found = slices.rows(evaluation, features, choice.metric, drawn, other)
    overall = next((row for row in found if not row.slice), None)
    sliced = [row for row in found if row.slice]
    visible = slices.worst_first(
        [row for row in sliced if row.examples is None or row.examples >= choice.least], choice.metric
    )
    table = slices.ordered(visible, choice.order, choice.is_descending) if choice.order else visible
    names = [plots.slice_key({}), *choice.chosen]
    part, parts = _part(choice, drawn)
    rates_part = class_parts(parts)[0] if part == EACH else part
    return {
        "evaluation": evaluation,
        "other": other,
        "choice": choice,
        "metrics": metric_names(evaluation.slices),
        "features": [",".join(names) for names in sliced_features(evaluation)],
        "overall": overall,
        "visible": visible,
        "table": table,
        "hidden": len(sliced) - len(visible),
        "weakest": visible[0] if visible and visible[0].value is not None else None,
        "count_name": EXAMPLE_COUNT,
        "columns": [name for name in metric_names(evaluation.slices) if name not in (EXAMPLE_COUNT, choice.metric)],
        "scatter": _scatter(found, visible, choice),
        **_plots(names, part, by_key, drawn, other_drawn, choice),
        "part": part or _WHOLE,
        "part_name": part_name(part),
        "parts": {name or _WHOLE: part_name(name) for name in parts},
        "crossing": slices.crossing(visible, features),
        "groups": slices.groups(
            [*([overall] if overall else []), *visible],
            drawn,
            choice.thresholds,
            _RATES,
            choice.group,
            other_drawn,
            rates_part,
        ),
        "rates_part": part_name(rates_part) if rates_part != WHOLE else "",
        "rates": _RATES,
        "group_name": words.slice_name(by_key[choice.group]),
        "group_choices": {row.key: words.slice_name(row.slice) for row in [*([overall] if overall else []), *visible]},
    }


def toggled(choice: Choice, key: str) -> Choice:
    """The choice with a slice chosen that was not, or the other way round."""
    if key in choice.chosen:
        return replace(choice, chosen=[other for other in choice.chosen if other != key])
    return replace(choice, chosen=[*choice.chosen, key][-_MOST_CHOSEN:])


def sorted_by(choice: Choice, column: str) -> Choice:
    """The choice sorted by a column; the other way round where it is already."""
    return replace(choice, order=column, is_descending=choice.order == column and not choice.is_descending)


def _thresholds(text: str | None) -> list[float]:
    found = [queries.fraction("thresholds", part) for part in (text or "").replace(",", " ").split()]
    known = list(dict.fromkeys(value for value in found if value is not None)) or [0.5]
    if len(known) > _MOST_THRESHOLDS:
        raise queries.BadQueryError(f"thresholds: {len(known)} are too many; {_MOST_THRESHOLDS} are allowed.")
    return known


def _scatter(
    found: Sequence[slices.SliceRow], visible: Sequence[slices.SliceRow], choice: Choice
) -> list[dict[str, Any]]:
    """Points of the scatter plot of two metrics over slices; empty where no second metric is chosen."""
    if choice.by is None:
        return []
    return [
        {
            "name": words.slice_name(row.slice),
            "x": row.metrics.get(choice.by),
            "y": row.value,
            "examples": row.examples,
        }
        for row in found
        if row in visible or not row.slice
    ]


def _part(choice: Choice, drawn: Mapping[str, Mapping[str, Any]]) -> tuple[str, list[str]]:
    """The part of the model that is shown, and those that can be."""
    parts = parts_of({label: None for entry in drawn.values() for label in entry["plots"]})
    if len(class_parts(parts)) > 1:
        parts = [EACH, *parts]
    asked = queries.choice("of", choice.part, [part or _WHOLE for part in parts])
    overall = drawn.get(plots.slice_key({})) or next(iter(drawn.values()), {})
    return plot_series.chosen_part(WHOLE if asked == _WHOLE else asked, overall.get("plots", {})), parts


def _plots(
    names: Sequence[str],
    part: str,
    by_key: Mapping[str, Mapping[str, str]],
    drawn: Mapping[str, Mapping[str, Any]],
    other_drawn: Mapping[str, Mapping[str, Any]],
    choice: Choice,
) -> dict[str, Any]:
    """What the plots, and the confusion matrices above them, are made of."""

    def of(wanted: str) -> list[plot_series.Series]:
        return [
            *plot_series.series(names, wanted, by_key, drawn),
            *plot_series.series(names, wanted, by_key, other_drawn, f" of {choice.against}"),
        ]

    found = of(part)
    output = WHOLE if part == EACH else split(label_of(part, "classes"))[0]
    classed = [one for one in of(output) if one.plots.get("classes")]
    threshold = choice.thresholds[0]
    return {
        "data": {
            "threshold": threshold,
            "series": [{"name": one.name, "key": one.key, **one.plots} for one in found],
            "classes": [one.plots["classes"] for one in classed],
        },
        "kinds": plot_series.kinds(found),
        "matrices": plot_series.matrices(found, threshold),
        "classes": plot_series.class_matrices(classed, threshold),
    }

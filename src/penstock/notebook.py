"""The dashboard's views in a notebook: what an artifact holds, and an evaluation's slices to choose from.

    from penstock import notebook

    notebook.show(15)
    notebook.show(run="latest", node="statistics", output="statistics")
    notebook.show_slices(run="latest", node="evaluator", output="evaluation", feature="payment_type")

They read the store's summaries and load neither TensorFlow nor TFX. They need the extra `penstock[dashboard]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.errors import ArtifactNotFoundError, PenstockError, UsageError
from penstock.metadata import artifacts, plots
from penstock.metadata.database import Database, connect
from penstock.metadata.location import StoreLocation, resolve
from penstock.metadata.metrics import EVALUATION, Evaluation, evaluation_of, metric_names, sliced_features
from penstock.metadata.runs import find_summary, get_run

# What a document holds of an evaluation is made ahead; beyond these it would be large, and slow to make.
_MOST_PAGES = 80
_MOST_SLICES = 60
_SECTION = '<section id="{0}">.*?</section>'


@dataclass(frozen=True)
class View:
    """Something to look at; a notebook shows it when it is the value of a cell.

    Attributes:
        html: a whole HTML document that needs nothing from elsewhere.
        height: of the frame it is shown in, in pixels.
    """

    html: str
    height: int

    def _repr_html_(self) -> str:
        from penstock.dashboard.embedding import frame

        return frame(self.html, self.height)

    def __repr__(self) -> str:
        return f"<a view of {len(self.html) / 1e6:.1f} MB; save(PATH) writes it to a file>"

    def save(self, path: str | Path) -> Path:
        """Writes the document to a file that any browser shows, and returns its path."""
        target = Path(path)
        target.write_text(self.html, encoding="utf-8")
        return target


def show(
    artifact: Any = None,
    *,
    run: str | None = None,
    node: str | None = None,
    output: str | None = None,
    store: str | None = None,
    dashboard: str | None = None,
    height: int = 640,
    **choices: Any,
) -> View:
    """The page of an artifact.

    Args:
        artifact: its id, or an artifact of TFX or ml-metadata; or else `run`, `node` and `output` name it.
        run: the run that made or took it from the cache: its id, the start of that, or `latest`.
        node: the node that put it out.
        output: the output's name; may be left out where the node has one output only.
        store: a folder or a postgresql:// URL; where it is left out, the one that `penstock` would take here.
        dashboard: the address of a running dashboard that links shall lead to.
        height: of the frame in pixels.
        choices: what the page's address may say, such as `order="name"` or `other=16` of statistics.

    Raises:
        UsageError: there is no such artifact, or a choice is none of this page's.
        StoreError: the store cannot be read.
    """
    location, artifact_id = _find(artifact, run, node, output, store)
    with _renderer(location) as renderer:
        page = renderer.page(f"/artifacts/{artifact_id}", **choices)
    return View(_document(page, dashboard=dashboard), height)


def show_slices(
    evaluation: Any = None,
    *,
    metric: str | None = None,
    feature: str | Sequence[str] | None = None,
    least: int = 100,
    slices: Sequence[Mapping[str, Any]] = (),
    thresholds: Sequence[float] = (0.5,),
    against: Any = None,
    by: str | None = None,
    of: str | None = None,
    run: str | None = None,
    node: str | None = None,
    output: str | None = None,
    store: str | None = None,
    dashboard: str | None = None,
    height: int = 900,
) -> View:
    """An evaluation's sliced metrics; metric, feature, least examples and a slice's plots are chosen in the view.

    Args:
        evaluation: the evaluation artifact, as for `show`.
        metric: the metric to begin with.
        feature: the slicing feature to begin with, or several whose slices are crossed.
        least: slices with fewer examples are hidden to begin with.
        slices: features and values of the slices whose plots are drawn over overall's to begin with.
        thresholds: predictions above count as positive; several are for error rates by group.
        against: an evaluation to compare with, slice by slice.
        by: a second metric, for a scatter plot over slices.
        of: what of the model is drawn: `classId:0`, an output's name, `each` for each class, or `whole`.
        run: see `show`, as are `node`, `output`, `store`, `dashboard` and `height`.

    Raises:
        UsageError: there is no such evaluation, metric, feature, slice or part.
        StoreError: the store cannot be read.
    """
    location, artifact_id = _find(evaluation, run, node, output, store)
    with connect(location, create=False) as database:
        summary = find_summary(database, artifact_id)
        other = None if against is None else _id_of(database, against)
    if summary is None or summary.kind != EVALUATION:
        raise UsageError(f"Artifact {artifact_id} is no evaluation with a summary. See `penstock artifacts list`.")
    found = evaluation_of("", artifact_id, summary.content)
    asked = {
        "metric": metric,
        "feature": feature if feature is None or isinstance(feature, str) else ",".join(sorted(feature)),
        "least": least,
        "slice": [plots.slice_key({name: str(value) for name, value in one.items()}) for one in slices],
        "thresholds": " ".join(f"{threshold:g}" for threshold in thresholds),
        "against": other,
        "by": by,
        "of": of,
    }
    with _renderer(location) as renderer:
        path = f"/artifacts/{artifact_id}/slices"
        # Everything that was asked for is checked by this page; what follows is made of what there is.
        page = renderer.page(path, **asked)
        fragments = _fragments(renderer, path, found, asked, _data(page))
    return View(_document(page, dashboard=dashboard, fragments=fragments), height)


def _fragments(
    renderer: Any, path: str, evaluation: Evaluation, asked: Mapping[str, Any], first: Mapping[str, Any]
) -> dict[str, Any]:
    """What the choices of a view of slices show, see `dashboard/static/embedded.js`."""
    features = [",".join(names) for names in sliced_features(evaluation)] or [""]
    metrics = metric_names(evaluation.slices)
    if len(features) * len(metrics) > _MOST_PAGES:
        features = [asked["feature"] or features[0]]
    if len(metrics) > _MOST_PAGES:
        metrics = [first["metric"], *(name for name in metrics if name != first["metric"])][:_MOST_PAGES]
    common = {key: asked[key] for key in ("thresholds", "against", "by", "of")}
    pages = {}
    for feature in features:
        for metric in metrics:
            page = renderer.page(path, metric=metric, feature=feature, least=0, **common)
            data = _data(page)
            pages[json.dumps([metric, feature], ensure_ascii=False, separators=(",", ":"))] = {
                "title": f"{metric} by {feature.replace(',', ' × ')}" if feature else metric,
                "html": _section(page, "by-slice"),
                "groups": _section(page, "groups-section"),
                "order": _worst_first(page),
                **{key: data[key] for key in ("scatter", "metric", "by")},
            }
    largest = sorted(
        (row for row in evaluation.slices if row.slice), key=lambda row: -(row.metrics.get("example_count") or 0)
    )
    drawn: dict[str, Any] = {}
    for one in ([], asked["slice"], *([plots.slice_key(row.slice)] for row in largest[:_MOST_SLICES])):
        if _name(one) not in drawn:
            page = renderer.page(path, feature=features[0], slice=one, **common)
            drawn[_name(one)] = {"html": _section(page, "plots-section"), "data": _data(page)["data"]}
    return {"slices": pages, "plots": drawn, "chosen": _name(asked["slice"])}


def _name(chosen: Sequence[str]) -> str:
    """What chosen slices are called: by the key of the only one, or all of theirs."""
    return chosen[0] if len(chosen) == 1 else json.dumps(chosen) if chosen else plots.slice_key({})


def _section(page: str, name: str) -> str:
    found = re.search(_SECTION.format(name), page, re.DOTALL)
    assert found is not None, name
    from penstock.dashboard.embedding import without_links

    return without_links(found[0])


def _data(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="plot-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def _worst_first(page: str) -> list[str]:
    """The keys of a page's slices in its order."""
    from markupsafe import Markup

    return [Markup(key).unescape() for key in re.findall(r'<tr data-slice="([^"]*)"', page) if key != "{}"]


def _document(page: str, **more: Any) -> str:
    from penstock.dashboard.embedding import document

    return document(page, **more)


@contextmanager
def _renderer(location: StoreLocation) -> Iterator[Any]:
    try:
        from penstock.dashboard.embedding import Renderer
    except ModuleNotFoundError as error:
        raise PenstockError(
            f"Views need the package {error.name!r}, which is not installed. "
            "Install its extra: pip install 'penstock[dashboard]'"
        ) from error
    renderer = Renderer(location)
    try:
        yield renderer
    finally:
        renderer.close()


def _find(
    artifact: Any, run: str | None, node: str | None, output: str | None, store: str | None
) -> tuple[StoreLocation, int]:
    """The store and the id of the artifact that is meant."""
    location = resolve(store)
    if (artifact is None) == (run is None and node is None and output is None):
        raise UsageError("Name an artifact by its id, or by run, node and output: show(15), show(run=…, node=…).")
    with connect(location, create=False) as database:
        if artifact is not None:
            return location, _id_of(database, artifact)
        if node is None:
            raise UsageError("Name the node whose output is meant: show(run=…, node=…, output=…).")
        found = artifacts.artifacts_of_node(database, get_run(database, run or "latest").run_id, node).outputs
    if output is None and len(found) == 1:
        [output] = found
    if output is None or not found.get(output):
        names = ", ".join(sorted(found)) or "nothing yet"
        raise UsageError(f"Node {node} put out {names}; name one of these as output, not {output!r}.")
    return location, found[output][-1].artifact_id


def _id_of(database: Database, artifact: Any) -> int:
    """The id of an artifact that is given as one, or as an object that has one and that the store knows."""
    given = artifact if isinstance(artifact, int) else getattr(artifact, "artifact_id", getattr(artifact, "id", None))
    if not isinstance(given, int) or isinstance(given, bool):
        raise UsageError(f"{artifact!r} is no artifact: give an id, or an artifact that was published.")
    known = artifacts.read_artifacts(database, [given]) if 0 < given < 2**53 else {}
    if given not in known:
        raise ArtifactNotFoundError(f"There is no artifact {given} in {database.location.display}.")
    return given

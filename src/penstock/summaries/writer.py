"""Makes the summary of an artifact, in the worker that made the artifact. Loads TensorFlow as needed.

Each view is a small JSON object; its layout is described at the function that makes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfx.orchestration.portable import data_types

from penstock.summaries import files, samples

View = dict[str, Any]

# How much of a vocabulary stands in its summary.
_VOCABULARY_LINES = 1000
_VOCABULARY_WIDTH = 200


@dataclass(frozen=True)
class Summary:
    """A view and the kind that names its layout."""

    kind: str
    view: View


def summarise(type_name: str, artifact: Any, info: data_types.ExecutionInfo) -> Summary | None:
    """Returns the summary of an output artifact, or None for values and what is not on this file system.

    Args:
        type_name: the artifact type's name.
        artifact: the ml-metadata artifact proto, its payload written.
        info: the execution that made it.
    """
    if type_name in _MAKERS:
        kind, maker = _MAKERS[type_name]
        return Summary(kind, maker(artifact, info))
    folder = Path(artifact.uri)
    # A value is a file in its folder, and stands in its properties.
    if "://" in artifact.uri or not folder.is_dir():
        return None
    return Summary("files", {**files.listing(folder), "documents": files.documents(folder)})


def _examples(artifact: Any, info: data_types.ExecutionInfo) -> View:
    """`splits`: number of examples by split, None where the payload is no TFRecord; `rows`: some by split, if kept."""
    folders = _split_folders(artifact)
    view: View = {"splits": {split: count_records(folder) for split, folder in folders.items()}}
    number = samples.wanted()
    if number:
        view["rows"] = {
            split: samples.rows([path for path in folder.iterdir() if path.is_file()], number)
            for split, folder in folders.items()
            if view["splits"][split] is not None
        }
    return view


def count_records(folder: Path) -> int | None:
    """Returns how many records the TFRecord files of a folder hold, or None if there are others."""
    import tensorflow as tf

    files = sorted(str(path) for path in folder.iterdir() if path.is_file())
    if not files or not all(".gz" in Path(name).suffixes or "-of-" in Path(name).name for name in files):
        return None
    if any(name.endswith(".parquet") for name in files):
        return None
    compression = "GZIP" if files[0].endswith(".gz") else ""
    records = tf.data.TFRecordDataset(files, compression_type=compression, buffer_size=8 << 20)
    return int(records.batch(4096).reduce(tf.constant(0, tf.int64), lambda n, x: n + tf.size(x, tf.int64)).numpy())


def _statistics(artifact: Any, info: data_types.ExecutionInfo) -> View:
    """`splits`: for each split `examples` and `features`: name, type, number of missing examples and of values.

    Of numbers mean, deviation, zeros, minimum, median, maximum, `histogram` as [low, high, count], and `quantiles` as
    the edges of parts that hold as many examples each; of texts the number of distinct values and the ten most
    frequent ones as [value, count].
    """
    import tensorflow_data_validation as tfdv

    splits = {}
    for split, folder in _split_folders(artifact).items():
        [dataset] = tfdv.load_stats_binary(str(folder / "FeatureStats.pb")).datasets
        splits[split] = {
            "examples": int(dataset.num_examples),
            "features": [_feature_statistics(feature) for feature in dataset.features],
        }
    return {"splits": splits}


def _feature_statistics(feature: Any) -> View:
    view: View = {"name": feature.name or "/".join(feature.path.step)}
    kind = feature.WhichOneof("stats")
    common = getattr(feature, kind).common_stats
    view["type"] = type(feature).Type.Name(feature.type)
    # TFDV counts an example whose feature is there but holds no value, as an empty cell of a CSV, as not missing.
    empty = common.num_non_missing - common.tot_num_values if common.max_num_values <= 1 else 0
    view["missing"] = int(common.num_missing + empty)
    view["values"] = int(common.tot_num_values)
    if kind == "num_stats":
        statistics = feature.num_stats
        view.update(
            mean=statistics.mean,
            deviation=statistics.std_dev,
            zeros=int(statistics.num_zeros),
            minimum=statistics.min,
            median=statistics.median,
            maximum=statistics.max,
        )
        for histogram in statistics.histograms:
            buckets = histogram.buckets
            if histogram.type == histogram.STANDARD:
                view["histogram"] = [[b.low_value, b.high_value, b.sample_count] for b in buckets]
            elif histogram.type == histogram.QUANTILES and buckets:
                view["quantiles"] = [buckets[0].low_value, *(b.high_value for b in buckets)]
    elif kind == "string_stats":
        view["distinct"] = int(feature.string_stats.unique)
        view["top"] = [[top.value, int(top.frequency)] for top in feature.string_stats.top_values[:10]]
    return view


def _schema(artifact: Any, info: data_types.ExecutionInfo) -> View:
    """`features`: name, type, whether every example must have a value of it, and its domain where one is given."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    schema = text_format.Parse((Path(artifact.uri) / "schema.pbtxt").read_text(), schema_pb2.Schema())
    domains = {domain.name: list(domain.value) for domain in schema.string_domain}
    return {
        "features": [
            {
                "name": feature.name,
                "type": schema_pb2.FeatureType.Name(feature.type),
                "required": feature.presence.min_fraction == 1.0
                and (feature.value_count.min > 0 or feature.HasField("shape")),
                "domain": domains.get(feature.domain),
            }
            for feature in schema.feature
        ]
    }


def _anomalies(artifact: Any, info: data_types.ExecutionInfo) -> View:
    """`count`, and `anomalies`: split, feature, severity, and what is wrong in short and in full."""
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    found = []
    for split, folder in _split_folders(artifact).items():
        anomalies = anomalies_pb2.Anomalies.FromString((folder / "SchemaDiff.pb").read_bytes())
        for name, anomaly in sorted(anomalies.anomaly_info.items()):
            found.append(
                {
                    "split": split,
                    "feature": name,
                    "severity": anomalies_pb2.AnomalyInfo.Severity.Name(anomaly.severity),
                    "short": anomaly.short_description,
                    "description": anomaly.description,
                }
            )
        if anomalies.HasField("dataset_anomaly_info"):
            found.append(
                {"split": split, "feature": None, "severity": "ERROR",
                 "short": anomalies.dataset_anomaly_info.short_description,
                 "description": anomalies.dataset_anomaly_info.description}
            )  # fmt: skip
    return {"count": len(found), "anomalies": found}


def _transform_graph(artifact: Any, info: data_types.ExecutionInfo) -> View:
    """`features` after the transform; `assets`: of each vocabulary its name, its number of `lines` and its `first`
    ones; `buckets`: name and inner boundaries of each.
    """
    import tensorflow_transform as tft

    from penstock.summaries import buckets

    output = tft.TFTransformOutput(artifact.uri)
    assets = Path(output.transform_savedmodel_dir) / "assets"
    vocabularies = sorted(assets.iterdir()) if assets.is_dir() else []
    return {
        "features": [
            {"name": name, "type": spec.dtype.name} for name, spec in sorted(output.transformed_feature_spec().items())
        ],
        "assets": [_vocabulary(path) for path in vocabularies],
        "buckets": [
            {"name": name, "boundaries": found}
            for name, found in buckets.boundaries(Path(output.transform_savedmodel_dir) / "saved_model.pb").items()
        ],
    }


def _vocabulary(path: Path) -> View:
    lines = path.read_bytes().split(b"\n")
    first = [line.decode(errors="replace")[:_VOCABULARY_WIDTH] for line in lines[:_VOCABULARY_LINES] if line]
    return {"name": path.name, "lines": len(lines) - 1, "first": first}


def _model(artifact: Any, info: data_types.ExecutionInfo) -> View:
    """`files`, `number`, `bytes`: see `penstock.summaries.files`; `signatures`: inputs and outputs as name and type."""
    from tensorflow.core.framework import types_pb2
    from tensorflow.core.protobuf import saved_model_pb2

    folder = Path(artifact.uri)
    view: View = {**files.listing(folder), "signatures": {}}
    saved = next(folder.rglob("saved_model.pb"), None)
    if saved is None:
        return view
    model = saved_model_pb2.SavedModel.FromString(saved.read_bytes())
    for name, signature in sorted(model.meta_graphs[0].signature_def.items()):
        if name == "__saved_model_init_op":
            continue
        view["signatures"][name] = {
            side: {key: types_pb2.DataType.Name(tensor.dtype)[3:].lower() for key, tensor in sorted(tensors.items())}
            for side, tensors in (("inputs", signature.inputs), ("outputs", signature.outputs))
        }
    return view


def _model_run(artifact: Any, info: data_types.ExecutionInfo) -> View:
    """`steps`: the number of training steps that was asked for; `curves`: see `penstock.summaries.curves`."""
    from penstock.summaries import curves

    arguments = json.loads(info.exec_properties.get("train_args") or "{}")
    steps = arguments.get("num_steps", arguments.get("numSteps"))
    return {"steps": None if steps is None else int(steps), "curves": curves.read(Path(artifact.uri))}


def _evaluation(artifact: Any, info: data_types.ExecutionInfo) -> View:
    """See `penstock.summaries.evaluation`."""
    from penstock.summaries import evaluation

    return evaluation.view(artifact.uri)


def _blessing(artifact: Any, info: data_types.ExecutionInfo) -> View:
    """`blessed`: whether the model passed every threshold."""
    return {"blessed": artifact.custom_properties["blessed"].int_value == 1}


def _pushed_model(artifact: Any, info: data_types.ExecutionInfo) -> View:
    """`pushed`, and where to: `destination`, with `version`."""
    properties = artifact.custom_properties
    pushed = properties["pushed"].int_value == 1
    return {
        "pushed": pushed,
        "destination": properties["pushed_destination"].string_value or None,
        "version": properties["pushed_version"].string_value or None,
    }


def _split_folders(artifact: Any) -> Mapping[str, Path]:
    """Folders by split name; an artifact without splits, such as Transform's own statistics, is one unnamed split."""
    names: Sequence[str] = json.loads(artifact.properties["split_names"].string_value or "[]")
    if not names:
        return {"": Path(artifact.uri)}
    return {name: Path(artifact.uri) / f"Split-{name}" for name in names}


_MAKERS: dict[str, tuple[str, Callable[[Any, data_types.ExecutionInfo], View]]] = {
    "Examples": ("examples", _examples),
    "ExampleStatistics": ("statistics", _statistics),
    "Schema": ("schema", _schema),
    "ExampleAnomalies": ("anomalies", _anomalies),
    "TransformGraph": ("transform_graph", _transform_graph),
    "Model": ("model", _model),
    "ModelRun": ("model_run", _model_run),
    "ModelEvaluation": ("evaluation", _evaluation),
    "ModelBlessing": ("blessing", _blessing),
    "PushedModel": ("pushed_model", _pushed_model),
}

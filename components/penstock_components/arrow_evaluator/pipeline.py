"""The evaluation as a Beam pipeline: files in, one state a slice in the middle, results in TFMA's files at the end."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.api import types
from tensorflow_model_analysis.proto import config_pb2

from penstock_components.arrow_evaluator import batch as batches
from penstock_components.arrow_evaluator.coverage import NotCovered
from penstock_components.arrow_evaluator.inference import Signatures
from penstock_components.arrow_evaluator.plan import Plan, plan
from penstock_components.arrow_evaluator.reading import Decoder, read
from penstock_components.arrow_evaluator.resampling import resampling
from penstock_components.arrow_evaluator.results import Results, SliceState, merge_states
from penstock_components.arrow_evaluator.slicing import Membership, SliceKey, Slicer, slice_specs
from penstock_components.arrow_evaluator.sums import SumsBySlice
from penstock_components.arrow_evaluator.writing import ResultFiles


@dataclass(frozen=True)
class Evaluation:
    """What is to be evaluated. `models` is empty where predictions are features, keyed by model name otherwise."""

    eval_config: config_pb2.EvalConfig
    models: Mapping[str, types.EvalSharedModel]
    schema: schema_pb2.Schema | None

    @property
    def features(self) -> set[str]:
        """Names of the features that slices, labels, weights and predictions may be."""
        names = set().union(*(spec.features for spec in slice_specs(self.eval_config)))
        for spec in self.eval_config.model_specs:
            names |= {spec.label_key, spec.example_weight_key, spec.prediction_key}
            for several in (spec.label_keys, spec.example_weight_keys, spec.prediction_keys):
                names |= set(several.values())
        return names - {""}


# Stands in a bundle's output for a reason why vectors do not do; no slice has this key.
_REASON = "not covered"


class Accumulate(beam.DoFn):
    """Turns files into slices' states, one of each slice a bundle."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation

    def setup(self) -> None:
        evaluation = self._evaluation
        config = evaluation.eval_config
        self._plan: Plan = plan(config)
        self._specs = slice_specs(config)
        self._resampling = resampling(config.options)
        self._signatures: dict[str, Signatures] = {}
        wanted = evaluation.features
        for spec in config.model_specs if evaluation.models else ():
            name = spec.name if len(config.model_specs) > 1 else ""
            self._signatures[name] = Signatures(evaluation.models[name].model_loader.load(), spec)
            wanted |= self._signatures[name].features
        self._decoder = Decoder(evaluation.schema, wanted)

    def start_bundle(self) -> None:
        self._bundle = Bundle(self._plan, self._specs)
        self._reason: str | None = None

    def process(self, path: str) -> None:
        if self._reason:
            return
        try:
            for number, examples in enumerate(read(path)):
                self._add(examples, f"{os.path.basename(path)}:{number}")
        except NotCovered as reason:
            self._reason = str(reason)

    def _add(self, examples: np.ndarray, place: str) -> None:
        features = self._decoder(examples)
        transformed: dict[str, Any] = {}
        predictions: dict[str, Any] = {}
        for name, signatures in self._signatures.items():
            transformed[name] = signatures.transformed(examples, features)
            predictions[name] = signatures.predictions(examples, features)
        several = len(self._signatures) > 1
        batch = batches.of_features(
            len(examples),
            self._evaluation.eval_config,
            features,
            transformed if several else transformed.get("", {}),
            (predictions if several else predictions[""]) if predictions else None,
        )
        self._bundle.add(batch, list(transformed.values()), features, place)

    def finish_bundle(self) -> Iterator[Any]:
        window = beam.transforms.window.GlobalWindow()
        results: Iterable[tuple[Any, Any]] = [(_REASON, self._reason)] if self._reason else self._bundle.states()
        for result in results:
            yield beam.utils.windowed_value.WindowedValue(result, window.max_timestamp(), [window])


class Bundle:
    """The states of all slices met in a number of batches."""

    def __init__(self, plan: Plan, specs: Sequence[Any]) -> None:
        self._accumulations = plan.accumulations
        self._resampling = resampling(plan.eval_config.options)
        self._slicer = Slicer(specs)
        samples = self._resampling.columns
        self._rows = SumsBySlice(1, samples)
        self._sums = [SumsBySlice(accumulation.columns, samples) for accumulation in plan.accumulations]

    def add(
        self, batch: batches.Batch, transformed: Sequence[Mapping[str, Any]], raw: Mapping[str, Any], place: str
    ) -> None:
        """Adds a batch; `place` tells it from all others, the features are what slices are made of."""
        members = self._slicer.members(batch.size, transformed, raw)
        factors = self._resampling.factors(len(members.rows), place)
        self._rows.add(members.slices, None, np.ones((len(members.rows), 1)), factors)
        for accumulation, sums in zip(self._accumulations, self._sums, strict=True):
            entries = accumulation.entries(batch)
            if entries.rows is None:
                entry = members.rows
                sums.add(members.slices, _taken(entries.buckets, entry), entries.values[entry], factors)
                continue
            entry, pair = _paired(entries.rows, members)
            sums.add(members.slices[pair], _taken(entries.buckets, entry), entries.values[entry], _taken(factors, pair))

    def states(self) -> Iterator[tuple[SliceKey, SliceState]]:
        """Yields each slice and its state."""
        keys = self._slicer.keys
        columns = [self._rows.by_slice(len(keys)), *(sums.by_slice(len(keys)) for sums in self._sums)]
        for key, (rows, *sums) in zip(keys, zip(*columns, strict=True), strict=True):
            if len(rows.values):
                yield key, SliceState(rows.values[0, 0], sums)


def _taken(array: np.ndarray | None, places: np.ndarray) -> np.ndarray | None:
    return None if array is None else array[places]


def _paired(rows: np.ndarray, members: Membership) -> tuple[np.ndarray, np.ndarray]:
    """Returns (entry, member) for each entry and each slice that the entry's row is in."""
    counts = np.diff(members.starts)[rows]
    entry: np.ndarray = np.repeat(np.arange(len(rows)), counts)
    within = np.arange(len(entry)) - np.repeat(np.cumsum(counts) - counts, counts)
    return entry, members.starts[rows[entry]] + within


class MergeStates(beam.CombineFn):
    """Merges a slice's states; of reasons it keeps the first."""

    def create_accumulator(self) -> list[Any]:
        return []

    def add_input(self, accumulator: list[Any], state: Any) -> list[Any]:
        return [*accumulator, state]

    def merge_accumulators(self, accumulators: Iterable[list[Any]]) -> list[Any]:
        return self.compact([state for accumulator in accumulators for state in accumulator])

    def compact(self, accumulator: list[Any]) -> list[Any]:
        if len(accumulator) < 2 or isinstance(accumulator[0], str):
            return accumulator[:1]
        return [merge_states(accumulator)]

    def extract_output(self, accumulator: list[Any]) -> Any:
        return self.compact(accumulator)[0]


class Compute(beam.DoFn):
    """Turns each slice's state into its results."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation

    def setup(self) -> None:
        self._results = Results(plan(self._evaluation.eval_config))

    def process(self, element: tuple[Any, Any]) -> Iterator[tuple[Any, Any]]:
        key, state = element
        yield element if key == _REASON else (key, self._results.of_slice(key, state))


class Write(beam.DoFn):
    """Writes all slices' results, or the reason why there are none."""

    def __init__(self, evaluation: Evaluation, output: str, reason_file: str) -> None:
        self._evaluation = evaluation
        self._output = output
        self._reason_file = reason_file

    def process(self, _: Any, results: Iterable[tuple[Any, Any]]) -> None:
        with ResultFiles(self._output, self._evaluation.eval_config, self._evaluation.models) as files:
            for key, result in results:
                if key == _REASON:
                    files.give_up(self._reason_file, result)
                    return
                files.add(result)


def evaluate(
    pipeline: beam.Pipeline, files: Sequence[str], evaluation: Evaluation, output: str, reason_file: str
) -> None:
    """Adds to `pipeline` what evaluates the TFRecord `files` and writes TFMA's result files to the folder `output`.

    If the data turns out not to be covered, nothing is written but the reason, to `reason_file`.
    """
    results = (
        pipeline
        | "Files" >> beam.Create(list(files))
        | "Spread" >> beam.Reshuffle()
        | "Accumulate" >> beam.ParDo(Accumulate(evaluation)).with_output_types(tuple[Any, Any])
        | "Merge" >> beam.CombinePerKey(MergeStates())
        | "Compute" >> beam.ParDo(Compute(evaluation)).with_output_types(tuple[Any, Any])
    )
    _ = (
        pipeline
        | "Once" >> beam.Create([None])
        | "Write" >> beam.ParDo(Write(evaluation, output, reason_file), beam.pvalue.AsIter(results))
    )

"""The evaluation as a Beam pipeline: files in, one state a slice in the middle, results in TFMA's files at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.api import types
from tensorflow_model_analysis.proto import config_pb2

from penstock_components.arrow_evaluator import batch as batches
from penstock_components.arrow_evaluator import queries
from penstock_components.arrow_evaluator.accumulation import Entries
from penstock_components.arrow_evaluator.coverage import NotCovered
from penstock_components.arrow_evaluator.inference import Signatures
from penstock_components.arrow_evaluator.plan import Group, Plan, plan
from penstock_components.arrow_evaluator.reading import BATCH_SIZE, Decoder, read
from penstock_components.arrow_evaluator.resampling import Resampling, resampling
from penstock_components.arrow_evaluator.results import GroupState, Results, SliceState, merge_states
from penstock_components.arrow_evaluator.slicing import Membership, SliceKey, Slicer, SliceSpec, slice_specs
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
# A row's place among all examples is its file's number, shifted by this, and its own in the file.
_FILE_BITS = 40
# The output that holds documents of queries.
_DOCUMENTS = "documents"


class Accumulate(beam.DoFn):
    """Turns files into slices' states, one of each slice a bundle."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation

    def setup(self) -> None:
        evaluation = self._evaluation
        config = evaluation.eval_config
        self._plan: Plan = plan(config)
        self._specs = slice_specs(config)
        self._signatures: dict[str, Signatures] = {}
        wanted = evaluation.features.union(*(group.features for group in self._plan.groups))
        for spec in config.model_specs if evaluation.models else ():
            name = spec.name if len(config.model_specs) > 1 else ""
            self._signatures[name] = Signatures(evaluation.models[name].model_loader.load(), spec)
            wanted |= self._signatures[name].features
        self._decoder = Decoder(evaluation.schema, wanted)

    def start_bundle(self) -> None:
        self._bundle = Bundle(self._plan, self._specs)
        self._reason: str | None = None

    def process(self, file: tuple[int, str]) -> None:
        index, path = file
        if self._reason:
            return
        try:
            for number, examples in enumerate(read(path)):
                self._add(examples, (index << _FILE_BITS) + number * BATCH_SIZE)
        except NotCovered as reason:
            self._reason = str(reason)

    def _add(self, examples: np.ndarray, place: int) -> None:
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

        def element(value: Any) -> Any:
            return beam.utils.windowed_value.WindowedValue(value, window.max_timestamp(), [window])

        if self._reason:
            yield element((_REASON, self._reason))
            return
        for state in self._bundle.states():
            yield element(state)
        for documents in self._bundle.documents:
            yield beam.pvalue.TaggedOutput(_DOCUMENTS, element(documents))


class Bundle:
    """The states of all slices met in a number of batches, and the documents of queries, which are for later."""

    def __init__(self, plan: Plan, specs: Sequence[SliceSpec]) -> None:
        self._plan = plan
        self._resampling = resampling(plan.eval_config.options)
        self._slicer = Slicer(specs)
        self._states = {
            index: GroupSums(group, self._resampling) for index, group in enumerate(plan.groups) if not group.query_key
        }
        self.documents: list[tuple[tuple[int, int], queries.Documents]] = []

    def add(
        self, batch: batches.Batch, transformed: Sequence[Mapping[str, Any]], raw: Mapping[str, Any], place: int
    ) -> None:
        """Adds a batch whose first row is at `place` among all examples; slices are made of the features."""
        members = self._slicer.members(batch.size, transformed, raw)
        for index, group in enumerate(self._plan.groups):
            if group.query_key:
                parts = queries.documents_of(
                    group.accumulations, group.query_key, batch, members, self._slicer.keys, place
                )
                self.documents += [((index, partition), documents) for partition, documents in parts]
                continue
            entries = [accumulation.entries(batch) for accumulation in group.accumulations]
            self._states[index].add(members, entries, f"rows {index} {place}")

    def states(self) -> Iterator[tuple[SliceKey, SliceState]]:
        """Yields each slice and its state."""
        for index, sums in self._states.items():
            yield from sums.states(index, self._slicer.keys)


class GroupSums:
    """Adds up one group of metrics for many slices."""

    def __init__(self, group: Group, resampling: Resampling) -> None:
        self._resampling = resampling
        samples = resampling.columns
        self._rows = SumsBySlice(1, samples)
        self._sums = [SumsBySlice(accumulation.columns, samples) for accumulation in group.accumulations]

    def add(self, members: Membership, entries: Sequence[Entries], place: str) -> None:
        """Adds the entries of each accumulation for a batch with these members."""
        factors = self._resampling.factors(len(members.rows), place)
        self._rows.add(members.slices, None, np.ones((len(members.rows), 1)), factors)
        for one, sums in zip(entries, self._sums, strict=True):
            entry, pair = (members.rows, slice(None)) if one.rows is None else _paired(one.rows, members)
            buckets = None if one.buckets is None else one.buckets[entry]
            sums.add(members.slices[pair], buckets, one.values[entry], None if factors is None else factors[pair])

    def states(self, index: int, keys: Sequence[SliceKey]) -> Iterator[tuple[SliceKey, SliceState]]:
        """Yields the state of each slice as that of the group at `index`; `keys` are the slices by number."""
        columns = [self._rows.by_slice(len(keys)), *(sums.by_slice(len(keys)) for sums in self._sums)]
        for key, (rows, *sums) in zip(keys, zip(*columns, strict=True), strict=True):
            if len(rows.values):
                yield key, {index: GroupState(rows.values[0, 0], sums)}


def _paired(rows: np.ndarray, members: Membership) -> tuple[np.ndarray, np.ndarray]:
    """Returns (entry, member) for each entry and each slice that the entry's row is in."""
    counts = np.diff(members.starts)[rows]
    entry: np.ndarray = np.repeat(np.arange(len(rows)), counts)
    within = np.arange(len(entry)) - np.repeat(np.cumsum(counts) - counts, counts)
    return entry, members.starts[rows[entry]] + within


class Rank(beam.DoFn):
    """Turns the documents of a partition's queries into slices' states."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation

    def setup(self) -> None:
        self._plan = plan(self._evaluation.eval_config)
        self._resampling = resampling(self._evaluation.eval_config.options)

    def process(self, element: tuple[tuple[int, int], Iterable[queries.Documents]]) -> Iterator[tuple[Any, Any]]:
        (index, partition), parts = element
        group = self._plan.groups[index]
        grouped = queries.group(list(parts))
        sums = GroupSums(group, self._resampling)
        try:
            sums.add(grouped.members, queries.entries_of(group.accumulations, grouped), f"queries {index} {partition}")
        except NotCovered as reason:
            yield _REASON, str(reason)
            return
        yield from sums.states(index, grouped.slices)


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
    bundles = (
        pipeline
        | "Files" >> beam.Create(list(enumerate(sorted(files))))
        | "Spread" >> beam.Reshuffle()
        | "Accumulate"
        >> beam.ParDo(Accumulate(evaluation)).with_outputs(_DOCUMENTS, main="states").with_output_types(tuple[Any, Any])
    )
    states = bundles.states
    if any(spec.query_key for spec in evaluation.eval_config.metrics_specs):
        ranked = (
            bundles[_DOCUMENTS]
            | "GroupDocuments" >> beam.GroupByKey()
            | "Rank" >> beam.ParDo(Rank(evaluation)).with_output_types(tuple[Any, Any])
        )
        states = (states, ranked) | "AllStates" >> beam.Flatten()
    results = (
        states
        | "Merge" >> beam.CombinePerKey(MergeStates())
        | "Compute" >> beam.ParDo(Compute(evaluation)).with_output_types(tuple[Any, Any])
    )
    _ = (
        pipeline
        | "Once" >> beam.Create([None])
        | "Write" >> beam.ParDo(Write(evaluation, output, reason_file), beam.pvalue.AsIter(results))
    )

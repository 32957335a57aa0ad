"""Metrics of queries: all documents of one query, from whichever files, are ranked together and count as one example.

Bundles turn their rows into `Documents`; these are grouped by a hash of the query, and each group is turned into states
of slices. A query is in every slice that one of its documents is in.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorflow_model_analysis.metrics import min_label_position, ndcg, query_statistics

from penstock_components.arrow_evaluator.accumulation import Entries, Metrics, row_totals
from penstock_components.arrow_evaluator.batch import Batch, Inputs
from penstock_components.arrow_evaluator.coverage import NotCovered
from penstock_components.arrow_evaluator.slicing import Membership, SliceKey, row_values
from penstock_components.arrow_evaluator.sums import Sums, starts_of

# How many groups the queries of an evaluation are spread over.
PARTITIONS = 64


@dataclass(frozen=True)
class Documents:
    """Documents of some queries.

    `queries` `[n]` are the documents' queries as text, `places` `[n]` their places among all examples, `columns`
    `[n, c]` what the metrics need of them; document `members[i, 0]` is in slice `slices[members[i, 1]]`.
    """

    queries: np.ndarray
    places: np.ndarray
    columns: np.ndarray
    members: np.ndarray
    slices: Sequence[SliceKey]


class QueryAccumulation(ABC):
    """One combiner of TFMA for queries. `columns` is how many values an entry has, `needs` how many a document has."""

    columns: int
    needs: int

    @abstractmethod
    def documents(self, batch: Batch) -> np.ndarray:
        """Returns `[rows, needs]` float64 for a batch of documents."""

    @abstractmethod
    def entries(self, starts: np.ndarray, documents: np.ndarray) -> Entries:
        """Returns one entry a query; query q has `documents[starts[q]:starts[q + 1]]`."""

    @abstractmethod
    def output(self, sums: Sums) -> Metrics:
        """Returns the results for one slice. `sums` has one sample."""


class QueryCount(QueryAccumulation):
    """`example_count._ExampleCountCombiner`: one a query, or all its documents' weights."""

    columns, needs = 1, 1

    def __init__(self, combiner: Any) -> None:
        self._combiner = combiner
        self._weighted = combiner._example_weighted
        self._inputs = Inputs(combiner._model_name, combiner._output_name, example_weighted=self._weighted)

    def documents(self, batch: Batch) -> np.ndarray:
        return batch.total_weights(self._inputs)[:, np.newaxis]

    def entries(self, starts: np.ndarray, documents: np.ndarray) -> Entries:
        if not self._weighted:
            return Entries(np.ones((len(starts) - 1, 1)))
        return Entries(np.add.reduceat(documents, starts[:-1], axis=0))

    def output(self, sums: Sums) -> Metrics:
        return self._combiner.extract_output(float(row_totals(sums, 1)[0]))


class QueryStatistics(QueryAccumulation):
    """`query_statistics._QueryStatisticsCombiner`; a query's number of documents is its bucket."""

    columns, needs = 1, 0

    def __init__(self, combiner: Any) -> None:
        if combiner._example_weighted or combiner._model_name or combiner._output_name:
            raise NotCovered("query statistics with example weights, several models or several outputs")
        self._combiner = combiner

    def documents(self, batch: Batch) -> np.ndarray:
        return np.zeros((batch.size, 0))

    def entries(self, starts: np.ndarray, documents: np.ndarray) -> Entries:
        return Entries(np.ones((len(starts) - 1, 1)), buckets=np.diff(starts))

    def output(self, sums: Sums) -> Metrics:
        accumulator = query_statistics._QueryStatisticsAccumulator()
        present = sums.values[:, 0, 0] > 0
        counts, queries = sums.buckets[present], sums.values[present, 0, 0]
        accumulator.total_queries = float(queries.sum())
        accumulator.total_documents = float((counts * queries).sum())
        accumulator.min_documents = float(counts.min()) if len(counts) else float("inf")
        accumulator.max_documents = float(counts.max()) if len(counts) else 0.0
        return self._combiner.extract_output(accumulator)


class _Ranking(QueryAccumulation):
    """What is read from documents in the order of their predictions, the highest first."""

    needs = 3

    def __init__(self, combiner: Any, inputs: Inputs) -> None:
        self._combiner = combiner
        self._inputs = inputs

    @abstractmethod
    def _values(self, batch: Batch) -> np.ndarray:
        """Returns what ranking puts in order: gains or labels, `[rows]`."""

    def documents(self, batch: Batch) -> np.ndarray:
        rows = batch.rows(self._inputs)
        if rows.predictions.shape[1] != 1:
            raise NotCovered("the ranking of documents with several predictions")
        return np.stack([rows.predictions[:, 0], self._values(batch), batch.row_weights(self._inputs)], axis=1)

    def _ranked(self, starts: np.ndarray, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns each document's query, the values in rank order, and each query's weight."""
        query: np.ndarray = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        weights = documents[starts[:-1], 2]
        if not np.allclose(documents[:, 2], weights[query]):
            raise NotCovered("documents of one query with different example weights")
        # Of documents with equal predictions the last comes first, as in the reversed order TFMA sorts them to.
        order = np.lexsort((-np.arange(len(documents)), -documents[:, 0], query))
        return query, documents[order, 1], weights


class NormalizedDiscountedCumulativeGain(_Ranking):
    """`ndcg._NDCGCombiner`."""

    def __init__(self, combiner: Any) -> None:
        inputs = Inputs(combiner._model_name, combiner._output_name, example_weighted=combiner._example_weighted)
        super().__init__(combiner, inputs)
        self._ks = [key.sub_key.top_k for key in combiner._metric_keys]
        self.columns = len(self._ks) + 1

    def _values(self, batch: Batch) -> np.ndarray:
        return batch.feature(self._combiner._gain_key)

    def entries(self, starts: np.ndarray, documents: np.ndarray) -> Entries:
        query, ranked, weights = self._ranked(starts, documents)
        rank = np.arange(len(query)) - starts[query]
        best = documents[np.lexsort((-documents[:, 1], query)), 1]
        weights = np.where(np.maximum.reduceat(ranked, starts[:-1]) > 0, weights, 0.0)
        discount = np.log2(rank + 2.0)
        columns = []
        for k in self._ks:
            gained, possible = (
                np.add.reduceat(np.where(rank < k, values / discount, 0.0), starts[:-1]) for values in (ranked, best)
            )
            columns.append(np.divide(gained, possible, out=np.zeros(len(weights)), where=possible > 0) * weights)
        return Entries(np.stack([*columns, weights], axis=1))

    def output(self, sums: Sums) -> Metrics:
        totals = row_totals(sums, self.columns).tolist()
        accumulator = ndcg._NDCGAccumulator(len(self._ks))
        accumulator.ndcg, accumulator.total_weighted_examples = totals[:-1], totals[-1]
        return self._combiner.extract_output(accumulator)


class MinLabelPosition(_Ranking):
    """`min_label_position._MinLabelPositionCombiner`."""

    columns = 2

    def __init__(self, combiner: Any) -> None:
        key = combiner._key
        super().__init__(combiner, Inputs(key.model_name, key.output_name, example_weighted=combiner._example_weighted))

    def _values(self, batch: Batch) -> np.ndarray:
        if self._combiner._label_key:
            return batch.feature(self._combiner._label_key)
        labels = batch.rows(self._inputs).labels
        if labels.shape[1] != 1:
            raise NotCovered("the label position of documents with several labels")
        return labels[:, 0].astype(np.float64)

    def entries(self, starts: np.ndarray, documents: np.ndarray) -> Entries:
        query, ranked, weights = self._ranked(starts, documents)
        rank = np.arange(len(query)) - starts[query] + 1.0
        first = np.minimum.reduceat(np.where(ranked > 0, rank, np.inf), starts[:-1])
        found = np.isfinite(first)
        weights = np.where(found, weights, 0.0)
        return Entries(np.stack([np.where(found, first, 0.0) * weights, weights], axis=1))

    def output(self, sums: Sums) -> Metrics:
        accumulator = min_label_position._MinLabelPositionAccumulator()
        accumulator.total_min_position, accumulator.total_weighted_examples = row_totals(sums, 2).tolist()
        return self._combiner.extract_output(accumulator)


def documents_of(
    accumulations: Sequence[QueryAccumulation],
    query_key: str,
    batch: Batch,
    members: Membership,
    keys: Sequence[SliceKey],
    place: int,
) -> Iterator[tuple[int, Documents]]:
    """Yields a batch's documents by partition. `keys` are the slices by number, `place` is that of the first row."""
    feature = batch.features.get(query_key)
    rows, values = row_values(query_key, feature) if feature is not None else (np.zeros(0), np.zeros(0))
    if not np.array_equal(rows, np.arange(batch.size)):
        raise NotCovered(f"examples without exactly one query (feature {query_key!r})")
    distinct, codes = np.unique(values, return_inverse=True)
    queries = np.array([str(value) for value in distinct.tolist()], dtype=object)
    partition = np.array([zlib.crc32(query.encode()) % PARTITIONS for query in queries], np.int64)[codes]
    columns = np.concatenate([one.documents(batch) for one in accumulations], axis=1)
    counts = np.diff(members.starts)
    for number in np.unique(partition):
        chosen = np.flatnonzero(partition == number)
        pairs = np.isin(members.rows, chosen)
        of_chosen: np.ndarray = np.repeat(np.arange(len(chosen)), counts[chosen])
        used, slices = np.unique(members.slices[pairs], return_inverse=True)
        yield (
            int(number),
            Documents(
                queries[codes[chosen]],
                place + chosen,
                columns[chosen],
                np.stack([of_chosen, slices], axis=1),
                [keys[index] for index in used],
            ),
        )


@dataclass(frozen=True)
class Queries:
    """The queries of one partition: each one's slices, and the documents they begin at in `documents`."""

    members: Membership
    slices: Sequence[SliceKey]
    starts: np.ndarray
    documents: np.ndarray


def group(parts: Sequence[Documents]) -> Queries:
    """Returns all queries of a partition in the order of their texts, each one's documents in that of their places."""
    keys = sorted({key for part in parts for key in part.slices}, key=repr)
    number = {key: index for index, key in enumerate(keys)}
    offsets = np.cumsum([0, *(len(part.queries) for part in parts)])
    queries, codes = np.unique(np.concatenate([part.queries for part in parts]), return_inverse=True)
    order = np.lexsort((np.concatenate([part.places for part in parts]), codes))
    pairs = []
    for part, offset in zip(parts, offsets, strict=False):
        numbers = np.array([number[key] for key in part.slices], np.int64)
        pairs.append(codes[part.members[:, 0] + offset] * len(keys) + numbers[part.members[:, 1]])
    joined = np.unique(np.concatenate(pairs))
    of_query, slices = np.divmod(joined, max(len(keys), 1))
    return Queries(
        Membership(of_query, slices, starts_of(of_query, len(queries))),
        keys,
        starts_of(np.sort(codes), len(queries)),
        np.concatenate([part.columns for part in parts])[order],
    )


def entries_of(accumulations: Sequence[QueryAccumulation], grouped: Queries) -> list[Entries]:
    """Returns each accumulation's entries for the queries of a partition."""
    ends = np.cumsum([one.needs for one in accumulations])
    return [
        one.entries(grouped.starts, grouped.documents[:, end - one.needs : end])
        for one, end in zip(accumulations, ends, strict=True)
    ]

"""The features: their names against the data's header, their values against plain numpy."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np

from chicago_taxi import features


def test_every_column_a_feature_needs_is_in_the_data(columns: dict[str, list[Any]]) -> None:
    missing = {*features.RAW_FEATURES, *features.CROSSED, features.TIPS, features.FARE} - set(columns)
    assert not missing, f"features.py uses columns the data does not have: {sorted(missing)}"


def test_every_column_of_the_data_is_used_or_listed_as_unused(columns: dict[str, list[Any]]) -> None:
    unknown = set(columns) - {*features.RAW_FEATURES, features.TIPS, *features.UNUSED}
    assert not unknown, f"the data has columns features.py says nothing about: {sorted(unknown)}"
    assert set(features.UNUSED) <= set(columns)


def test_no_transformed_feature_has_the_name_of_a_column(columns: dict[str, list[Any]], analyzed: Any) -> None:
    assert not set(analyzed.transformed) & set(columns)


def test_big_tip_is_more_than_a_fifth_of_the_fare(analyzed: Any) -> None:
    trips = zip(analyzed.columns["tips"], analyzed.columns["fare"], strict=True)
    expected = [Fraction(str(tips)) > Fraction(1, 5) * Fraction(str(fare)) for tips, fare in trips]
    assert 0 < sum(expected) < len(expected)
    np.testing.assert_array_equal(analyzed.transformed[features.LABEL], expected)


def test_z_scores_use_mean_and_deviation_of_all_rows(analyzed: Any) -> None:
    for column in features.Z_SCORED:
        values = np.array(analyzed.columns[column], np.float64)
        expected = np.nan_to_num((values - np.nanmean(values)) / np.nanstd(values), nan=0.0)
        np.testing.assert_allclose(analyzed.transformed[features.z_score_name(column)], expected, rtol=1e-5, atol=1e-5)


def test_word_ids_follow_frequency_and_unknown_words_share_one(analyzed: Any) -> None:
    for column, size in features.VOCABULARIES.items():
        ids = analyzed.transformed[features.id_name(column)]
        words = analyzed.columns[column]
        counts = Counter(word for word in words if word is not None)
        vocabulary = [word.decode() for word in analyzed.transform.vocabulary_by_name(column)]
        assert len(vocabulary) == min(size, len(counts))
        assert [counts[word] for word in vocabulary] == sorted(counts.values(), reverse=True)[:size]
        places = {word: place for place, word in enumerate(vocabulary)}
        np.testing.assert_array_equal(ids, [places.get(word, len(vocabulary)) for word in words])


def test_buckets_hold_equal_shares_in_the_order_of_the_values(analyzed: Any) -> None:
    for column in features.BUCKETED:
        buckets = analyzed.transformed[features.bucket_name(column)]
        values = np.array(analyzed.columns[column], np.float64)
        is_missing = np.isnan(values)
        assert (buckets[is_missing] == features.BUCKETS).all()
        present, values = buckets[~is_missing], values[~is_missing]
        assert present.min() >= 0 and present.max() < features.BUCKETS
        assert (np.diff(present[np.argsort(values)]) >= 0).all()
        # Many trips share one coordinate, so shares are even only up to the commonest value.
        commonest = np.unique(values, return_counts=True)[1].max()
        shares = np.cumsum(np.bincount(present, minlength=features.BUCKETS))[:-1]
        expected = len(values) * np.arange(1, features.BUCKETS) / features.BUCKETS
        assert np.abs(shares - expected).max() <= commonest + 0.02 * len(values)


def test_categories_keep_their_number_and_missing_ones_come_last(analyzed: Any) -> None:
    for column, size in features.CATEGORIES.items():
        expected = [size if value is None else value for value in analyzed.columns[column]]
        np.testing.assert_array_equal(analyzed.transformed[features.id_name(column)], expected)


def test_the_cross_tells_pairs_of_day_and_hour_apart(analyzed: Any) -> None:
    pairs = list(zip(*(analyzed.columns[column] for column in features.CROSSED), strict=True))
    ids = analyzed.transformed[features.CROSS_ID]
    assert ids.min() >= 0 and ids.max() < features.CROSS_BUCKETS
    assert len({(pair, value) for pair, value in zip(pairs, ids, strict=True)}) == len(set(pairs))
    # Some of the 168 pairs share one of 256 places; far fewer places would mean a part of the pair is lost.
    assert len(set(ids)) > 0.6 * len(set(pairs))

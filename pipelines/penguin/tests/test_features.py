"""The features: their names against the data's header, their values against plain numpy."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import tensorflow as tf

from penguin import features


def measured(cells: list[Any]) -> list[Any]:
    return [None if cell == "NA" else cell for cell in cells]


def test_every_column_a_feature_needs_is_in_the_data(columns: dict[str, list[Any]]) -> None:
    missing = {*features.RAW_FEATURES, features.SPECIES} - set(columns)
    assert not missing, f"features.py uses columns the data does not have: {sorted(missing)}"


def test_every_column_of_the_data_is_used_or_listed_as_unused(columns: dict[str, list[Any]]) -> None:
    unknown = set(columns) - {*features.RAW_FEATURES, features.SPECIES, *features.UNUSED}
    assert not unknown, f"the data has columns features.py says nothing about: {sorted(unknown)}"
    assert set(features.UNUSED) <= set(columns)


def test_no_transformed_feature_has_the_name_of_a_column(columns: dict[str, list[Any]], analyzed: Any) -> None:
    assert not set(analyzed.transformed) & set(columns)


def test_every_species_of_the_data_has_a_class(analyzed: Any) -> None:
    assert set(analyzed.columns[features.SPECIES]) == set(features.SPECIES_NAMES)
    expected = [features.SPECIES_NAMES.index(species) for species in analyzed.columns[features.SPECIES]]
    np.testing.assert_array_equal(analyzed.transformed[features.LABEL], expected)


def test_z_scores_leave_missing_values_out_and_put_them_at_the_mean(analyzed: Any) -> None:
    for column in features.Z_SCORED:
        values = np.array(measured(analyzed.columns[column]), np.float64)
        assert np.isnan(values).any(), "the data is known for its missing values"
        expected = np.nan_to_num((values - np.nanmean(values)) / np.nanstd(values), nan=0.0)
        np.testing.assert_allclose(analyzed.transformed[features.z_score_name(column)], expected, rtol=1e-5, atol=1e-5)


def test_word_ids_follow_frequency_and_missing_words_come_last(analyzed: Any) -> None:
    for column in features.VOCABULARIES:
        words = measured(analyzed.columns[column])
        counts = Counter(word for word in words if word is not None)
        vocabulary = [word.decode() for word in analyzed.transform.vocabulary_by_name(column)]
        assert sorted(vocabulary) == sorted(counts)
        assert [counts[word] for word in vocabulary] == sorted(counts.values(), reverse=True)
        places = {word: place for place, word in enumerate(vocabulary)}
        expected = [places.get(word, len(vocabulary)) for word in words]
        np.testing.assert_array_equal(analyzed.transformed[features.id_name(column)], expected)


def test_numbers_read_as_numbers_give_what_numbers_read_as_text_give() -> None:
    text = tf.constant([["39.1"], ["NA"], ["181"]])
    numbers = tf.SparseTensor([[0, 0], [2, 0]], tf.constant([39.1, 181.0]), [3, 1])
    np.testing.assert_allclose(features._numbers(text), [39.1, np.nan, 181.0], rtol=1e-7)
    np.testing.assert_allclose(features._numbers(numbers), [39.1, np.nan, 181.0], rtol=1e-7)

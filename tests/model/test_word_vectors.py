"""Word vectors: the factors of mutual information, and pieces in like places that come to lie side by side."""

import numpy as np
import pytest

from albert_hvd.data.records.piece_pairs import PiecePairs
from albert_hvd.model.word_vectors import word_vectors


def pairs_of(counts):
    counts = np.asarray(counts)
    left, right = np.nonzero(counts)
    return PiecePairs(len(counts), left, right, counts[left, right], int(counts.sum()), 1, {})


@pytest.fixture(scope="module")
def random_pairs():
    return pairs_of(np.random.default_rng(0).poisson(3.0, (30, 30)) * 20)


def test_products_are_those_of_the_best_approximation(random_pairs):
    counts = np.zeros((30, 30))
    counts[random_pairs.left, random_pairs.right] = random_pairs.counts
    right = counts.sum(axis=0) ** 0.75
    with np.errstate(divide="ignore"):
        expected = np.maximum(0, np.log(counts / counts.sum(axis=1, keepdims=True) / (right / right.sum())))
    left, values, right = np.linalg.svd(expected)
    both = np.concatenate([left[:, :5] * np.sqrt(values[:5]), right[:5].T * np.sqrt(values[:5])], axis=1)
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    vectors = word_vectors(random_pairs, 10)
    # A rotation, and the sign of a factor, change no product.
    np.testing.assert_allclose(vectors @ vectors.T, both @ both.T, atol=2e-3)


def test_rows_have_length_one_or_are_unknown():
    counts = np.full((6, 6), 50)
    counts[4:, :] = counts[:, 4:] = 0
    counts[4, 0] = 3  # too rare
    counts[0, 1] = 400
    lengths = np.linalg.norm(word_vectors(pairs_of(counts), 4), axis=1)
    np.testing.assert_allclose(lengths[:2], 1, atol=1e-6)
    np.testing.assert_array_equal(lengths[4:], 0)


def test_pieces_in_like_places_are_alike():
    # 0 and 1 stand before 4, 2 and 3 before 5: two factors of equal weight, behind that of the rare 4 and 5 themselves.
    counts = np.ones((6, 6), int)
    counts[[0, 1], 4] = counts[[2, 3], 5] = 500
    vectors = word_vectors(pairs_of(counts), 6)
    assert vectors[0] @ vectors[1] > 0.9 > vectors[0] @ vectors[2]


def test_they_follow_from_the_seed(random_pairs):
    np.testing.assert_array_equal(word_vectors(random_pairs, 6, seed=3), word_vectors(random_pairs, 6, seed=3))
    assert not np.array_equal(word_vectors(random_pairs, 6, seed=3), word_vectors(random_pairs, 6, seed=4))


@pytest.mark.parametrize("size", [0, 1, 5, 100])
def test_any_size(random_pairs, size):
    vectors = word_vectors(random_pairs, size)
    assert vectors.shape == (30, size) and vectors.dtype == np.float32 and np.all(np.isfinite(vectors))


def test_fewer_factors_than_columns():
    """A matrix of rank 1: the other factors are zeros, not noise of rounding."""
    counts = np.zeros((40, 40), int)
    counts[0, 1] = counts[2, 3] = 30
    counts[:20, 20:] = 60
    vectors = word_vectors(pairs_of(counts), 60)
    np.testing.assert_allclose(np.linalg.norm(vectors[4:20], axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors[4:20] @ vectors[4:20].T, 1, atol=1e-6)


def test_no_pairs():
    assert not np.any(word_vectors(pairs_of(np.zeros((4, 4), int)), 6))

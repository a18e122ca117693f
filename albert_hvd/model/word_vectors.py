"""Word embeddings that begin with what the corpus says about its pieces: which one stands beside which.

Sources: positive pointwise mutual information, smoothed by the power 0.75: Levy, Goldberg & Dagan, "Improving
Distributional Similarity with Lessons Learned from Word Embeddings" (2015), sections 2 and 3.1; its factors by a
randomised singular value decomposition: Halko, Martinsson & Tropp, "Finding Structure with Randomness" (2011), algorithms
4.4 and 5.1; word embeddings to begin with: Kocmi & Bojar, "An Exploration of Word Embedding Initialization in Deep-Learning
Tasks" (2017).
"""

import numpy as np
import tensorflow as tf

_SMOOTHING = 0.75
_POWER_ROUNDS, _MORE_TEST_VECTORS = 4, 30
_LEAST_COUNT = 20  # of a piece whose neighbours are known well enough


def word_vectors(pairs, size, seed=0):
    """Vectors of pieces from their left and right neighbours.

    M(l, r) = max(0, log(C(l, r) N / (C(l) C(r)^0.75))) in its best approximation of rank size / 2, U S V'. A piece's
    vector is [U sqrt(S), V sqrt(S)], what it is as a left and as a right neighbour, turned by one random rotation, so
    that its columns are alike, and scaled to length 1.

    Args:
      pairs: `data.records.piece_pairs.PiecePairs`.
      size: columns of the vectors.
      seed: int; fixes the random directions.

    Returns:
      float32 (V, size); rows of zeros for pieces that stand in too few pairs.
    """
    rank = min(size // 2, pairs.vocab_size)
    vectors = np.zeros((pairs.vocab_size, size), np.float64)
    if not rank or not len(pairs.counts):
        return vectors.astype(np.float32)
    generator = np.random.default_rng(seed)
    left, values, right = _leading_factors(_mutual_information(pairs), rank, generator)
    vectors[:, :2 * rank] = np.concatenate([left, right], axis=1) * np.tile(np.sqrt(values), 2)
    rotation, triangle = np.linalg.qr(generator.standard_normal((size, size)))
    vectors = vectors @ (rotation * np.sign(np.diag(triangle)))
    lengths = np.linalg.norm(vectors, axis=1)
    known = (_occurrences(pairs) >= _LEAST_COUNT) & (lengths > 0)
    return np.where(known[:, None], vectors / np.maximum(lengths, 1e-30)[:, None], 0.0).astype(np.float32)


def _occurrences(pairs):
    """In how many pairs a piece stands on the side where it stands more often, int64 (V,)."""
    return np.maximum(*(np.bincount(side, pairs.counts, pairs.vocab_size) for side in (pairs.left, pairs.right)))


def _mutual_information(pairs):
    """The positive pointwise mutual information of the pairs, a tf.SparseTensor (V, V) of float64."""
    counts = pairs.counts.astype(np.float64)
    left = np.bincount(pairs.left, counts, pairs.vocab_size) / counts.sum()
    right = np.bincount(pairs.right, counts, pairs.vocab_size) ** _SMOOTHING
    right /= right.sum()
    values = np.log(counts / counts.sum() / (left[pairs.left] * right[pairs.right]))
    positive = values > 0
    places = np.stack([pairs.left[positive], pairs.right[positive]], axis=1).astype(np.int64)
    return tf.SparseTensor(places, values[positive], [pairs.vocab_size, pairs.vocab_size])


def _leading_factors(matrix, rank, generator):
    """The first `rank` singular vectors and values of a sparse matrix: (V, rank), (rank,), (V, rank)."""
    def times(dense, transposed=False):
        return tf.sparse.sparse_dense_matmul(matrix, dense, adjoint_a=transposed).numpy()

    width = min(rank + _MORE_TEST_VECTORS, matrix.shape[0])
    with tf.device("CPU"):
        basis = _orthonormal(times(generator.standard_normal((matrix.shape[1], width))))
        for _ in range(_POWER_ROUNDS):
            basis = _orthonormal(times(_orthonormal(times(basis, transposed=True))))
        projected = times(basis, transposed=True)
    left, values = _eigenvectors(projected)
    right = projected @ (left * _reciprocal(values))
    return (basis @ left)[:, :rank], values[:rank], right[:, :rank]


def _orthonormal(columns):
    """Orthonormal columns that span the same, or zeros where there are fewer: (V, n) -> (V, n).

    By the eigenvectors of the n x n products, since V is so much greater: a QR decomposition takes ten times as long.
    What is smaller than 1e-5 of the greatest is taken for rounding.
    """
    vectors, values = _eigenvectors(columns)
    return columns @ (vectors * _reciprocal(values))


def _eigenvectors(columns):
    """The right singular vectors of (V, n), (n, n), and its singular values, (n,), from the greatest down."""
    squares, vectors = np.linalg.eigh(columns.T @ columns)
    return vectors[:, ::-1], np.sqrt(np.maximum(squares[::-1], 0))


def _reciprocal(values):
    """1 / values, 0 for those that are only rounding; they begin with the greatest."""
    is_there = values > 1e-5 * values[0]
    return np.where(is_there, 1 / np.where(is_there, values, 1), 0)

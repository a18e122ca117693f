"""Muon: orthogonal directions for the shared layer's matrices, AdamW for the rest."""

import numpy as np
import pytest
import tensorflow as tf

from albert_hvd.runtime import distributed
from albert_hvd.training.muon import orthogonalized
from albert_hvd.training.optimizers import OPTIMIZERS

KERNEL, OTHER = "encoder/layer/attention/query/kernel", "encoder/pooler/kernel"


def numpy_orthogonalized(x):
    """The Newton-Schulz rounds of Jordan et al. on the singular values alone."""
    left, values, right = np.linalg.svd(x / np.linalg.norm(x), full_matrices=False)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values ** 3 + 2.0315 * values ** 5
    return left * values @ right


@pytest.mark.parametrize("shape", [(6, 6), (6, 30), (30, 6), (6, 8), (1, 5)])
def test_the_rounds_change_singular_values_alone(shape):
    x = np.random.default_rng(0).normal(size=shape)
    np.testing.assert_allclose(orthogonalized(tf.constant(x, tf.float32)), numpy_orthogonalized(x), atol=3e-5)


@pytest.mark.parametrize("shape", [(8, 8), (8, 40)])
def test_singular_values_end_near_one(shape):
    x = tf.constant(np.random.default_rng(1).normal(size=shape), tf.float32)
    values = np.linalg.svd(orthogonalized(x), compute_uv=False)
    assert 0.6 < values.min() and values.max() < 1.25


def test_no_gradient_gives_no_direction():
    np.testing.assert_array_equal(orthogonalized(tf.zeros([3, 5])), np.zeros((3, 5)))


@pytest.mark.parametrize("compiled", [False, True])
def test_matches_numpy(compiled):
    random = np.random.default_rng(2)
    w, m = random.normal(size=(4, 3)), np.zeros((4, 3))
    variables = {KERNEL: tf.Variable(w, dtype=tf.float32), OTHER: tf.Variable(np.ones((3, 3)), dtype=tf.float32)}
    optimizer = OPTIMIZERS["muon"](learning_rate=0.1, num_train_steps=100, num_warmup_steps=2, clip_norm=1.0)
    optimizer.build(variables, compiled)
    for step in range(1, 6):
        gradients = {path: random.normal(size=variable.shape) for path, variable in variables.items()}
        norm = np.sqrt(sum(np.sum(g * g) for g in gradients.values()))
        update = optimizer.apply_gradients([(tf.constant(gradients[path], tf.float32), variable)
                                            for path, variable in variables.items()])
        g = gradients[KERNEL] / max(norm, 1.0)
        m = 0.95 * m + g
        rate = 0.1 * (step / 2 if step < 2 else (100 - step) / 98)
        w = w - rate * (0.2 * np.sqrt(4) * numpy_orthogonalized(g + 0.95 * m) + 0.01 * w)
        assert update.learning_rate.numpy() == pytest.approx(rate)
        np.testing.assert_allclose(variables[KERNEL], w, atol=2e-5)
    assert len(optimizer.slots_of(variables[KERNEL])) == 1
    assert len(optimizer.slots_of(variables[OTHER])) == 2


def test_other_variables_move_as_by_adamw():
    weights = {}
    for name in ("muon", "adamw"):
        variable = tf.Variable(np.arange(6.0).reshape(2, 3), dtype=tf.float32)
        optimizer = OPTIMIZERS[name](learning_rate=0.1, num_train_steps=10)
        optimizer.build({OTHER: variable})
        optimizer.apply_gradients([(tf.ones([2, 3]), variable)])
        weights[name] = variable.numpy()
    np.testing.assert_array_equal(weights["muon"], weights["adamw"])


def test_an_update_that_is_not_finite_leaves_the_momentum():
    variable = tf.Variable(tf.ones([2, 2]))
    optimizer = OPTIMIZERS["muon"](learning_rate=0.1, num_train_steps=10)
    optimizer.build({KERNEL: variable})
    assert not optimizer.apply_gradients([(tf.constant([[np.nan, 1.0], [1.0, 1.0]]), variable)]).applied
    np.testing.assert_array_equal(optimizer.slots_of(variable)[0], np.zeros((2, 2)))
    np.testing.assert_array_equal(variable, np.ones((2, 2)))


@pytest.mark.parametrize("rank", [0, 5])
def test_a_rank_without_a_matrix_waits_for_the_gradients_too(rank, monkeypatch):
    """Of six ranks and two matrices, rank 5 has none: its sum of directions must not begin before that of gradients.

    By its values: a control dependency of constants is lost when TensorFlow folds them.
    """
    asked = {}

    def sum_over_ranks(tensor, name):
        asked[name] = tensor
        return tf.identity(tensor)

    monkeypatch.setattr(distributed, "rank", lambda: rank)
    monkeypatch.setattr(distributed, "size", lambda: 6)
    monkeypatch.setattr(distributed, "sum_over_ranks", sum_over_ranks)
    muon = OPTIMIZERS["muon"](learning_rate=0.1, num_train_steps=10)
    with tf.Graph().as_default():
        gradients = [tf.compat.v1.placeholder(tf.float32, [3, 4]) for _ in range(2)]
        muon._directions(gradients)
        seen, waiting = set(), [asked["directions"].op]
        while waiting:
            op = waiting.pop()
            if op.name not in seen:
                seen.add(op.name)
                waiting += [tensor.op for tensor in op.inputs]
    assert {gradient.op.name for gradient in gradients} <= seen

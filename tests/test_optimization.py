"""LAMB and AdamW against independent NumPy code of the papers, and the schedule at its corners."""

import numpy as np
import pytest
import tensorflow as tf

from albert_hvd.optimization import OPTIMIZERS, learning_rate_at

CONFIG = dict(learning_rate=0.1, num_train_steps=10, num_warmup_steps=3, weight_decay=0.02,
              beta_1=0.9, beta_2=0.999, epsilon=1e-6, clip_norm=1.0)


def numpy_schedule(step):
    warmup, total = CONFIG["num_warmup_steps"], CONFIG["num_train_steps"]
    if step < warmup:
        return CONFIG["learning_rate"] * step / warmup
    return CONFIG["learning_rate"] * (total - step) / (total - warmup)


def numpy_update(name, w, m, v, g, step):
    """One step of LAMB (You et al., algorithm 2) or AdamW (Loshchilov & Hutter, algorithm 2)."""
    c = CONFIG
    m = c["beta_1"] * m + (1 - c["beta_1"]) * g
    v = c["beta_2"] * v + (1 - c["beta_2"]) * g * g
    m_hat, v_hat = m / (1 - c["beta_1"] ** step), v / (1 - c["beta_2"] ** step)
    update = m_hat / (np.sqrt(v_hat) + c["epsilon"])
    if w.ndim > 1:
        update = update + c["weight_decay"] * w
    ratio = 1.0
    if name == "lamb" and np.linalg.norm(w) > 0 and np.linalg.norm(update) > 0:
        ratio = np.linalg.norm(w) / np.linalg.norm(update)
    return w - numpy_schedule(step) * ratio * update, m, v


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_matches_numpy(name):
    random = np.random.default_rng(0)
    weights = {"kernel": random.normal(size=(4, 3)), "bias": np.zeros(3), "gamma": np.ones(3)}
    variables = {key: tf.Variable(value, dtype=tf.float32) for key, value in weights.items()}
    moments = {key: (np.zeros_like(value), np.zeros_like(value)) for key, value in weights.items()}
    optimizer = OPTIMIZERS[name](**CONFIG)
    optimizer.build(variables)
    for step in range(1, 8):
        gradients = {key: random.normal(size=value.shape) for key, value in weights.items()}
        norm = np.sqrt(sum(np.sum(g * g) for g in gradients.values()))
        applied_norm, learning_rate = optimizer.apply_gradients(
            [(tf.constant(gradients[key], tf.float32), variables[key]) for key in weights])
        assert applied_norm.numpy() == pytest.approx(norm, rel=1e-6)
        assert learning_rate.numpy() == pytest.approx(numpy_schedule(step), rel=1e-6)
        for key in weights:
            clipped = gradients[key] * min(1.0, CONFIG["clip_norm"] / norm)
            weights[key], *moments[key] = numpy_update(name, weights[key], *moments[key], clipped, step)
            np.testing.assert_allclose(variables[key], weights[key], rtol=2e-6, atol=1e-6)
    assert optimizer.step.numpy() == 7


@pytest.mark.parametrize("step, expected", [(0, 0.0), (1, 0.1), (10, 1.0), (60, 0.5), (110, 0.0), (200, 0.0)])
def test_schedule(step, expected):
    assert learning_rate_at(step, 1.0, 110, 10).numpy() == pytest.approx(expected, abs=1e-7)


def test_schedule_without_warmup_starts_near_the_peak():
    assert learning_rate_at(1, 1.0, 100, 0).numpy() == pytest.approx(0.99)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_update_with_bad_gradients_is_skipped_and_counted(bad):
    variable = tf.Variable([[1.0, 2.0]])
    optimizer = OPTIMIZERS["lamb"](**CONFIG)
    optimizer.build({"w": variable})
    for count in (1, 2):
        optimizer.apply_gradients([(tf.constant([[bad, 1.0]]), variable)])
        assert optimizer.bad_steps_in_a_row.numpy() == count
    np.testing.assert_array_equal(variable, [[1.0, 2.0]])
    np.testing.assert_array_equal(optimizer.slots_of(variable)[0], [[0.0, 0.0]])
    assert optimizer.step.numpy() == 0
    optimizer.apply_gradients([(tf.constant([[1.0, 1.0]]), variable)])
    assert (optimizer.step.numpy(), optimizer.bad_steps_in_a_row.numpy()) == (1, 0)


def test_sparse_gradients_take_the_same_path_as_dense_ones():
    dense, sparse = tf.Variable(tf.ones([3, 2])), tf.Variable(tf.ones([3, 2]))
    gradient = tf.IndexedSlices(tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.constant([0, 0]), tf.constant([3, 2]))
    for variable, value in ((dense, tf.convert_to_tensor(gradient)), (sparse, gradient)):
        optimizer = OPTIMIZERS["lamb"](**CONFIG)
        optimizer.build({"w": variable})
        optimizer.apply_gradients([(value, variable)])
    np.testing.assert_array_equal(dense, sparse)


def test_a_copy_from_its_config_is_the_same_optimizer():
    for cls in OPTIMIZERS.values():
        optimizer = cls(**CONFIG)
        assert cls.from_config(optimizer.get_config()).get_config() == optimizer.get_config()

"""LAMB and AdamW against independent NumPy code of the papers, and the schedule at its corners."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st

from albert_hvd.training.optimizer import learning_rate_at
from albert_hvd.training.optimizers import OPTIMIZERS

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


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_matches_numpy(name, compiled):
    random = np.random.default_rng(0)
    weights = {"kernel": random.normal(size=(4, 3)), "bias": np.zeros(3), "gamma": np.ones(3)}
    variables = {key: tf.Variable(value, dtype=tf.float32) for key, value in weights.items()}
    moments = {key: (np.zeros_like(value), np.zeros_like(value)) for key, value in weights.items()}
    optimizer = OPTIMIZERS[name](**CONFIG)
    optimizer.build(variables, compiled)
    for step in range(1, 8):
        gradients = {key: random.normal(size=value.shape) for key, value in weights.items()}
        norm = np.sqrt(sum(np.sum(g * g) for g in gradients.values()))
        applied_norm, learning_rate, applied = optimizer.apply_gradients(
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


def test_adamw_matches_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed (it is in no lock file)")
    random = np.random.default_rng(1)
    first = {"kernel": random.normal(size=(4, 3)), "bias": random.normal(size=3)}
    theirs = {key: torch.nn.Parameter(torch.tensor(value, dtype=torch.float64)) for key, value in first.items()}
    torch_optimizer = torch.optim.AdamW(
        [{"params": [theirs["kernel"]], "weight_decay": CONFIG["weight_decay"]},
         {"params": [theirs["bias"]], "weight_decay": 0.0}],
        betas=(CONFIG["beta_1"], CONFIG["beta_2"]), eps=CONFIG["epsilon"])
    ours = {key: tf.Variable(value, dtype=tf.float32) for key, value in first.items()}
    optimizer = OPTIMIZERS["adamw"](**{**CONFIG, "clip_norm": 0.0})
    optimizer.build(ours)
    for step in range(1, 10):
        gradients = {key: random.normal(size=value.shape) for key, value in first.items()}
        for group in torch_optimizer.param_groups:
            group["lr"] = numpy_schedule(step)
        for key, parameter in theirs.items():
            parameter.grad = torch.tensor(gradients[key])
        torch_optimizer.step()
        optimizer.apply_gradients([(tf.constant(gradients[key], tf.float32), ours[key]) for key in first])
        for key, parameter in theirs.items():
            np.testing.assert_allclose(ours[key], parameter.detach().numpy(), rtol=2e-6, atol=1e-6)


@given(warmup=st.integers(1, 1000), decay=st.integers(1, 1000), power=st.sampled_from([1.0, 2.0]))
@settings(max_examples=50, deadline=None)
def test_schedule_is_continuous_at_the_seam(warmup, decay, power):
    rates = [learning_rate_at(step, 1.0, warmup + decay, warmup, power).numpy()
             for step in (warmup - 1e-3, warmup, warmup + 1e-3)]
    assert rates[1] == 1.0
    # No steeper than the line on the left, and the polynomial's first slope on the right.
    assert 1 - rates[0] == pytest.approx(1e-3 / warmup, abs=2e-4 / warmup + 1e-6)
    assert 1 - rates[2] == pytest.approx(power * 1e-3 / decay, abs=2e-4 * power / decay + 1e-6)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_scaled_loss_gives_bit_identical_updates(name):
    random = np.random.default_rng(2)
    gradients = [random.normal(size=(4, 3)).astype(np.float32) for _ in range(5)]
    weights = []
    for changes in ({}, {"initial_loss_scale": 4096.0, "loss_scale_growth_steps": 2}):
        variable = tf.Variable(tf.ones([4, 3]))
        optimizer = OPTIMIZERS[name](**CONFIG, **changes)
        optimizer.build({"w": variable})
        for gradient in gradients:
            optimizer.apply_gradients([(gradient * optimizer.loss_scale.value, variable)])
        weights.append(variable.numpy())
    assert optimizer.loss_scale.value.numpy() == 4 * 4096.0
    np.testing.assert_array_equal(*weights)


def test_an_overflow_is_a_bad_step_only_when_the_scale_is_not_to_blame():
    variable = tf.Variable([[1.0, 2.0]])
    optimizer = OPTIMIZERS["adamw"](**CONFIG, initial_loss_scale=4.0, loss_scale_growth_steps=2)
    optimizer.build({"w": variable})
    seen = []
    for loss_is_finite in (True, False, True, True, True):
        assert not optimizer.apply_gradients([(tf.constant([[np.inf, 1.0]]), variable)], loss_is_finite).applied
        seen.append((optimizer.loss_scale.value.numpy(), optimizer.bad_steps_in_a_row.numpy()))
    #           halved    the loss's fault  halved    at the floor: counted
    assert seen == [(2, 0), (2, 1), (1, 1), (1, 2), (1, 3)]
    np.testing.assert_array_equal(variable, [[1.0, 2.0]])
    assert optimizer.apply_gradients([(tf.constant([[1.0, 1.0]]), variable)]).applied
    assert (optimizer.step.numpy(), optimizer.bad_steps_in_a_row.numpy()) == (1, 0)


def test_a_loss_that_is_not_finite_skips_the_update_with_finite_gradients():
    variable = tf.Variable([[1.0, 2.0]])
    optimizer = OPTIMIZERS["lamb"](**CONFIG)
    optimizer.build({"w": variable})
    assert not optimizer.apply_gradients([(tf.constant([[1.0, 1.0]]), variable)], loss_is_finite=False).applied
    assert optimizer.bad_steps_in_a_row.numpy() == 1
    np.testing.assert_array_equal(variable, [[1.0, 2.0]])

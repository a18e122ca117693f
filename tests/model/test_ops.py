"""Layer normalisation and gelu against their definitions, forwards and backwards."""

import math

import numpy as np
import pytest
import tensorflow as tf

from albert_hvd.model.ops import ACTIVATIONS, exact_gelu, gelu, layer_norm, relu, softmax

PLAIN_OR_COMPILED = pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])


def gelu_by_definition(x):
    return 0.5 * x * (1.0 + tf.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x ** 3)))


def layer_norm_by_definition(x, gamma, beta):
    mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
    return (x - mean) / tf.sqrt(variance + 1e-12) * gamma + beta


def value_and_gradients(function, *arguments):
    """Of the sum of the squares of what `function` gives, as NumPy arrays in float64."""
    arguments = [tf.constant(argument) for argument in arguments]
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        y = function(*arguments)
        loss = tf.reduce_sum(tf.square(tf.cast(y, tf.float64)))
    return [np.asarray(tf.cast(value, tf.float64)) for value in (y, *tape.gradient(loss, arguments))]


@PLAIN_OR_COMPILED
def test_gelu(compiled):
    x = np.concatenate([np.linspace(-6, 6, 49), [-1e4, -50.0, 50.0, 1e4]])
    ours = value_and_gradients(lambda x: gelu(x, compiled), x.astype(np.float32))
    for got, expected in zip(ours, value_and_gradients(gelu_by_definition, x), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@PLAIN_OR_COMPILED
def test_exact_gelu(compiled):
    """Against the error function of the C library; the tanh approximation is up to 4.7e-4 away."""
    x = np.concatenate([np.linspace(-6, 6, 49), [-1e4, -50.0, 50.0, 1e4]])
    value, gradient = value_and_gradients(lambda x: exact_gelu(x, compiled), x.astype(np.float32))
    expected = np.array([v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x])
    slope = [0.5 * math.erfc(-v / math.sqrt(2)) + v * math.exp(-v * v / 2) / math.sqrt(2 * math.pi) for v in x]
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, 2 * expected * slope, rtol=1e-5, atol=1e-5)
    assert np.abs(value - np.asarray(gelu(tf.constant(x, tf.float32)), np.float64)).max() > 4e-4


@PLAIN_OR_COMPILED
def test_relu(compiled):
    value, gradient = value_and_gradients(lambda x: relu(x, compiled), np.float32([-3, -0.5, 0, 0.5, 3]))
    assert value.tolist() == [0, 0, 0, 0.5, 3] and gradient.tolist() == [0, 0, 0, 1, 6]


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_activations_keep_narrow_types(name, dtype):
    x = tf.cast(tf.constant([-300.0, -1.0, 0.0, 1.0, 300.0]), dtype)
    value, gradient = value_and_gradients(lambda x: ACTIVATIONS[name](x, True), x)
    assert ACTIVATIONS[name](x).dtype == dtype and np.isfinite(value).all() and np.isfinite(gradient).all()
    assert value[[0, 2, 4]].tolist() == [0, 0, 300]


@PLAIN_OR_COMPILED
@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 3, 7)])
def test_layer_norm(compiled, shape):
    random = np.random.default_rng(3)
    arguments = [random.normal(2.0, 3.0, shape), random.normal(size=7), random.normal(size=7)]
    ours = value_and_gradients(lambda *arguments: layer_norm(*arguments, 1e-12, compiled),
                               *(argument.astype(np.float32) for argument in arguments))
    for got, expected in zip(ours, value_and_gradients(layer_norm_by_definition, *arguments), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@PLAIN_OR_COMPILED
@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_narrow_types_are_normalised_in_float32(compiled, dtype):
    x = tf.cast(tf.constant([[300.0, 302.0, 304.0, 310.0]]), dtype)  # whose squares float16 cannot hold
    wide, narrow = (value_and_gradients(lambda x: layer_norm(x, tf.ones([4]), tf.zeros([4]), 1e-12, compiled), value)
                    for value in (tf.cast(x, tf.float32), x))
    assert layer_norm(x, tf.ones([4]), tf.zeros([4]), 1e-12, compiled).dtype == dtype
    np.testing.assert_allclose(narrow[0], wide[0], atol=0.01)


@PLAIN_OR_COMPILED
def test_constant_rows_have_finite_gradients(compiled):
    results = value_and_gradients(lambda x: layer_norm(x, tf.ones([4]), tf.zeros([4]), 1e-12, compiled),
                                  np.full([2, 4], 5.0, np.float32))
    assert all(np.isfinite(result).all() for result in results) and not results[0].any()


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16, tf.float16])
def test_gelu_has_its_gradient_where_the_square_leaves_float16(dtype):
    x = tf.constant([-60000.0, -1000.0, -256.0, 256.0, 1000.0, 60000.0], dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = gelu(x)
    np.testing.assert_array_equal(tf.cast(y, tf.float32), tf.nn.relu(tf.cast(x, tf.float32)))
    np.testing.assert_array_equal(tf.cast(tape.gradient(y, x), tf.float32), [0, 0, 0, 1, 1, 1])


def test_softmax_is_tensorflows_with_its_gradient():
    scores, hidden = tf.random.stateless_normal([2, 3, 4, 4], (1, 2)), tf.constant([0.0, 0.0, -10000.0, 0.0])
    upstream = tf.random.stateless_normal([2, 3, 4, 4], (3, 4))
    for dtype, tolerance in ((tf.float32, 1e-7), (tf.bfloat16, 0.01)):
        results = []
        for function in (lambda x: softmax(x, hidden), lambda x: tf.nn.softmax(tf.cast(x, tf.float32) + hidden)):
            x = tf.cast(scores, dtype)
            with tf.GradientTape() as tape:
                tape.watch(x)
                probs = function(x)
                loss = tf.reduce_sum(tf.cast(probs, tf.float32) * upstream)
            results.append((probs, tape.gradient(loss, x)))
        assert results[0][0].dtype == results[0][1].dtype == dtype
        for ours, theirs in zip(*results):
            np.testing.assert_allclose(tf.cast(ours, tf.float32), tf.cast(theirs, tf.float32), atol=tolerance)

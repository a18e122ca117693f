"""Layer normalisation, activations and softmax with gradients written by hand, as few passes over memory as can be.

The gradients that TensorFlow derives keep every intermediate result of the forward pass until they have run; these
keep the input alone. Compiled, each direction is one loop that XLA makes; the matrix products in between stay with
the libraries that do them best. What is compiled is compiled anew for every shape, so only where shapes repeat is it
worth its second.
"""

import functools
import math

import tensorflow as tf

_SLOPE, _CUBIC = 2.0 * math.sqrt(2.0 / math.pi), 0.044715


def gelu(x, compiled=False):
    """The Gaussian error linear unit, tanh approximation (Hendrycks & Gimpel, 2016, section 2).

    Args:
      x: float tensor of any shape.
      compiled: whether XLA compiles it.
    """
    @tf.custom_gradient
    def with_gradient(x):
        y = _run(_gelu, True, x) if compiled else _fusible_gelu(x)
        return y, lambda upstream: _run(_gelu_gradient, compiled, x, upstream)

    return with_gradient(x)


def exact_gelu(x, compiled=False):
    """The Gaussian error linear unit itself, x times the normal distribution function; arguments as for `gelu`."""
    @tf.custom_gradient
    def with_gradient(x):
        return _run(_exact_gelu, compiled, x), lambda upstream: _run(_exact_gelu_gradient, compiled, x, upstream)

    return with_gradient(x)


def relu(x, compiled=False):
    """max(x, 0); arguments as for `gelu`. TensorFlow's own keeps no more than its output."""
    del compiled
    return tf.nn.relu(x)


# By `hidden_act` of a config. google-research/albert and brightmart call the tanh approximation "gelu", Hugging Face
# calls it "gelu_new", and the exact function "gelu".
ACTIVATIONS = {"gelu": gelu, "gelu_new": gelu, "gelu_erf": exact_gelu, "relu": relu}


def softmax(scores, hidden_scores):
    """Attention probabilities, computed in float32 and kept in the type of the scores for the backward pass.

    TensorFlow's own softmax would keep them in float32, twice as large as the matrix products need them.

    Args:
      scores: float tensor (B, N, S, S).
      hidden_scores: float32, broadcast to the shape of `scores` and added to them; gets no gradient.

    Returns:
      Tensor of the scores' shape and dtype.
    """
    @tf.custom_gradient
    def with_gradient(scores):
        probs = tf.cast(tf.nn.softmax(tf.cast(scores, tf.float32) + hidden_scores), scores.dtype)

        def gradient(upstream):
            weighted = tf.cast(upstream, tf.float32) * tf.cast(probs, tf.float32)
            total = tf.reduce_sum(weighted, axis=-1, keepdims=True)
            return tf.cast(weighted - tf.cast(probs, tf.float32) * total, scores.dtype)

        return probs, gradient

    return with_gradient(scores)


def layer_norm(x, gamma, beta, epsilon, compiled=False):
    """Layer normalisation over the last dimension (Ba et al., 2016), computed in float32.

    Args:
      x: float tensor (..., H).
      gamma, beta: float32 variables or tensors (H,).
      epsilon: added to the variance.
      compiled: whether XLA compiles it.

    Returns:
      Tensor of x's shape and dtype.
    """
    @tf.custom_gradient
    def with_gradient(x, gamma, beta):
        y, mean, inverse_deviation = _run(_layer_norm, compiled, x, gamma, beta, tf.constant(epsilon, tf.float32))

        def gradient(upstream):
            return _run(_layer_norm_gradient, compiled, x, mean, inverse_deviation, gamma, upstream)

        return y, gradient

    return with_gradient(x, tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta))


def _run(function, compiled, *arguments):
    return (_compiled(function) if compiled else function)(*arguments)


@functools.cache
def _compiled(function):
    return tf.function(function, jit_compile=True, autograph=False)


def _gelu(x):
    # x/2 (1 + tanh(u/2)) = x sigmoid(u), which takes fewer operations.
    wide = tf.cast(x, tf.float32)
    return tf.cast(wide * tf.sigmoid(wide * (_SLOPE + _SLOPE * _CUBIC * wide * wide)), x.dtype)


def _fusible_gelu(x):
    """As TensorFlow writes it: behind a float32 product of matrices and its bias, it computes all three in one kernel."""
    return tf.cast(tf.nn.gelu(tf.cast(x, tf.float32), approximate=True), x.dtype)


def _gelu_gradient(x, upstream):
    # The square of 256 is infinite in float16, and 0 * inf is not a number where the gate is closed.
    wide = tf.cast(x, tf.float32)
    square = wide * wide
    gate = tf.sigmoid(wide * (_SLOPE + _SLOPE * _CUBIC * square))
    slope = gate + wide * gate * (1.0 - gate) * (_SLOPE + 3.0 * _SLOPE * _CUBIC * square)
    return tf.cast(tf.cast(upstream, tf.float32) * slope, x.dtype)


def _exact_gelu(x):
    wide = tf.cast(x, tf.float32)
    return tf.cast(wide * _normal_distribution(wide), x.dtype)


def _exact_gelu_gradient(x, upstream):
    wide = tf.cast(x, tf.float32)
    density = tf.exp(-0.5 * wide * wide) / math.sqrt(2.0 * math.pi)
    return tf.cast(tf.cast(upstream, tf.float32) * (_normal_distribution(wide) + wide * density), x.dtype)


def _normal_distribution(x):
    return 0.5 * tf.math.erfc(-x * math.sqrt(0.5))  # which is exact far below 0 too


def _layer_norm(x, gamma, beta, epsilon):
    wide = tf.cast(x, tf.float32)
    mean = tf.reduce_mean(wide, axis=-1, keepdims=True)
    centred = wide - mean
    inverse_deviation = tf.math.rsqrt(tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True) + epsilon)
    return tf.cast(centred * inverse_deviation * gamma + beta, x.dtype), mean, inverse_deviation


def _layer_norm_gradient(x, mean, inverse_deviation, gamma, upstream):
    """The gradients of x, gamma and beta."""
    normalised = (tf.cast(x, tf.float32) - mean) * inverse_deviation
    upstream = tf.cast(upstream, tf.float32)
    leading = list(range(len(x.shape) - 1))
    scaled = upstream * gamma
    dx = inverse_deviation * (scaled - tf.reduce_mean(scaled, axis=-1, keepdims=True) -
                              normalised * tf.reduce_mean(scaled * normalised, axis=-1, keepdims=True))
    return (tf.cast(dx, x.dtype), tf.reduce_sum(upstream * normalised, axis=leading),
            tf.reduce_sum(upstream, axis=leading))

"""What the encoder and the heads are made of: dense layers, layer norm, dropout, first weights.

Variables are float32. Products are computed in the type of their input, layer norms in float32.
"""

import tensorflow as tf

from albert_hvd.model.ops import layer_norm


class Dense(tf.Module):
    """y = x kernel + bias, over the last dimension.

    Args:
      input_size, output_size: the kernel's shape.
      initializer: callable of a shape that gives a float32 tensor.
      use_bias: False leaves the bias out.
    """

    def __init__(self, input_size, output_size, initializer, use_bias=True, name=None):
        super().__init__(name=name)
        self.kernel = tf.Variable(initializer([input_size, output_size]), name="kernel")
        self.bias = tf.Variable(tf.zeros([output_size]), name="bias") if use_bias else None

    def __call__(self, x):
        # One product of matrices: TensorFlow would take x for a batch of them, and compute as many gradients
        # of the kernel as there are rows.
        y = tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), tf.cast(self.kernel, x.dtype))
        if self.bias is not None:
            y = tf.nn.bias_add(y, tf.cast(self.bias, x.dtype))
        return y if len(x.shape) == 2 else tf.reshape(y, tf.concat([tf.shape(x)[:-1], y.shape[-1:]], axis=0))


class LayerNorm(tf.Module):
    """Layer normalisation over the last dimension; see `ops.layer_norm`."""

    def __init__(self, size, epsilon, compiled=False, name=None):
        super().__init__(name=name)
        self.gamma = tf.Variable(tf.ones([size]), name="gamma")
        self.beta = tf.Variable(tf.zeros([size]), name="beta")
        self._epsilon, self._compiled = epsilon, compiled

    def __call__(self, x):
        return layer_norm(x, self.gamma, self.beta, self._epsilon, self._compiled)


class Dropout:
    """Dropout whose masks follow from a seed alone, so that a resumed run draws the same ones.

    Args:
      rate: share of elements set to zero.
      seed: int32 tensor (2,), another one for every micro-batch; None switches dropout off.
      calls: how many calls to count as made, to go on where another object with this seed ended.
    """

    def __init__(self, rate, seed, calls=0):
        self._rate = rate if seed is not None else 0.0
        self._seed = seed
        self._calls = calls

    def __call__(self, x):
        if self._rate == 0.0:
            return x
        # Each call site of the traced graph folds its own number into the seed.
        self._calls += 1
        seed = tf.random.experimental.stateless_fold_in(self._seed, self._calls)
        return tf.nn.experimental.stateless_dropout(x, self._rate, seed=seed)


def truncated_normal(stddev, seed):
    """An initialiser: the n-th call gives the n-th tensor that follows from `seed`; of zeros when that is None."""
    if seed is None:
        return tf.zeros
    calls = iter(range(1 << 30))

    def initializer(shape):
        return tf.random.stateless_truncated_normal(shape, seed=[seed, next(calls)], stddev=stddev)

    return initializer

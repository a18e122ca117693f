"""From the encoder's outputs to labels: what a head is given, and the heads themselves.

A head is given the last layer's outputs or a sum of all layers', at the first piece of a word or text or the mean of
all its pieces; it gives independent scores, or a conditional random field over them.

Shapes: B rows, S positions, W slots, H hidden, L labels. All in float32.
"""

import tensorflow as tf

from albert_hvd.finetuning import crf
from albert_hvd.model.layers import Dense


class WeightedSum(tf.Module):
    """The sum of the embeddings and of all layers' outputs, each times a trained weight that is 1 at first.

    Peters et al., "Deep contextualized word representations" (2018), equation 1, without its softmax.

    Args:
      num_states: how many there are.
    """

    def __init__(self, num_states, name=None):
        super().__init__(name=name)
        self.weights = tf.Variable(tf.ones([num_states]), name="weights")

    def __call__(self, states):
        """list of (B, S, H) -> float32 (B, S, H)."""
        return tf.add_n([self.weights[number] * tf.cast(state, tf.float32) for number, state in enumerate(states)])


def mean_of_rows(outputs, positions, input_mask):
    """The mean of a row's outputs without padding: float32 (B, S, H) and int32 (B, S) -> (B, 1, H)."""
    del positions
    mask = tf.cast(input_mask > 0, tf.float32)[:, :, None]
    total = tf.reduce_sum(outputs * mask, axis=1, keepdims=True)
    return total / tf.maximum(tf.reduce_sum(mask, axis=1, keepdims=True), 1.0)


def means_of_words(outputs, positions, input_mask):
    """The mean of each word's outputs, from its first piece to the next word or to <sep>: float32 (B, W, H).

    Args:
      outputs: float32 (B, S, H).
      positions: int32 (B, W), where the words begin; 0 after the last one.
      input_mask: int32 (B, S).
    """
    sep = tf.reduce_sum(tf.cast(input_mask > 0, tf.int32), axis=1, keepdims=True) - 1
    following = tf.pad(positions[:, 1:], [[0, 0], [0, 1]])
    ends = tf.where(following > 0, following, sep)
    place = tf.range(tf.shape(outputs)[1])[None, None]
    is_in = tf.cast((place >= positions[:, :, None]) & (place < ends[:, :, None]), tf.float32)
    return tf.matmul(is_in, outputs) / tf.maximum(tf.reduce_sum(is_in, axis=2, keepdims=True), 1.0)


class WideScores(tf.Module):
    """Scores of the labels from sparse features: what is added to a head's logits; 0 at first.

    The sum over a slot's F features is divided by the square root of their number, so that long texts are not the
    loudest. It is multiplied by 10: a feature occurs in few batches, and has to come as far in them as a weight of the
    network, which moves by the same learning rate, does in all.

    Args:
      num_features, num_labels: N and L; the number 0 stands for no feature.
    """

    _LOUDNESS = 10.0

    def __init__(self, num_features, num_labels, name=None):
        super().__init__(name=name)
        self.kernel = tf.Variable(tf.zeros([num_features, num_labels]), name="kernel")

    def __call__(self, features, dropout=None):
        """int32 (B, W, F) -> float32 (B, W, L).

        Args:
          dropout: `Dropout` while training; it leaves features out.
        """
        is_there = tf.cast(features > 0, tf.float32)
        count = tf.maximum(tf.reduce_sum(is_there, axis=2, keepdims=True), 1.0)
        weights = dropout(is_there) if dropout else is_there
        total = tf.reduce_sum(tf.gather(self.kernel, features) * weights[..., None], axis=2)
        return total * (self._LOUDNESS / tf.sqrt(count))


class LinearHead(Dense):
    """Scores of the labels of each slot by itself, with cross-entropy.

    Args:
      hidden_size, num_labels: H and L.
      initializer: callable of a shape that gives a float32 tensor.
    """

    def __init__(self, hidden_size, num_labels, initializer, name=None):
        super().__init__(hidden_size, num_labels, initializer, name=name)

    def loss(self, logits, labels, weights):
        """The sum of weighted negative log-likelihoods in nats, a float32 scalar.

        Args:
          logits: float32 (B, W, L).
          labels: int32 (B, W).
          weights: float32 (B, W), 0 where there is no slot.
        """
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        return tf.reduce_sum(losses * weights)

    def shares(self, logits):
        """The probabilities of the labels, float32 (B, W, L)."""
        return tf.nn.softmax(logits)

    def decode(self, logits, weights):
        """The likeliest label of each slot, int32 (B, W); arguments as for `loss`."""
        del weights
        return tf.argmax(logits, axis=-1, output_type=tf.int32)


class RegressionHead(Dense):
    """One value of each slot, with the squared error.

    Args:
      hidden_size: H.
      num_labels: 1.
      initializer: callable of a shape that gives a float32 tensor.
    """

    def __init__(self, hidden_size, num_labels, initializer, name=None):
        super().__init__(hidden_size, num_labels, initializer, name=name)

    def loss(self, logits, labels, weights):
        """The sum of weighted squared errors, a float32 scalar.

        Args:
          logits: float32 (B, W, 1), the values.
          labels: float32 (B, W), the true ones.
          weights: float32 (B, W), 0 where there is no slot.
        """
        return tf.reduce_sum(tf.square(logits[:, :, 0] - labels) * weights)

    def shares(self, logits):
        """The values themselves, float32 (B, W, 1)."""
        return logits

    def decode(self, logits, weights):
        """0, int32 (B, W): there is one label, the value."""
        del logits
        return tf.zeros_like(weights, tf.int32)


class CrfHead(LinearHead):
    """A linear-chain CRF whose emissions are the scores of `LinearHead`; it starts as that, with transitions of 0."""

    def __init__(self, hidden_size, num_labels, initializer, name=None):
        super().__init__(hidden_size, num_labels, initializer, name=name)
        self.transitions = tf.Variable(tf.zeros([num_labels, num_labels]), name="transitions")
        self.start = tf.Variable(tf.zeros([num_labels]), name="start")
        self.end = tf.Variable(tf.zeros([num_labels]), name="end")

    @property
    def _scores(self):
        return crf.CrfScores(self.transitions, self.start, self.end)

    def loss(self, logits, labels, weights):
        """The sum of the rows' negative log-likelihoods; see `LinearHead.loss`. Weights are 1 or 0 here."""
        return -tf.reduce_sum(crf.log_likelihood(logits, labels, _num_slots(weights), self._scores))

    def decode(self, logits, weights):
        """The labels of the likeliest sequence of each row, int32 (B, W)."""
        return crf.viterbi(logits, _num_slots(weights), self._scores)[0]


def _num_slots(weights):
    """Slots stand at the beginning of a row: float32 (B, W) -> int32 (B,)."""
    return tf.reduce_sum(tf.cast(weights > 0, tf.int32), axis=1)


HEADS = {"linear": LinearHead, "crf": CrfHead, "regression": RegressionHead}

"""What turns the encoder's output into labels: independent scores, or a conditional random field over them.

Shapes: B rows, W slots, H hidden, L labels. All in float32.
"""

import tensorflow as tf

from albert_hvd.finetuning import crf
from albert_hvd.model.encoder import Dense


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

    def decode(self, logits, weights):
        """The likeliest label of each slot, int32 (B, W); arguments as for `loss`."""
        del weights
        return tf.argmax(logits, axis=-1, output_type=tf.int32)


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


HEADS = {"linear": LinearHead, "crf": CrfHead}

"""What the head of a task is given of the encoder's outputs: of which layers, and of which positions.

Shapes: B rows, S positions, W slots, H hidden. All in float32.
"""

import tensorflow as tf


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

"""Rows of one example each, computed side by side in fewer rows.

Shapes: B examples of at most S positions, R rows of P positions.
"""

import tensorflow as tf


def packed_inputs(layout, input_ids, segment_ids):
    """Put the tokens of examples into packed rows.

    Args:
      layout: int32 (R, P): the number, row by row, of the position of `input_ids` that stands in each place; -1 where
        none does. The tokens of an example stand in one row, in their order, and no token stands there twice.
      input_ids, segment_ids: int32 (B, S).

    Returns:
      rows: what `AlbertEncoder.hidden_states` is given of packed rows, int32 (R, P) each: input_ids, input_mask with the
        number of the example within the batch, 1 ... B, and 0 for padding, segment_ids and position_ids.
      places: int32 (B * S,): the number, row by row, of the position in them at which each position of the examples
        stands; any number for padding.
    """
    length = tf.shape(input_ids)[1]
    is_token, source = layout >= 0, tf.maximum(layout, 0)
    input_mask = tf.where(is_token, source // length + 1, 0)
    # The places that hold no token write behind the last one, which is then cut off.
    target = tf.reshape(tf.where(is_token, layout, tf.size(input_ids)), [-1, 1])
    places = tf.scatter_nd(target, tf.range(tf.size(layout)), [tf.size(input_ids) + 1])[:-1]
    return (tf.gather(tf.reshape(input_ids, [-1]), source), input_mask,
            tf.gather(tf.reshape(segment_ids, [-1]), source), source % length), places

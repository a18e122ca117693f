"""Rows of similar length together, in an order that follows from seed and epoch alone.

The global batches are the same for any number of ranks, each rank takes its share of every one, and the
number of batches taken is the whole state of the data.
"""

import numpy as np

from albert_hvd.finetuning.length_batches import batches_by_length

# Batches among which rows are sorted by length: enough for little padding, few enough for a random order.
_BATCHES_SORTED_TOGETHER = 50
# Lengths are rounded up to a multiple of this: short texts have little padding, and there are not too many shapes.
_LENGTH_MULTIPLE = 2
# Positions of a micro-batch at most: a CPU computes so many at full speed, and backward needs little memory for them. One
# more costs as much as computing so many positions: calls, and gradients of all weights to be added.
_MICRO_BATCH_POSITIONS, _MICRO_BATCH_COST = 1024, 256


def epoch_batches(lengths, batch_size, seed, epoch):
    """The global batches of an epoch: list of int64 arrays of row numbers, the last one drawn may be smaller.

    Each row is in exactly one batch.

    Args:
      lengths: int64 (R,).
    """
    random = np.random.Generator(np.random.PCG64([seed, epoch]))
    order = random.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), _BATCHES_SORTED_TOGETHER * batch_size):
        group = order[start:start + _BATCHES_SORTED_TOGETHER * batch_size]
        group = group[np.argsort(lengths[group], kind="stable")]
        batches += [group[i:i + batch_size] for i in range(0, len(group), batch_size)]
    return [batches[number] for number in random.permutation(len(batches))]


def micro_batches(lengths, numbers):
    """The rows of a batch that go through the model together on a CPU.

    Args:
      lengths: int64 (R,), of all rows.
      numbers: row numbers of a batch, or of a rank's share of it, (n,).

    Returns:
      list of arrays of row numbers, each of them in one; of one empty array where there are none.
    """
    parts = batches_by_length(lengths[numbers], len(numbers), _MICRO_BATCH_POSITIONS, _MICRO_BATCH_COST)
    return [numbers[part] for part in parts] or [numbers]


def pad(rows, numbers, pad_id, gold=None, slot_weights=None):
    """Some rows as arrays of one length.

    Args:
      rows: `encoding.Rows`.
      numbers: row numbers, (n,). A rank without a row in a batch gets the first of all rows, without slots.
      gold: int32 or float32 (slots,), the label or value of every slot of `rows`; None: 0, int32.
      slot_weights: float (slots,), above 0; None: 1.

    Returns:
      dict of arrays: `input_ids`, `input_mask`, `segment_ids` int32 (B, S); `positions` int32 (B, W); `labels` of
      the type of `gold` (B, W); `weights` float32 (B, W), 0 where there is no slot. Of a pair of texts, the second
      and its <sep> are segment 1. Where the rows have features, also `features` int32 (B, W, F), 0 behind the last.
    """
    ids = [rows.input_ids[number] for number in numbers] or [rows.input_ids[0]]
    slots = [rows.positions[number] for number in numbers]
    length = min(_rounded(max(map(len, ids))), rows.max_seq_length)
    width = max(map(len, slots), default=1)
    width = width if width == 1 else _rounded(width)
    input_ids, lengths = _matrix(ids, [len(ids), length], pad_id)
    positions, num_slots = _matrix(slots, [len(ids), width], 0)
    is_slot = np.arange(width) < num_slots[:, None]
    is_float = gold is not None and np.issubdtype(gold.dtype, np.floating)
    labels = np.zeros([len(ids), width], np.float32 if is_float else np.int32)
    weights = is_slot.astype(np.float32)
    chosen = slot_numbers(rows, numbers)
    if gold is not None:
        labels[is_slot] = gold[chosen]
    if slot_weights is not None:
        weights[is_slot] = slot_weights[chosen]
    is_piece = np.arange(length) < lengths[:, None]
    features = {} if rows.features is None else {"features": _features(rows, chosen, is_slot)}
    return {**features, "input_ids": input_ids, "input_mask": is_piece.astype(np.int32),
            "segment_ids": (is_piece & _is_second(rows, numbers, is_piece.shape)).astype(np.int32),
            "positions": positions, "labels": labels, "weights": weights}


def _features(rows, chosen, is_slot):
    """The features of the slots `chosen`, in their places: int32 (B, W, F)."""
    of_slots = [rows.features[slot] for slot in chosen]
    longest = _rounded(max(map(len, of_slots), default=1))
    features = np.zeros([*is_slot.shape, longest], np.int32)
    features[is_slot] = _matrix(of_slots, [len(of_slots), longest], 0)[0]
    return features


def _is_second(rows, numbers, shape):
    """Where the second text of each row stands, bool (B, S); the rows that were added have none."""
    starts = np.full(shape[0], shape[1], np.int64)
    if rows.second_segment is not None:
        starts[:len(numbers)] = rows.second_segment[numbers]
    return np.arange(shape[1]) >= starts[:, None]


def slot_numbers(rows, numbers):
    """The slots that some rows score, in the order of the rows: int64."""
    slots = [np.arange(len(rows.positions[number])) + rows.first_slot[number] for number in numbers]
    return np.concatenate(slots) if slots else np.zeros(0, np.int64)


def _matrix(arrays, shape, filling):
    """Arrays as the rows of an int32 matrix, and how long each is: int64 (B,), 0 for rows without an array."""
    matrix, lengths = np.full(shape, filling, np.int32), np.zeros(shape[0], np.int64)
    for place, array in enumerate(arrays):
        matrix[place, :len(array)] = array
        lengths[place] = len(array)
    return matrix, lengths


def _rounded(length):
    return -(-length // _LENGTH_MULTIPLE) * _LENGTH_MULTIPLE

"""Which texts go through a model together: side by side in longer rows, so that little is computed for padding."""

import collections
import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from albert_hvd.data.batches.best_fit import pack, sums_before, token_places

# Positions of a batch at most, padding included. A CPU computes a thousand at full speed; more only take more memory.
_MOST_POSITIONS = {"CPU": 1024, "GPU": 8192}
# Where two batches are computed at a time, half of it is enough for each.
_MOST_POSITIONS_OF_TWO = 512
# Lengths of rows that are tried: long enough for several texts, and short, for each position attends to its whole row,
# other texts masked out. Longer texts have rows of twice these lengths, four times, and so on.
_ROW_LENGTHS = np.array([64, 80, 96, 112, 128])
# What attention to one more position costs, of all that is computed for a position: between a tiny model and base.
_ATTENTION_COST = 0.001
# Below this hidden size, two batches are computed at a time: the operations of a small model are too short to keep several
# cores busy. With base it would gain a twentieth and cost 40 MiB.
_SMALL = 512


class PackedBatch(collections.namedtuple("PackedBatch", ["numbers", "lengths", "rows"])):
    """Examples of one batch.

    Attributes:
      numbers: int64 (n,), which examples.
      lengths: int64 (n,), positions of each.
      rows: int64 (n,), the row in which each stands, from 0; ascending.
    """

    def layout(self, width):
        """What `packed_inputs` is given, int32 (R, P), with P the length of the fullest row.

        Args:
          width: positions of the padded rows, one for each example in the order of `numbers`, that hold the tokens.
        """
        example, place, at = token_places(self.rows, sums_before(self.rows, self.lengths), self.lengths)
        layout = np.full([indices.max() + 1 for indices in at], -1, np.int32)
        layout[at] = example * width + place
        return layout


def batches_at_a_time(hidden_size):
    """How many batches of a model with this hidden size to compute at a time; one in a process that may use one thread."""
    one_thread = tf.config.threading.get_intra_op_parallelism_threads() == 1
    return 1 if one_thread or hidden_size >= _SMALL or tf.config.get_visible_devices("GPU") else 2


def packed_batches(lengths, max_examples, max_positions=None, at_a_time=1):
    """A division of examples into batches of packed rows, with few positions of padding in few batches.

    Args:
      lengths: int (N,), positions of each example, 1 or more.
      max_examples: most examples of a batch.
      max_positions: most positions of a batch of more than one row, padding included; None: as it suits the devices
        that there are.
      at_a_time: how many batches will be computed at a time; more than one batch become a multiple of it where rows of
        about the same number can be divided so.

    Returns:
      list of `PackedBatch`; each example is in one of them, with those that have rows of its length.
    """
    lengths = np.asarray(lengths, np.int64)
    if max_positions is None:
        device = "GPU" if tf.config.get_visible_devices("GPU") else "CPU"
        max_positions = _MOST_POSITIONS[device] if at_a_time == 1 else _MOST_POSITIONS_OF_TWO
    scales = np.ceil(np.log2(np.maximum(lengths / _ROW_LENGTHS[-1], 1.0))).astype(np.int64)
    batches = []
    for scale in np.unique(scales):
        numbers = np.flatnonzero(scales == scale)
        row_length, rows = _cheapest_rows(lengths[numbers], _ROW_LENGTHS << scale, max_examples)
        for part in _cut(rows, max(1, max_positions // row_length), max_examples, at_a_time):
            own = numbers[np.concatenate(part)]
            batches.append(PackedBatch(own, lengths[own], np.repeat(np.arange(len(part)), [len(row) for row in part])))
    return batches


def _cheapest_rows(lengths, row_lengths, max_examples):
    """(positions of the fullest row, rows as `pack` gives them), by that of `row_lengths` which costs least."""
    plans = [pack(lengths, np.zeros_like(lengths), int(length), 0, max_examples)
             for length in row_lengths if length >= lengths.max()]
    filled = [(max(int(lengths[row].sum()) for row in rows), rows) for rows in plans]
    return min(filled, key=lambda plan: plan[0] * len(plan[1]) * (1 + _ATTENTION_COST * plan[0]))


def _cut(rows, max_rows, max_examples, at_a_time):
    """Rows in groups of about as many each, so that few shapes occur."""
    count = -(-len(rows) // max_rows)
    count += -count % at_a_time if count > 1 else 0
    most = -(-len(rows) // count)
    groups, examples = [[]], 0
    for row in rows:
        if groups[-1] and (len(groups[-1]) == most or examples + len(row) > max_examples):
            groups.append([])
            examples = 0
        groups[-1].append(row)
        examples += len(row)
    return groups


def overlapped(compute, batches, at_a_time):
    """Yield what `compute` gives for each batch, in their order; `at_a_time` batches are computed at a time.

    Args:
      compute: function of a batch. This thread computes too, and others no more than it takes: each has memory of its own.
      batches: an iterable, asked for so many batches at a time, by this thread.
      at_a_time: 1 or more.
    """
    batches = iter(batches)
    with ThreadPoolExecutor(max(1, at_a_time - 1)) as executor:  # a thread starts with the first batch for it
        while group := list(itertools.islice(batches, at_a_time)):
            others = [executor.submit(compute, batch) for batch in group[1:]]
            yield compute(group[0])
            for other in others:
                yield other.result()

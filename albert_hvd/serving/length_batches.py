"""Which rows go through a model together: those of similar length, in as many batches as pays."""

import numpy as np
import tensorflow as tf

# What one more batch costs, in positions that could be computed in that time. On a CPU: the calls, and the weights that
# are read once more. A GPU computes thousands of positions while the host starts the work of one batch.
_BATCH_COSTS = {"CPU": 64, "GPU": 16384}
# Positions of a batch at most, padding included. A CPU computes a thousand at full speed; more only take more memory.
_MOST_POSITIONS = {"CPU": 1024, "GPU": 8192}


def batches_by_length(lengths, max_rows, max_positions=None, batch_cost=None, num_ranks=1):
    """The cheapest division of rows into batches: padding costs positions, and so does each batch.

    A batch of n rows whose longest has S positions costs n * S and `batch_cost`. Of rows sorted by length, the best
    division of the first i follows from those of fewer (dynamic programming), in O(rows * max_rows).

    Args:
      lengths: int (R,), positions of each row.
      max_rows: most rows of a batch.
      max_positions: most positions of a batch of more than one row, padding included; None: as it suits the devices
        that there are.
      batch_cost: in positions; None: as it is on those devices.
      num_ranks: how many share the rows of each batch; its cost each of them has alone.

    Returns:
      list of int64 arrays of row numbers, the shortest rows first; each row is in one of them.
    """
    device = "GPU" if tf.config.get_visible_devices("GPU") else "CPU"
    max_positions = _MOST_POSITIONS[device] * num_ranks if max_positions is None else max_positions
    batch_cost = (_BATCH_COSTS[device] if batch_cost is None else batch_cost) * num_ranks
    order = np.argsort(lengths, kind="stable")
    lengths = np.asarray(lengths, np.int64)[order]
    costs, starts, counts = np.zeros(len(order) + 1), np.zeros(len(order) + 1, np.int64), np.arange(1, max_rows + 1)
    for end in range(1, len(order) + 1):
        longest = int(lengths[end - 1])
        fitting = counts[:max(1, min(end, max_rows, max_positions // longest))]
        totals = costs[end - fitting] + fitting * longest
        best = int(totals.argmin())
        costs[end], starts[end] = totals[best] + batch_cost, end - fitting[best]
    batches, end = [], len(order)
    while end:
        batches.append(order[starts[end]:end])
        end = starts[end]
    return batches[::-1]

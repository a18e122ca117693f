"""Which rows go through a model together: those of similar length, in as many batches as pays."""

import numpy as np


def batches_by_length(lengths, max_rows, max_positions, batch_cost):
    """The cheapest division of rows into batches: padding costs positions, and so does each batch.

    A batch of n rows whose longest has S positions costs n * S and `batch_cost`. Of rows sorted by length, the best
    division of the first i follows from those of fewer (dynamic programming), in O(rows * max_rows).

    Args:
      lengths: int (R,), positions of each row.
      max_rows: most rows of a batch.
      max_positions: most positions of a batch of more than one row, padding included.
      batch_cost: in positions.

    Returns:
      list of int64 arrays of row numbers, the shortest rows first; each row is in one of them.
    """
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

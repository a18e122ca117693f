"""Which examples share a row, and where in it each of their tokens stands."""

import numpy as np


def pack(lengths, predictions, max_length, max_predictions, max_examples):
    """Distribute examples over rows, best fit, longest first.

    Args: `lengths`, `predictions` int (n,) of each example; the limits hold for each row, and each
      example alone is within them.
    Returns: list of rows, each a list of example numbers.
    """
    order = np.argsort(-lengths, kind="stable").tolist()
    lengths, predictions = lengths.tolist(), predictions.tolist()
    rows, predictions_left = [], []
    open_rows = [[] for _ in range(max_length + 1)]  # rows by the positions that they have left
    rooms = 0  # bit r is set when open_rows[r] is not empty
    for example in order:
        row = -1
        while row < 0 and (fitting := rooms >> lengths[example]):
            room = lengths[example] + (fitting & -fitting).bit_length() - 1  # the smallest that is enough
            row = open_rows[room].pop()
            if not open_rows[room]:
                rooms ^= 1 << room
            if predictions_left[row] < predictions[example]:
                row = -1  # as good as full: never looked at again
        if row < 0:
            row, room = len(rows), max_length
            rows.append([])
            predictions_left.append(max_predictions)
        rows[row].append(example)
        predictions_left[row] -= predictions[example]
        room -= lengths[example]
        if room and len(rows[row]) < max_examples:
            open_rows[room].append(row)
            rooms |= 1 << room
    return rows


def token_places(rows, starts, lengths):
    """Where the tokens of examples stand that lie side by side in rows.

    Args:
      rows: int (n,), the row of each example; ascending.
      starts: int (n,), where in its row each begins: the `sums_before` of the lengths.
      lengths: int (n,).

    Returns:
      (example, place, at): int64 (T,) each, T = the sum of lengths: whose token it is, which one of that example,
      from 0; and a pair of arrays, its row and its position there.
    """
    example = np.repeat(np.arange(len(rows)), lengths)
    place = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return example, place, (rows[example], starts[example] + place)


def sums_before(rows, values):
    """The sum of the values before each element in its row; `rows` is ascending."""
    before = np.cumsum(values) - values
    first = np.searchsorted(rows, rows, side="left")
    return before - before[first] if len(rows) else before

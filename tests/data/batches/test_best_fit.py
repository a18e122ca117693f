"""Which examples share a row: each once, within the limits; and where their tokens stand."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from albert_hvd.data.batches.best_fit import pack, sums_before, token_places

SEQ = 32


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.integers(3, SEQ), min_size=1, max_size=60), st.integers(1, 6), st.integers(5, 20))
def test_rows_hold_each_example_once_within_the_limits(lengths, most_examples, most_predictions):
    lengths = np.array(lengths)
    predictions = np.minimum(lengths // 6 + 1, most_predictions)
    rows = pack(lengths, predictions, SEQ, most_predictions, most_examples)
    assert sorted(itertools.chain(*rows)) == list(range(len(lengths)))
    for row in rows:
        assert lengths[row].sum() <= SEQ and predictions[row].sum() <= most_predictions and len(row) <= most_examples


def test_tokens_stand_one_behind_the_other_in_the_row_of_their_example():
    rows, lengths = np.array([0, 0, 2]), np.array([2, 3, 1])
    example, place, (row, position) = token_places(rows, sums_before(rows, lengths), lengths)
    assert example.tolist() == [0, 0, 1, 1, 1, 2]
    assert place.tolist() == [0, 1, 0, 1, 2, 0]
    assert row.tolist() == [0, 0, 0, 0, 0, 2]
    assert position.tolist() == [0, 1, 2, 3, 4, 0]


def test_sums_begin_anew_in_each_row():
    assert sums_before(np.array([0, 0, 1, 1, 1]), np.array([5, 1, 2, 3, 4])).tolist() == [0, 5, 0, 2, 5]
    assert sums_before(np.zeros(0, np.int64), np.zeros(0, np.int64)).tolist() == []

"""Rows in batches of similar length: the cheapest division that there is."""

import functools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from albert_hvd.finetuning.length_batches import batches_by_length


def cost_of(batches, lengths, batch_cost):
    return sum(len(batch) * max(lengths[number] for number in batch) + batch_cost for batch in batches)


def cheapest(lengths, max_rows, max_positions, batch_cost):
    """The cost of the best of all divisions of the sorted rows, by trying each."""
    @functools.cache
    def of(rows):
        return min((of(rows[count:]) + count * rows[count - 1] + batch_cost for count in range(1, len(rows) + 1)
                    if count == 1 or count <= max_rows and count * rows[count - 1] <= max_positions), default=0)
    return of(tuple(sorted(lengths)))


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=14), st.integers(1, 6), st.integers(1, 200), st.integers(0, 100))
def test_every_row_once_within_bounds_at_the_least_cost(lengths, max_rows, max_positions, batch_cost):
    batches = batches_by_length(lengths, max_rows, max_positions, batch_cost)
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    for batch in batches:
        assert 0 < len(batch) <= max_rows
        assert len(batch) == 1 or len(batch) * max(lengths[number] for number in batch) <= max_positions
    assert cost_of(batches, lengths, batch_cost) == cheapest(lengths, max_rows, max_positions, batch_cost)


def test_shortest_first_and_rows_of_one_length_in_their_order():
    assert [batch.tolist() for batch in batches_by_length([9, 2, 9, 2, 9], 2, 100, 1)] == [[1, 3], [0, 2], [4]]


def test_mixed_texts_are_computed_with_little_padding():
    lengths = np.random.default_rng(1).gamma(2.0, 15.0, 256).astype(int) + 2  # tweets and news
    computed = cost_of(batches_by_length(lengths, 64, 8192, 64), lengths, 0)
    assert computed < 1.25 * lengths.sum()
    in_order = cost_of(np.split(np.arange(256), 8), lengths, 0)
    assert in_order > 2.5 * lengths.sum()

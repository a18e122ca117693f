"""Rows of bytes, put together in one buffer, against joined bytes objects."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from albert_hvd.data.records.byte_rows import ByteRows, copy_rows


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.integers(1, 6), st.lists(st.one_of(st.integers(0, 5), st.just("ragged"), st.binary(max_size=4)), max_size=6),
       st.integers(0, 2**32))
def test_rows_are_their_parts_one_after_the_other(num_rows, kinds, seed):
    generator = np.random.default_rng(seed)
    rows, expected = ByteRows(num_rows), [b""] * num_rows
    for kind in kinds:
        if kind == "ragged":  # also last, where a longer one would reach into the next row
            lengths = generator.integers(0, 9, num_rows)
            starts = generator.integers(0, 7, num_rows)
            data = generator.integers(0, 256, 16, np.uint8)
            rows.add_ragged(data, starts, lengths)
            parts = [data[start:start + length].tobytes() for start, length in zip(starts, lengths)]
        elif isinstance(kind, bytes):
            rows.add(kind)
            parts = [kind] * num_rows
        else:
            columns = generator.integers(0, 256, (num_rows, kind), np.uint8)
            rows.add(columns)
            parts = [row.tobytes() for row in columns]
        expected = [before + part for before, part in zip(expected, parts)]
    rows.finish()
    assert rows.lengths.tolist() == list(map(len, expected))
    order = generator.permutation(num_rows)  # of the rows in the buffer, with a byte before each
    places = np.zeros(num_rows, np.int64)
    places[order] = np.cumsum(rows.lengths[order] + 1) - rows.lengths[order]
    buffer = np.full(int(rows.lengths.sum()) + num_rows, 255, np.uint8)
    rows.copy_to(buffer, places)
    assert buffer.tobytes() == b"".join(b"\xff" + expected[row] for row in order)


def test_rows_of_one_length():
    buffer = np.zeros(7, np.uint8)
    copy_rows(np.array([[1, 2], [3, 4]], np.uint8), buffer, np.array([4, 1]))
    copy_rows(np.zeros((2, 0), np.uint8), buffer, np.array([7, 7]))
    assert buffer.tolist() == [0, 3, 4, 0, 1, 2, 0]

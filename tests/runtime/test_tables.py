"""Tables as plain text: columns stand to the left or to the right, whatever their cells hold."""

import pytest

from albert_hvd.runtime.tables import aligned, named


def test_the_first_column_stands_to_the_left():
    assert aligned([("", "before", "after"), ("loss", "8.5", "7.25")]) == ["      before  after", "loss     8.5   7.25"]


def test_columns_that_stand_to_the_left_are_named():
    rows = [("rank", "host", "GPU"), ("0", "a", "none"), ("10", "long", "GPU:0")]
    assert aligned(rows, left=(1, 2)) == ["rank  host  GPU", "   0  a     none", "  10  long  GPU:0"]


def test_values_begin_in_one_column():
    assert named([("a", "1 b"), ("long", "2")]) == ["a     1 b", "long  2"]


def test_a_row_that_lacks_a_cell_is_an_error():
    with pytest.raises(ValueError):
        aligned([("a", "b"), ("c",)])

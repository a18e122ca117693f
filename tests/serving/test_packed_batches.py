"""Texts in batches of packed rows: each whole and once, within bounds, with little padding."""

import threading

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from albert_hvd.serving.packed_batches import batches_at_a_time, overlapped, packed_batches


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 700), max_size=60), st.integers(1, 9), st.integers(1, 2000))
def test_every_token_stands_in_one_place_within_bounds(lengths, max_examples, max_positions):
    lengths = np.array(lengths, np.int64)
    batches = packed_batches(lengths, max_examples, max_positions)
    assert sorted(number for batch in batches for number in batch.numbers) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch.numbers) <= max_examples and (batch.lengths == lengths[batch.numbers]).all()
        width = int(batch.lengths.max()) + 3
        layout = batch.layout(width)
        assert len(layout) == 1 or layout.size <= max_positions
        tokens = np.concatenate([number * width + np.arange(length) for number, length in enumerate(batch.lengths)])
        assert sorted(layout[layout >= 0]) == tokens.tolist()
        for number, row in enumerate(batch.rows):
            own = np.flatnonzero(layout[row] // width == number)
            assert (np.diff(own) == 1).all() and (np.diff(layout[row, own]) == 1).all()


def test_a_layout():
    (batch,) = packed_batches([3, 90, 2], 64, 1024)
    assert (batch.numbers.tolist(), batch.rows.tolist()) == ([1, 0, 2], [0, 0, 0])
    assert batch.layout(90).tolist() == [[*range(90), 90, 91, 92, 180, 181]]
    (batch,) = packed_batches([100, 90, 3], 64, 1024)
    assert (batch.numbers.tolist(), batch.rows.tolist()) == ([0, 2, 1], [0, 0, 1])
    assert batch.layout(100).tolist() == [[*range(100), 100, 101, 102], [*range(200, 290)] + [-1] * 13]


def test_rows_are_as_long_as_it_takes():
    assert packed_batches([7], 64)[0].layout(7).shape == (1, 7)
    assert packed_batches([38] * 16, 64)[0].layout(38).shape == (16, 38)  # not three in a row of 128
    shapes = [batch.layout(500).shape for batch in packed_batches([500, 9, 9, 200], 64)]
    assert shapes == [(1, 18), (1, 200), (1, 500)]


@pytest.mark.parametrize("devices, num_batches", [([], 3), (["a GPU"], 1)])
def test_a_cpu_takes_less_memory_for_more_batches(monkeypatch, devices, num_batches):
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: devices)
    batches = packed_batches([128] * 18, 64)
    assert [batch.layout(128).shape for batch in batches] == [(18 // num_batches, 128)] * num_batches


def test_mixed_texts_are_computed_with_little_padding():
    lengths = np.random.default_rng(1).gamma(2.0, 15.0, 256).astype(int) + 2  # tweets and news
    computed = sum(batch.layout(lengths.max()).size for batch in packed_batches(lengths, 64))
    assert computed < 1.03 * lengths.sum()


def test_no_texts():
    assert packed_batches([], 64) == []


def test_two_batches_at_a_time_for_a_small_model_on_several_threads(monkeypatch):
    devices, threads = [], 2
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: devices)
    monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: threads)
    assert (batches_at_a_time(312), batches_at_a_time(768)) == (2, 1)
    threads = 0  # as many as there are cores
    assert batches_at_a_time(312) == 2
    threads = 1
    assert batches_at_a_time(312) == 1
    devices, threads = ["a GPU"], 2
    assert batches_at_a_time(312) == 1


def test_batches_of_two_at_a_time_are_even_in_number_and_smaller():
    assert [batch.layout(128).shape for batch in packed_batches([128] * 13, 64, at_a_time=2)] == [(4, 128)] * 3 + [(1, 128)]
    assert [len(packed_batches([128] * rows, 64, at_a_time=2)) for rows in (4, 5)] == [1, 2]


@pytest.mark.parametrize("at_a_time", [1, 2, 3])
def test_results_come_in_the_order_of_the_batches(at_a_time):
    asked, second_is_done = [], threading.Event()

    def batches():
        for number in range(7):
            asked.append(number)
            yield number

    def compute(number):
        if number == 0 and at_a_time > 1:
            assert second_is_done.wait(60)  # the second is computed while the first is
        if number == 1:
            second_is_done.set()
        return number, threading.current_thread() is threading.main_thread()

    results = overlapped(compute, batches(), at_a_time)
    assert asked == [] and next(results) == (0, True)
    assert len(asked) == at_a_time  # no more batches than needed are made
    assert list(results) == [(number, number % at_a_time == 0) for number in range(1, 7)]


def test_an_error_of_another_thread_is_raised_here():
    def compute(number):
        if number == 3:
            raise ValueError("of batch 3")
        return number

    results, seen = overlapped(compute, range(9), 2), []
    with pytest.raises(ValueError, match="of batch 3"):
        for result in results:
            seen.append(result)
    assert seen == [0, 1, 2]

"""The order of the rows, their division over ranks, and padding."""

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from albert_hvd.finetuning.batches import epoch_batches, micro_batches, pad, slot_numbers
from albert_hvd.finetuning.encoding import Rows

LENGTHS = st.lists(st.integers(2, 60), min_size=1, max_size=300).map(np.array)


@settings(max_examples=40, deadline=None)
@given(lengths=LENGTHS, batch_size=st.integers(1, 40), seed=st.integers(0, 9), epoch=st.integers(0, 9))
def test_an_epoch_has_each_row_once(lengths, batch_size, seed, epoch):
    batches = epoch_batches(lengths, batch_size, seed, epoch)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert all(0 < len(batch) <= batch_size for batch in batches)
    assert len(batches) == len(epoch_batches(lengths, batch_size, seed + 1, epoch + 1))
    again = epoch_batches(lengths, batch_size, seed, epoch)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


def test_seed_and_epoch_give_other_orders():
    lengths = np.random.default_rng(1).integers(2, 60, 400)
    first, *others = (np.concatenate(epoch_batches(lengths, 8, seed, epoch)) for seed, epoch in
                      ((1, 0), (1, 1), (2, 0)))
    assert not any(np.array_equal(first, other) for other in others)


def test_rows_of_a_batch_are_of_similar_length():
    lengths = np.random.default_rng(1).integers(2, 100, 3200)
    padded = sum(len(batch) * lengths[batch].max() for batch in epoch_batches(lengths, 32, 1, 0))
    assert padded < 1.1 * lengths.sum()  # in random order: about 1.9


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 1500), max_size=40))
def test_micro_batches_hold_each_row_once_and_few_positions(lengths):
    numbers = np.arange(len(lengths))[::-1] + 3
    lengths = np.array([9, 9, 9, *lengths])
    parts = micro_batches(lengths, numbers)
    assert sorted(np.concatenate(parts)) == sorted(numbers)
    assert all(len(part) == 1 or len(part) * lengths[part].max() <= 1024 for part in parts if len(numbers))


def test_a_batch_is_cut_only_where_it_pays():
    lengths = np.array([20] * 32 + [128] * 16 + [10] * 16 + [60] * 16)
    assert [len(part) for part in micro_batches(lengths, np.arange(32))] == [32]
    assert [len(part) for part in micro_batches(lengths, np.arange(32, 48))] == [8, 8]
    assert [list(part) for part in micro_batches(lengths, np.arange(48, 80))] == [
        list(range(48, 64)), list(range(64, 80))]
    assert [part.tolist() for part in micro_batches(lengths, np.arange(0))] == [[]]


def make_rows():
    ids = [np.arange(n, dtype=np.int32) + 10 for n in (3, 9, 5)]
    positions = [np.array([1], np.int32), np.array([1, 3, 4], np.int32), np.array([2, 3], np.int32)]
    return Rows(ids, positions, np.array([0, 1, 4]), np.arange(3), np.array([1, 3, 2]), 12, 0, 0)


def test_padding():
    rows = make_rows()
    gold, weights = np.array([5, 1, 2, 3, 6, 7]), np.array([.5, 1, 2, 3, 4, 5], np.float32)
    batch = pad(rows, np.array([1, 2]), 99, gold, weights)
    assert batch["input_ids"].shape == (2, 10)
    assert pad(dataclasses.replace(rows, max_seq_length=9), np.array([1, 2]), 99)["input_ids"].shape == (2, 9)
    assert list(batch["input_ids"][1]) == [10, 11, 12, 13, 14] + [99] * 5
    assert list(batch["input_mask"].sum(axis=1)) == [9, 5]
    assert batch["labels"][:, :4].tolist() == [[1, 2, 3, 0], [6, 7, 0, 0]]
    assert batch["weights"][:, :4].tolist() == [[1, 2, 3, 0], [4, 5, 0, 0]]
    assert batch["positions"][:, :4].tolist() == [[1, 3, 4, 0], [2, 3, 0, 0]]
    assert list(slot_numbers(rows, [1, 2])) == [1, 2, 3, 4, 5]


def test_a_rank_without_a_row_gets_padding():
    batch = pad(make_rows(), np.array([], np.int64), 99, np.arange(6))
    assert batch["input_mask"].sum() == 3 and batch["weights"].sum() == 0 and batch["input_ids"].shape == (1, 4)

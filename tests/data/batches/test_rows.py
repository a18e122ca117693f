"""Which records are read, by whom and when: for any number of shards, ranks and batches."""

import itertools
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpus import make_documents, make_tokenizer, write_documents

from albert_hvd.data.batches import rows as batches_of_rows
from albert_hvd.data.batches.dynamic_masking import DynamicMasking
from albert_hvd.data.batches.rows import TrainingBatches, evaluation_batches
from albert_hvd.data.records.build import ExampleOptions, build
from albert_hvd.data.records.dataset import RecordDataset
from albert_hvd.data.records.masking import unmask
from albert_hvd.errors import InputError


class NumberedRecords:
    """Stands in for a RecordDataset: record n has input_ids [n, n, ...] and `lengths[n]` tokens, of one without them 1."""

    sources = ()

    def __init__(self, num_records, lengths=None):
        self.num_records = num_records
        self._lengths = np.ones(num_records, int) if lengths is None else np.array(lengths)

    def read(self, numbers):
        ones, places = np.ones((len(numbers), 1), np.float32), np.arange(self._lengths.max())
        is_token = places < self._lengths[numbers, None]
        return {"input_ids": np.where(is_token, numbers[:, None], -1), "input_mask": is_token.astype(np.int32),
                "masked_lm_weights": ones, "sentence_weights": ones}


def take(dataset, batch_size, rank, size, count, **settings):
    batches = TrainingBatches(dataset, batch_size, rank, size, seed=3, **settings)
    records = [batch["input_ids"][:, 0].tolist() for batch in itertools.islice(batches, count)]
    batches.close()
    return records, batches.position


@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 4), st.integers(1, 12))
def test_each_record_once_per_epoch_for_any_ranks(num_records, rows, size, count):
    dataset, batch_size = NumberedRecords(num_records), rows * size
    ranks = [take(dataset, batch_size, rank, size, count)[0] for rank in range(size)]
    together = [record for step in zip(*ranks) for part in step for record in part]
    assert together == [record for batch in take(dataset, batch_size, 0, 1, count)[0] for record in batch]
    for start in range(0, len(together) - num_records + 1, num_records):
        assert sorted(together[start:start + num_records]) == list(range(num_records))
    rest = together[len(together) // num_records * num_records:]
    assert len(set(rest)) == len(rest)


@settings(derandomize=True, max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 6), st.integers(0, 6), st.integers(1, 6))
def test_resume_goes_on_with_the_next_record(num_records, batch_size, before, after):
    dataset = NumberedRecords(num_records)
    whole, _ = take(dataset, batch_size, 0, 1, before + after)
    _, position = take(dataset, batch_size, 0, 1, before)
    assert position == before * batch_size
    assert take(dataset, batch_size, 0, 1, after, start_record=position)[0] == whole[before:]


def test_epochs_have_orders_of_their_own_and_the_seed_decides():
    records, _ = take(NumberedRecords(30), 30, 0, 1, 3)
    assert len({tuple(epoch) for epoch in records}) == 3
    other = TrainingBatches(NumberedRecords(30), 30, 0, 1, seed=4)
    assert next(other)["input_ids"][:, 0].tolist() != records[0] and other.epoch == 1
    other.close()


def test_the_transform_sees_epoch_and_record():
    def note(batch, epochs, numbers):
        return {"epochs": epochs, "numbers": numbers, **batch}

    batches = TrainingBatches(NumberedRecords(5), 4, 1, 2, seed=0, transform=note)
    epochs = np.concatenate([next(batches)["epochs"] for _ in range(5)])
    assert epochs.tolist() == [0, 0, 1, 1, 2, 2, 2, 3, 3, 3]
    batches.close()


def test_dynamic_masks_depend_on_epoch_and_record_alone(tmp_path):
    path = write_documents(tmp_path / "a.txt", make_documents(30))
    tokenizer = make_tokenizer(tmp_path)
    build(str(path), tokenizer.path, str(tmp_path / "a.tfrecord"), ExampleOptions(64, 10, dupe_factor=1),
          report=lambda line: None)
    dataset = RecordDataset([str(tmp_path / "a.tfrecord")], 64, 10)
    remask, numbers = DynamicMasking(tokenizer, seed=1), np.arange(dataset.num_records)
    batch = dataset.read(numbers)
    fields = ("input_ids", "masked_lm_positions", "masked_lm_ids", "masked_lm_weights")
    first, again, second = (remask(batch, np.full(len(numbers), epoch), numbers) for epoch in (0, 0, 1))
    assert all((first[field] == again[field]).all() for field in fields)
    assert (first["masked_lm_positions"] != second["masked_lm_positions"]).any(axis=1).mean() > 0.8
    originals = [unmask(*(masked[field] for field in fields)) for masked in (batch, first, second)]
    assert all((original == originals[0]).all() for original in originals)
    part = remask(dataset.read(numbers[5:8]), np.zeros(3, int), numbers[5:8])
    assert all((part[field] == first[field][5:8]).all() for field in fields)


def test_errors_of_the_thread_reach_the_consumer():
    class Broken(NumberedRecords):
        def read(self, numbers):
            raise InputError("damaged")

    batches = TrainingBatches(Broken(4), 2, 0, 1, seed=0)
    with pytest.raises(InputError, match="damaged"):
        next(batches)
    batches.close()
    assert batches.position == 0 and batches.wait_seconds >= 0


@pytest.mark.parametrize("batch_size, size", [(5, 2), (0, 1), (2, 3)])
def test_ranks_must_divide_the_batch(batch_size, size):
    with pytest.raises(InputError, match=f"^train_batch_size={batch_size}: .*try"):
        TrainingBatches(NumberedRecords(4), batch_size, 0, size, seed=0)
    with pytest.raises(InputError, match=f"^eval_batch_size={batch_size}"):
        list(evaluation_batches(NumberedRecords(4), batch_size, 0, size))


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 24), min_size=1, max_size=40), st.integers(1, 5), st.integers(1, 4),
       st.sampled_from([0, 1, 8]), st.sampled_from([5, 2048]))
def test_evaluation_reads_each_record_once_and_whole(lengths, rows, size, width_step, at_once):
    dataset = NumberedRecords(len(lengths), lengths)
    with mock.patch.object(batches_of_rows, "_SORTED_RECORDS", at_once):
        ranks = [list(evaluation_batches(dataset, rows * size, rank, size, width_step=width_step)) for rank in range(size)]
    assert len(set(map(len, ranks))) == 1
    seen = []
    for batch in itertools.chain(*ranks):
        width = batch["input_ids"].shape[1]
        assert batch["input_ids"].shape == batch["input_mask"].shape == (rows, width)
        real = batch["sentence_weights"][:, 0] > 0
        assert (batch["masked_lm_weights"][:, 0] == real).all()
        tokens = batch["input_mask"].sum(axis=1)
        assert tokens[real].tolist() == [lengths[number] for number in batch["input_ids"][real, 0]]
        whole = -(-tokens.max() // width_step) * width_step if width_step else max(lengths)
        assert width == min(whole, max(lengths))
        seen += batch["input_ids"][real, 0].tolist()
    assert sorted(seen) == list(range(len(lengths)))


def test_evaluation_puts_records_of_similar_length_together():
    batches = list(evaluation_batches(NumberedRecords(6, [9, 1, 5, 2, 9, 3]), 2, 0, 1, width_step=1))
    assert [batch["input_ids"][:, 0].tolist() for batch in batches] == [[1, 3], [5, 2], [0, 4]]
    assert [batch["input_ids"].shape[1] for batch in batches] == [2, 5, 9]
    in_order = list(evaluation_batches(NumberedRecords(6, [9, 1, 5, 2, 9, 3]), 2, 0, 1))
    assert [batch["input_ids"][:, 0].tolist() for batch in in_order] == [[0, 1], [2, 3], [4, 5]]


def test_evaluation_stops_after_max_batches():
    assert len(list(evaluation_batches(NumberedRecords(40), 4, 0, 2, max_batches=3))) == 3

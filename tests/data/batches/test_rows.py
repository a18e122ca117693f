"""Which records are read, by whom and when: for any number of shards, ranks and batches."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpus import make_documents, make_tokenizer, write_documents

from albert_hvd.data.batches.dynamic_masking import DynamicMasking
from albert_hvd.data.batches.rows import TrainingBatches, evaluation_batches
from albert_hvd.data.records.build import ExampleOptions, build
from albert_hvd.data.records.dataset import RecordDataset
from albert_hvd.data.records.masking import unmask
from albert_hvd.errors import InputError


class NumberedRecords:
    """Stands in for a RecordDataset: record n has input_ids [n] and length 1."""

    sources = ()

    def __init__(self, num_records):
        self.num_records = num_records

    def read(self, numbers):
        ones = np.ones((len(numbers), 1), np.float32)
        return {"input_ids": numbers[:, None], "masked_lm_weights": ones, "sentence_weights": ones}


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


@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 4))
def test_evaluation_reads_each_record_once(num_records, rows, size):
    ranks = [list(evaluation_batches(NumberedRecords(num_records), rows * size, rank, size)) for rank in range(size)]
    assert len(set(map(len, ranks))) == 1
    seen = []
    for batch in itertools.chain(*ranks):
        assert batch["input_ids"].shape == (rows, 1)
        real = batch["sentence_weights"][:, 0] > 0
        assert (batch["masked_lm_weights"][:, 0] == real).all()
        seen += batch["input_ids"][real, 0].tolist()
    assert sorted(seen) == list(range(num_records))


def test_evaluation_stops_after_max_batches():
    assert len(list(evaluation_batches(NumberedRecords(40), 4, 0, 2, max_batches=3))) == 3

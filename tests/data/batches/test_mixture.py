"""A mixture: exact weights, the same records of a step on any number of ranks, any position found again."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_packed_rows import Examples
from test_rows import NumberedRecords

from albert_hvd.data.batches import order
from albert_hvd.data.batches.mixture import MixedOrder
from albert_hvd.data.batches.packed_rows import PackedTrainingBatches
from albert_hvd.data.batches.rows import TrainingBatches
from albert_hvd.data.records.sources import make_sources


def sources_of(pairs):
    """`Source`s of (number of records, weight)."""
    return make_sources([(str(number), weight, ["a"]) for number, (_, weight) in enumerate(pairs)],
                        [count for count, _ in pairs])


PAIRS = st.lists(st.tuples(st.integers(1, 60), st.sampled_from([0.5, 1, 1.5, 2, 3, 0.3, 7])), min_size=1, max_size=4).filter(
    lambda pairs: all(count * weight >= 0.5 for count, weight in pairs))
SEEDS = st.integers(0, 2**31 - 1)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(PAIRS, SEEDS, st.booleans())
def test_each_source_is_read_in_whole_passes_at_its_weight(pairs, seed, in_lanes):
    sources, epochs = sources_of(pairs), 4
    with pytest.MonkeyPatch.context() as patch:
        if in_lanes:
            for name, value in (("TABLE", 6), ("LANES", 4), ("CHUNK", 3)):
                patch.setattr(order, name, value)
        made = MixedOrder(sources, seed)
        numbers, passes = made.take(0, epochs * made.epoch_size)
    for source in sources:
        own = (numbers >= source.first) & (numbers < source.first + source.num_records)
        assert own.reshape(epochs, -1).sum(axis=1).tolist() == [source.per_epoch] * epochs
        # Each record once in each pass, pass after pass.
        assert (passes[own] == np.arange(own.sum()) // source.num_records).all()
        for start in range(0, own.sum() - source.num_records + 1, source.num_records):
            part = numbers[own][start:start + source.num_records] - source.first
            assert sorted(part) == list(range(source.num_records))


def test_twice_each_and_another_half():
    sources = sources_of([(30, 2), (40, 0.5)])
    numbers, _ = MixedOrder(sources, 5).take(0, 2 * 80)
    first, second = numbers.reshape(2, 80)
    for epoch in (first, second):
        assert (np.bincount(epoch[epoch < 30], minlength=30) == 2).all()
    halves = [set(epoch[epoch >= 30].tolist()) for epoch in (first, second)]
    assert [len(half) for half in halves] == [20, 20] and halves[0] | halves[1] == set(range(30, 70))


@settings(derandomize=True, max_examples=100, deadline=None)
@given(PAIRS, SEEDS, st.data())
def test_any_stretch_is_found_alone_and_has_its_share(pairs, seed, data):
    sources = sources_of(pairs)
    made = MixedOrder(sources, seed)
    whole = made.take(0, 3 * made.epoch_size)
    start = data.draw(st.integers(0, 3 * made.epoch_size - 1))
    count = data.draw(st.integers(1, 3 * made.epoch_size - start))
    for found, wanted in zip(MixedOrder(sources, seed).take(start, count), whole):
        assert (found == wanted[start:start + count]).all()
    numbers = whole[0][start:start + count]
    for number, source in enumerate(sources):
        own = ((numbers >= source.first) & (numbers < source.first + source.num_records)).sum()
        assert abs(own - count * source.per_epoch / made.epoch_size) <= 2 * (number + 1)


def test_sources_of_one_size_have_orders_of_their_own():
    numbers, _ = MixedOrder(sources_of([(40, 1), (40, 1)]), 3).take(0, 80)
    assert (numbers[numbers < 40] != numbers[numbers >= 40] - 40).any()


def mixed(kind):
    dataset = NumberedRecords(70) if kind is TrainingBatches else Examples(np.random.default_rng(0).integers(3, 32, 70))
    dataset.sources = sources_of([(30, 2), (40, 0.5)])
    return dataset


@pytest.mark.parametrize("kind", [TrainingBatches, PackedTrainingBatches])
def test_batches_of_a_mixture_are_the_same_on_any_ranks_and_after_a_resume(kind):
    def take(count, rank=0, size=1, start_record=0):
        batches = kind(mixed(kind), 6, rank, size, 4, start_record=start_record)
        taken = [(batch, batches.position, batches.epoch) for batch in itertools.islice(batches, count)]
        batches.close()
        return taken

    whole = take(40)
    assert whole[-1][2] >= 2 and whole[-1][1] // 80 == whole[-1][2]
    ranks = [take(40, rank, 3) for rank in range(3)]
    for step, (batch, position, _) in enumerate(whole):
        for field, values in batch.items():
            assert (np.concatenate([rank[step][0][field] for rank in ranks]) == values).all()
        assert ranks[1][step][1] == position
    for (batch, position, _), (again, place, _) in zip(whole[17:], take(23, start_record=whole[16][1])):
        assert position == place and all((batch[field] == again[field]).all() for field in batch)


def test_batches_name_the_source_of_each_record():
    batches = TrainingBatches(mixed(TrainingBatches), 40, 0, 1, 4)
    batch = next(batches)
    batches.close()
    assert batch["source_numbers"].dtype == np.int32
    assert (batch["source_numbers"] == (batch["input_ids"] >= 30)).all() and 0 < batch["source_numbers"].sum() < 40
    packed = PackedTrainingBatches(mixed(PackedTrainingBatches), 4, 0, 1, 4)
    batch = next(packed)
    packed.close()
    for row, number in zip(*np.nonzero(batch["sentence_weights"])):
        record = batch["input_ids"][row, batch["cls_positions"][row, number]] // 1000
        assert batch["source_numbers"][row, number] == (record >= 30)

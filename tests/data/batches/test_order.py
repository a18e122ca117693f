"""The order of an epoch: each record once, whatever the number of records, and neighbours apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albert_hvd.data.batches import order
from albert_hvd.data.batches.order import RecordOrder, epoch_order, lane_size


@pytest.fixture(scope="module", autouse=True)
def small_lanes():
    """Lanes of a size that hypothesis can try."""
    before = {name: getattr(order, name) for name in ("TABLE", "LANES", "CHUNK")}
    order.TABLE, order.LANES, order.CHUNK = 20, 6, 5
    yield before
    for name, value in before.items():
        setattr(order, name, value)


SIZES, SEEDS = st.integers(1, 400), st.integers(0, 2**31 - 1)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(SIZES, SEEDS, st.sampled_from([1, 2]))
def test_each_epoch_has_each_record_once(num_records, seed, version):
    numbers, passes = RecordOrder(num_records, seed, version).take(0, 3 * num_records)
    epochs = numbers.reshape(3, num_records)
    assert (np.sort(epochs, axis=1) == np.arange(num_records)).all()
    assert (passes == np.repeat(np.arange(3), num_records)).all()


@settings(derandomize=True, max_examples=200, deadline=None)
@given(SIZES, SEEDS, st.data())
def test_any_stretch_of_positions_is_found_alone(num_records, seed, data):
    whole, _ = RecordOrder(num_records, seed).take(0, 3 * num_records)
    start = data.draw(st.integers(0, 3 * num_records - 1))
    count = data.draw(st.integers(1, 3 * num_records - start))
    assert (RecordOrder(num_records, seed).take(start, count)[0] == whole[start:start + count]).all()


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.integers(21, 400), SEEDS)
def test_as_many_positions_as_lanes_hold_records_of_different_chunks(num_records, seed):
    _, chunk = lane_size(num_records)
    made = order._LanesEpoch(seed, 0, num_records)
    numbers = (made.records(np.arange(made._in_lanes)) - made._shift) % num_records
    assert made._in_lanes % order.LANES == 0 and num_records - made._in_lanes < order.LANES * (1 + lane_size(num_records)[0])
    chunks = numbers // chunk
    for start in range(len(chunks) - order.LANES + 1):
        assert len(set(chunks[start:start + order.LANES].tolist())) == order.LANES


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.integers(21, 400), SEEDS)
def test_a_lane_reads_on_where_it_read(num_records, seed):
    chunks, chunk = lane_size(num_records)
    numbers, _ = RecordOrder(num_records, seed).take(0, order.LANES * chunks * chunk)
    lanes = numbers.reshape(-1, order.LANES)
    goes_on = (lanes[1:] - lanes[:-1]) % num_records == 1
    # A lane jumps where a chunk ends, and its first chunk is its last one too, unless it begins where that begins.
    assert ((~goes_on).sum(axis=0) <= chunks).all()


@settings(derandomize=True, max_examples=50, deadline=None)
@given(SIZES, SEEDS, st.integers(0, 3))
def test_runs_of_the_first_version_and_small_corpora_keep_their_order(num_records, seed, epoch):
    wanted = np.random.Generator(np.random.PCG64([seed, epoch])).permutation(num_records)
    assert (epoch_order(seed, epoch, num_records) == wanted).all()
    for version in (1, 2) if num_records <= order.TABLE else (1,):
        made = RecordOrder(num_records, seed, version)
        assert (made.take(epoch * num_records, num_records)[0] == wanted).all() and not made.is_in_stretches


def test_seeds_and_epochs_have_orders_of_their_own():
    one, other = (RecordOrder(300, seed).take(0, 900)[0].reshape(3, 300) for seed in (1, 2))
    orders = [tuple(epoch) for epoch in (*one, *other)]
    assert len(set(orders)) == 6


def test_a_record_comes_at_any_time_of_an_epoch():
    """Over many epochs its mean place is the middle, and its places spread as uniform ones do (n = 4000: 4 sigma)."""
    places = np.array([np.argsort(RecordOrder(120, seed).take(0, 120)[0])[[0, 1, 60, 119]] for seed in range(4000)])
    assert (np.abs(places.mean(axis=0) - 59.5) < 4 * np.sqrt(120**2 / 12 / 4000)).all()
    for share in (0.25, 0.5, 0.75):
        assert (np.abs((places < 120 * share).mean(axis=0) - share) < 4 * np.sqrt(share * (1 - share) / 4000)).all()


def test_real_sizes(small_lanes, monkeypatch):
    for name, value in small_lanes.items():
        monkeypatch.setattr(order, name, value)
    num_records = 3_000_001
    made = RecordOrder(num_records, 7)
    numbers, _ = made.take(0, num_records)
    assert made.is_in_stretches and np.bincount(numbers, minlength=num_records).max() == 1
    for start in (0, 1_234_567, 2_000_000):
        batch = np.sort(numbers[start:start + 4096])
        # Neighbours, such as records of one document, come together by chance alone: about 4096**2 / N = 6 of pairs.
        assert (np.diff(batch) == 1).sum() < 30
    assert 0 < num_records - made._epochs[0]._in_lanes < num_records / 100

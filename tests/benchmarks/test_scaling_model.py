"""The cost model of training on many ranks: its formulas, and that a fit finds the link again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albert_hvd.model.config import AlbertConfig
from benchmarks.model_flops import training_flops, work_of
from benchmarks.scaling_model import (GPU_COUNTS, Cluster, Link, Measurement, System, Training, fit_link,
                                      hierarchical_seconds, num_nodes, predict_models, predict_update,
                                      relative_residuals, ring_seconds)

LINK = Link(latency_sec=0.5, bytes_per_sec=100.0)
CLUSTER = Cluster(4, inside=Link(0.25, 1000.0), between=LINK)

message_bytes, num_ranks = st.integers(1, 10**10), st.integers(1, 1000)
links = st.builds(Link, st.floats(1e-7, 1e-2), st.floats(1e6, 1e12))


def test_a_ring_by_hand():
    # 3 times a quarter of 80 bytes while summing, and 3 times while gathering.
    assert ring_seconds(80, 4, LINK) == 6 * (0.5 + 20 / 100)


def test_a_hierarchy_by_hand():
    inside, between = 6 * (0.25 + 20 / 1000), 2 * (0.5 + 40 / 100)
    assert hierarchical_seconds(80, 8, CLUSTER) == inside + between


def test_one_level_is_a_ring():
    assert hierarchical_seconds(80, 3, CLUSTER) == ring_seconds(80, 3, CLUSTER.inside)
    assert hierarchical_seconds(80, 3, CLUSTER._replace(ranks_per_node=1)) == ring_seconds(80, 3, CLUSTER.between)


def test_nodes_are_filled():
    assert [num_nodes(ranks, CLUSTER) for ranks in (1, 4, 5, 8, 9)] == [1, 1, 2, 2, 3]


@given(message_bytes, links)
def test_one_rank_does_not_communicate(size, link):
    assert ring_seconds(size, 1, link) == hierarchical_seconds(size, 1, Cluster(8, link, link)) == 0.0


@given(message_bytes, message_bytes, num_ranks, num_ranks, links)
def test_more_bytes_or_ranks_take_longer(size, more_bytes, ranks, more_ranks, link):
    seconds = ring_seconds(size, ranks, link)
    assert ring_seconds(size + more_bytes, ranks, link) >= seconds
    assert ring_seconds(size, ranks + more_ranks, link) > seconds


def test_an_update_by_hand():
    training = Training(AlbertConfig(vocab_size=100), 10, 8, 32, 4, train_batch_size=6)
    flops = 6 * training_flops(training.config, work_of(np.array([32]), 4))
    assert (training.flops, training.message_bytes) == (flops, 80)
    system = System("a", CLUSTER, memory_bytes_per_sec=240.0, sources=())
    cost = predict_update(training, flops / 60, 3, system)
    assert cost == pytest.approx((20.0, ring_seconds(80, 3, CLUSTER.inside), 10 * 12 * 4 / 240))
    assert cost.seconds == pytest.approx(22.0 + cost.allreduce_sec)
    alone = predict_update(training, flops / 60, 1, system)
    assert alone == pytest.approx((60.0, 0.0, 2.0))
    row = predict_models({"tiny": training}, {system: flops / 60}, missing_sec=1.0)[0]
    assert (row["system"], row["model"], row["GPUs"]) == ("a", "tiny", GPU_COUNTS[0]) and GPU_COUNTS[0] == 3
    assert row["efficiency %"] == pytest.approx(100 * 62.0 / (3 * cost.seconds))
    assert row["efficiency %, slower"] == pytest.approx(100 * 62.0 / (3 * (cost.seconds + 1.0)))


def made_up(link, ranks=(2, 4, 8)):
    return [Measurement(n, size, ring_seconds(size, n, link)) for n in ranks for size in (4, 4096, 10**6, 5 * 10**7)]


@given(links)
def test_a_fit_finds_the_link_of_exact_times(link):
    assert fit_link(made_up(link)) == pytest.approx(link, rel=1e-5)
    assert fit_link(made_up(link, ranks=(2,))) == pytest.approx(link, rel=1e-5)


def test_a_term_that_would_be_negative_is_left_out():
    no_longer_with_size = [Measurement(2, size, 2.0 - size / 1e9) for size in (4, 4000, 40000)]
    assert fit_link(no_longer_with_size) == (pytest.approx(1.0, rel=1e-3), float("inf"))
    faster_than_bandwidth = [Measurement(2, 100, 0.5), Measurement(2, 1000, 10.0)]
    assert fit_link(faster_than_bandwidth).latency_sec == 0.0


def test_a_fit_wants_two_measurements():
    with pytest.raises(ValueError, match="two are the least"):
        fit_link([Measurement(2, 4, 1.0)])


def test_residuals_are_shares_of_what_was_measured():
    assert relative_residuals([Measurement(2, 100, 4.0), Measurement(2, 100, 1.0)], LINK) == [-0.5, 1.0]

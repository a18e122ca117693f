"""The batch arithmetic."""

import pytest
from hypothesis import given, strategies as st

from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.training import batch_plan
from albert_hvd.training.batch_plan import (activation_bytes_per_row, gpu_memory_per_rank, plan_batch,
                                            smaller_micro_batches)


@given(rows=st.integers(1, 200), size=st.integers(1, 8), row_bytes=st.integers(1, 100), memory=st.integers(1, 2000))
def test_parts_make_the_whole_and_fit_when_one_row_does(rows, size, row_bytes, memory):
    plan = plan_batch(rows * size, size, 0, row_bytes, memory)
    assert plan.micro_batch_size * plan.accumulation_steps * plan.size == rows * size
    assert plan.micro_batch_size * row_bytes <= memory or plan.micro_batch_size == 1


def test_without_a_limit_the_rank_takes_its_rows_at_once():
    assert plan_batch(120, 3, 0, 10**9, None).micro_batch_size == 40


@pytest.mark.parametrize("batch, size, accumulation, named", [
    (10, 3, 1, "train_batch_size=10"), (2, 3, 0, "such as 3"), (12, 3, 3, "accumulation_steps=3")])
def test_what_does_not_divide_is_refused(batch, size, accumulation, named):
    with pytest.raises(InputError, match=named):
        plan_batch(batch, size, accumulation, 1, None)


def test_the_estimate_knows_precision_and_recomputation():
    base = AlbertConfig(vocab_size=32000)
    whole = activation_bytes_per_row(base, 512)
    half = activation_bytes_per_row(base, 512, "bfloat16")
    assert half == activation_bytes_per_row(base, 512, "float16")
    assert whole / 2 < half < whole  # softmax stays float32
    # Twelve layers kept, against twelve inputs and one layer with its gradients.
    assert 4 < whole / activation_bytes_per_row(base, 512, recompute=True) < 12
    assert activation_bytes_per_row(base, 128) < whole / 4


def test_what_recomputation_saves_goes_into_larger_micro_batches():
    base = AlbertConfig(vocab_size=32000)
    plans = [plan_batch(64, 1, 0, activation_bytes_per_row(base, 512, recompute=recompute), 8 * 2**30)
             for recompute in (False, True)]
    assert plans[1].micro_batch_size > plans[0].micro_batch_size


def test_a_rank_may_use_most_of_what_its_gpu_has_free(monkeypatch):
    monkeypatch.setattr(batch_plan, "free_gpu_memory", {"gpu": 70 * 2**30, "unknown": None}.get)
    assert gpu_memory_per_rank("gpu") == 56 * 2**30
    assert gpu_memory_per_rank("gpu", ranks_per_gpu=2) == 28 * 2**30
    # Nobody to ask: no reason to take it for endless.
    assert gpu_memory_per_rank("unknown") == gpu_memory_per_rank("gpu") * 8 // 70


def test_smaller_micro_batches_go_down_to_one_row():
    plan, sizes = plan_batch(36, 3, 1, 1, None), []
    while plan:
        sizes.append(plan.micro_batch_size)
        assert plan.micro_batch_size * plan.accumulation_steps * plan.size == 36
        plan = smaller_micro_batches(plan)
    assert sizes == [12, 6, 4, 3, 2, 1]


# What was measured on a GPU: the difference of peak memory between two numbers of rows (docs/benchmarks.md), in MiB.
@pytest.mark.parametrize("config, positions, predictions, attention, measured", [
    (AlbertConfig(vocab_size=32000), 512, 51, "cudnn", 154), (AlbertConfig(vocab_size=32000), 512, 51, "plain", 370),
    (AlbertConfig(vocab_size=32000), 128, 12, "cudnn", 38.4), (AlbertConfig(vocab_size=32000), 128, 12, "plain", 51.8)])
def test_the_estimate_for_gpus_is_near_what_was_measured(config, positions, predictions, attention, measured):
    estimate = activation_bytes_per_row(config, positions, "bfloat16", xla=True, attention=attention,
                                        max_predictions_per_seq=predictions)
    assert estimate / 2**20 == pytest.approx(measured, rel=0.15)

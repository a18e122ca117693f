"""Devices and threads of a rank, without a launcher."""

import pytest

from albert_hvd import distributed
from albert_hvd.errors import InputError

GPUS = ["gpu0", "gpu1", "gpu2"]


def test_each_local_rank_has_its_own_gpu():
    assert [distributed.gpus_of_rank(GPUS, rank, 3) for rank in range(3)] == [["gpu0"], ["gpu1"], ["gpu2"]]


def test_no_gpu_is_no_device():
    assert distributed.gpus_of_rank([], 1, 3) == []


def test_more_ranks_than_gpus_are_refused():
    with pytest.raises(InputError, match="4 ranks on a node that shows 3 GPUs"):
        distributed.gpus_of_rank(GPUS, 0, 4)


def test_a_gpu_given_per_task_is_taken_by_each_rank(monkeypatch):
    monkeypatch.setenv("SLURM_GPUS_PER_TASK", "1")
    assert [distributed.gpus_of_rank(["gpu0"], rank, 3) for rank in range(3)] == [["gpu0"]] * 3


def test_ranks_share_the_cores(monkeypatch):
    monkeypatch.setattr(distributed.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert [distributed.threads_per_rank(ranks) for ranks in (1, 3, 8, 20)] == [8, 2, 1, 1]


def test_a_single_process_needs_no_launcher():
    assert (distributed.rank(), distributed.size()) == (0, 1)
    assert distributed.broadcast_object({"a": 1}, "x") == {"a": 1}
    assert distributed.on_rank_0(lambda: 5, "x") == 5
    with pytest.raises(InputError, match="wrong"):
        distributed.on_rank_0(lambda: (_ for _ in ()).throw(InputError("wrong")), "x")

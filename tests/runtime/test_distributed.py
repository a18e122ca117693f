"""Devices and threads of a rank, without a launcher."""

import pytest

from albert_hvd.errors import InputError
from albert_hvd.runtime import distributed

def test_ranks_share_the_cores(monkeypatch):
    monkeypatch.setattr(distributed.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert [distributed.threads_per_rank(ranks) for ranks in (1, 3, 8, 20)] == [8, 2, 1, 1]


def test_a_single_process_needs_no_launcher():
    assert (distributed.rank(), distributed.size()) == (0, 1)
    assert distributed.broadcast_object({"a": 1}, "x") == {"a": 1}
    assert distributed.on_rank_0(lambda: 5, "x") == 5
    with pytest.raises(InputError, match="wrong"):
        distributed.on_rank_0(lambda: (_ for _ in ()).throw(InputError("wrong")), "x")

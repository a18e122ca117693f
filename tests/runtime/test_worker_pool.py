"""The processes of a data command: what they are given, and that they end with it."""

import pathlib
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT

from albert_hvd.runtime.worker_pool import OneProcess, PoolTeam, RankTeam, make_team

POOL = """
import os, time
from albert_hvd.runtime.worker_pool import worker_pool
pool = worker_pool(1)
print(pool.submit(os.getpid).result(), flush=True)
pool.submit(time.sleep, 1000).result()
"""


def is_running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_workers_end_when_the_command_is_killed():
    command = subprocess.Popen([sys.executable, "-c", POOL], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with command.stdout:
        worker = int(command.stdout.readline())
        assert is_running(worker)
        command.send_signal(signal.SIGKILL)
        assert command.wait() == -signal.SIGKILL
    deadline = time.monotonic() + 60
    while is_running(worker):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("team", [OneProcess, lambda shared: PoolTeam(shared, 2)], ids=["one", "pool"])
def test_each_call_gets_what_is_shared_and_results_are_in_order(team):
    with team("abc") as team:
        assert list(team.map(str.count, "abcd")) == [1, 1, 1, 0]
        assert list(team.stream(str.count, iter("dcba" * 9))) == [0, 1, 1, 1] * 9
        assert team.on_rank_0(lambda: 7) == 7
        team.end_workers()


def test_a_pool_reads_ahead_by_a_bounded_number():
    read = []

    def items():
        for number in range(100):
            read.append(number)
            yield "a"

    with PoolTeam("abc", 1) as team:
        next(team.stream(str.count, items()))
    assert len(read) == 5


@pytest.mark.parametrize("size", [2, 3, 5])
def test_ranks_share_what_there_is(size):
    """Each item once, and no rank has two more than another."""
    shares = []
    for rank in range(size):
        team = RankTeam.__new__(RankTeam)
        team.rank, team.size, team._shared = rank, size, "abcdefg"
        shares.append(list(team.map(str.index, "gfedcba")))
    assert sorted(sum(shares, [])) == list(range(7)) and max(map(len, shares)) - min(map(len, shares)) <= 1


def test_the_team_is_as_large_as_asked_for():
    assert make_team(None, 1).width == 1
    with make_team(None, 3) as team:
        assert (team.width, team.size) == (3, 1)

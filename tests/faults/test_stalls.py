"""Ranks that are stopped, slow or suspended: who does not answer is named, and only a job that is stuck is aborted."""

import contextlib
import functools
import itertools
import os
import signal
import threading
import time

import pytest

from albert_hvd.run_folder.checkpoints import CheckpointFolder
from albert_hvd.run_folder.logs import write_status
from albert_hvd.runtime import stall_watch
from albert_hvd.runtime.stall_watch import StallWatch
from background_run import BackgroundRun
from conftest import own_lines, run_command
from pretraining_runs import flags, logged_lines, status

FOREVER = 1000000
ABORT_SEC = 8  # several times what a busy machine lets a rank wait
PLACES = [f"process {100 + rank} on node{rank}" for rank in range(3)]


class Ranks:
    """The watches of three ranks in one process, which they do not end.

    Attributes:
      watches: by rank.
      last_words: {rank: what it gave up with}.
    """

    def __init__(self, folder, monkeypatch, capfd):
        self._folder, self._monkeypatch, self._capfd = folder, monkeypatch, capfd
        self._stack = contextlib.ExitStack()
        self.watches, self.last_words, self._errors = {}, {}, ""
        monkeypatch.setattr(stall_watch.distributed, "gather_objects", lambda value, name: PLACES)
        monkeypatch.setattr(stall_watch, "end_process", self._end)
        for constant, seconds in (("_TICK_SEC", 0.02), ("_ANSWER_SEC", 1), ("_OTHERS_SEC", 0.1)):
            monkeypatch.setattr(stall_watch, constant, seconds)

    def start(self, ranks, warn_sec, abort_sec):
        for rank in ranks:
            self._monkeypatch.setattr(stall_watch.distributed, "rank", lambda rank=rank: rank)
            self.watches[rank] = self._stack.enter_context(StallWatch(
                str(self._folder), warn_sec, abort_sec, functools.partial(write_status, str(self._folder), "failed")))
            self.watches[rank].progress(7)

    def _end(self, message):
        watch, = (watch for watch in self.watches.values() if watch._thread is threading.current_thread())
        self.last_words[watch._rank] = message
        watch._ended.wait()

    def wait_for_the_end(self):
        wait_for(lambda: len(self.last_words) == len(self.watches))

    def close(self):
        self._stack.close()

    def warnings(self):
        """All that there were so far."""
        self._errors += self._capfd.readouterr().err
        return [line for line in self._errors.splitlines() if line.startswith("warning: ")]


def wait_for(condition):
    while not condition():
        time.sleep(0.01)


@pytest.fixture
def ranks(tmp_path, monkeypatch, capfd):
    ranks = Ranks(tmp_path, monkeypatch, capfd)
    yield ranks
    ranks.close()


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_the_rank_that_does_not_answer_is_named_by_the_first_that_does(ranks, tmp_path, missing):
    answering = [rank for rank in range(3) if rank != missing]
    ranks.start(answering, warn_sec=0.2, abort_sec=3)
    ranks.wait_for_the_end()
    warning, = ranks.warnings()
    named = f"rank {missing} (process {100 + missing} on node{missing}) does not answer"
    assert named in warning and "at step 7" in warning and "aborting after 3 s (stall_abort_sec)" in warning
    first = ranks.last_words[answering[0]]
    assert named in first and "stall_abort_sec=3" in first and "\n" not in first
    assert not any(f"rank {rank} (" in first for rank in answering)
    assert named in status(tmp_path)["reason"] and status(tmp_path)["state"] == "failed"
    assert set(ranks.last_words) == set(answering)


def test_where_all_answer_it_says_where_each_is(ranks):
    ranks.start(range(3), warn_sec=0.2, abort_sec=3)
    ranks.wait_for_the_end()
    assert "all ranks answer: one is slow, or the network between them is lost" in ranks.last_words[0]
    assert ": rank 0, 1, 2)" in ranks.last_words[0]


def test_progress_takes_everything_back(ranks, tmp_path):
    ranks.start([0], warn_sec=0.1, abort_sec=0)
    for _ in range(2):
        wait_for((tmp_path / stall_watch.FOLDER).exists)
        ranks.watches[0].progress(8)
        wait_for(lambda: not (tmp_path / stall_watch.FOLDER).exists())
    assert ranks.last_words == {}


def test_the_answer_of_a_stall_does_not_stand_for_the_next(ranks, tmp_path):
    """It is taken back before the rank goes on: what stops it next may be its end."""
    ranks.start([0], warn_sec=0.1, abort_sec=0)
    wait_for((tmp_path / stall_watch.FOLDER / "rank-0.json").exists)
    ranks.watches[0].progress(8)
    assert not (tmp_path / stall_watch.FOLDER).exists()


def test_a_slow_rank_is_waited_for(ranks):
    """Each step takes longer than the warning's limit and less than the other."""
    ranks.start(range(3), warn_sec=0.1, abort_sec=1000)
    for step in range(3):
        wait_for(lambda: len(ranks.warnings()) > step)
        for watch in ranks.watches.values():
            watch.progress(step)
    assert ranks.last_words == {}
    assert all("all ranks answer" in warning for warning in ranks.warnings())


def test_a_suspended_job_has_not_waited(ranks, monkeypatch):
    """And neither has one whose clock jumps."""
    clock = itertools.count(0, 10**5)
    monkeypatch.setattr(stall_watch.time, "monotonic", lambda: next(clock))
    ranks.start(range(3), warn_sec=60, abort_sec=1800)
    wait_for(lambda: next(clock) > 10**7)
    assert ranks.warnings() == [] and ranks.last_words == {}


def test_zero_waits_for_ever(ranks):
    ranks.start([0, 2], warn_sec=0.1, abort_sec=0)
    wait_for(ranks.warnings)
    time.sleep(0.5)
    warning, = ranks.warnings()
    assert "aborting" not in warning and ranks.last_words == {}


def stop_and_be_named(run, rank):
    """Stop a rank until a warning names it; returns its process."""
    process = run.ranks()[rank]
    before = run.errors()
    process.send_signal(signal.SIGSTOP)
    named = f"rank {rank} (process {process.pid} on "
    run.wait_until(lambda: named in run.errors()[len(before):], f"a warning that names rank {rank}")
    assert f"aborting after {ABORT_SEC} s (--stall_abort_sec)" in run.errors()
    return process


@pytest.mark.parallel
@pytest.mark.tier("ci")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.tier("all")), 1])
def test_a_stopped_rank_is_named_and_given_up(training_files, tmp_path, fault_trials, rank):
    for trial in fault_trials(f"SIGSTOP of rank {rank} of 2", "named, aborted with one line and exit code 1, continues "
                              "when started again", short=1, full=3):
        output_dir = tmp_path / str(trial)
        run_flags = flags(training_files, output_dir, num_train_steps=FOREVER, stall_warn_sec=3,
                          stall_abort_sec=ABORT_SEC)
        with BackgroundRun(2, run_flags) as run:
            run.wait_until(lambda: logged_lines(output_dir) > 5, "its first checkpoint")
            stop_and_be_named(run, rank).send_signal(signal.SIGCONT)
            lines = logged_lines(output_dir)
            run.wait_until(lambda: logged_lines(output_dir) > lines + 5, "further steps")
            process = stop_and_be_named(run, rank)
            assert run.wait() == 1
            line, = own_lines(run, "pretrain")
        assert f"rank {rank} (process {process.pid} on " in line and "does not answer; aborted" in line
        assert "run the same command to continue from the last checkpoint" in line
        assert status(output_dir)["state"] == "failed"
        step = CheckpointFolder(str(output_dir / "checkpoints")).newest_valid()["step"]
        result = run_command("pretrain", ranks=2, **{**run_flags, "num_train_steps": step + 1})
        assert result.returncode == 0, result.stderr
        assert f"resuming at step {step}" in result.stdout


@pytest.mark.tier("ci")
@pytest.mark.timeout(3600)
def test_a_second_sigterm_does_not_break_the_save(training_files, tmp_path, fault_trials):
    """SIGTERM again and again, from the first to the end of the process."""
    for trial in fault_trials("SIGTERM again and again", "saved once, exit code 75", short=1, full=5):
        output_dir = tmp_path / str(trial)
        with BackgroundRun(0, flags(training_files, output_dir, num_train_steps=FOREVER)) as run:
            run.wait_until(lambda: logged_lines(output_dir) >= 2, "step 2")
            while run.is_running():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(run.pid, signal.SIGTERM)
                time.sleep(0.002)
            assert run.wait() == 75, run.errors()
            assert "Traceback" not in run.errors()
        stopped = status(output_dir)
        newest = CheckpointFolder(str(output_dir / "checkpoints")).newest_valid()
        assert (stopped["state"], stopped["step"]) == ("stopped", newest["step"])

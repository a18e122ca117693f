"""The decision whether a job goes back into the queue, without a Slurm."""

import json
import sys

import pytest

from conftest import ROOT

sys.path.append(str(ROOT / "slurm"))

import requeueing  # noqa: E402


def write_status(folder, state, step):
    (folder / "status.json").write_text(json.dumps({"state": state, "step": step, "reason": "", "time": step}))


def start(folder, state=None, step=0, checkpoint=None, job="7"):
    """One start of a job that leaves `state` and a checkpoint behind."""
    requeueing.begin(str(folder), job)
    if state:
        write_status(folder, state, step)
    if checkpoint is not None:
        (folder / "checkpoints" / f"step_{checkpoint:08d}").mkdir(parents=True)


def decide(folder, exit_code, signals=0, max_crashes=2):
    return requeueing.end(str(folder), exit_code, signals, max_crashes)


@pytest.mark.parametrize("state, exit_code, signals, requeue, reason", [
    ("finished", 0, 0, False, "finished"),
    ("finished", 0, 1, False, "finished"),        # the signal came with the last step
    ("finished", 143, 0, False, "finished"),      # srun lost the exit code
    (None, 0, 0, False, "finished"),              # a command that writes no status.json
    (None, 2, 0, False, "bad flags or input"),
    ("stopped", 75, 1, True, "stopped at step 4"),
    ("stopped", 143, 0, True, "stopped at step 4"),
    (None, 75, 0, True, "stopped by a signal"),
    ("running", 138, 1, True, "stopped by a signal"),  # the signal came before the ranks could answer it
    ("running", 137, 0, True, "crash 1 "),
    ("failed", 1, 0, True, "crash 1 "),
    ("failed", 0, 0, True, "crash 1 "),           # the launcher lost the exit code
    ("running", 0, 0, True, "crash 1 "),
    ("stopped", 0, 0, True, "stopped at step 4"),
    ("failed", 2, 0, False, "bad flags or input"),
])
def test_how_a_start_ended_decides(tmp_path, state, exit_code, signals, requeue, reason):
    start(tmp_path, state, step=4)
    decision, line = decide(tmp_path, exit_code, signals)
    assert decision == requeue
    assert reason in line and "\n" not in line


def test_the_status_of_an_earlier_start_says_nothing(tmp_path):
    write_status(tmp_path, "stopped", 4)
    start(tmp_path)
    assert "crash 1" in decide(tmp_path, 1)[1]


def test_crashes_without_a_new_checkpoint_are_counted_over_starts(tmp_path):
    decisions = []
    for _ in range(3):
        start(tmp_path)
        decisions.append(decide(tmp_path, 1)[0])
    assert decisions == [True, True, False]


def test_a_new_checkpoint_starts_the_count_anew(tmp_path):
    decisions = []
    for checkpoint in (None, None, 10, None, None):
        start(tmp_path, "running", checkpoint=checkpoint)
        decisions.append(decide(tmp_path, 1)[0])
    assert decisions == [True, True, True, True, False]


def test_a_stop_in_between_does_not_hide_crashes(tmp_path):
    start(tmp_path)
    decide(tmp_path, 1)
    start(tmp_path, "stopped", step=1)
    assert decide(tmp_path, 75)[0]
    start(tmp_path)
    assert "crash 2" in decide(tmp_path, 1)[1]


def test_a_job_submitted_anew_counts_from_one(tmp_path):
    for job in ("7", "8"):
        start(tmp_path, job=job)
        assert "crash 1" in decide(tmp_path, 1)[1]


def test_no_crash_may_be_requeued(tmp_path):
    start(tmp_path)
    decision, line = decide(tmp_path, 1, max_crashes=0)
    assert not decision and "MAX_CRASHES=0" in line

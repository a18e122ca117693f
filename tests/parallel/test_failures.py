"""A rank that dies, a disk that is full and gradients that are not finite: the job ends, and says why."""

import os
import resource
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest

from albert_hvd.data.records.tfrecord import RecordWriter
from conftest import ROOT, command_environment, own_lines, random_record, run_command
from pretraining_runs import flags, ranks_of, start, status, train_log, wait_until

FOREVER = 1000000
DEADLINE_SEC = 60

pytestmark = [pytest.mark.parallel, pytest.mark.tier("ci")]

# Rank 1 does something else while rank 0 waits for it in a collective.
FAILING_COMMAND = """
import sys
sys.path.insert(0, {bin!r})
import entry_point
entry_point.use_project_environment()

def main():
    from albert_hvd.runtime import distributed
    distributed.initialize()
    if distributed.rank() == 1:
        {action}
    distributed.barrier()
    print("never printed")

entry_point.run(main)
"""


def as_launched(launcher):
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return {"env": {**command_environment(), **root}, "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE, "text": True, "args": launcher}


LAUNCHERS = {"horovodrun": ["horovodrun", "-np", "2"], "mpirun": ["mpirun", "-np", "2", "--oversubscribe"]}


def failing_command(folder, launcher, action):
    script = folder / "failing.py"
    script.write_text(FAILING_COMMAND.format(bin=str(ROOT / "bin"), action=action))
    return [*LAUNCHERS[launcher], sys.executable, str(script)]


def test_a_rank_that_hangs_is_named_and_given_up(tmp_path, monkeypatch):
    """With Horovod's patience cut short; see distributed.py for the real one."""
    monkeypatch.setenv("HOROVOD_STALL_CHECK_TIME_SECONDS", "1")
    monkeypatch.setenv("HOROVOD_STALL_SHUTDOWN_TIME_SECONDS", "3")
    command = failing_command(tmp_path, "horovodrun", "import time; time.sleep(10000)")
    result = subprocess.run(**as_launched(command), timeout=300, check=False)
    assert result.returncode == 1
    assert "Missing ranks:" in result.stdout + result.stderr


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_an_exception_on_one_rank_ends_all_and_names_it(tmp_path, launcher):
    action = 'raise MemoryError("no room for the batch")'
    command = failing_command(tmp_path, launcher, action)
    result = subprocess.run(**as_launched(command), timeout=300, check=False)
    assert result.returncode == 1
    assert "MemoryError: no room for the batch" in result.stderr
    assert "rank 1 of 2 on " in result.stderr
    assert "never printed" not in result.stdout


@pytest.mark.parametrize("launcher, rank, number", [("horovodrun", 1, signal.SIGKILL), ("mpirun", 0, signal.SIGSEGV)])
def test_a_rank_that_dies_ends_all_and_is_named(training_files, tmp_path, launcher, rank, number):
    words = [f"--{flag}={value}" for flag, value in
             flags(training_files, tmp_path, num_train_steps=FOREVER).items()]
    command = [*LAUNCHERS[launcher], str(ROOT / "bin" / "pretrain"), *words]
    process = subprocess.Popen(**as_launched(command), start_new_session=True)
    ranks = wait_until(lambda: os.path.exists(tmp_path / "train_log.jsonl") and ranks_of(process), process, "a log")
    ranks[rank].send_signal(number)
    _, errors = process.communicate(timeout=DEADLINE_SEC)
    assert process.returncode not in (0, 2, 75)
    assert f"process rank {rank} " in errors
    psutil.wait_procs(ranks, timeout=10)
    assert not any(psutil.pid_exists(other.pid) for other in ranks)


def test_a_full_disk_ends_the_run_with_the_checkpoints_before_intact(training_files, tmp_path):
    run_flags = flags(training_files, tmp_path, num_train_steps=FOREVER, log_every_steps=FOREVER)
    process = start(2, run_flags)
    first = tmp_path / "checkpoints" / "step_00000005"
    wait_until(first.exists, process, "the first checkpoint")
    # From now on no file of rank 0 can grow beyond this: weights cannot be written, small files can.
    os.truncate(tmp_path / "train_log.jsonl", 0)
    resource.prlimit(ranks_of(process)[0].pid, resource.RLIMIT_FSIZE, (8192, 8192))
    _, errors = process.communicate(timeout=DEADLINE_SEC)
    assert process.returncode == 1, errors
    assert "cannot be written" in errors and "are intact" in errors
    assert "Traceback" not in errors
    assert status(tmp_path)["state"] == "failed"
    shorter = {"train_batch_size": 2, "num_train_steps": status(tmp_path)["step"]}
    result = run_command("pretrain", **{**run_flags, **shorter})
    assert "resuming at step" in result.stdout, result.stderr


def records_with_overflow(folder, number):
    """A shard whose first record has weights so large that their sum is not finite."""
    luck = np.random.default_rng(3)
    path = folder / "records.tfrecord"
    with RecordWriter(str(path)) as writer:
        for index in range(number):
            record = random_record(luck)
            if index == 0:
                record["masked_lm_weights"][:] = 3e38
            writer.write(record)
    return path


def test_an_update_that_is_not_finite_is_skipped_and_counted(training_files, tmp_path):
    """One bad record in four batches of an epoch: three good updates for each one that is skipped."""
    result = run_command("pretrain", ranks=2, **flags(training_files, tmp_path / "run", num_train_steps=6,
                                                      input_file=records_with_overflow(tmp_path, 48)))
    assert result.returncode == 0, result.stderr
    log = train_log(tmp_path / "run")
    assert result.stdout.count("warning: gradients are not finite") == log[-1]["skipped_updates"]
    assert [record["step"] for record in log] == list(range(1, 7))
    assert 1 <= log[-1]["skipped_updates"] <= 2
    assert np.isfinite([record["loss"] for record in log]).all()


def test_divergence_stops_the_run_and_names_the_last_checkpoint(training_files, tmp_path):
    run_flags = flags(training_files, tmp_path / "run", num_train_steps=FOREVER, save_checkpoints_steps=3)
    result = run_command("pretrain", **{**run_flags, "num_train_steps": 4})
    assert result.returncode == 0, result.stderr
    bad = dict(learning_rate=1e30, num_warmup_steps=0, max_bad_steps=3)
    result = run_command("pretrain", ranks=2, **{**run_flags, **bad})
    assert result.returncode == 1, result.stderr
    lines = own_lines(result, "pretrain")
    assert len(lines) == 1, result.stderr
    assert "3 updates in a row" in lines[0] and "the last checkpoint is that of step 4" in lines[0]
    assert status(tmp_path / "run")["state"] == "failed"

"""A read of a record fails at the system call: tried again, then the end of the run with exit code 1."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, command_environment
from failing_reads import FailingReads
from pretraining_runs import flags, status, train_log, without_clock

from albert_hvd.data.records import shard_files
from albert_hvd.data.records.dataset import RecordDataset
from albert_hvd.errors import InputError, RunFailed

ENDING = "train-0.tfrecord"
# bin/pretrain with other limits than a minute of trying, and failures from a step on.
PROGRAM = """
import runpy, sys
sys.path.insert(0, {root!r})
sys.path.insert(0, {root!r} + "/bin")
from albert_hvd.data.records import dataset, shard_files
shard_files.RETRY_SEC, shard_files._FIRST_PAUSE_SEC = {limit}, 0.05
first = dataset.RecordDataset.__init__
def begin(self, *arguments, **options):
    first(self, *arguments, **options)
    open({count!r}, "wb").write(b"x" * {failures})
dataset.RecordDataset.__init__ = begin
sys.argv[0] = {root!r} + "/bin/pretrain"
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def pretrain(faults, tmp_path, failures, limit, run_flags):
    program = PROGRAM.format(root=str(ROOT), limit=limit, failures=failures, count=faults.environment["FAIL_COUNT"])
    return subprocess.run([sys.executable, "-c", program, *(f"--{name}={value}" for name, value in run_flags.items())],
                          env={**command_environment(), **faults.environment}, capture_output=True, text=True,
                          timeout=300)


@pytest.mark.tier("ci")
@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_a_run_survives_failures_that_pass(training_files, tmp_path, number):
    run_flags = flags(training_files, tmp_path / "run", num_train_steps=8)
    faults = FailingReads(tmp_path, ENDING, number)
    alone = pretrain(faults, tmp_path, 0, 60, {**run_flags, "output_dir": tmp_path / "alone"})
    assert alone.returncode == 0 and "trying again" not in alone.stderr, alone.stderr
    result = pretrain(faults, tmp_path, 5, 60, run_flags)
    assert result.returncode == 0 and faults.left == 0, result.stderr
    assert f"{ENDING}: {os.strerror(number)} when reading at byte" in result.stderr
    assert without_clock(train_log(tmp_path / "run")) == without_clock(train_log(tmp_path / "alone"))


@pytest.mark.tier("ci")
@pytest.mark.parametrize("skip_corrupt", [False, True])
def test_failures_that_stay_end_the_run_with_1(training_files, tmp_path, skip_corrupt):
    faults = FailingReads(tmp_path, ENDING, errno.EIO)
    result = pretrain(faults, tmp_path, 10 ** 6, 0.3,
                      flags(training_files, tmp_path / "run", skip_corrupt=skip_corrupt))
    assert result.returncode == 1 and "Traceback" not in result.stderr, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("pretrain: ")]
    assert len(lines) == 1 and "Input/output error when reading at byte" in lines[0] and "left out" not in result.stderr
    # Slurm's scripts begin such a job again: requeueing.py.
    assert not (tmp_path / "run" / "status.json").exists() or status(tmp_path / "run")["state"] == "failed"


@pytest.fixture
def quick(monkeypatch):
    """A clock that only sleeping moves; returns the pauses made."""
    pauses = []
    monkeypatch.setattr(shard_files.time, "sleep", pauses.append)
    monkeypatch.setattr(shard_files.time, "monotonic", lambda: sum(pauses))
    return pauses


def open_dataset(folder, **options):
    return RecordDataset([str(folder / "train-0.tfrecord")], 16, 3, **{"warn": lambda line: None, **options})


def failing(monkeypatch, name, number, times):
    """Let a function of `os` fail so many times."""
    function, left = getattr(os, name), [times]

    def call(*arguments, **options):
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        return function(*arguments, **options)

    monkeypatch.setattr(shard_files.os, name, call)


@pytest.mark.parametrize("name", ["pread", "fstat", "open"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_each_call_is_tried_again_for_a_minute(training_files, monkeypatch, quick, name, number):
    warnings = []
    dataset = open_dataset(training_files, skip_corrupt=True, warn=warnings.append)
    wanted = dataset.read(np.arange(3))
    dataset.close()
    failing(monkeypatch, name, number, 5)
    for field, values in dataset.read(np.arange(3)).items():
        np.testing.assert_array_equal(values, wanted[field], err_msg=field)
    assert quick == [0.5, 1, 2, 4, 8] and dataset.num_skipped == 0
    assert warnings == [f"{training_files}/train-0.tfrecord: {os.strerror(number)} when reading at byte 0: "
                        "trying again for 60 seconds"]
    quick.clear()
    failing(monkeypatch, name, number, 10 ** 6)
    with pytest.raises(RunFailed, match="for 60 seconds: see to the disk or the file server"):
        dataset.close()
        dataset.read(np.arange(3))
    assert 60 <= sum(quick) <= 70 and dataset.num_skipped == 0
    monkeypatch.undo()


def test_a_shard_that_is_gone_is_said_at_once(training_files, monkeypatch, quick):
    dataset = open_dataset(training_files)
    dataset.close()
    failing(monkeypatch, "open", errno.ENOENT, 1)
    with pytest.raises(InputError, match="cannot be opened any more"):
        dataset.read(np.arange(3))
    assert quick == []

"""Steps that begin before the results of the one before are read: everything else stays as it was, bit for bit."""

import numpy as np
import pytest

from conftest import run_command
from pretraining_runs import (STEPS, eval_log, flags, logged_lines, ranks_of, start, status, train_log, wait_until,
                              weights, without_clock)


def run_flags(training_files, folder, **changes):
    return flags(training_files, folder, eval_input_file=f"{training_files}/eval.tfrecord", eval_every_steps=7,
                 eval_batch_size=4, **changes)


@pytest.fixture(scope="module")
def one_by_one(training_files, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("one_by_one"))
    result = run_command("pretrain", **run_flags(training_files, folder))
    assert result.returncode == 0, result.stderr
    return folder


def assert_the_same(folder, reference):
    assert without_clock(train_log(folder)) == without_clock(train_log(reference))
    assert without_clock(eval_log(folder)) == without_clock(eval_log(reference))
    ours, theirs = weights(folder), weights(reference)
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def test_a_run_is_the_same(training_files, one_by_one, tmp_path):
    result = run_command("pretrain", **run_flags(training_files, tmp_path, overlap_steps=True))
    assert result.returncode == 0, result.stderr
    assert_the_same(tmp_path, one_by_one)


def test_stopped_by_a_signal_it_goes_on_as_if_it_had_not_been(training_files, one_by_one, tmp_path):
    own = run_flags(training_files, tmp_path, overlap_steps=True)
    process = start(0, own)
    wait_until(lambda: logged_lines(tmp_path) >= 2, process, "two steps")
    ranks_of(process)[0].terminate()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 75, errors
    stopped = status(tmp_path)
    assert stopped["state"] == "stopped" and 2 <= stopped["step"] < STEPS
    assert train_log(tmp_path)[-1]["step"] == stopped["step"]
    assert run_command("pretrain", **own).returncode == 0
    assert_the_same(tmp_path, one_by_one)


def test_skipped_updates_are_counted_and_retried_alike(training_files, tmp_path):
    folders = []
    for overlap in (False, True):
        folders.append(tmp_path / str(overlap))
        result = run_command("pretrain", **flags(
            training_files, folders[-1], precision="float16", initial_loss_scale=2.0**40, overlap_steps=overlap,
            num_train_steps=6, save_checkpoints_steps=3))
        assert result.returncode == 0, result.stderr
    plain, overlapped = (train_log(folder) for folder in folders)
    assert plain[0]["skipped_updates"] > 5
    assert without_clock(overlapped) == without_clock(plain)
    for name, array in weights(folders[0], 6).items():
        np.testing.assert_array_equal(weights(folders[1], 6)[name], array, err_msg=name)


@pytest.mark.parametrize("by", ["time", "cpu_time"])
def test_a_run_by_the_clock_ends_with_the_update_that_begins_when_the_time_is_over(training_files, tmp_path, by):
    result = run_command("pretrain", **flags(training_files, tmp_path, overlap_steps=True, lr_schedule=by,
                                             train_minutes=0.1, log_every_steps=1, eval_every_steps=0))
    assert result.returncode == 0, result.stderr
    rates = [line["learning_rate"] for line in train_log(tmp_path)]
    assert rates[-1] == 0 < min(rates[:-1])  # no update begins after it
    assert status(tmp_path)["state"] == "finished"
    assert train_log(tmp_path)[-1]["step"] == status(tmp_path)["step"] == len(rates)

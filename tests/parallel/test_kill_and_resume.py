"""SIGKILL at random moments: the run that is started again and again ends like one that was left alone."""

import json
import random
import shutil
import time

import numpy as np
import pytest

from conftest import run_command
from pretraining_runs import (checkpoint_file, eval_log, flags, logged_lines, ranks_of, start, status, train_log,
                              wait_until, weights, without_clock)

STEPS = 60

pytestmark = [pytest.mark.parallel, pytest.mark.slow]


def run_flags(training_files, folder):
    return flags(training_files, folder, num_train_steps=STEPS, save_checkpoints_steps=4, keep_checkpoints=2,
                 eval_input_file=f"{training_files}/eval.tfrecord", eval_every_steps=10, eval_batch_size=4)


@pytest.fixture(scope="module")
def left_alone(training_files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("left_alone")
    result = run_command("pretrain", ranks=2, **run_flags(training_files, folder))
    assert result.returncode == 0, result.stderr
    return folder


def kill_a_rank(training_files, folder, luck, first_step, last_step):
    """Start the run and kill one of its two ranks at a step drawn from a range, or a moment after."""
    process = start(2, run_flags(training_files, folder))
    step, rank = luck.randint(first_step, last_step), luck.randrange(2)
    began = logged_lines(folder)
    wait_until(lambda: logged_lines(folder) >= step and logged_lines(folder) != began, process, f"step {step}")
    time.sleep(luck.uniform(0.0, 0.05))
    ranks_of(process)[rank].kill()
    output, errors = process.communicate(timeout=60)
    assert process.returncode not in (0, 75), output
    assert f"process rank {rank} " in errors


@pytest.fixture(scope="module")
def killed(training_files, tmp_path_factory):
    """The folder of a run that lost a rank in its first quarter."""
    folder = tmp_path_factory.mktemp("killed")
    kill_a_rank(training_files, folder, random.Random(1), 5, STEPS // 4)
    return folder


def state(folder):
    with open(checkpoint_file(folder, "state.json", STEPS), encoding="utf-8") as file:
        return json.load(file)


def test_killed_again_and_again_it_ends_bit_identically(training_files, left_alone, killed, tmp_path):
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    luck = random.Random(2)
    for quarter in (1, 2):
        kill_a_rank(training_files, tmp_path, luck, 1 + quarter * STEPS // 4, (quarter + 1) * STEPS // 4)
    result = run_command("pretrain", ranks=2, **run_flags(training_files, tmp_path))
    assert result.returncode == 0, result.stderr
    assert status(tmp_path)["state"] == "finished"
    # Each line holds sums over the records of its step: the same lines are the same records in the same order.
    assert [record["step"] for record in train_log(tmp_path)] == list(range(1, STEPS + 1))
    assert without_clock(train_log(tmp_path)) == without_clock(train_log(left_alone))
    assert eval_log(tmp_path) == eval_log(left_alone)
    ours, theirs = state(tmp_path), state(left_alone)
    for key in ("sha256", "records_read", "epoch", "evaluations"):  # sha256: of all weights and moments
        assert ours[key] == theirs[key], key


@pytest.mark.parametrize("ranks", [1, 3])
def test_on_another_number_of_ranks_it_reads_the_same_records(training_files, left_alone, killed, tmp_path, ranks):
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    result = run_command("pretrain", ranks=ranks, **run_flags(training_files, tmp_path))
    assert result.returncode == 0, result.stderr
    assert "resuming at step" in result.stdout
    ours, theirs = train_log(tmp_path), train_log(left_alone)
    assert [record["step"] for record in ours] == list(range(1, STEPS + 1))
    # Other records in a step move its loss by some 0.01 and more.
    np.testing.assert_allclose([r["loss"] for r in ours], [r["loss"] for r in theirs], atol=2e-4)
    assert state(tmp_path)["records_read"] == state(left_alone)["records_read"]
    ours, theirs = weights(tmp_path, STEPS), weights(left_alone, STEPS)
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-4, err_msg=name)

"""A rank is killed, and the run goes on with fewer or more of them. With as many: tests/faults/test_kills.py."""

import json
import random
import shutil
import time

import numpy as np
import pytest

from conftest import run_command
from pretraining_runs import checkpoint_file, flags, logged_lines, ranks_of, start, train_log, wait_until, weights

STEPS = 60

pytestmark = [pytest.mark.parallel, pytest.mark.tier("ci")]


def run_flags(training_files, folder):
    return flags(training_files, folder, num_train_steps=STEPS, save_checkpoints_steps=4, keep_checkpoints=2,
                 eval_input_file=f"{training_files}/eval.tfrecord", eval_every_steps=10, eval_batch_size=4,
                 optimizer="muon", learning_rate=0.005, passes="auto")


@pytest.fixture(scope="module")
def left_alone(training_files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("left_alone")
    result = run_command("pretrain", **run_flags(training_files, folder))
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def killed(training_files, tmp_path_factory):
    """The folder of a run of two ranks that lost one in its first quarter, at a step or a moment after."""
    folder = tmp_path_factory.mktemp("killed")
    luck = random.Random(1)
    process = start(2, run_flags(training_files, folder))
    step, rank = luck.randint(5, STEPS // 4), luck.randrange(2)
    wait_until(lambda: logged_lines(folder) >= step, process, f"step {step}")
    time.sleep(luck.uniform(0.0, 0.05))
    ranks_of(process)[rank].kill()
    output, errors = process.communicate(timeout=60)
    assert process.returncode not in (0, 75), output
    assert f"process rank {rank} " in errors
    return folder


def state(folder):
    with open(checkpoint_file(folder, "state.json", STEPS), encoding="utf-8") as file:
        return json.load(file)


@pytest.mark.parametrize("ranks", [0, 3])
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

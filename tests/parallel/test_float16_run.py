"""bin/pretrain --precision=float16: the loss scale is found, and a resumed run goes on with it bit for bit."""

import json
import shutil

import numpy as np
from conftest import run_command
from pretraining_runs import flags, train_log, weights, without_clock


def loss_scale(folder, step):
    return json.loads((folder / "checkpoints" / f"step_{step:08d}" / "state.json").read_text())["loss_scale"]


def test_a_resumed_float16_run_is_bit_identical(training_files, tmp_path):
    run_flags = flags(training_files, "", precision="float16", recompute=True, num_train_steps=10,
                      save_checkpoints_steps=5, initial_loss_scale=2**24, loss_scale_growth_steps=3, max_bad_steps=1)
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    result = run_command("pretrain", **{**run_flags, "output_dir": straight})
    assert result.returncode == 0, result.stderr
    # Not one of them is a bad step, of which this run allows none.
    assert "float16 overflow after step 0: update skipped, loss scale now 8.38861e+06" in result.stdout
    assert loss_scale(straight, 5)["value"] < 2**24
    assert loss_scale(straight, 5) != loss_scale(straight, 10)
    shutil.copytree(straight, resumed)
    shutil.rmtree(resumed / "checkpoints" / "step_00000010")
    result = run_command("pretrain", **{**run_flags, "output_dir": resumed})
    assert result.returncode == 0, result.stderr
    assert "resuming at step 5" in result.stdout
    assert loss_scale(resumed, 10) == loss_scale(straight, 10)
    assert without_clock(train_log(resumed)) == without_clock(train_log(straight))
    ours, theirs = weights(resumed, 10), weights(straight, 10)
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def test_a_loss_scale_that_is_no_power_of_two_is_refused(training_files, tmp_path):
    result = run_command("pretrain", **flags(training_files, tmp_path, precision="float16", initial_loss_scale=1000))
    assert (result.returncode, "use one, such as 1024" in result.stderr) == (2, True), result.stderr

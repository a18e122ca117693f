"""A run on a mixture: the same on one rank and on two, and after a resume in the middle of an epoch."""

import json
import shutil

import numpy as np
import pytest
from conftest import own_lines, run_command
from pretraining_runs import checkpoint_file, flags, train_log, without_clock

pytestmark = [pytest.mark.parallel, pytest.mark.tier("ci")]


def run_flags(training_files, folder, packed, weights=(2, 0.5)):
    return flags(training_files, folder, pack_sequences=packed, num_train_steps=12, num_warmup_steps=2,
                 save_checkpoints_steps=4, dynamic_masking=False,
                 input_file=",".join(f"{training_files}/train-{number}.tf*:{weight}"
                                     for number, weight in enumerate(weights)))


@pytest.mark.parametrize("packed", [False, True])
def test_a_mixture_on_any_ranks_and_after_a_resume(training_files, tmp_path, packed):
    logs = {}
    for ranks in (0, 2):
        result = run_command("pretrain", ranks, **run_flags(training_files, tmp_path / str(ranks), packed))
        assert result.returncode == 0, result.stderr
        logs[ranks] = train_log(tmp_path / str(ranks))
    # 31 records twice, and 10 half an epoch.
    assert "train-0.tf*: 2 x 31 records = 92.5% of an epoch" in result.stdout
    assert "train-1.tf*: 0.5 x 10 records = 7.5% of an epoch" in result.stdout
    assert "sources: train-0.tf* " in result.stdout
    for one, two in zip(logs[0], logs[2], strict=True):
        for name in ("train-0.tf*", "train-1.tf*"):
            assert one["sources"][name]["share"] == two["sources"][name]["share"]
        np.testing.assert_allclose(one["loss"], two["loss"], rtol=1e-5)
        losses = [(values["share"], values["sentence_loss"]) for values in one["sources"].values() if values["share"]]
        np.testing.assert_allclose(sum(share * loss for share, loss in losses), one["sentence_loss"], rtol=1e-5)
    with open(checkpoint_file(tmp_path / "2", "state.json", 12), encoding="utf-8") as file:
        state = json.load(file)
    assert state["epoch"] == state["records_read"] // 67 >= 2 and state["mixture"] == [[31, 2.0], [10, 0.5]]
    # As if it had been stopped after 8 updates.
    shutil.rmtree(tmp_path / "2" / "checkpoints" / "step_00000012")
    result = run_command("pretrain", 2, **run_flags(training_files, tmp_path / "2", packed))
    assert result.returncode == 0 and "resuming at step 8" in result.stdout, result.stderr
    assert without_clock(train_log(tmp_path / "2")) == without_clock(logs[2])


def test_a_run_keeps_its_weights(training_files, tmp_path):
    result = run_command("pretrain", **run_flags(training_files, tmp_path, False))
    assert result.returncode == 0, result.stderr
    changed = run_flags(training_files, tmp_path, False, weights=(1, 0.5))
    for other in (changed, {**changed, "input_file": f"{training_files}/train-*.tfrecord"}):
        result = run_command("pretrain", **other)
        (line,) = own_lines(result, "pretrain")
        assert result.returncode == 2 and line.startswith("--input_file: mixture is ") and "[31, 2.0]" in line, line

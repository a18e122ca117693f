"""Real runs of bin/pretrain, alone and under horovodrun."""

import json
import os
import shutil

import numpy as np
import pytest

from albert_hvd.run_folder.checkpoints import CheckpointFolder, verified_state
from conftest import own_lines, run_command
from pretraining_runs import STEPS, flags, json_lines, status, train_log, weights, without_clock


TWO_RANKS = [pytest.mark.parallel, pytest.mark.tier("ci")]


@pytest.fixture(scope="module")
def one_rank(training_files, tmp_path_factory):
    """The output folder of an undisturbed run of one rank, without a launcher."""
    folder = str(tmp_path_factory.mktemp("one_rank"))
    result = run_command("pretrain", **flags(training_files, folder))
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def two_ranks(training_files, tmp_path_factory):
    """The same with two ranks."""
    folder = str(tmp_path_factory.mktemp("two_ranks"))
    result = run_command("pretrain", ranks=2, **flags(training_files, folder))
    assert result.returncode == 0, result.stderr
    return folder


def assert_same_training(folder, reference):
    ours, theirs = train_log(folder), train_log(reference)
    assert [record["step"] for record in ours] == list(range(1, STEPS + 1))
    for key in ("loss", "masked_lm_loss", "sentence_loss", "masked_lm_accuracy", "learning_rate"):
        np.testing.assert_allclose([r[key] for r in ours], [r[key] for r in theirs], atol=1e-4, err_msg=key)
    ours, theirs = weights(folder), weights(reference)
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5, err_msg=name)


def test_one_rank_learns_and_leaves_its_files(one_rank):
    log = train_log(one_rank)
    assert log[-1]["loss"] < log[0]["loss"] - 0.02
    assert log[-1]["learning_rate"] == 0.0
    assert log[3]["learning_rate"] == pytest.approx(0.02)
    assert status(one_rank)["state"] == "finished"
    assert {"checkpoints", "config.json", "flags.json", "train_log.jsonl", "tensorboard"} <= set(os.listdir(one_rank))


@pytest.mark.parallel
def test_two_ranks_train_as_one(two_ranks, one_rank):
    assert_same_training(two_ranks, one_rank)


@pytest.mark.parallel
def test_three_ranks_train_as_one(training_files, one_rank, tmp_path):
    result = run_command("pretrain", ranks=3, **flags(training_files, tmp_path))
    assert result.returncode == 0, result.stderr
    assert_same_training(tmp_path, one_rank)
    assert result.stdout.count("finished: step 20") == 1


@pytest.mark.parallel
@pytest.mark.tier("ci")
def test_more_ranks_than_matrices_train_as_one_with_muon(training_files, tmp_path):
    """The shared layer has six matrices: two of eight ranks have none to make directions of."""
    few = {"optimizer": "muon", "train_batch_size": 8, "num_train_steps": 3, "num_warmup_steps": 1}
    for ranks in (0, 8):
        result = run_command("pretrain", ranks=ranks, **{**flags(training_files, tmp_path / str(ranks)), **few})
        assert result.returncode == 0, result.stderr
    ours, theirs = weights(tmp_path / "8", step=3), weights(tmp_path / "0", step=3)
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5, err_msg=name)


@pytest.mark.parallel
@pytest.mark.tier("ci")
def test_two_ranks_with_micro_batches_train_as_one(training_files, one_rank, tmp_path):
    result = run_command("pretrain", ranks=2, **flags(training_files, tmp_path, accumulation_steps=3))
    assert result.returncode == 0, result.stderr
    assert "micro_batch_size 2 x accumulation_steps 3 x ranks 2" in result.stdout
    assert_same_training(tmp_path, one_rank)


@pytest.mark.parametrize("ranks, changes, tolerance", [
    (0, {"xla": True}, 1e-4),
    (0, {"precision": "bfloat16"}, 0.05),
    pytest.param(2, {"fp16_allreduce": True}, 0.01, marks=TWO_RANKS)], ids=["xla", "bfloat16", "fp16_allreduce"])
def test_other_arithmetic_stays_near(training_files, one_rank, tmp_path, ranks, changes, tolerance):
    result = run_command("pretrain", ranks=ranks, **flags(training_files, tmp_path, **changes))
    assert result.returncode == 0, result.stderr
    ours, theirs = ([record["loss"] for record in train_log(folder)] for folder in (tmp_path, one_rank))
    np.testing.assert_allclose(ours, theirs, atol=tolerance)


def test_packed_training_resumes_and_evaluates(training_files, tmp_path):
    """Stopped at step 5 of 10 and run again: the same end as in one go, with evaluation on the way."""
    run_flags = flags(training_files, "", pack_sequences=True, train_batch_size=4, save_checkpoints_steps=5,
                      eval_input_file=f"{training_files}/eval.tfrecord", eval_every_steps=5, do_eval=True,
                      num_train_steps=10)
    for folder in ("straight", "resumed"):
        result = run_command("pretrain", **{**run_flags, "output_dir": tmp_path / folder})
        assert result.returncode == 0, result.stderr
        assert "eval at step 10" in result.stdout
        if folder == "resumed":
            break
        shutil.copytree(tmp_path / "straight", tmp_path / "resumed")
        shutil.rmtree(tmp_path / "resumed" / "checkpoints" / "step_00000010")
    assert "resuming at step 5" in result.stdout
    assert without_clock(train_log(tmp_path / "resumed")) == without_clock(train_log(tmp_path / "straight"))
    resumed, straight = ((tmp_path / run / "eval_results.json").read_text() for run in ("resumed", "straight"))
    assert resumed == straight
    resumed, straight = ([record["cpu_sec"] for record in train_log(tmp_path / run)] for run in ("resumed", "straight"))
    assert resumed == sorted(resumed)
    assert resumed[-1] > straight[-1]  # by starting twice


@pytest.mark.parametrize("ranks, changes, named", [
    pytest.param(2, {"input_file": "nowhere.tfrecord"}, "nowhere.tfrecord", marks=TWO_RANKS),
    pytest.param(2, {"train_batch_size": 7}, "--train_batch_size=7", marks=TWO_RANKS),
    (0, {"max_seq_length": 12}, "12"),
])
def test_bad_input_ends_all_ranks_with_one_line(training_files, tmp_path, ranks, changes, named):
    result = run_command("pretrain", ranks=ranks, **flags(training_files, tmp_path / "out", **changes))
    assert result.returncode == 2, result.stderr
    lines = own_lines(result, "pretrain")
    assert len(lines) == 1, result.stderr
    assert named in lines[0]
    assert "Traceback" not in result.stderr


def test_a_finished_run_says_so(training_files, one_rank):
    before = train_log(one_rank)
    result = run_command("pretrain", **flags(training_files, one_rank))
    assert result.returncode == 0, result.stderr
    assert "nothing to do" in result.stdout
    assert train_log(one_rank) == before
    assert status(one_rank)["state"] == "finished"


def test_a_run_goes_on_with_other_flags_and_says_which(training_files, tmp_path):
    result = run_command("pretrain", **flags(training_files, tmp_path, num_train_steps=2, num_warmup_steps=1))
    assert result.returncode == 0 and "changed since" not in result.stdout, result.stderr
    result = run_command("pretrain", **flags(training_files, tmp_path, num_train_steps=4, num_warmup_steps=1,
                                             learning_rate=0.01, train_batch_size=6, precision="bfloat16",
                                             weight_decay=0.0))
    assert result.returncode == 0, result.stderr
    assert ("\nchanged since step 0: --weight_decay 0.01 -> 0.0, --train_batch_size 12 -> 6, --learning_rate 0.02 -> "
            "0.01, --num_train_steps 2 -> 4, --precision float32 -> bfloat16\n") in result.stdout
    history = json_lines(tmp_path, "flags_history.jsonl")
    assert [(entry["step"], entry["flags"]["train_batch_size"]) for entry in history] == [(0, 12), (2, 6)]


def test_another_seed_or_config_does_not_resume(training_files, one_rank):
    result = run_command("pretrain", **flags(training_files, one_rank, seed=1))
    assert (result.returncode, len(own_lines(result, "pretrain"))) == (2, 1), result.stderr
    assert "--seed: seed is 1 now and 12345" in result.stderr


def test_weights_without_an_optimizer_are_not_resumed(training_files, one_rank, tmp_path):
    """As bin/import_checkpoint leaves them: for --init_checkpoint of another folder."""
    state = verified_state(CheckpointFolder(f"{one_rank}/checkpoints").path(STEPS))
    CheckpointFolder(f"{tmp_path}/imported/checkpoints").save(0, weights(one_rank), None, {"config": state["config"]})
    result = run_command("pretrain", **flags(training_files, tmp_path / "imported"))
    assert (result.returncode, len(own_lines(result, "pretrain"))) == (2, 1), result.stderr
    assert f"--init_checkpoint={tmp_path}/imported" in result.stderr
    result = run_command("pretrain", **flags(training_files, tmp_path / "run", init_checkpoint=tmp_path / "imported",
                                             num_train_steps=4))
    assert result.returncode == 0, result.stderr
    assert "weights of " in result.stdout


@pytest.mark.parallel
@pytest.mark.tier("ci")
def test_validation_is_the_same_on_any_number_of_ranks(training_files, one_rank, tmp_path):
    results = []
    for ranks, batch in ((0, 5), (2, 4)):
        result = run_command("validate", ranks=ranks, input_file=f"{training_files}/eval.tfrecord",
                             bert_config_file=f"{one_rank}/config.json", init_checkpoint=one_rank,
                             output_dir=tmp_path / str(ranks), max_seq_length=16, max_predictions_per_seq=3,
                             eval_batch_size=batch, baseline_input_file=f"{training_files}/train-*.tfrecord")
        assert result.returncode == 0, result.stderr
        results.append(json.loads((tmp_path / str(ranks) / "eval_results.json").read_text()))
    assert results[0]["global_step"] == STEPS
    assert set(results[0]) == set(results[1])
    for key, value in results[0].items():
        assert results[1][key] == pytest.approx(value, abs=1e-6), key
    lines = (tmp_path / "0" / "eval_results.txt").read_text().splitlines()
    assert [line.split(" = ")[0] for line in lines] == [
        "global_step", "loss", "masked_lm_accuracy", "masked_lm_loss", "next_sentence_accuracy", "next_sentence_loss"]

"""Real runs of bin/pretrain, alone and under horovodrun."""

import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from conftest import command_environment, command_words, own_lines, run_command

STEPS = 20
# What differs from run to run by nature.
CLOCK_KEYS = ("sequences_per_sec", "tokens_per_sec", "real_tokens_per_sec", "data_wait_fraction", "elapsed_sec")

pytestmark = pytest.mark.parallel


def flags(training_files, output_dir, **changes):
    return {
        "input_file": f"{training_files}/train-*.tfrecord", "bert_config_file": f"{training_files}/config.json",
        "output_dir": output_dir, "max_seq_length": 16, "max_predictions_per_seq": 3, "train_batch_size": 12,
        "num_train_steps": STEPS, "num_warmup_steps": 4, "learning_rate": 0.02, "log_every_steps": 1,
        "save_checkpoints_steps": 5, "deterministic": True, **changes}


def train_log(output_dir):
    with open(os.path.join(output_dir, "train_log.jsonl"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def without_clock(records):
    return [{key: value for key, value in record.items() if key not in CLOCK_KEYS} for record in records]


def weights(output_dir, step=STEPS):
    return load_file(os.path.join(output_dir, "checkpoints", f"step_{step:08d}", "weights.safetensors"))


def status(output_dir):
    with open(os.path.join(output_dir, "status.json"), encoding="utf-8") as file:
        return json.load(file)


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


def test_two_ranks_train_as_one(two_ranks, one_rank):
    assert_same_training(two_ranks, one_rank)


def test_three_ranks_train_as_one(training_files, one_rank, tmp_path):
    result = run_command("pretrain", ranks=3, **flags(training_files, tmp_path))
    assert result.returncode == 0, result.stderr
    assert_same_training(tmp_path, one_rank)
    assert result.stdout.count("finished: step 20") == 1


def test_two_ranks_with_micro_batches_train_as_one(training_files, one_rank, tmp_path):
    result = run_command("pretrain", ranks=2, **flags(training_files, tmp_path, accumulation_steps=3))
    assert result.returncode == 0, result.stderr
    assert "micro_batch_size 2 x accumulation_steps 3 x ranks 2" in result.stdout
    assert_same_training(tmp_path, one_rank)


@pytest.mark.parametrize("ranks, changes, tolerance", [
    (0, {"xla": True}, 1e-4),
    (0, {"precision": "bfloat16"}, 0.05),
    (2, {"fp16_allreduce": True}, 0.01)], ids=["xla", "bfloat16", "fp16_allreduce"])
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
        result = run_command("pretrain", ranks=2, **{**run_flags, "output_dir": tmp_path / folder})
        assert result.returncode == 0, result.stderr
        assert "eval at step 10" in result.stdout
        if folder == "resumed":
            break
        shutil.copytree(tmp_path / "straight", tmp_path / "resumed")
        shutil.rmtree(tmp_path / "resumed" / "checkpoints" / "step_00000010")
    assert "resuming at step 5" in result.stdout
    assert without_clock(train_log(tmp_path / "resumed")) == without_clock(train_log(tmp_path / "straight"))
    assert (tmp_path / "resumed" / "eval_results.json").read_text() == (tmp_path / "straight" / "eval_results.json").read_text()


def start_and_wait_for_step(step, ranks, run_flags):
    """Start a run in its own session and return it once its log has reached `step`."""
    process = subprocess.Popen(command_words("pretrain", ranks, **run_flags), env=command_environment(),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, start_new_session=True)
    path = os.path.join(run_flags["output_dir"], "train_log.jsonl")
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        if os.path.exists(path) and open(path, encoding="utf-8").read().count("\n") >= step:
            return process
        time.sleep(0.02)
    process.kill()
    pytest.fail(f"the run did not reach step {step}: {process.communicate()}")


def ranks_of(process):
    """The processes of a run that are ranks, in no order."""
    return [child for child in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            if any(word.endswith("bin/pretrain") for word in child.cmdline()[:2])]


def test_a_killed_run_resumes_bit_identically(training_files, two_ranks, tmp_path):
    # Slowed down by small log steps only; the kill falls somewhere after step 7.
    run_flags = flags(training_files, tmp_path, num_train_steps=STEPS)
    process = start_and_wait_for_step(7, 2, run_flags)
    for rank in ranks_of(process):
        rank.kill()
    assert process.wait(timeout=120) != 0
    process.communicate()
    result = run_command("pretrain", ranks=2, **run_flags)
    assert result.returncode == 0, result.stderr
    assert without_clock(train_log(tmp_path)) == without_clock(train_log(two_ranks))
    ours, theirs = weights(tmp_path), weights(two_ranks)
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_any_rank_stops_all_with_a_checkpoint(training_files, tmp_path, number):
    run_flags = flags(training_files, tmp_path, num_train_steps=1000000, save_checkpoints_steps=1000000)
    process = start_and_wait_for_step(3, 2, run_flags)
    ranks_of(process)[-1].send_signal(number)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 75, errors
    assert "Traceback" not in errors
    stopped = status(tmp_path)
    assert stopped["state"] == "stopped"
    assert f"stopped at step {stopped['step']}" in output
    assert os.listdir(tmp_path / "checkpoints") == [f"step_{stopped['step']:08d}"]
    assert train_log(tmp_path)[-1]["step"] == stopped["step"]


@pytest.mark.parametrize("changes, named", [
    ({"input_file": "nowhere.tfrecord"}, "nowhere.tfrecord"),
    ({"train_batch_size": 7}, "--train_batch_size=7"),
    ({"max_seq_length": 12}, "12"),
])
def test_bad_input_ends_all_ranks_with_one_line(training_files, tmp_path, changes, named):
    started = time.monotonic()
    result = run_command("pretrain", ranks=2, **flags(training_files, tmp_path / "out", **changes))
    assert result.returncode == 2, result.stderr
    lines = own_lines(result, "pretrain")
    assert len(lines) == 1, result.stderr
    assert named in lines[0]
    assert "Traceback" not in result.stderr
    assert time.monotonic() - started < 120  # hangs would last for ever


def test_a_finished_run_says_so(training_files, one_rank):
    before = train_log(one_rank)
    result = run_command("pretrain", **flags(training_files, one_rank))
    assert result.returncode == 0, result.stderr
    assert "nothing to do" in result.stdout
    assert train_log(one_rank) == before
    assert status(one_rank)["state"] == "finished"


def test_another_seed_or_config_does_not_resume(training_files, one_rank):
    result = run_command("pretrain", **flags(training_files, one_rank, seed=1))
    assert (result.returncode, len(own_lines(result, "pretrain"))) == (2, 1), result.stderr
    assert "--seed: seed is 1 now and 12345" in result.stderr


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

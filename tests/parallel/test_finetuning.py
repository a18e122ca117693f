"""Real runs of bin/finetune: alone and on two ranks, stopped, killed and resumed, and with bad input."""

import functools
import json
import os
import signal

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_tasks import labelled_texts, tagged_sentences, write_conll, write_tsv
from trained_models import make_config, write_run

from conftest import own_lines, run_command
from pretraining_runs import eval_log, json_lines, logged_lines, ranks_of, start, status, train_log, wait_until

TWO_RANKS = [pytest.mark.parallel, pytest.mark.tier("ci")]

# What differs from run to run by nature.
CLOCK_KEYS = ("tokens_per_sec", "real_tokens_per_sec", "elapsed_sec", "seconds")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a model of random weights and labelled data of both kinds; the last text is a long one."""
    folder = tmp_path_factory.mktemp("files")
    write_run(folder / "run", make_config())
    for name, number, seed in (("train", 60, 1), ("valid", 21, 2), ("test", 15, 3)):
        write_tsv(folder / f"{name}.tsv", [*labelled_texts(number, seed), ("marah", "saya makan di rumah " * 12)])
        write_conll(folder / f"{name}.conll", tagged_sentences(number, seed, longest=20))
    return folder


def flags(files, output_dir, kind="tsv", **changes):
    own = ({"task": "emotion", "long_texts": "window", "class_weights": "balanced"} if kind == "tsv" else
           {"task": "pos", "head": "crf"})
    return {**own, **{f"{name}_file": files / f"{name}.{kind}" for name in ("train", "valid", "test")},
            "init_checkpoint": files / "run", "output_dir": output_dir, "max_seq_length": 24, "num_train_epochs": 3,
            "train_batch_size": 7, "eval_batch_size": 5, "learning_rate": 0.006, "dropout": 0.0, "log_every_steps": 1,
            "save_checkpoints_steps": 4, "deterministic": True, **changes}


def run(files, folder, ranks=0, kind="tsv", **changes):
    result = run_command("finetune", ranks, **flags(files, folder, kind, **changes))
    assert result.returncode == 0, result.stderr
    assert "E0000" not in result.stdout + result.stderr  # TensorFlow's own line of an error
    return result


def seed_folder(folder, seed=1):
    return os.path.join(folder, f"seed-{seed}")


def without_clock(records):
    return [{key: value for key, value in record.items() if key not in CLOCK_KEYS} for record in records]


def result_of(folder):
    with open(os.path.join(folder, "results.json"), encoding="utf-8") as file:
        return json.load(file)


def final_weights(folder):
    """Those of the last checkpoint, not of the best epoch."""
    (name,) = os.listdir(os.path.join(seed_folder(folder), "checkpoints"))
    return load_file(os.path.join(seed_folder(folder), "checkpoints", name, "weights.safetensors"))


@pytest.fixture(scope="module")
def one_rank(files, tmp_path_factory):
    """A function from the kind of data to (folder, output) of its run on one rank without a launcher."""
    @functools.cache
    def of(kind):
        folder = tmp_path_factory.mktemp(f"{kind}_1")
        return folder, run(files, folder, kind=kind, baselines="majority").stdout
    return of


@pytest.fixture(scope="module")
def two_ranks(files, tmp_path_factory):
    """A function from the kind of data to the folder of the same run on two ranks."""
    @functools.cache
    def of(kind):
        folder = tmp_path_factory.mktemp(f"{kind}_2")
        run(files, folder, ranks=2, kind=kind)
        return folder
    return of


@pytest.fixture(params=["tsv", "conll"], ids=["texts", "sentences"])
def kind(request):
    return request.param


@pytest.mark.parallel
@pytest.mark.tier("ci")
def test_two_ranks_train_as_one(two_ranks, one_rank, kind):
    two, one = two_ranks(kind), one_rank(kind)[0]
    ours, theirs = (train_log(seed_folder(folder)) for folder in (two, one))
    assert [record["step"] for record in ours] == [record["step"] for record in theirs]
    for key in ("loss", "grad_norm", "learning_rate"):
        np.testing.assert_allclose([r[key] for r in ours], [r[key] for r in theirs], rtol=1e-3, atol=1e-5, err_msg=key)
    ours, theirs = final_weights(two), final_weights(one)
    for path, array in theirs.items():
        np.testing.assert_allclose(ours[path], array, atol=1e-5, err_msg=path)


@pytest.mark.parallel
@pytest.mark.tier("ci")
def test_two_ranks_have_the_metrics_of_one(two_ranks, one_rank, kind):
    two, one = two_ranks(kind), one_rank(kind)[0]
    ours, theirs = (result_of(folder)["seeds"][0] for folder in (two, one))
    for part in ("valid", "test"):
        assert ours[part]["confusion"] == theirs[part]["confusion"]
        assert ours[part]["loss"] == pytest.approx(theirs[part]["loss"], abs=1e-4)
    ours, theirs = (json_lines(seed_folder(folder), "predictions.jsonl") for folder in (two, one))
    assert [r.get("label", r.get("tags")) for r in ours] == [r.get("label", r.get("tags")) for r in theirs]


def test_sentences_are_learned(one_rank):
    losses = [record["loss"] for record in train_log(seed_folder(one_rank("conll")[0]))]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.1


def test_results_and_files(one_rank, kind, files):
    folder, output = one_rank(kind)
    result = result_of(folder)
    assert result["format"] == "albert_hvd fine-tuning result 1" and result["ranks"] == 1
    assert (result["name"], result["init_checkpoint"]) == ("run", str(files / "run"))
    assert result["data"]["train"]["longer_than_a_row"] > 0 and "were cut into windows" in output
    (seed,) = result["seeds"]
    log = eval_log(seed_folder(folder))
    metric = "macro_f1" if kind == "tsv" else "accuracy"
    best = max(log, key=lambda record: record[metric])
    assert seed["best_epoch"] == best["epoch"] and len(log) == 3
    # Computed anew with the weights that were kept, in float32 as in training here.
    assert seed["valid"]["accuracy"] == pytest.approx(best["accuracy"])
    assert result["summary"]["test"]["accuracy"] == {"mean": seed["test"]["accuracy"], "spread": None}
    (majority,) = result["baselines"]
    assert majority["name"] == "majority" and majority["valid"]["count"] == seed["valid"]["count"]
    records = json_lines(seed_folder(folder), "predictions.jsonl")
    right = [r["gold"] == r["label"] for r in records] if kind == "tsv" else [
        gold == tag for r in records for gold, tag in zip(r["gold"], r["tags"], strict=True)]
    assert np.mean(right) == pytest.approx(seed["test"]["accuracy"]) and len(right) == seed["test"]["count"]
    assert {"config.json", "spiece.model", "task.json", "model.safetensors"} == set(os.listdir(folder / "model"))
    assert status(folder)["state"] == "finished" and "true / predicted" in output


@pytest.mark.tier("ci")
def test_a_killed_run_ends_bit_identically(one_rank, files, tmp_path):
    kind, one = "conll", one_rank("conll")[0]
    process = start(0, flags(files, tmp_path, kind), "finetune")
    wait_until(lambda: logged_lines(seed_folder(tmp_path)) >= 14, process, "step 14")
    process.kill()
    process.communicate(timeout=300)
    assert "resuming at step" in run(files, tmp_path, kind=kind).stdout
    assert without_clock(train_log(seed_folder(tmp_path))) == without_clock(train_log(seed_folder(one)))
    assert without_clock(result_of(tmp_path)["seeds"]) == without_clock(result_of(one)["seeds"])
    for path, array in final_weights(one).items():
        np.testing.assert_array_equal(final_weights(tmp_path)[path], array, err_msg=path)


@pytest.mark.parallel
@pytest.mark.tier("ci")
def test_a_signal_to_a_rank_stops_all_and_more_seeds_may_follow(two_ranks, files, tmp_path):
    kind, two = "tsv", two_ranks("tsv")
    process = start(2, flags(files, tmp_path, kind), "finetune")
    wait_until(lambda: logged_lines(seed_folder(tmp_path)) >= 3, process, "step 3")
    ranks_of(process, "finetune")[1].send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 75 and "Traceback" not in errors, errors
    stopped = status(tmp_path)
    assert stopped["state"] == "stopped" and f"stopped in seed 1 at step {stopped['step']}" in output
    output = run(files, tmp_path, ranks=2, kind=kind, seeds="1,2").stdout
    assert f"resuming at step {stopped['step']}" in output
    first, second = result_of(tmp_path)["seeds"]
    assert without_clock([first]) == without_clock(result_of(two)["seeds"])
    assert second["seed"] == 2 and second["valid"]["loss"] != first["valid"]["loss"]
    spread = result_of(tmp_path)["summary"]["valid"]["accuracy"]["spread"]
    assert spread == pytest.approx(np.std([s["valid"]["accuracy"] for s in (first, second)], ddof=1))


def test_ctrl_c_saves(files, tmp_path):
    process = start(0, flags(files, tmp_path, "tsv", num_train_epochs=1000), "finetune")
    wait_until(lambda: logged_lines(seed_folder(tmp_path)) >= 3, process, "step 3")
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 75 and "Traceback" not in errors, errors
    stopped = status(tmp_path)
    assert stopped["state"] == "stopped" and f"stopped in seed 1 at step {stopped['step']} by SIGINT" in output


def test_random_weights_a_split_and_early_stopping(files, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(make_config().to_dict()))
    output = run(files, tmp_path / "out", init_checkpoint="", valid_file="", test_file="", early_stop_epochs=1,
                 bert_config_file=tmp_path / "config.json", tokenizer=files / "run" / "spiece.model",
                 num_train_epochs=50, learning_rate=0.0, precision="bfloat16").stdout
    result = result_of(tmp_path / "out")
    assert (result["name"], result["init_checkpoint"], result["summary"]["test"]) == (
        "random weights", None, None)
    # Nothing is learned at rate 0: the first epoch is the best, the second is one without anything better.
    assert result["seeds"][0]["best_epoch"] == 1 and len(eval_log(seed_folder(tmp_path / "out"))) == 2
    assert result["data"]["valid"]["examples"] == 6 and result["data"]["train"]["examples"] == 55
    assert "(split off)" in output


@pytest.mark.parametrize("ranks, changes, named", [
    pytest.param(2, {"valid_file": "bad.tsv"}, "bad.tsv:2: the label 'unknown' is not one of", marks=TWO_RANKS),
    (0, {"task": "translation"}, "--task=translation: unknown; give one of"),
    (0, {"task": ""}, "--task is missing"),
    (0, {"seeds": "1,1"}, "--seeds=1,1"),
], ids=["data", "task", "no_task", "seeds"])
def test_bad_input_ends_all_ranks_with_one_line(files, tmp_path, ranks, changes, named):
    write_tsv(tmp_path / "bad.tsv", [("marah", "saya"), ("unknown", "dia")])
    changes = {name: tmp_path / value if value == "bad.tsv" else value for name, value in changes.items()}
    result = run_command("finetune", ranks, **flags(files, tmp_path / "out", **changes))
    lines = own_lines(result, "finetune")
    assert (result.returncode, len(lines)) == (2, 1), result.stderr
    assert named in lines[0] and "Traceback" not in result.stderr
    assert not os.path.exists(tmp_path / "out")

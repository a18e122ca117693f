"""bin/benchmark recipes trains each recipe and tells its held-out loss, under both yardsticks."""

import math
import os

import numpy as np
import pytest

from albert_hvd.data.batches.rows import TrainingBatches
from albert_hvd.data.records.dataset import open_records
from albert_hvd.errors import InputError
from benchmarks.contestants import for_huggingface
from benchmarks.recipe_peer import write_batches
from benchmarks.recipes import RECIPES, Options, run
from conftest import ROOT


def options_for(training_files, runs_dir, **changes):
    return Options(**{
        "input_file": f"{training_files}/train-*.tfrecord", "eval_input_file": f"{training_files}/eval.tfrecord",
        "eval_token_input_file": f"{training_files}/eval.tfrecord", "bert_config_file": f"{training_files}/config.json",
        "max_seq_length": 16, "max_predictions_per_seq": 3, "train_batch_size": 4, "train_minutes": 0.01,
        "runs_dir": str(runs_dir), "seeds": "1,2", "recipes": "default", **changes})


@pytest.mark.tier("all")
def test_a_line_for_each_recipe_and_no_run_twice(training_files, tmp_path):
    options = options_for(training_files, tmp_path / "runs", recipes="default,pre_ln_plain")
    report = run(options, str(ROOT / "bin"))
    assert [row["recipe"] for row in report.rows] == ["default", "pre_ln_plain"]
    for row in report.rows:
        assert row["seeds"] == 2 and row["updates"] >= 1 and row["CPU min"] > 0.01
        assert row["words: loss"] == row["tokens: loss"]
        assert 0 < float(row["words: loss"].split()[0]) < 2 * math.log(1000)
    logs = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("train_log.jsonl")}
    assert len(logs) == 4
    again = run(options, str(ROOT / "bin"))
    assert again.rows == report.rows
    assert {path: path.stat().st_mtime_ns for path in logs} == logs


@pytest.mark.tier("all")
def test_ranks_need_no_environment_that_is_activated(training_files, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", os.defpath)
    report = run(options_for(training_files, tmp_path / "runs", seeds="1", ranks=2), str(ROOT / "bin"))
    assert report.rows[0]["updates"] >= 1


def test_every_recipe_is_made_of_flags_of_pretrain():
    from albert_hvd.model.config import AlbertConfig
    from albert_hvd.training.options import PretrainingOptions

    known = {*PretrainingOptions.__dataclass_fields__, *AlbertConfig.__dataclass_fields__}
    for flags in RECIPES.values():
        assert set(flags) <= known


@pytest.mark.parametrize("changes, named", [
    ({"input_file": None}, "--input_file"), ({"eval_token_input_file": None}, "--eval_token_input_file"),
    ({"recipes": "default,best"}, "'best'"), ({"seeds": "1,x"}, "seeds"), ({"peer": "huggingface"}, "lr_schedule"),
    ({"peer": "other"}, "peer"), ({"peer_python": "/nowhere/python"}, "peer_python")])
def test_bad_flags_are_refused_before_a_run(training_files, tmp_path, changes, named):
    with pytest.raises(InputError, match=named):
        run(options_for(training_files, tmp_path / "runs", **changes), "/nowhere")
    assert not list(tmp_path.iterdir())


def test_the_peer_trains_on_the_batches_of_a_seed(training_files, tmp_path):
    options = options_for(training_files, tmp_path)
    dataset = open_records(options.input_file, "input_file", options, 1000)
    write_batches(str(tmp_path), dataset, 4, 5, 3)
    arrays = {path.stem: np.load(path) for path in tmp_path.iterdir()}
    assert arrays["input_ids"].shape == (3, 4, 16) and arrays["sentence_order_label"].shape == (3, 4)
    batches = TrainingBatches(dataset, 4, 0, 1, 5)
    for number in range(3):
        expected = for_huggingface(next(batches))
        assert set(expected) == set(arrays)
        for name, array in expected.items():
            assert (arrays[name][number][..., :array.shape[-1]] == array).all()
        assert not arrays["attention_mask"][number, :, array.shape[-1]:].any() or array.ndim == 1
    batches.close()


@pytest.mark.tier("all")
def test_hugging_face_is_one_more_recipe(training_files, tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")
    options = options_for(training_files, tmp_path / "runs", seeds="1", peer="huggingface", lr_schedule="time",
                          train_minutes=0.05, peer_batch_size=4)
    report = run(options, str(ROOT / "bin"))
    own, peer = report.rows
    assert peer["recipe"] == "huggingface" and peer["updates"] >= 1 and peer["min"] >= 0.05
    assert 0 < float(peer["words: loss"].split()[0]) < 2 * math.log(1000)
    assert run(options, str(ROOT / "bin")).rows == report.rows

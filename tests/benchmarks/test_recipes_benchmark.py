"""bin/benchmark recipes trains each combination and tells its held-out loss."""

import json
import math

import pytest

from albert_hvd.errors import InputError
from benchmarks.recipes import Options, run
from conftest import ROOT


def options_for(training_files, **changes):
    return Options(**{
        "input_file": f"{training_files}/train-*.tfrecord", "eval_input_file": f"{training_files}/eval.tfrecord",
        "bert_config_file": f"{training_files}/config.json", "max_seq_length": 16, "max_predictions_per_seq": 3,
        "train_batch_size": 4, "num_train_steps": 2, "num_warmup_steps": 1, **changes})


@pytest.mark.tier("all")
def test_a_line_for_each_run(training_files, tmp_path):
    report = run(options_for(training_files, architectures="brightmart", optimizers="lamb:5e-3",
                             scratch_dir=str(tmp_path)), str(ROOT / "bin"))
    row, = report.rows
    assert (row["architecture"], row["optimizer"], row["learning rate"]) == ("brightmart", "lamb", 5e-3)
    vocab_size = json.loads((training_files / "config.json").read_text())["vocab_size"]
    assert 0 < row["MLM loss"] < 2 * math.log(vocab_size) and 0 < row["sentence loss"] < 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("changes, named", [
    ({"input_file": None}, "--input_file"), ({"optimizers": "sgd:1"}, "'sgd:1'"), ({"optimizers": "lamb"}, "'lamb'"),
    ({"optimizers": "adamw:-1"}, "'adamw:-1'"), ({"architectures": "bert"}, "bert")])
def test_bad_flags_are_refused_before_a_run(training_files, changes, named):
    with pytest.raises(InputError, match=named):
        run(options_for(training_files, **changes), "/nowhere")

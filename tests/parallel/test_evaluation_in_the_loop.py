"""Held-out figures while training: those of bin/validate, the best checkpoint, the early stop."""

import json

import pytest

from conftest import run_command
from pretraining_runs import eval_log, flags, status


def run_flags(training_files, folder, **changes):
    return flags(training_files, folder, eval_input_file=f"{training_files}/eval.tfrecord", eval_every_steps=5,
                 num_train_steps=10, save_checkpoints_steps=1000, **changes)


def validated(training_files, checkpoint, output_dir, eval_batch_size):
    result = run_command("validate", input_file=f"{training_files}/eval.tfrecord", init_checkpoint=checkpoint,
                         bert_config_file=f"{training_files}/config.json", output_dir=output_dir, max_seq_length=16,
                         max_predictions_per_seq=3, eval_batch_size=eval_batch_size)
    assert result.returncode == 0, result.stderr
    return json.loads((output_dir / "eval_results.json").read_text())


@pytest.mark.parallel
@pytest.mark.tier("ci")
# 13 records: neither 2 ranks of 2 rows nor 3 ranks of 1 row (3, rounded up from 2) come out even.
@pytest.mark.parametrize("ranks, eval_batch_size", [(2, 4), (3, 2)])
def test_the_loop_gives_the_figures_of_validation_on_one_rank(training_files, tmp_path, ranks, eval_batch_size):
    run = tmp_path / "run"
    result = run_command("pretrain", ranks=ranks,
                         **run_flags(training_files, run, eval_batch_size=eval_batch_size, passes="auto"))
    assert result.returncode == 0, result.stderr
    last = eval_log(run)[-1]
    figures = validated(training_files, run, tmp_path / "figures", eval_batch_size=13)
    assert figures.pop("global_step") == last.pop("step") == 10
    layers = json.loads((training_files / "config.json").read_text())["num_hidden_layers"]
    # The fifth update begins at 40 % of the run, and all passes are made from 45 % on.
    assert [record["passes"] for record in eval_log(run)] == [1, 2] and last.pop("passes") == layers
    assert set(figures) == set(last)
    for key, value in figures.items():
        assert last[key] == pytest.approx(value, abs=1e-6), key


def test_training_stops_early_and_keeps_the_best(training_files, tmp_path):
    """At a learning rate this high the held-out loss rises after the first evaluation."""
    wild = run_flags(training_files, tmp_path, learning_rate=3.0, early_stop_evaluations=2, keep_checkpoints=1)
    wild.update(num_train_steps=100, eval_every_steps=1, num_warmup_steps=20)
    result = run_command("pretrain", **wild)
    assert result.returncode == 0, result.stderr
    losses = [record["loss"] for record in eval_log(tmp_path)]
    best = losses.index(min(losses)) + 1
    assert len(losses) == best + 2 < 100
    assert status(tmp_path)["reason"].startswith("stopped early: 2 evaluations")
    best_file = tmp_path / "checkpoints" / "best.json"
    assert json.loads(best_file.read_text())["step"] == best
    assert sorted(path.name for path in best_file.parent.glob("step_*")) == [f"step_{step:08d}" for step in
                                                                            (best, best + 2)]
    figures = validated(training_files, best_file, tmp_path / "figures", eval_batch_size=5)
    assert figures["loss"] == pytest.approx(min(losses), abs=1e-6)
    again = run_command("pretrain", **wild)
    assert "nothing to do" in again.stdout and "stopped early" in again.stdout

"""From the folders of runs to charts of numbers."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from albert_hvd.errors import InputError
from albert_hvd.reporting.curves import training_charts, x_values
from albert_hvd.reporting.run_reader import distinct_labels, read_runs
from synthetic_run import held_out_record, record, write_run


def refusal(*folders):
    with pytest.raises(InputError) as error:
        read_runs([str(folder) for folder in folders])
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_run_is_read(tmp_path):
    run, = read_runs([write_run(tmp_path / "run", held_out=[held_out_record(20, 4.5)], config={"vocab_size": 50},
                                status={"state": "running"}, eval_results={"global_step": 40})])
    assert run.label == "run"
    assert run.training.steps.tolist() == [10, 20, 30, 40]
    assert run.training.column("loss").tolist() == [4.5, 4.0, 3.5, 3.0]
    assert run.training.last("masked_lm_accuracy") == 0.4
    assert run.held_out.column("loss").tolist() == [4.5]
    assert (run.config, run.status) == ({"vocab_size": 50}, {"state": "running"})
    assert (run.evaluation, run.checkpoint, run.num_parameters) == ({"global_step": 40}, {}, None)


def test_the_newest_checkpoint_is_looked_into(tmp_path):
    folder = write_run(tmp_path / "run")
    for step, width in ((10, 4), (20, 5)):
        checkpoint = tmp_path / "run" / "checkpoints" / f"step_{step:08d}"
        checkpoint.mkdir(parents=True)
        save_file({"a": np.zeros((3, width), np.float32), "b": np.zeros(2, np.float32)},
                  checkpoint / "weights.safetensors")
        (checkpoint / "state.json").write_text(json.dumps({"step": step, "num_records": 41}))
    run, = read_runs([folder])
    assert run.checkpoint == {"step": 20, "num_records": 41}
    assert run.num_parameters == 17
    (checkpoint / "weights.safetensors").write_bytes(b"damaged")
    assert read_runs([folder])[0].num_parameters is None


def test_lines_that_are_no_records_are_left_out(tmp_path):
    folder = write_run(tmp_path / "run")
    with open(tmp_path / "run" / "train_log.jsonl", "ab") as log:
        log.write(b'[1]\n"step"\n{"loss": 1}\n{"step": true}\n{"step": -1}\n' + b"[" * 100_000 + b"\n\xff\xfe\n\n")
        log.write(json.dumps(record(50, loss=float("nan"), grad_norm="high", learning_rate=10**400)).encode() + b"\n")
        log.write(b'{"step": 60, "loss": 2.')  # being written
    run, = read_runs([folder])
    assert run.training.steps.tolist() == [10, 20, 30, 40, 50]
    for name in ("loss", "grad_norm", "learning_rate", "no_such_metric"):
        assert np.isnan(run.training.column(name)[-1]), name
    assert run.training.last("loss") == 3.0
    assert run.training.last("no_such_metric") is None


def test_a_resumed_log_replaces_what_was_lost(tmp_path):
    steps = [(1, 5.0), (2, 4.0), (3, 3.0), (2, 4.5), (3, 4.4), (4, 4.3)]
    run, = read_runs([write_run(tmp_path / "run", [record(step, loss=loss) for step, loss in steps])])
    assert run.training.steps.tolist() == [1, 2, 3, 4]
    assert run.training.column("loss").tolist() == [5.0, 4.5, 4.4, 4.3]


def test_folders_that_hold_no_run(tmp_path):
    assert "RUN_DIR is missing" in refusal()
    assert "nowhere: no such folder" in refusal(tmp_path / "nowhere")
    (tmp_path / "bare").mkdir()
    assert "bare/train_log.jsonl: no such file" in refusal(tmp_path / "bare")
    assert "empty/train_log.jsonl: it is empty" in refusal(write_run(tmp_path / "empty", []))
    garbage = write_run(tmp_path / "garbage", ["noise", ["more"]])
    assert "garbage/train_log.jsonl: none of its 2 lines is a record" in refusal(write_run(tmp_path / "good"), garbage)
    (tmp_path / "odd" / "train_log.jsonl").mkdir(parents=True)
    assert "odd/train_log.jsonl: cannot read it" in refusal(tmp_path / "odd")


@pytest.mark.parametrize("folders, labels", [
    (["runs/a", "runs/b/"], ["a", "b"]),
    (["x/model", "y/model", "z"], ["x/model", "y/model", "work/z"]),
    (["a/x/model", "b/x/model"], ["a/x/model", "b/x/model"]),
    (["model", "model", "./model"], ["model", "model (2)", "model (3)"]),
    (["/", "/a"], ["", "a"])])
def test_labels_are_distinct(folders, labels, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert distinct_labels(folders) == labels


def test_charts_hold_training_and_held_out_figures(tmp_path):
    runs = read_runs([write_run(tmp_path / "a", held_out=[held_out_record(15, 4.5), held_out_record(30, 4.25)]),
                      write_run(tmp_path / "b", [record(5)])])
    charts = {chart.name: chart for chart in training_charts(runs, "step")}
    assert list(charts) == ["masked_lm_loss", "masked_lm_accuracy", "sentence_loss", "sentence_accuracy", "loss",
                            "learning_rate", "grad_norm", "real_tokens_per_sec"]
    assert [(s.label, s.run_number, s.is_held_out, s.x.tolist(), s.y.tolist()) for s in charts["loss"].series] == [
        ("a", 0, False, [10, 20, 30, 40], [4.5, 4.0, 3.5, 3.0]), ("a", 0, True, [15, 30], [4.5, 4.25]),
        ("b", 1, False, [5], [4.0])]
    assert charts["sentence_loss"].series[1].y.tolist() == [0.6, 0.6]
    assert charts["loss"].description() == ("Total loss (nats) over step (updates). a, training: from 4.5 to 3; "
                                            "a, held out: from 4.5 to 4.25; b, training: from 4 to 4.")


def test_what_was_not_measured_is_not_drawn(tmp_path):
    first = record(1, sequences_per_sec=0.0, tokens_per_sec=0.0, real_tokens_per_sec=0.0)
    second = record(2)
    for metrics in (first, second):
        del metrics["sentence_accuracy"]
    runs = read_runs([write_run(tmp_path / "a", [first, second])])
    charts = {chart.name: chart for chart in training_charts(runs, "step")}
    assert "sentence_accuracy" not in charts
    np.testing.assert_array_equal(charts["real_tokens_per_sec"].series[0].y, [np.nan, 153.6])


@pytest.mark.parametrize("norms, is_logarithmic", [([1.0, 9.0], False), ([1.0, 10.0], True), ([0.0, 10.0], False)])
def test_gradient_norms_over_decades_are_drawn_logarithmically(tmp_path, norms, is_logarithmic):
    records = [record(step, grad_norm=norm) for step, norm in enumerate(norms, start=1)]
    charts = training_charts(read_runs([write_run(tmp_path / "a", records)]), "step")
    assert [chart.is_logarithmic for chart in charts if chart.name == "grad_norm"] == [is_logarithmic]
    assert not any(chart.is_logarithmic for chart in charts if chart.name != "grad_norm")


def test_the_x_axis_counts_real_tokens(tmp_path):
    # 12 rows of 16 positions, of which 80 %, then 50 % are real; the first record has no timed step.
    records = [record(1, tokens_per_sec=0.0, real_tokens_per_sec=0.0), record(11), record(21, real_tokens_per_sec=96.0)]
    run, = read_runs([write_run(tmp_path / "a", records)])
    np.testing.assert_allclose(x_values(run, "real_tokens") * 1e6, np.cumsum([153.6, 1536, 960]))
    run, = read_runs([write_run(tmp_path / "b", records, flags={"train_batch_size": "12", "max_seq_length": 16})])
    with pytest.raises(InputError, match="^x=real_tokens: .*/b lacks train_batch_size .*x=step"):
        training_charts([run], "real_tokens")


def test_the_x_axis_counts_hours_over_resumptions(tmp_path):
    # The clock starts anew where the run was resumed.
    records = [record(step, elapsed_sec=sec) for step, sec in ((1, 1800), (2, 3600), (3, 900), (4, 1800), (5, 60))]
    run, = read_runs([write_run(tmp_path / "a", records, held_out=[held_out_record(2, 4.0)])])
    np.testing.assert_allclose(x_values(run, "hours"), np.array([1800, 3600, 4500, 5400, 5460]) / 3600)
    loss = next(chart for chart in training_charts([run], "hours") if chart.name == "loss")
    assert loss.series[1].x.tolist() == [1.0]
    assert loss.x_label == "hours of training"
    run, = read_runs([write_run(tmp_path / "b", [{"step": 1, "loss": 4.0}])])
    with pytest.raises(InputError, match="^x=hours: .*/b lacks elapsed_sec .*x=step"):
        training_charts([run], "hours")

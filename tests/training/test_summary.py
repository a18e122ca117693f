"""The table at the start of a run."""

import dataclasses

import pytest

from albert_hvd.training.batch_plan import BatchPlan, activation_bytes_per_row
from albert_hvd.training.options import PretrainingOptions
from albert_hvd.training.summary import describe_run

OPTIONS = PretrainingOptions(input_file="a.tfrecord", output_dir="runs/a", bert_config_file="c.json",
                             precision="float32", attention="plain",
                             max_seq_length=16, train_batch_size=24, num_train_steps=1000)


def table(config, plan=BatchPlan(24, 3, 2), **changes):
    text = describe_run("new weights", dataclasses.replace(OPTIONS, **changes), config, plan,
                        num_records=480, num_parameters=2_000_000, device="CPU")
    return dict(line.split(maxsplit=1) for line in text.replace("whole run", "whole_run").splitlines())


def test_the_batch_arithmetic(tiny_config):
    lines = table(tiny_config)
    assert lines["batch"] == "train_batch_size 24 = micro_batch_size 4 x accumulation_steps 2 x ranks 3"
    assert lines["update"] == "24 rows x 16 positions = 384 tokens, padding included"
    assert lines["whole_run"] == "1000 steps = 50.00 epochs, 384 k tokens"
    assert lines["device"] == "3 ranks on CPU, float32"


def test_the_optimizer_warms_up_over_six_per_cent_unless_told_otherwise(tiny_config):
    assert table(tiny_config)["optimizer"] == "muon, learning rate 0.002, warmup 60 of 1000 steps"
    assert table(tiny_config, num_warmup_steps=0)["optimizer"].endswith("warmup 0 of 1000 steps")


def test_a_run_by_time_has_minutes(tiny_config):
    lines = table(tiny_config, train_minutes=120.0, lr_schedule="cpu_time")
    assert lines["whole_run"] == "120 minutes of the processors of all ranks"
    assert lines["optimizer"].endswith("warmup 6% of the time")


def test_the_phases_of_passes(tiny_config):
    config = dataclasses.replace(tiny_config, num_hidden_layers=4)
    assert table(config)["passes"] == "1 through the shared layer, 2 from 15% of the run on, 4 from 45% of the run on"
    assert table(config, initialization="plain")["passes"] == "4 through the shared layer"


@pytest.mark.parametrize("steps, rows, tokens", [
    (1, 1, "16 tokens"), (100, 1, "1.6 k tokens"), (1000, 100, "1.6 M tokens"), (10**6, 120, "1.92 G tokens")])
def test_the_tokens_of_a_run_have_a_fitting_unit(tiny_config, steps, rows, tokens):
    lines = table(tiny_config, num_train_steps=steps, plan=BatchPlan(rows, 1, 1))
    assert lines["whole_run"].endswith(f", {tokens}")


def test_packed_rows_have_no_fixed_number_of_epochs(tiny_config):
    lines = table(tiny_config, pack_sequences=True)
    assert lines["update"].startswith("24 packed rows")
    assert "epochs" not in lines["whole_run"]


def test_the_memory_is_that_of_four_floats_a_parameter_and_a_micro_batch(tiny_config):
    activations = 4 * activation_bytes_per_row(tiny_config, 16)
    whole = (2_000_000 * 16 + activations) / 2**30
    assert table(tiny_config)["memory"].startswith(f"about {whole:.2f} GiB a rank: 0.03 for weights")

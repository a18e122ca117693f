"""The table at the start of a run."""

import dataclasses

from albert_hvd.batch_plan import BatchPlan, activation_bytes_per_row
from albert_hvd.pretraining import PretrainingOptions
from albert_hvd.run_description import describe_run

OPTIONS = PretrainingOptions(input_file="a.tfrecord", output_dir="runs/a", bert_config_file="c.json",
                             max_seq_length=16, train_batch_size=24, num_train_steps=1000)


def table(config, **changes):
    text = describe_run("new weights", dataclasses.replace(OPTIONS, **changes), config, BatchPlan(24, 3, 2),
                        num_records=480, num_parameters=2_000_000, device="CPU")
    return dict(line.split(maxsplit=1) for line in text.replace("whole run", "whole_run").splitlines())


def test_the_batch_arithmetic(tiny_config):
    lines = table(tiny_config)
    assert lines["batch"] == "train_batch_size 24 = micro_batch_size 4 x accumulation_steps 2 x ranks 3"
    assert lines["update"] == "24 rows x 16 positions = 384 tokens, padding included"
    assert lines["whole_run"] == "1000 steps = 50.00 epochs, 0.000384 G tokens"
    assert lines["device"] == "3 ranks on CPU, float32"


def test_packed_rows_have_no_fixed_number_of_epochs(tiny_config):
    lines = table(tiny_config, pack_sequences=True)
    assert lines["update"].startswith("24 packed rows")
    assert "epochs" not in lines["whole_run"]


def test_the_memory_is_that_of_four_floats_a_parameter_and_a_micro_batch(tiny_config):
    activations = 4 * activation_bytes_per_row(tiny_config, 16)
    whole = (2_000_000 * 16 + activations) / 2**30
    assert table(tiny_config)["memory"].startswith(f"about {whole:.2f} GiB a rank: 0.03 for weights")

r"""Held-out loss of short pre-training runs that differ in architecture and optimizer, at one budget.

    bin/benchmark recipes --input_file='records/train.tfrecord-*' --eval_input_file=records/valid.tfrecord \
        --bert_config_file=tiny_8000.json --max_predictions_per_seq=40 --optimizers=adamw:1e-3,lamb:5e-3

Each line of the table is one bin/pretrain of the same updates on the same packed rows; "albert" is post-LN,
"brightmart" pre-LN.
"""

import dataclasses
import itertools
import json
import os
import tempfile

from albert_hvd.data.records.dataset import open_records
from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.options import option
from albert_hvd.run_folder.layout import EVAL_LOG
from albert_hvd.runtime.files import whole_file
from benchmarks.command_usage import run_command
from benchmarks.flag_checks import check_scratch_dir
from benchmarks.report import Report

_OPTIMIZERS, _PRECISIONS = ("adamw", "lamb"), ("float32", "bfloat16", "float16")


@dataclasses.dataclass(frozen=True)
class Options:
    """Flags of the benchmark."""

    input_file: str = option(None, "training TFRecords, as bin/pretrain")
    eval_input_file: str = option(None, "held-out TFRecords")
    bert_config_file: str = option(None, "JSON file of the model's sizes; its architecture is replaced")
    architectures: str = option("albert,brightmart", "comma list")
    optimizers: str = option("adamw:1e-3,lamb:5e-3", "comma list of optimizer:peak learning rate")
    max_seq_length: int = option(128, "positions of a row")
    max_predictions_per_seq: int = option(20, "prediction slots of a record")
    train_batch_size: int = option(16, "packed rows of an update")
    num_train_steps: int = option(400, "updates of each run")
    num_warmup_steps: int = option(100, "of them with a rising learning rate", least=0)
    precision: str = option("bfloat16", "as bin/pretrain")
    scratch_dir: str = option(None, "where the runs go, and are deleted; default: the system's temporary folder")


def run(options, command_folder):
    """Train and evaluate; `command_folder` holds the commands. Returns a `Report`; raises InputError for bad flags."""
    for name in ("input_file", "eval_input_file", "bert_config_file"):
        if not getattr(options, name):
            raise InputError(f"--{name} is missing; see bin/benchmark recipes --help")
    if options.precision not in _PRECISIONS:
        raise InputError(f"--precision={options.precision}: must be one of {', '.join(_PRECISIONS)}")
    check_scratch_dir(options.scratch_dir)
    config = AlbertConfig.from_json_file(options.bert_config_file)
    optimizers = [_parse_optimizer(text, options.optimizers) for text in options.optimizers.split(",")]
    configs = [AlbertConfig.from_dict({**config.to_dict(), "architecture": name}, "--architectures")
               for name in options.architectures.split(",")]
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")  # reading records starts TensorFlow; the GPUs are for the runs
    for name in ("input_file", "eval_input_file"):
        open_records(getattr(options, name), name, options, config.vocab_size).close()
    report = Report("recipes", dataclasses.asdict(options))
    with tempfile.TemporaryDirectory(dir=options.scratch_dir, prefix="benchmark-recipes-") as folder:
        for number, (config, recipe) in enumerate(itertools.product(configs, optimizers)):
            report.rows.append(_train(options, command_folder, os.path.join(folder, str(number)), config, *recipe))
    return report


def _parse_optimizer(text, flag_value):
    name, _, rate = text.partition(":")
    try:
        rate = float(rate)
    except ValueError:
        rate = 0.0
    if name not in _OPTIMIZERS or not 0 < rate < 100:
        raise InputError(f"--optimizers={flag_value}: {text!r} is not one of {', '.join(_OPTIMIZERS)} with a "
                         f"learning rate, such as adamw:1e-3")
    return name, rate


def _train(options, command_folder, folder, config, optimizer, learning_rate):
    """One run; returns its row of the table."""
    os.mkdir(folder)
    config_file, output_dir = os.path.join(folder, "config.json"), os.path.join(folder, "run")
    with whole_file(config_file, "scratch_dir") as file:
        file.write(json.dumps(config.to_dict()).encode())
    same = ("input_file", "eval_input_file", "max_seq_length", "max_predictions_per_seq", "train_batch_size",
            "num_train_steps", "num_warmup_steps", "precision")
    flags = {**{name: getattr(options, name) for name in same}, "bert_config_file": config_file,
             "output_dir": output_dir, "optimizer": optimizer, "learning_rate": learning_rate, "pack_sequences": True,
             "eval_every_steps": options.num_train_steps, "save_checkpoints_steps": options.num_train_steps}
    usage = run_command([os.path.join(command_folder, "pretrain"), *(f"--{name}={flags[name]}" for name in flags)])
    with open(os.path.join(output_dir, EVAL_LOG), encoding="utf-8") as file:
        results = json.loads(file.readlines()[-1])
    return {"architecture": config.architecture, "optimizer": optimizer, "learning rate": learning_rate,
            "MLM loss": results["masked_lm_loss"], "MLM accuracy": results["masked_lm_accuracy"],
            "sentence loss": results["next_sentence_loss"], "CPU s": usage.cpu_sec}

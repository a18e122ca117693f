r"""Memory of a training step with and without --recompute, as the operating system sees it.

    bin/benchmark memory --bert_config_file=albert_config/albert_config_base.json --max_seq_length=512 \
        --micro_batch_size=4

Every setting is measured in a process of its own, for memory that was used once stays with a process.
"""

import dataclasses
import itertools
import time

from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.options import option
from albert_hvd.training.batch_plan import activation_bytes_per_row
from benchmarks.contest import in_own_process, peak_bytes
from benchmarks.flag_checks import check_positions
from benchmarks.random_rows import random_rows
from benchmarks.report import Report

_PRECISIONS = ("float32", "bfloat16", "float16")
_MIB = 2 ** 20


@dataclasses.dataclass(frozen=True)
class Options:
    """Flags of the benchmark."""

    bert_config_file: str = option(None, "JSON file of the model's sizes")
    max_seq_length: int = option(128, "positions of a row")
    micro_batch_size: int = option(16, "rows of the step, at least 2")
    precisions: str = option("float32,bfloat16", f"comma list of {', '.join(_PRECISIONS)}")
    xla: bool = option(False, "compile forward and backward with XLA")


def run(options, command_folder):
    """Measure; returns a `Report`. Raises InputError for bad flags."""
    del command_folder  # no command is run
    if not options.bert_config_file:
        raise InputError("--bert_config_file is missing; see bin/benchmark memory --help")
    config = AlbertConfig.from_json_file(options.bert_config_file)
    check_positions(options.max_seq_length, config)
    if options.micro_batch_size < 2:
        raise InputError(f"--micro_batch_size={options.micro_batch_size}: what a row adds shows from 2 rows on")
    precisions = options.precisions.split(",")
    unknown = set(precisions) - set(_PRECISIONS)
    if unknown:
        raise InputError(f"--precisions={options.precisions}: {', '.join(sorted(unknown))} is none of "
                         f"{', '.join(_PRECISIONS)}")
    report = Report("memory", dataclasses.asdict(options))
    for precision, recompute in itertools.product(precisions, (False, True)):
        figures = in_own_process(_measure, config, options.max_seq_length, options.micro_batch_size, precision, recompute,
                                 options.xla)
        report.rows.append({"precision": precision, "recompute": recompute, **figures})
    report.notes = ["peak MiB: the process, with TensorFlow, weights and moments; MiB a row: what each row after the "
                    "first adds to it; estimate: what --accumulation_steps=0 reckons with"]
    return report


def _measure(config, max_seq_length, micro_batch_size, precision, recompute, xla):
    """The figures of one setting, in a process that has done nothing else."""
    import numpy as np
    import tensorflow as tf

    from albert_hvd.model.encoder import named_variables
    from albert_hvd.model.pretraining_model import AlbertPretrainer
    from albert_hvd.training.optimizer import AdamW
    from albert_hvd.training.step import TrainingStep

    tf.config.set_visible_devices([], "GPU")
    model = AlbertPretrainer(config, compute_dtype=tf.dtypes.as_dtype(precision), static_shapes=xla,
                             recompute=recompute)
    optimizer = AdamW(learning_rate=1e-4, num_train_steps=10)
    optimizer.build(named_variables(model), compiled=True)
    step = TrainingStep(model, optimizer, xla=xla)
    seconds, peaks = [], []
    for rows in (1, micro_batch_size, micro_batch_size):
        batch = {**random_rows(config, rows, max_seq_length), "sentence_weights": np.ones((rows, 1), np.float32)}
        began = time.monotonic()
        step(batch, (0, rows), stop=False)
        seconds.append(time.monotonic() - began)
        peaks.append(peak_bytes())
    return {"peak MiB": peaks[-1] / _MIB, "MiB a row": (peaks[-1] - peaks[0]) / (micro_batch_size - 1) / _MIB,
            "estimate": activation_bytes_per_row(config, max_seq_length, precision, recompute) / _MIB,
            "s a step": seconds[-1]}

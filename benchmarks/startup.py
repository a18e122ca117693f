r"""Time from the start of bin/pretrain to its first update, and to the end of a run of one update.

    bin/benchmark startup --bert_config_file=albert_config/albert_config_tiny.json

The command is run as a user runs it, on random full rows; the first update includes compiling the graph.
"""

import dataclasses
import os
import statistics
import tempfile
import time

from albert_hvd.data.records.tfrecord import RecordWriter
from albert_hvd.model.config import AlbertConfig
from albert_hvd.options import option
from albert_hvd.run_folder.layout import TRAIN_LOG
from benchmarks.command_usage import run_command
from benchmarks.flag_checks import check_least, check_positions
from benchmarks.random_rows import num_predictions, random_rows
from benchmarks.report import Report


@dataclasses.dataclass(frozen=True)
class Options:
    """Flags of the benchmark."""

    bert_config_file: str = option("albert_config/albert_config_tiny.json", "JSON file of the model's sizes")
    max_seq_length: int = option(128, "positions of a row")
    train_batch_size: int = option(16, "rows of the update")
    xla: bool = option(False, "as bin/pretrain")
    repeats: int = option(3, "runs; the median of each column is shown")


def run(options, command_folder):
    """Measure; `command_folder` holds the commands. Returns a `Report`; raises InputError for bad flags."""
    config = AlbertConfig.from_json_file(options.bert_config_file)
    check_least(options, 1, "repeats")
    check_positions(options.max_seq_length, config)
    report = Report("startup", dataclasses.asdict(options))
    figures = []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory(prefix="benchmark-startup-") as folder:
            figures.append(_run_once(options, config, command_folder, folder))
    columns = ("to the first update s", "to the end s", "CPU s", "peak MiB")
    report.rows.append({"what": "bin/pretrain, one rank", **dict(zip(columns, map(statistics.median, zip(*figures))))})
    return report


def _run_once(options, config, command_folder, folder):
    records, output_dir = os.path.join(folder, "records.tfrecord"), os.path.join(folder, "run")
    with RecordWriter(records) as writer:
        writer.write_batch(random_rows(config, options.train_batch_size, options.max_seq_length))
    same = ("bert_config_file", "max_seq_length", "train_batch_size", "xla")
    flags = {**{name: getattr(options, name) for name in same}, "input_file": records, "output_dir": output_dir,
             "max_predictions_per_seq": num_predictions(options.max_seq_length), "num_train_steps": 1,
             "num_warmup_steps": 0}
    began = time.time()
    usage = run_command([os.path.join(command_folder, "pretrain"), *(f"--{name}={flags[name]}" for name in flags)])
    # The log's one line is written right after the update.
    first_update = os.stat(os.path.join(output_dir, TRAIN_LOG)).st_mtime - began
    return first_update, usage.wall_sec, usage.cpu_sec, usage.largest_mib

"""What a checkpoint costs: how long training waits for it, and how long the writing takes behind it.

    bin/benchmark checkpoint --bert_config_file=albert_config/albert_config_base.json --scratch_dir=runs

One rank trains on random records and saves after every third step. Columns, in seconds, medians: a step while
nothing is written, the standstill while the state is copied, the background thread's writing, hashing and
syncing of that copy, and a step that begins right after the copy.
"""

import dataclasses
import os
import statistics
import tempfile
import time

from albert_hvd.data.records.dataset import open_records
from albert_hvd.data.records.tfrecord import RecordWriter
from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.options import option
from albert_hvd.runtime import distributed
from albert_hvd.training.batch_plan import plan_batch
from albert_hvd.training.device_options import resolve_device_options
from albert_hvd.training.options import PretrainingOptions
from benchmarks.flag_checks import check_scratch_dir
from benchmarks.random_rows import num_predictions, random_rows
from benchmarks.report import Report


@dataclasses.dataclass(frozen=True)
class Options:
    """Flags of the benchmark."""

    bert_config_file: str = option("albert_config/albert_config_base.json", "JSON file of the model's sizes")
    max_seq_length: int = option(128, "positions of a row")
    train_batch_size: int = option(4, "rows of an update")
    num_checkpoints: int = option(5, "how many to write")
    scratch_dir: str = option(None, "folder on the disk to be measured; default: the system's temporary folder")


def run(options, command_folder):
    """Measure. Returns a `Report`; raises InputError for bad flags or when a launcher started several ranks."""
    del command_folder  # it runs in this process
    config = AlbertConfig.from_json_file(options.bert_config_file)
    check_scratch_dir(options.scratch_dir)
    distributed.initialize()
    if distributed.size() > 1:
        raise InputError(f"started on {distributed.size()} ranks: start it alone, for only rank 0 writes checkpoints")
    report = Report("checkpoint", dataclasses.asdict(options))
    with tempfile.TemporaryDirectory(dir=options.scratch_dir, prefix="benchmark-checkpoint-") as folder:
        training = _random_training(folder, options, config)
        try:
            report.rows.append(_measure(training, options.num_checkpoints, os.path.join(folder, "checkpoints")))
        finally:
            training.close()
    return report


def _random_training(folder, benchmark, config):
    """A `Training` on random records that lie in `folder`, as its checkpoints will."""
    from albert_hvd.training.setup import build_training

    options = PretrainingOptions(
        input_file=os.path.join(folder, "records.tfrecord"), output_dir=folder,
        bert_config_file=benchmark.bert_config_file, max_seq_length=benchmark.max_seq_length,
        max_predictions_per_seq=num_predictions(benchmark.max_seq_length), train_batch_size=benchmark.train_batch_size)
    options = resolve_device_options(options, config, distributed.lowest_compute_capability())
    with RecordWriter(options.input_file) as writer:
        writer.write_batch(random_rows(config, options.train_batch_size, options.max_seq_length))
    dataset = open_records(options.input_file, "input_file", options, config.vocab_size)
    plan = plan_batch(options.train_batch_size, size=1, accumulation_steps=1, row_bytes=0, memory_bytes=None)
    return build_training(options, config, dataset, plan)


def _measure(training, num_checkpoints, checkpoints):
    """The row of the table."""
    def step():
        began = time.monotonic()
        training.finish_step(training.start_step(stop=False))
        return time.monotonic() - began

    step()  # compiles
    figures = []
    for _ in range(num_checkpoints):
        alone = statistics.median([step(), step()])
        began = time.monotonic()
        training.save()
        stall = time.monotonic() - began
        while_writing = step()
        training.finish_saving()
        figures.append((alone, stall, training.checkpoint_write_sec(), while_writing))
    newest = max(entry.path for entry in os.scandir(checkpoints))
    columns = ("step s", "stall s", "write s", "step while writing s")
    return {"checkpoint MiB": sum(entry.stat().st_size for entry in os.scandir(newest)) / 2**20,
            **dict(zip(columns, map(statistics.median, zip(*figures))))}

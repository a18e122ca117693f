"""What a checkpoint costs: the standstill of training, the writing behind it, and what a resumed run waits for.

    bin/benchmark checkpoint --bert_config_file=albert_config/albert_config_base.json --scratch_dir=runs
    horovodrun -np 8 bin/benchmark checkpoint --scratch_dir=runs

Trains on random records and saves after every third step; all ranks read the records and rank 0 writes the checkpoints,
on one disk. Columns, in seconds on rank 0, medians: a step while nothing is written, the standstill while the state is
copied, the background thread's writing, hashing and syncing of that copy, and a step that begins right after the copy.
Then all is closed and begun again twice: without a checkpoint ("start") and from the last one ("resume"), whose files
the page cache has let go of. Both make the model and the pipeline of batches; neither compiles the step.
"""

import contextlib
import dataclasses
import os
import statistics
import tempfile
import time

from albert_hvd.data.records.dataset import open_records
from albert_hvd.data.records.tfrecord import RecordWriter
from albert_hvd.model.config import AlbertConfig
from albert_hvd.options import option
from albert_hvd.runtime import distributed
from albert_hvd.training.batch_plan import plan_batch
from albert_hvd.training.device_options import resolve_device_options
from albert_hvd.training.options import PretrainingOptions
from benchmarks.flag_checks import check_scratch_dir
from benchmarks.random_rows import num_predictions, random_rows
from benchmarks.report import Report

RECORDS = "records.tfrecord"


@dataclasses.dataclass(frozen=True)
class Options:
    """Flags of the benchmark."""

    bert_config_file: str = option("albert_config/albert_config_base.json", "JSON file of the model's sizes")
    max_seq_length: int = option(128, "positions of a row")
    train_batch_size: int = option(4, "rows of an update, of all ranks together")
    num_checkpoints: int = option(5, "how many to write")
    scratch_dir: str = option(None, "folder on the disk to be measured; default: the system's temporary folder")


def run(options, command_folder):
    """Measure, on all ranks of a launcher. Returns a `Report`, None above rank 0; raises InputError for bad flags."""
    del command_folder  # it runs in these processes
    config = AlbertConfig.from_json_file(options.bert_config_file)
    check_scratch_dir(options.scratch_dir)
    distributed.initialize()
    report = Report("checkpoint", {**dataclasses.asdict(options), "ranks": distributed.size()})
    with _folder_of_all_ranks(options.scratch_dir) as folder:
        training_options = _training_options(folder, options, config)
        if distributed.rank() == 0:
            with RecordWriter(training_options.input_file) as writer:
                writer.write_batch(random_rows(config, options.train_batch_size, options.max_seq_length))
        distributed.barrier()
        with _training(training_options, config) as training:
            row = _measure_saving(training, options.num_checkpoints)
        row |= _measure_beginning(training_options, config, folder)
    report.rows.append(row)
    return report if distributed.rank() == 0 else None


@contextlib.contextmanager
def _folder_of_all_ranks(scratch_dir):
    """A folder that rank 0 makes, and deletes when all ranks are done with it."""
    with contextlib.ExitStack() as stack:
        folder = distributed.on_rank_0(lambda: stack.enter_context(
            tempfile.TemporaryDirectory(dir=scratch_dir, prefix="benchmark-checkpoint-")), "folder")
        yield folder
        distributed.barrier()


def _training_options(folder, benchmark, config):
    """`PretrainingOptions` for the random records in `folder`, where its checkpoints will lie as well."""
    options = PretrainingOptions(
        input_file=os.path.join(folder, RECORDS), output_dir=folder,
        bert_config_file=benchmark.bert_config_file, max_seq_length=benchmark.max_seq_length,
        max_predictions_per_seq=num_predictions(benchmark.max_seq_length), train_batch_size=benchmark.train_batch_size)
    return resolve_device_options(options, config, distributed.lowest_compute_capability())


@contextlib.contextmanager
def _training(options, config):
    from albert_hvd.training.setup import build_training

    dataset = open_records(options.input_file, "input_file", options, config.vocab_size)
    plan = plan_batch(options.train_batch_size, size=distributed.size(), accumulation_steps=1, row_bytes=0,
                      memory_bytes=None)
    training = build_training(options, config, dataset, plan)
    try:
        yield training
    finally:
        training.close()


def _measure_saving(training, num_checkpoints):
    """What it costs a run that goes on: a dict of columns."""
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
    if distributed.rank() != 0:
        return {}
    columns = ("step s", "stall s", "write s", "step while writing s")
    return dict(zip(columns, map(statistics.median, zip(*figures))))


def _measure_beginning(options, config, folder):
    """What a run waits for before its first step, without a checkpoint and with the newest: a dict of columns."""
    size_mib = distributed.on_rank_0(lambda: _forget_newest(os.path.join(folder, "checkpoints")), "forget") / 2**20
    seconds = {}
    for name, changes in (("start s", {"output_dir": os.path.join(folder, "new")}), ("resume s", {})):
        distributed.barrier()
        began = time.monotonic()
        with _training(dataclasses.replace(options, **changes), config):
            distributed.barrier()
            seconds[name] = time.monotonic() - began
    return {"checkpoint MiB": size_mib, **seconds}


def _forget_newest(checkpoints):
    """Let the page cache forget the newest checkpoint, which is on the disk; returns its bytes."""
    size = 0
    for entry in os.scandir(max(entry.path for entry in os.scandir(checkpoints))):
        with open(entry.path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        size += entry.stat().st_size
    return size

"""Rows that the training data pipeline delivers, against the rows that the model consumes on the same cores.

    bin/benchmark input --input_file='records/train.tfrecord-*' --max_seq_length=512 --max_predictions_per_seq=51 \\
        --bert_config_file=albert_config/albert_config_base.json --tokenizer=malay.model

The pipeline is driven alone, with nothing done to its batches: one record a row, several packed into one,
and with masks drawn anew (needs --tokenizer). Then the model trains on the unpacked and on the packed rows.

    bin/benchmark input --input_file=records/train.tfrecord-00000-of-00004 --made_records=200000000

measures the start of a rank, its memory, its speed and the seam between two epochs, on a made corpus of so many records.
"""

import dataclasses
import statistics
import time

from albert_hvd.data.batches.dynamic_masking import DynamicMasking
from albert_hvd.data.batches.packed_rows import PackedTrainingBatches
from albert_hvd.data.batches.rows import TrainingBatches
from albert_hvd.data.records.dataset import open_records
from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.options import option
from albert_hvd.runtime import distributed
from albert_hvd.runtime.files import expand_input_files
from benchmarks.made_corpus import TEMPLATE_RECORDS, measure_made
from benchmarks.report import Report

TARGET_RATIO = 10
_SEED = 12345


@dataclasses.dataclass(frozen=True)
class Options:
    """Flags of the benchmark."""

    input_file: str = option(None, "TFRecords: a comma list of files and globs")
    bert_config_file: str = option(None, "JSON file of the model's sizes")
    tokenizer: str = option(None, "the SentencePiece .model of the records; adds dynamic masking")
    max_seq_length: int = option(512, "positions of a row")
    max_predictions_per_seq: int = option(51, "prediction slots of a record")
    batch_rows: int = option(32, "rows of a batch of the pipeline")
    train_rows: int = option(2, "rows of a training step")
    train_steps: int = option(3, "training steps; their median is shown")
    seconds: float = option(5.0, "how long each kind of pipeline runs")
    made_records: int = option(0, "measure the pipeline alone on a made corpus of so many records instead, which takes 16 "
                               "bytes of disk for each")


def run(options, command_folder):
    """Measure; returns a `Report`. Raises InputError for bad flags."""
    del command_folder  # nothing is started
    for name in ("input_file",) if options.made_records else ("input_file", "bert_config_file"):
        if not getattr(options, name):
            raise InputError(f"--{name} is missing; see bin/benchmark input --help")
    for name in ("batch_rows", "train_rows", "train_steps", "seconds"):
        if getattr(options, name) <= 0:
            raise InputError(f"--{name}={getattr(options, name)}: must be above 0")
    if options.made_records:
        return _made(options)
    config = AlbertConfig.from_json_file(options.bert_config_file)
    distributed.initialize()
    if distributed.size() > 1:
        raise InputError(f"started on {distributed.size()} ranks: start it alone, for it measures one rank")
    dataset = open_records(options.input_file, "input_file", options, config.vocab_size)
    report = Report("input", dataclasses.asdict(options))
    remask = DynamicMasking(Tokenizer.from_file(options.tokenizer), _SEED) if options.tokenizer else None
    consumed = {False: _train(TrainingBatches, dataset, config, options),
                True: _train(PackedTrainingBatches, dataset, config, options)}
    ratios = []
    for packed, transform in ((False, None), (True, None), *(((False, remask), (True, remask)) if remask else ())):
        kind = PackedTrainingBatches if packed else TrainingBatches
        row = _deliver(kind, dataset, transform, options)
        ratios.append(row["rows/s"] / consumed[packed]["rows/s"])
        name = f"pipeline, {'packed' if packed else 'unpacked'}{', dynamic masking' if transform else ''}"
        report.rows.append({"what": name, **row, "x the model": ratios[-1]})
    for packed, row in consumed.items():
        report.rows.append({"what": f"training, {'packed' if packed else 'unpacked'}", **row})
    report.notes = [f"The slowest pipeline delivers {min(ratios):.0f} times the rows that the model consumes "
                    f"(wanted: {TARGET_RATIO})."]
    return report


def _made(options):
    """The report of `measure_made`."""
    if options.made_records <= TEMPLATE_RECORDS:
        raise InputError(f"--made_records={options.made_records}: must be above {TEMPLATE_RECORDS}")
    report = Report("input", dataclasses.asdict(options))
    report.rows = measure_made(expand_input_files(options.input_file), options.made_records, options, _SEED)
    report.notes = ["start: the files opened, their fingerprint found, the first batch there; TensorFlow had been imported. "
                    "peak MiB: the process with TensorFlow."]
    return report


def _deliver(kind, dataset, transform, options):
    """Rows, real tokens and CPU time of the pipeline alone, after a first batch that is not counted."""
    batches = kind(dataset, options.batch_rows, 0, 1, _SEED, transform=transform)
    next(batches)
    rows = tokens = 0
    wall, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < options.seconds:
        batch = next(batches)
        rows += len(batch["input_mask"])
        tokens += int((batch["input_mask"] > 0).sum())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    batches.close()
    return {"rows/s": rows / wall, "rows/CPU-s": rows / cpu, "real tokens/s": tokens / wall,
            "fill %": 100 * tokens / rows / options.max_seq_length}


def _train(kind, dataset, config, options):
    """The same of the training step of one rank, its first step (which compiles) left out."""
    from albert_hvd.model.encoder import named_variables
    from albert_hvd.model.pretraining_model import AlbertPretrainer
    from albert_hvd.training.optimizers import OPTIMIZERS
    from albert_hvd.training.step import TrainingStep

    model = AlbertPretrainer(config, _SEED)
    optimizer = OPTIMIZERS["lamb"](learning_rate=1e-4, num_train_steps=100)
    optimizer.build(named_variables(model), compiled=True)
    step = TrainingStep(model, optimizer)
    batches = kind(dataset, options.train_rows, 0, 1, _SEED)
    timed = []
    for number in range(1 + options.train_steps):
        batch = next(batches)
        wall, cpu = time.perf_counter(), time.process_time()
        result = step(batch, (0, number), stop=False)
        timed.append((time.perf_counter() - wall, time.process_time() - cpu, result.real_tokens))
    batches.close()
    wall, cpu, tokens = map(statistics.median, zip(*timed[1:]))
    return {"rows/s": options.train_rows / wall, "rows/CPU-s": options.train_rows / cpu,
            "real tokens/s": tokens / wall, "fill %": 100 * tokens / options.train_rows / options.max_seq_length}

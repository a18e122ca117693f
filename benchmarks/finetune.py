r"""Fine-tuning: an epoch of bin/finetune against an epoch of a plain PyTorch loop with Hugging Face's model.

    bin/benchmark finetune --task=emotion --train_file=emotion/train.tsv --model=runs/base --peer=huggingface
    bin/benchmark finetune --task=pos --train_file=pos/train.conll --model=runs/base --peer=huggingface --peer_sorted

Both begin with the same weights, head included, and train on the same pieces with the same batch size, dropout,
AdamW, clipping and schedule. The peer takes rows in random order, as the Trainer does unless it is told otherwise, and
pads each batch to its longest row; with --peer_sorted it runs once more, grouped by length. A word's tag is read at its
first piece. A round is an epoch, evaluation and checkpoints not included. What must be the same are the probabilities
before the training. --peer=huggingface needs requirements/parity.txt.
"""

import dataclasses
import os
import tempfile

import numpy as np

from albert_hvd.errors import InputError
from albert_hvd.options import option
from benchmarks import text_contest
from benchmarks.flag_checks import check_least, check_positions
from benchmarks.predict import export_for_peer
from benchmarks.report import Report

TASKS = ("emotion", "pos", "classification", "tagging")
_SEED = 12345
_NO_LABEL = -100  # what transformers leaves out of the loss


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(text_contest.ContestOptions):
    """Flags of the benchmark."""

    task: str = option(None, " or ".join(TASKS))
    train_file: str = option(None, "as of bin/finetune")
    max_seq_length: int = option(128, "pieces of a row at most", least=8)
    train_batch_size: int = option(32, "rows of an update, of the peer too")
    learning_rate: float = option(1e-4, "peak learning rate, of the peer too")


def run(options, command_folder):
    """Measure; returns a `Report`. Raises InputError for bad flags or a missing peer."""
    del command_folder  # no command is run
    text_contest.check(options, "finetune", "task", "train_file")
    if options.task not in TASKS:
        raise InputError("unknown", f"give {' or '.join(TASKS)}", name="task", value=options.task)
    check_least(options, 8, "max_seq_length")
    check_least(options, 1, "train_batch_size")
    report = Report("finetune", dataclasses.asdict(options))
    with tempfile.TemporaryDirectory(prefix="benchmark-finetune-") as folder:
        start, exported = os.path.join(folder, "start"), os.path.join(folder, "huggingface")
        job = prepare(options, os.path.join(folder, "own"))
        if options.peer != "none":
            _write_start(job, start)
            export_for_peer(start, exported)
        own = (make_own, (job,))
        rows = rows_for_peer(job)
        # This program has the rows in the job.
        return text_contest.measure(report, options, own, range(len(rows)),
                                    {**_peer_settings(job, exported), "texts": rows}, folder,
                                    int(job.data.train.rows.lengths.sum()))


def prepare(options, folder):
    """The `job.Job` that bin/finetune would make of these flags and of a part of the texts.

    Args:
      folder: for `output_dir`.

    Raises:
      InputError: the file or the model is not as it must be.
    """
    from albert_hvd.finetuning.job import Job, read_first_weights
    from albert_hvd.finetuning.options import FineTuningOptions
    from albert_hvd.finetuning.task_data import encode_parts, read_labels
    from albert_hvd.finetuning.tasks import task_class

    flags = FineTuningOptions(
        task=options.task, train_file=options.train_file, output_dir=folder, init_checkpoint=options.model,
        pooling="first", max_seq_length=options.max_seq_length, num_train_epochs=options.rounds,
        train_batch_size=options.train_batch_size, learning_rate=options.learning_rate, use_gpu=False)
    kind = task_class(options.task)
    examples = kind.read_examples(options.train_file, "train_file", flags.columns())
    task = kind(read_labels(None, examples), flags.head, flags.max_seq_length, flags.long_texts, flags.pooling,
                flags.layers)
    examples = text_contest.evenly(examples, options.max_texts)
    try:
        first_weights = read_first_weights(flags, task)
    except InputError as error:
        if error.name != "init_checkpoint":
            raise
        raise InputError(error.problem, error.fix, name="model", value=error.value) from None
    check_positions(options.max_seq_length, first_weights.config)
    data = encode_parts(task, {"train": examples, "valid": examples}, flags, first_weights.tokenizer)
    return Job(flags, task, data, first_weights, [])


def _write_start(job, folder):
    """The weights that both programs begin with, those of a new head included, as a task model."""
    from albert_hvd.finetuning.task_model import TaskModel, write_task_model
    from albert_hvd.model.encoder import named_variables

    model = TaskModel(job.first_weights.config, job.task, _SEED)
    variables = named_variables(model)
    for path, array in job.first_weights.arrays.items():
        variables[path].assign(array)
    write_task_model(folder, model, job.task, job.first_weights.tokenizer)


def rows_for_peer(job):
    """The rows of the training part as transformers' collators take them: list of {"input_ids", "labels"}."""
    rows, gold, found = job.data.train.rows, job.data.train.gold, []
    for ids, positions, slot in zip(rows.input_ids, rows.positions, rows.first_slot, strict=True):
        labels = int(gold[slot])
        if job.task.is_tagging:
            labels = np.full(len(ids), _NO_LABEL)
            labels[positions] = gold[slot:slot + len(positions)]
            labels = labels.tolist()
        found.append({"input_ids": ids.tolist(), "labels": labels})
    return found


def _peer_settings(job, folder):
    flags = job.options
    return {"work": "finetune", "folder": folder, "is_tagging": job.task.is_tagging, "seed": _SEED,
            "rounds": flags.num_train_epochs, "batch_size": flags.train_batch_size, "warmup": flags.warmup_proportion,
            **{name: getattr(flags, name) for name in ("learning_rate", "weight_decay", "clip_norm", "dropout")}}


def make_own(job):
    """`OwnFineTune` of one rank with Horovod, as bin/finetune is."""
    from albert_hvd.runtime import distributed

    distributed.initialize(use_gpu=False)
    return OwnFineTune(job)


class OwnFineTune:
    """This program's side: the steps of bin/finetune.

    Args:
      job: the `job.Job`; with it this process is given the texts, as the peer's is.
    """

    def __init__(self, job):
        from albert_hvd.finetuning.seed_training import SeedTraining

        self._training = SeedTraining(job, _SEED, job.options.output_dir)
        self._first_shares = self._training.scorer(job.data.train.rows).probabilities

    def warm_up(self):
        """Two updates, the first of which compiles, with the batches that the first round begins with."""
        for _ in range(2):
            self._training.run_step(stop=False)
        self._training.position = 0

    def run(self, rows):
        """An epoch; returns its loss, the mean over all that has a label."""
        del rows  # the training has them
        total = count = 0.0
        for _ in range(self._training.batches_per_epoch):
            result = self._training.run_step(stop=False)
            total += result.loss
            count += result.weight
        return total / count

    def results(self, loss):
        del loss  # dropout is another's: what can be compared is what came before
        return text_contest.Results(self._first_shares)

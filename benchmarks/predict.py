r"""Labels of texts, or tags of words: `albert_hvd.load(folder).predict(texts)` against Hugging Face's pipelines.

    bin/benchmark predict --model=runs/emotion --input_file=tweets.txt --peer=huggingface

The peer gets the model that bin/export makes of it, pipeline("text-classification") or ("token-classification"), and
batches of --peer_batch_size texts in the order of the file; with --peer_sorted it runs once more, the longest first.
A tagger must be one that bin/export can write for transformers (bin/finetune --pooling=first). Texts longer than a row
are left out where this program reads them in several. Programs take turns, each in a process of its own; figures
are medians over the rounds, tokenizing included. --peer=huggingface needs requirements/parity.txt.
"""

import dataclasses
import os
import tempfile

import numpy as np

from albert_hvd.errors import InputError
from benchmarks import text_contest
from benchmarks.report import Report

Options = text_contest.LineOptions


def run(options, command_folder):
    """Measure; returns a `Report`. Raises InputError for bad flags or a missing peer."""
    del command_folder  # no command is run
    text_contest.check(options, "predict", "input_file")
    report, texts = Report("predict", dataclasses.asdict(options)), text_contest.read_lines(options)
    with tempfile.TemporaryDirectory(prefix="benchmark-predict-") as folder:
        task, tokenizer = _read(options)
        if task.is_tagging:
            texts = _as_words(texts)
        if task.is_tagging or task.long_texts == "window":
            texts = text_contest.without_long(texts, lambda text: len(tokenizer.encode_lines([text])[0]),
                                              task.max_seq_length - 2, report)
        exported = os.path.join(folder, "huggingface")
        if options.peer != "none":
            export_for_peer(options.model, exported)
        return text_contest.measure(report, options, (OwnPredict, (options.model,)), texts,
                                    {"work": "tag" if task.is_tagging else "classify", "folder": exported,
                                     "batch_size": options.peer_batch_size}, folder)


def _read(options):
    """(`Task`, `Tokenizer`) of --model."""
    from albert_hvd.finetuning.task_folder import find_task_folder
    from albert_hvd.finetuning.task_model import read_task_model

    _, task, tokenizer = read_task_model(find_task_folder(options.model) or options.model)
    if task.is_pair:
        raise InputError("it is for pairs of texts, and lines are single ones", "give another model", name="model",
                         value=options.model)
    return task, tokenizer


def _as_words(lines):
    """The lines with one blank between the words that a tagger sees."""
    from albert_hvd.finetuning.prediction import SPLITS

    return [" ".join(SPLITS["whitespace"](line)) for line in lines]


def export_for_peer(model, folder):
    """Write a task model for transformers; InputError naming --model when they compute something else."""
    from albert_hvd.finetuning.task_export import export_task
    from albert_hvd.serving.options import ExportOptions

    try:
        export_task(ExportOptions(format="huggingface", model=model, output_dir=folder))
    except InputError as error:
        if error.name != "format":
            raise
        raise InputError(error.problem, "give one that bin/export can write for transformers", name="model",
                         value=model) from None


class OwnPredict:
    """This program's side."""

    def __init__(self, model):
        from albert_hvd.finetuning.prediction import TaskPredictor

        self._model = TaskPredictor(model)

    def run(self, texts):
        return self._model.predict(texts)

    def results(self, records):
        if self._model.kind == "tagging":
            tags = np.array([[tag] for record in records for tag in record["tags"]])
            return text_contest.Results(np.zeros([len(tags), 0]), tags)
        if self._model.kind == "regression":
            return text_contest.Results(np.array([[record["score"]] for record in records]))
        return text_contest.Results(np.array([list(record["probabilities"].values()) for record in records]))

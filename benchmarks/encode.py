r"""Vectors of texts: `albert_hvd.load(folder).encode(texts)` against Hugging Face's model with mean pooling.

    bin/benchmark encode --model=runs/base --input_file=news.txt,tweets.txt --peer=huggingface --peer_sorted

The peer gets the model that bin/export makes of it, and takes batches of --peer_batch_size texts that are padded to
their longest one, in the order of the file; with --peer_sorted it runs once more, the longest first. Programs take
turns, each in a process of its own; figures are medians over the rounds, tokenizing included. --peer=huggingface needs
requirements/parity.txt.
"""

import dataclasses
import os
import tempfile

from benchmarks import text_contest
from benchmarks.report import Report

Options = text_contest.LineOptions


def run(options, command_folder):
    """Measure; returns a `Report`. Raises InputError for bad flags or a missing peer."""
    del command_folder  # no command is run
    text_contest.check(options, "encode", "input_file")
    report, texts = Report("encode", dataclasses.asdict(options)), text_contest.read_lines(options)
    with tempfile.TemporaryDirectory(prefix="benchmark-encode-") as folder:
        exported = os.path.join(folder, "huggingface")
        read_and_export(options, exported)
        return text_contest.measure(report, options, (OwnEncode, (options.model,)), texts,
                                    {"work": "encode", "folder": exported,
                                     "batch_size": options.peer_batch_size}, folder)


def read_and_export(options, folder):
    """(`sources.ModelSource`, its `Tokenizer`) of --model, which a peer finds in `folder`; InputError without one."""
    from albert_hvd.serving.formats.huggingface.export import export_huggingface
    from albert_hvd.serving.formats.sources import read_model
    from albert_hvd.serving.formats.vocabulary import fitting_tokenizer

    source = read_model(options.model, "model")
    tokenizer = fitting_tokenizer(source)
    if options.peer != "none":
        export_huggingface(source, folder)
    return source, tokenizer


class OwnEncode:
    """This program's side."""

    def __init__(self, model):
        from albert_hvd.serving.text_model import load

        self._model = load(model, option="model")

    def run(self, texts):
        return self._model.encode(texts)

    def results(self, vectors):
        return text_contest.Results(vectors)

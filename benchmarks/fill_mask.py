r"""Masked words: `albert_hvd.load(folder).fill_masks(texts)` against Hugging Face's pipeline("fill-mask").

    bin/benchmark fill_mask --model=runs/base --input_file=news.txt,tweets.txt --peer=huggingface

A line without a mask gets one in the place of its middle word. The peer gets the model that bin/export makes of it, and
batches of --peer_batch_size texts in the order of the file; with --peer_sorted it runs once more, the longest first.
Texts longer than a row are left out. Programs take turns, each in a process of its own; figures are medians over the
rounds, tokenizing included. --peer=huggingface needs requirements/parity.txt.
"""

import dataclasses
import os
import re
import tempfile

import numpy as np

from albert_hvd.options import option
from benchmarks import text_contest
from benchmarks.encode import read_and_export
from benchmarks.report import Report

_MASK = re.compile(r"<mask>|\[MASK\]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(text_contest.LineOptions):
    """Flags of the benchmark."""

    top_k: int = option(5, "candidates for each mask")


def run(options, command_folder):
    """Measure; returns a `Report`. Raises InputError for bad flags or a missing peer."""
    del command_folder  # no command is run
    from albert_hvd.data.text.masked_text import MaskedTextTokenizer
    from albert_hvd.serving.formats.sources import trained_positions

    text_contest.check(options, "fill_mask", "input_file")
    report, lines = Report("fill_mask", dataclasses.asdict(options)), text_contest.read_lines(options)
    with tempfile.TemporaryDirectory(prefix="benchmark-fill-mask-") as folder:
        exported = os.path.join(folder, "huggingface")
        source, tokenizer = read_and_export(options, exported)
        texts = [with_mask(line, tokenizer.piece(tokenizer.mask_id)) for line in lines]
        pieces, room = MaskedTextTokenizer(tokenizer), trained_positions(source.folder, source.config) - 2
        texts = text_contest.without_long(texts, lambda text: len(pieces.encode_lines([text])[0]), room, report)
        return text_contest.measure(report, options, (OwnFillMask, (options.model, options.top_k)), texts,
                                    {"work": "fill_mask", "folder": exported,
                                     "batch_size": options.peer_batch_size, "top_k": options.top_k}, folder)


def with_mask(line, mask):
    """The line with its masks in the spelling `mask`, or with one in the place of its middle word."""
    if _MASK.search(line):
        return _MASK.sub(lambda found: mask, line)
    words = line.split()
    words[len(words) // 2] = mask
    return " ".join(words)


class OwnFillMask:
    """This program's side."""

    def __init__(self, model, top_k):
        from albert_hvd.serving.text_model import load

        self._model, self._top_k = load(model, option="model"), top_k

    def run(self, texts):
        return self._model.fill_masks(texts, self._top_k)

    def results(self, answers):
        masks = [mask for answer in answers for mask in answer]
        return text_contest.Results(np.array([[probability for _, probability, _ in mask] for mask in masks]),
                                    np.array([[piece for piece, _, _ in mask] for mask in masks]))

"""What the trained models put in the place of masked words."""

import os

from albert_hvd.errors import InputError, command
from albert_hvd.reporting.page import element, section, table
from albert_hvd.run_folder.layout import VOCABULARY

_TOP_K = 5


def mask_samples(runs, texts):
    """A section with the candidates of every run, or with what a run lacks to have them.

    Args:
      runs: list of `Run`; one whose folder holds its tokenizer is loaded with `serving.text_model.load`.
      texts: with `<mask>` where a word is to be guessed.
    """
    return section("Filled-in masks", *(part for run in runs for part in _samples_of(run, texts)))


def _samples_of(run, texts):
    yield element("h3", run.label)
    if not os.path.exists(os.path.join(run.folder, VOCABULARY)):
        yield element("p", f"There is no {VOCABULARY} in {run.folder}, so the model cannot read text: train with "
                           f"{command('pretrain', tokenizer='vocabulary.model')}, or copy the file there.",
                      class_="note")
        return
    from albert_hvd.serving import text_model  # which imports TensorFlow

    try:
        model = text_model.load(run.folder)
        for text in texts:
            for candidates in model.fill_mask(text, _TOP_K):
                yield table(text, ["Piece", "Prob.", "Filled in"],
                            [[token, f"{probability:.4f}", filled] for token, probability, filled in candidates])
    except InputError as error:
        yield element("p", error, class_="note")

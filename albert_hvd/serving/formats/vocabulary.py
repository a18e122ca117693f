"""The vocabulary of a model that was read from somewhere.

Vocabularies of one size have the same ids for different pieces, so what a model was trained with is told by hash.
"""

import os

from albert_hvd.data.text.text_form import TextForm, form_beside
from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.errors import InputError, parameter
from albert_hvd.run_folder.checkpoints import find_checkpoint, read_state
from albert_hvd.run_folder.layout import VOCABULARY
from albert_hvd.serving.formats.sources import (checkpoint_prefix, folder_of_prefix, kind_of,
                                               recorded_vocabularies, run_folder_of, tokenizer_beside)
from albert_hvd.serving.formats.shipped import located


def fitting_tokenizer(source, path=None, model=None):
    """The `Tokenizer` of a model.

    Args:
      source: a `sources.ModelSource`.
      path: SentencePiece .model; None: the one that was found with the model.
      model: what messages call the model; None: its folder.

    Raises:
      InputError: none is known, it cannot be read, or it is not the one that the model was trained with, as far as
        its hash is known; else one of another size than the model.
    """
    path = path or source.tokenizer_path
    if not path:
        raise InputError("its vocabulary is not known",
                         f"name the SentencePiece model with {parameter('tokenizer')}, or copy it there as "
                         f"{VOCABULARY}",
                         value=source.folder)
    tokenizer = Tokenizer.from_file(path)
    tokenizer = tokenizer.with_text_form(text_form_of(source.kind, source.folder, source.tokenizer_path, tokenizer))
    if tokenizer.vocab_size != source.config.vocab_size:
        raise InputError(f"{tokenizer.vocab_size} pieces, the model has {source.config.vocab_size}",
                         "give the vocabulary that it was trained with", name="tokenizer", value=path)
    known = trained_with(getattr(source, "vocabularies", ()), source.tokenizer_path)
    if known and tokenizer.sha256 not in known:
        raise InputError(f"not the vocabulary that {model or source.folder} was trained with",
                         "give that one" if path != source.tokenizer_path else
                         f"put that one back, or name it with {parameter('tokenizer')}",
                         name="tokenizer" if path != source.tokenizer_path else None, value=path)
    return tokenizer


def text_form_of(kind, folder, tokenizer_path, tokenizer):
    """The `TextForm` of the texts that a model was trained on.

    Args:
      kind, folder, tokenizer_path: see `sources.ModelSource`.
      tokenizer: its `Tokenizer`, which may lie elsewhere.
    """
    form = form_beside(tokenizer_path or os.path.join(folder, VOCABULARY))
    if form is not None:
        return form
    if kind == "run" and tokenizer_path:  # it would have kept another form
        return TextForm()
    form = form_beside(tokenizer.path)
    if form is None and kind == "tf1" and not tokenizer.has_capitals:
        # Google's own preprocessing; nothing in its published folders says so but the vocabulary.
        return TextForm(do_lower_case=True, keep_accents=False, straight_quotes=True)
    return form or TextForm()


def trained_with(recorded, tokenizer_path):
    """The hashes that are known of a model's vocabularies: those recorded in training, else that of the file beside it.

    Args:
      recorded: list of SHA-256; empty when it does not say.
      tokenizer_path: the vocabulary beside the model, or None.

    Returns:
      set of str; empty when nothing is known.
    """
    if recorded or not tokenizer_path:
        return set(recorded)
    return {Tokenizer.from_file(tokenizer_path).sha256}


def vocabularies_at(path, option):
    """What is known of the vocabulary of a model that `sources.read_model` would read, without reading its weights.

    Returns:
      (`trained_with`, its `TextForm` or None when it has no vocabulary of its own).
    """
    kind, path, recorded = kind_of(path, option), located(path), []
    if kind == "run":
        checkpoint = find_checkpoint(path, option)
        folder, recorded = run_folder_of(checkpoint), recorded_vocabularies(read_state(checkpoint))
    else:
        folder = path if kind == "huggingface" else folder_of_prefix(checkpoint_prefix(path, option))
    tokenizer_path = tokenizer_beside(folder)
    form = tokenizer_path and text_form_of(kind, folder, tokenizer_path, Tokenizer.from_file(tokenizer_path))
    return trained_with(recorded, tokenizer_path), form or None

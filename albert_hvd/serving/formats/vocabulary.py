"""The vocabulary of a model that was read from somewhere.

Vocabularies of one size have the same ids for different pieces, so what a model was trained with is told by hash.
"""

import os

from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.errors import InputError, parameter
from albert_hvd.run_folder.checkpoints import find_checkpoint, read_state
from albert_hvd.run_folder.layout import VOCABULARY
from albert_hvd.serving.formats.sources import (checkpoint_prefix, kind_of, recorded_vocabularies, run_folder_of,
                                               tokenizer_beside)


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
    """`trained_with` for a model that `sources.read_model` would read, without reading its weights."""
    kind = kind_of(path, option)
    if kind == "run":
        checkpoint = find_checkpoint(path, option)
        return trained_with(recorded_vocabularies(read_state(checkpoint)), tokenizer_beside(run_folder_of(checkpoint)))
    folder = path if kind == "huggingface" else os.path.dirname(os.path.abspath(checkpoint_prefix(path, option)))
    return trained_with([], tokenizer_beside(folder))

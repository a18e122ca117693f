"""The vocabulary of a model that was read from somewhere."""

from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.errors import InputError
from albert_hvd.run_folder.layout import VOCABULARY


def fitting_tokenizer(source, path=None, flag="--tokenizer"):
    """The `Tokenizer` of a model.

    Args:
      source: a `sources.ModelSource`.
      path: SentencePiece .model; None: the one that was found with the model.
      flag: what names the vocabulary, for messages.

    Raises:
      InputError: none is known, it cannot be read, or it has another size than the model.
    """
    path = path or source.tokenizer_path
    if not path:
        raise InputError(f"{source.folder}: its vocabulary is not known; name the SentencePiece model with {flag}, "
                         f"or copy it there as {VOCABULARY}")
    tokenizer = Tokenizer.from_file(path, flag)
    if tokenizer.vocab_size != source.config.vocab_size:
        raise InputError(f"{flag}={path}: {tokenizer.vocab_size} pieces, the model has "
                         f"{source.config.vocab_size}; give the vocabulary that it was trained with")
    return tokenizer

"""The vocabulary of a model that was read from somewhere."""

from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.errors import InputError, parameter
from albert_hvd.run_folder.layout import VOCABULARY


def fitting_tokenizer(source, path=None):
    """The `Tokenizer` of a model.

    Args:
      source: a `sources.ModelSource`.
      path: SentencePiece .model; None: the one that was found with the model.

    Raises:
      InputError: none is known, it cannot be read, or it has another size than the model.
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
    return tokenizer

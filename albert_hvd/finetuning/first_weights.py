"""Where fine-tuning begins: a pre-trained encoder with its vocabulary, or random weights."""

import dataclasses
import os

from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.errors import InputError
from albert_hvd.finetuning.task_folder import is_task_folder
from albert_hvd.model.config import AlbertConfig
from albert_hvd.run_folder.checkpoints import find_checkpoint, read_state
from albert_hvd.serving.formats.sources import read_model
from albert_hvd.serving.formats.vocabulary import fitting_tokenizer

_ENCODER = "encoder/"


@dataclasses.dataclass(frozen=True)
class FirstWeights:
    """An encoder to start from.

    Attributes:
      config: `AlbertConfig`.
      tokenizer: `tokenization.Tokenizer`.
      arrays: {path: float32 array} of the encoder's variables; {} for random weights.
      origin: in words.
      name: what to call the model in tables.
    """

    config: AlbertConfig
    tokenizer: Tokenizer
    arrays: dict
    origin: str
    name: str


def read_first_weights(options):
    """The `FirstWeights` that the flags ask for.

    Raises:
      InputError: no model at --init_checkpoint, no or another vocabulary, or neither --init_checkpoint nor
        --bert_config_file and --tokenizer.
    """
    if not options.init_checkpoint:
        return _random_weights(options)
    path = options.init_checkpoint
    if is_task_folder(path):
        raise InputError(f"--init_checkpoint={path}: it is a task model already; give the pre-trained model that it "
                         f"was made from")
    config = options.bert_config_file and AlbertConfig.from_json_file(options.bert_config_file)
    source = read_model(path, "--init_checkpoint", config=config or None)
    if config and _sizes(config) != _sizes(source.config):
        raise InputError(f"--bert_config_file={options.bert_config_file}: not the config of "
                         f"--init_checkpoint={path}; leave it out, or give the one that belongs to it")
    tokenizer = fitting_tokenizer(source, options.tokenizer)
    _check_vocabulary(source, tokenizer, options)
    arrays = {name: array for name, array in source.arrays.items() if name.startswith(_ENCODER)}
    new = [name for name in source.missing if name.startswith(_ENCODER)]
    origin = f"weights of {path}" + (f" (new: {', '.join(new)})" if new else "")
    return FirstWeights(source.config, tokenizer, arrays, origin, os.path.basename(os.path.abspath(path)))


def _random_weights(options):
    missing = [f"--{name}" for name in ("bert_config_file", "tokenizer") if not getattr(options, name)]
    if missing:
        raise InputError(f"{' and '.join(missing)} missing: without --init_checkpoint, a network of random weights "
                         f"needs --bert_config_file and --tokenizer")
    config = AlbertConfig.from_json_file(options.bert_config_file)
    tokenizer = Tokenizer.from_file(options.tokenizer)
    if tokenizer.vocab_size != config.vocab_size:
        raise InputError(f"--tokenizer={options.tokenizer}: {tokenizer.vocab_size} pieces, but the config's vocab_size "
                         f"is {config.vocab_size}; give the config and the vocabulary that belong together")
    return FirstWeights(config, tokenizer, {}, "random weights", "random weights")


def _sizes(config):
    """What must be the same for weights to fit and to mean the same."""
    free = ("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range")
    return {key: value for key, value in config.to_dict().items() if key not in free}


def _check_vocabulary(source, tokenizer, options):
    """A vocabulary of the same size may still be another one: compare it with all that is known of the model's own."""
    known = set()
    if source.tokenizer_path:
        known.add(Tokenizer.from_file(source.tokenizer_path, "--init_checkpoint").sha256)
    if source.kind == "run":
        checkpoint = find_checkpoint(options.init_checkpoint, "--init_checkpoint")
        known.update(read_state(checkpoint).get("tokenizers", []))
    if known and tokenizer.sha256 not in known:
        raise InputError(f"--tokenizer={tokenizer.path}: not the vocabulary that --init_checkpoint="
                         f"{options.init_checkpoint} was trained with; give that one")

"""The shipped sample as data for a first run: records, vocabulary and a tiny config under one folder.

`bin/demo` shows the same stages command by command; here they run unseen, for `bin/pretrain` and
`bin/validate` typed without flags.
"""

import dataclasses
import itertools
import json
import os

from albert_hvd.data.records import build
from albert_hvd.data.text import preprocess, tokenizer_training
from albert_hvd.data.text.corpus import plan_blocks, read_block
from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.model.config import AlbertConfig
from albert_hvd.runtime.files import make_folder, whole_file

_TEXTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "texts")
SAMPLE_TRAIN = [os.path.join(_TEXTS, name) for name in ("train_articles.txt", "train_informal.txt")]
SAMPLE_EVAL = [os.path.join(_TEXTS, name) for name in ("eval_articles.txt", "eval_informal.txt")]

MAX_SEQ_LENGTH = 64
MAX_PREDICTIONS_PER_SEQ = 10
# A vocabulary learns little from pieces that are seen a few times only: about one for 40 bytes of
# text, which gives the sample 1,800 of them.
_BYTES_PER_PIECE = 40
_MIN_VOCAB_SIZE, _MAX_VOCAB_SIZE = 500, 8000
# Every tenth document of a user's text is held out.
_HOLD_OUT_EVERY = 10


def settings(folder, config_folder, held_out):
    """Flag values for a run on the sample; makes what is missing in `folder` first.

    Args:
      folder: where records, vocabulary, config and the run's own folder `model` lie.
      config_folder: `albert_config/`.
      held_out: whether to name the held-out records instead of the training ones.

    Returns:
      dict of flag name to value.
    """
    paths = {part: os.path.join(folder, f"{part}.tfrecord") for part in ("train", "eval")}
    config = os.path.join(folder, "config.json")
    model = os.path.join(folder, "model")
    if not os.path.exists(config):
        _build(folder, paths, config, config_folder)
    trained = os.path.isdir(os.path.join(model, "checkpoints"))
    return {
        "input_file": paths["eval" if held_out else "train"], "eval_input_file": paths["eval"],
        "bert_config_file": config, "output_dir": model, "untrained": held_out and not trained,
        "max_seq_length": MAX_SEQ_LENGTH, "max_predictions_per_seq": MAX_PREDICTIONS_PER_SEQ,
        "pack_sequences": True, "train_batch_size": 60, "num_train_steps": 100, "save_checkpoints_steps": 50, "log_every_steps": 10,
    }


def _build(folder, records, config, config_folder):
    """Clean the sample, learn its vocabulary, write its records; the config last, as a sign of the end."""
    make_folder(folder, "output_dir")
    texts = {part: os.path.join(folder, f"{part}.txt") for part in records}
    for part, sample in (("train", SAMPLE_TRAIN), ("eval", SAMPLE_EVAL)):
        preprocess.preprocess(",".join(sample), texts[part], preprocess.CleaningOptions(), report=_silent)
    prefix = os.path.join(folder, "vocabulary")
    tokenizer_training.train(texts["train"], prefix, vocab_size=vocab_size_for(os.path.getsize(texts["train"])),
                             report=_silent)
    for part, dupe_factor in (("train", 10), ("eval", 1)):
        options = build.ExampleOptions(
            max_seq_length=MAX_SEQ_LENGTH, max_predictions_per_seq=MAX_PREDICTIONS_PER_SEQ, dupe_factor=dupe_factor)
        build.build(texts[part], f"{prefix}.model", records[part], options, report=_silent)
    write_tiny_config(config_folder, f"{prefix}.model", config)


def _silent(line):
    """The stages' tables are shown by bin/demo; here they would bury the training's own lines."""


def vocab_size_for(num_bytes):
    """A fitting vocabulary size for a text of that many bytes."""
    return min(max(num_bytes // _BYTES_PER_PIECE, _MIN_VOCAB_SIZE), _MAX_VOCAB_SIZE)


def write_tiny_config(config_folder, tokenizer, path):
    """`albert_config_tiny.json` with the vocabulary size of a tokenizer, written to `path`."""
    tiny = AlbertConfig.from_json_file(os.path.join(config_folder, "albert_config_tiny.json"))
    config = dataclasses.replace(tiny, vocab_size=Tokenizer.from_file(tokenizer).vocab_size)
    with whole_file(path) as file:
        file.write(json.dumps(config.to_dict(), indent=2).encode() + b"\n")


def split_documents(input_files, folder):
    """Write a user's text as `own-train.txt` and `own-eval.txt`, every tenth document held out.

    Returns:
      ([path of the training text], [path of the held-out text]).
    """
    parts = [os.path.join(folder, f"own-{part}.txt") for part in ("train", "eval")]
    with whole_file(parts[0]) as train, whole_file(parts[1]) as held_out:
        blocks = plan_blocks(input_files, option="input")
        documents = itertools.chain.from_iterable(read_block(block)[0] for block in blocks)
        for number, document in enumerate(documents):
            file = held_out if number % _HOLD_OUT_EVERY == _HOLD_OUT_EVERY - 1 else train
            file.write("\n".join(document).encode() + b"\n\n")
    return [parts[0]], [parts[1]]

"""The files beside the weights in the folder of a model or of a run."""

import json
import os

from albert_hvd.runtime.files import whole_file

CONFIG, VOCABULARY = "config.json", "spiece.model"
# Of a run only.
FLAGS, STATUS, TRAIN_LOG, EVAL_LOG = "flags.json", "status.json", "train_log.jsonl", "eval_log.jsonl"
FLAGS_HISTORY, REPORTERS, EVAL_RESULTS = "flags_history.jsonl", "reporters.json", "eval_results.json"


def write_model_files(folder, config, tokenizer, say_form=False):
    """Write config and vocabulary, with what it does to texts, into a folder, which then can be moved and still be read.

    Args:
      folder: made when it is not there.
      config: `AlbertConfig`.
      tokenizer: `tokenizer.Tokenizer`; None when it is not known, and no vocabulary is written.
      say_form: see `Tokenizer.files`.

    Raises:
      InputError: the folder cannot be written.
    """
    with whole_file(os.path.join(folder, CONFIG), "output_dir") as file:
        file.write(json.dumps(config.to_dict(), indent=2).encode() + b"\n")
    for name, content in tokenizer.files(VOCABULARY, say_form).items() if tokenizer else ():
        with whole_file(os.path.join(folder, name), "output_dir") as file:
            file.write(content)

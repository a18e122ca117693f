"""That records, model and first weights have one vocabulary, which the ids alone do not show."""

import os
import sys

from albert_hvd.data.batches.training_batches import find_tokenizer
from albert_hvd.data.records.vocabulary import describe_vocabulary, form_of_entry, one_vocabulary
from albert_hvd.errors import InputError, parameter, setting
from albert_hvd.run_folder.layout import VOCABULARY
from albert_hvd.serving.formats.vocabulary import trained_with, vocabularies_at


def check_training_vocabulary(options, config, paths, is_new):
    """Compare the vocabularies of all that a run reads.

    Args:
      options: `PretrainingOptions`.
      config: `AlbertConfig`.
      paths: {"input_file": its shards, "eval_input_file": ...}, as far as they are given.
      is_new: whether the run has no checkpoint yet, so that `init_checkpoint` counts.

    Returns:
      the training records' `Tokenizer`; None when nothing says which it is.

    Raises:
      InputError: records of several vocabularies, of another one than `tokenizer` or `init_checkpoint`, of a larger
        one than the model has pieces, or of one that is not there.
    """
    made_with, tokenizer = None, None
    for option, shards in paths.items():
        found = find_tokenizer(options, shards, config.vocab_size, option)
        entry = one_vocabulary(shards, option, getattr(options, option))
        if option == "input_file":
            tokenizer = found
            made_with = entry or found and {"sha256": found.sha256}
            _check_size(options, config, entry, found)
            _check_presence(options, entry, found)
        elif entry and made_with and not _are_same(entry, made_with):
            raise InputError(f"made with another vocabulary ({describe_vocabulary(entry)}) than the records of "
                             f"{setting('input_file', options.input_file)}",
                             "make both with one", name=option, value=getattr(options, option))
    _check_kept(options, made_with, is_new)
    if options.init_checkpoint and is_new:
        check_same_vocabulary(options.init_checkpoint, "init_checkpoint", made_with,
                              setting("input_file", options.input_file))
    return tokenizer


def check_records_of_model(model, model_option, shards, option, pattern):
    """InputError when a manifest says that records were made with another vocabulary than a model was trained with.

    Args:
      model, model_option: where the model is, and the name of the option that says so.
      shards, option, pattern: the records, the name of the option that names them, and its value.
    """
    entry = one_vocabulary(shards, option, pattern)
    if entry:
        check_same_vocabulary(model, model_option, entry, setting(option, pattern))


def check_same_vocabulary(model, option, made_with, records):
    """InputError when both vocabularies are known, and the model's is not the one that made the records.

    Args:
      model, option: as in `check_records_of_model`.
      made_with: entry of the vocabulary that made the records, at least its "sha256"; None when it is not known.
      records: what to call them.
    """
    known, form = vocabularies_at(model, option) if made_with else (set(), None)
    if known and made_with["sha256"] not in known:
        shown = " or ".join(f"{digest[:8]}..." for digest in sorted(known))
        raise InputError(f"trained with another vocabulary (sha256 {shown}) than the one that made the records of "
                         f"{records} ({str(made_with['sha256'])[:8]}...)",
                         "make the records with the model's own", name=option, value=model)
    # Of records without a manifest only the vocabulary is known.
    if form and "path" in made_with and form != form_of_entry(made_with):
        raise InputError(f"trained on text {form.describe()}, and the records of {records} were made of text "
                         f"{form_of_entry(made_with).describe()}",
                         "make the records with the vocabulary in the model's folder", name=option, value=model)


def _check_kept(options, made_with, is_new):
    """A run goes on with its vocabulary. Where a manifest says which made the records, the checkpoint's state does too."""
    kept = os.path.join(options.output_dir, VOCABULARY)
    if is_new or not made_with or "path" in made_with or not os.path.isfile(kept):
        return
    if made_with["sha256"] not in trained_with([], kept):
        raise InputError("not the vocabulary that the run in "
                         f"{setting('output_dir', options.output_dir)} was trained with",
                         "give that one, or a new folder", name="tokenizer", value=options.tokenizer)


def _are_same(entry, made_with):
    return entry["sha256"] == made_with["sha256"] and (
        "path" not in made_with or form_of_entry(entry) == form_of_entry(made_with))


def _check_size(options, config, entry, tokenizer):
    """More pieces than the model has are an error; fewer make a model that no command can use with them."""
    pieces = tokenizer.vocab_size if tokenizer else entry and entry.get("vocab_size")
    if type(pieces) is not int or pieces == config.vocab_size:
        return
    what = f"the records of {setting('input_file', options.input_file)} were made with a vocabulary of {pieces} pieces"
    if pieces > config.vocab_size:
        raise InputError(f"vocab_size = {config.vocab_size}, but {what}", f"set vocab_size to {pieces}",
                         name="bert_config_file", value=options.bert_config_file)
    sys.stderr.write(f"warning: {setting('bert_config_file', options.bert_config_file)}: vocab_size = "
                     f"{config.vocab_size}, but {what}: such a model cannot be exported or used with that vocabulary; "
                     f"set vocab_size to {pieces}\n")


def _check_presence(options, entry, tokenizer):
    """Without its vocabulary a run can be trained, but not used: InputError when the records' is known and lost."""
    if tokenizer or not entry:
        return
    kept = os.path.join(options.output_dir, VOCABULARY)
    if not os.path.isfile(kept) or entry["sha256"] not in trained_with([], kept):
        raise InputError(f"the vocabulary that made these records ({describe_vocabulary(entry)}) is neither beside "
                         "them nor where their manifest.json says",
                         f"name it with {parameter('tokenizer')}", name="input_file", value=options.input_file)

"""What a rank trains on: the records, the vocabulary they were made with, and the batches of both."""

import sys

from albert_hvd.data.batches.dynamic_masking import DynamicMasking
from albert_hvd.data.batches.order import ORDER_VERSION
from albert_hvd.data.batches.packed_rows import PackedTrainingBatches
from albert_hvd.data.batches.rows import TrainingBatches
from albert_hvd.data.records.dataset import open_records
from albert_hvd.data.records.vocabulary import find_vocabulary, form_of_entry, vocabularies_of
from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.errors import InputError, parameter


def open_training_records(options, config):
    """The `RecordDataset` of `input_file`, for a rank of a run whose rank 0 has opened it before.

    What `skip_corrupt` leaves out at once has been said then; what is found while reading is said here.
    """
    dataset = open_records(options.input_file, "input_file", options, config.vocab_size, warn=lambda line: None,
                           mixed=True)
    dataset.warn = lambda line: sys.stderr.write(f"warning: {line}\n")
    return dataset


def find_tokenizer(options, paths, vocab_size, option="input_file"):
    """The vocabulary behind the records: `tokenizer`, else the one beside them or the file that the manifest names.

    Args:
      options: `PretrainingOptions`.
      paths: the shards of `option`.
      vocab_size: the model's.

    Returns:
      `Tokenizer`, or None when no flag names one and none is found.

    Raises:
      InputError: it is not the one that made the records, or too large for the model.
    """
    made_with = tokenizers_of(paths)
    entries = vocabularies_of(paths)
    tokenizer = Tokenizer.from_file(options.tokenizer) if options.tokenizer else find_vocabulary(paths)
    if tokenizer is None:
        return None
    if made_with and tokenizer.sha256 not in made_with:
        raise InputError(f"not the vocabulary that made the records of {parameter(option)} "
                         f"({', '.join(map(str, made_with.values()))})",
                         "give that one", name="tokenizer", value=options.tokenizer)
    if tokenizer.sha256 in entries:  # as the records were made, whatever lies beside the file
        tokenizer = tokenizer.with_text_form(form_of_entry(entries[tokenizer.sha256]))
    if tokenizer.vocab_size > vocab_size:
        raise InputError(f"{tokenizer.vocab_size} pieces, but the config's vocab_size is {vocab_size}",
                         "give the config and the vocabulary that belong together", name="tokenizer",
                         value=tokenizer.path)
    return tokenizer


def tokenizers_of(paths):
    """{SHA-256: path} of the vocabularies that made these shards, as far as manifests beside them say so."""
    return {sha256: str(entry.get("path") or "") for sha256, entry in vocabularies_of(paths).items()}


def training_batches(options, dataset, tokenizer, rank, size, start_record, stage=None, order_version=ORDER_VERSION):
    """The iterator of a rank's part of each global batch, as the flags ask for it.

    Args:
      options: `PretrainingOptions`.
      tokenizer: `Tokenizer`; only `dynamic_masking` needs it.
      start_record: how many records have been read before.
      stage, order_version: see `TrainingBatches`.
    """
    masking = None
    if options.dynamic_masking:
        masking = DynamicMasking(tokenizer, options.seed, options.masking, options.masked_lm_prob)
    kind = PackedTrainingBatches if options.pack_sequences else TrainingBatches
    return kind(dataset, options.train_batch_size, rank, size, options.seed, start_record=start_record,
                transform=masking, stage=stage, order_version=order_version)

"""First weights of a new run: as drawn, or with neighbour heads and word vectors from the training records."""

import numpy as np

from albert_hvd.data.records.piece_pairs import count_pairs, neighbour_loss
from albert_hvd.model.initialization import num_word_columns, set_neighbour_heads
from albert_hvd.model.word_vectors import word_vectors
from albert_hvd.run_folder.corpus_facts import CorpusFacts
from albert_hvd.training.evaluation import unigram_log_probs

# Enough records to know the frequencies of the pieces to within a few per cent.
_FREQUENCY_RECORDS = 20000

_WORDS = "encoder/embeddings/word_embeddings"
OUTPUT_BIAS = "masked_lm_head/output_bias"


def start_from_frequencies(variables, config, dataset):
    """Set the output bias of new weights to the log frequencies of the masked pieces.

    Otherwise the first hundreds of updates are spent on learning them.

    Args:
      variables: {path: variable} of an `AlbertPretrainer`.
      config: its `AlbertConfig`.
      dataset: the training records, a `RecordDataset`.
    """
    log_probs = unigram_log_probs(dataset, config.vocab_size, _FREQUENCY_RECORDS)
    variables[OUTPUT_BIAS].assign(log_probs.astype("float32"))


def start_from_neighbours(variables, config, dataset, seed):
    """Give drawn weights heads that look at neighbours, and word embeddings made of the records' adjacent pieces.

    Args:
      variables, config, dataset: see `start_from_frequencies`.
      seed: int; fixes the random directions of the word vectors.

    Returns:
      `CorpusFacts`.
    """
    start_from_frequencies(variables, config, dataset)
    set_neighbour_heads(variables, config)
    pairs = count_pairs(dataset, config.vocab_size)
    columns = num_word_columns(config)
    vectors = word_vectors(pairs, columns, seed)
    known = np.any(vectors != 0, axis=1)
    table = variables[_WORDS].numpy()
    # As long as drawn vectors are on average.
    table[known, :columns] = vectors[known] * config.initializer_range * np.sqrt(columns)
    variables[_WORDS].assign(table)
    return CorpusFacts(pairs.num_records, pairs.num_tokens, *(neighbour_loss(pairs) or (None, None)), vectors)

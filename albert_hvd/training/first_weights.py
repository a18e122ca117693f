"""What the first weights of a new run take from its training records."""

import numpy as np

from albert_hvd.data.records.piece_pairs import count_pairs, neighbour_loss
from albert_hvd.model.initialization import num_word_columns
from albert_hvd.model.word_vectors import word_vectors
from albert_hvd.run_folder.corpus_facts import CorpusFacts
from albert_hvd.training.evaluation import FREQUENCY_RECORDS, unigram_log_probs

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
    log_probs = unigram_log_probs(dataset, config.vocab_size, FREQUENCY_RECORDS)
    variables[OUTPUT_BIAS].assign(log_probs.astype("float32"))


def facts_of(dataset, config, seed, with_vectors):
    """Count adjacent pieces on a sample of the records.

    Args:
      dataset, config: see `start_from_frequencies`.
      seed: int; fixes the random directions of the word vectors.
      with_vectors: whether word vectors are wanted, which take most of the time.

    Returns:
      `CorpusFacts`, whose word vectors have as many columns as the embeddings have for words, or none.
    """
    pairs = count_pairs(dataset, config.vocab_size)
    return CorpusFacts(pairs.num_records, pairs.num_tokens, *(neighbour_loss(pairs) or (None, None)),
                       word_vectors(pairs, num_word_columns(config) if with_vectors else 0, seed))


def set_word_vectors(variables, config, vectors):
    """Put word vectors in the place of drawn embeddings, as long as those are on average; unknown pieces keep theirs.

    Args:
      variables, config: see `start_from_frequencies`.
      vectors: float32 (V, W), see `word_vectors`.
    """
    columns = vectors.shape[1]
    known = np.any(vectors != 0, axis=1)
    table = variables[_WORDS].numpy()
    table[known, :columns] = vectors[known] * config.initializer_range * np.sqrt(columns)
    variables[_WORDS].assign(table)

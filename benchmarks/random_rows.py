"""Records to measure with: full rows of random pieces."""

import numpy as np


def num_predictions(max_seq_length):
    """Prediction slots of such a row: every tenth position."""
    return max(1, max_seq_length // 10)


def random_rows(config, rows, max_seq_length):
    """A batch of records, every slot of which is used: dict of the fields of `records` as arrays (rows, length)."""
    random, slots = np.random.default_rng(0), num_predictions(max_seq_length)
    return {
        "input_ids": random.integers(config.vocab_size, size=(rows, max_seq_length), dtype=np.int32),
        "input_mask": np.ones((rows, max_seq_length), np.int32),
        "segment_ids": np.zeros((rows, max_seq_length), np.int32),
        "masked_lm_positions": np.tile(np.arange(slots, dtype=np.int32), (rows, 1)),
        "masked_lm_ids": random.integers(config.vocab_size, size=(rows, slots), dtype=np.int32),
        "masked_lm_weights": np.ones((rows, slots), np.float32),
        "next_sentence_labels": np.zeros((rows, 1), np.int32),
    }

"""Batches of random records for tests of the model and of the training step."""

import numpy as np


def random_batch(config, rows, length, lengths, seed=0):
    """A batch with rows of the given true lengths and three predictions each."""
    random = np.random.default_rng(seed)
    mask = (np.arange(length) < np.array(lengths)[:, None]).astype(np.int32)
    return {
        "input_ids": random.integers(0, config.vocab_size, (rows, length)).astype(np.int32) * mask,
        "input_mask": mask,
        "segment_ids": (random.integers(0, 2, (rows, length)).astype(np.int32)) * mask,
        "masked_lm_positions": np.stack([random.choice(n, 3, replace=False) for n in lengths]).astype(np.int32),
        "masked_lm_ids": random.integers(0, config.vocab_size, (rows, 3)).astype(np.int32),
        "masked_lm_weights": np.tile(np.float32([1, 1, 0]), (rows, 1)),
        "next_sentence_labels": random.integers(0, 2, (rows, 1)).astype(np.int32),
        "sentence_weights": np.ones((rows, 1), np.float32),
    }


def pack_two_rows(batch, lengths):
    """The first two rows of a batch in one, as packing lays them out."""
    a, b = lengths
    row = {name: np.concatenate([batch[name][0, :a], batch[name][1, :b]])[None]
           for name in ("input_ids", "segment_ids")}
    row["input_mask"] = np.repeat(np.int32([1, 2]), [a, b])[None]
    row["position_ids"] = np.concatenate([np.arange(a), np.arange(b)]).astype(np.int32)[None]
    row["cls_positions"] = np.int32([[0, a]])
    row["masked_lm_positions"] = np.concatenate(
        [batch["masked_lm_positions"][0], batch["masked_lm_positions"][1] + a])[None]
    for name in ("masked_lm_ids", "masked_lm_weights", "next_sentence_labels", "sentence_weights"):
        row[name] = batch[name][:2].reshape(1, -1)
    return row

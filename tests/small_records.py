"""Small records of random values, and TensorFlow's own message of one."""

import numpy as np

from albert_hvd.data.records.dataset import RecordDataset
from albert_hvd.data.records.example import FIELDS

SEQ, PREDICTIONS = 16, 4


def make_batch(num_rows, seed=0, largest=40_000):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(5, SEQ + 1, num_rows)
    mask = np.arange(SEQ) < lengths[:, None]
    return {"input_ids": generator.integers(0, largest, (num_rows, SEQ)) * mask, "input_mask": mask.astype(np.int32),
            "segment_ids": (mask & (np.arange(SEQ) > 3)).astype(np.int32),
            "masked_lm_positions": generator.integers(0, 5, (num_rows, PREDICTIONS)),
            "masked_lm_ids": generator.integers(0, largest, (num_rows, PREDICTIONS)),
            "masked_lm_weights": np.tile(np.float32([1, 1, 0.5, 0]), (num_rows, 1)),
            "next_sentence_labels": generator.integers(0, 2, (num_rows, 1))}


def open_dataset(path, **settings):
    return RecordDataset([path] if isinstance(path, str) else path, SEQ, PREDICTIONS, **settings)


def make_example(batch, row, **changes):
    """A `tf.train.Example` of one row; a change gives a field another `tf.train.Feature`, or None to leave it out."""
    import tensorflow as tf

    features = {field: tf.train.Feature(
        **{"float_list": tf.train.FloatList(value=batch[field][row])} if "weights" in field else
        {"int64_list": tf.train.Int64List(value=batch[field][row])}) for field in FIELDS}
    return tf.train.Example(features=tf.train.Features(feature={
        name: feature for name, feature in {**features, **changes}.items() if feature is not None}))

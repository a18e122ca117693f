"""TensorFlow 1 checkpoints with random weights and a config beside them, for the tests that read some."""

import dataclasses
import json

import numpy as np
import tensorflow as tf

from albert_hvd.model.pretraining_model import variable_shapes


def random_arrays(config, seed=5):
    """A random float32 array for every variable of the architecture that `config` names."""
    random = np.random.default_rng(seed)
    return {path: random.normal(0, 0.3, shape).astype(np.float32)
            for path, shape in variable_shapes(config).items()}


def save_tensors(prefix, tensors):
    """A checkpoint with any variables: {TF1 name: array}."""
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=list(tensors), shape_and_slices=[""] * len(tensors),
                      tensors=list(tensors.values()))


def write_config(folder, config, name="albert_config.json", **changes):
    """As the two projects write it: without the architecture."""
    values = {**dataclasses.asdict(config), **changes}
    del values["architecture"]
    (folder / name).write_text(json.dumps(values))


def same_arrays(ours, theirs):
    """Whether two dicts hold the same keys and the same bits."""
    return ours.keys() == theirs.keys() and all(
        ours[key].dtype == theirs[key].dtype and np.array_equal(ours[key], theirs[key]) for key in ours)

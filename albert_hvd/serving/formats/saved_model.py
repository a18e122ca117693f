"""A TensorFlow SavedModel, which plain TensorFlow runs without this project."""

import os

import tensorflow as tf

from albert_hvd.run_folder.layout import write_model_files
from albert_hvd.serving.saved_model import ServingModel

# Where TensorFlow's own tools leave other files in peace.
_EXTRA = "assets.extra"


def write_saved_model(source, folder, tokenizer=None):
    """Write a SavedModel with the signatures `encode` and `fill_mask`; see `serving.ServingModel`.

    What the source lacks is left out: `pooled_output` without a pooler, `fill_mask` without masked-LM head.

    Args:
      source: a `sources.ModelSource`.
      folder: an empty folder.
      tokenizer: its `tokenizer.Tokenizer`, written to assets.extra; None: not known.
    """
    model = ServingModel(source)
    signatures = {"encode": model.encode}
    if model.has_masked_lm:
        signatures["fill_mask"] = model.fill_mask
    # A module of its own: what is saved has only the functions that the weights are complete for.
    saved = tf.Module()
    saved.pretrainer = model.pretrainer
    tf.saved_model.save(saved, folder, signatures=signatures)
    write_model_files(os.path.join(folder, _EXTRA), source.config, tokenizer)

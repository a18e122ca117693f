"""A TensorFlow SavedModel, which plain TensorFlow runs without this project."""

import json
import os

import tensorflow as tf

from albert_hvd.serving import ServingModel

# Where TensorFlow's own tools leave other files in peace.
_EXTRA = "assets.extra"


def write_saved_model(source, folder, tokenizer=None):
    """Write a SavedModel with the signatures `encode` and `fill_mask`; see `serving.ServingModel`.

    What the source lacks is left out: `pooled_output` without a pooler, `fill_mask` without masked-LM head.

    Args:
      source: a `sources.ModelSource`.
      folder: an empty folder.
      tokenizer: its `tokenization.Tokenizer`, written to assets.extra/spiece.model; None: not known.
    """
    model = ServingModel(source)
    signatures = {"encode": model.encode}
    if model.has_masked_lm:
        signatures["fill_mask"] = model.fill_mask
    # A module of its own: what is saved has only the functions that the weights are complete for.
    saved = tf.Module()
    saved.pretrainer = model.pretrainer
    tf.saved_model.save(saved, folder, signatures=signatures)
    os.mkdir(os.path.join(folder, _EXTRA))
    with open(os.path.join(folder, _EXTRA, "config.json"), "w", encoding="utf-8") as file:
        file.write(json.dumps(source.config.to_dict(), indent=2) + "\n")
    if tokenizer:
        with open(os.path.join(folder, _EXTRA, "spiece.model"), "wb") as file:
            file.write(tokenizer.model)

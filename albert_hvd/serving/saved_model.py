"""A trained model as compiled functions: encode rows of ids, and score the vocabulary at masked positions.

A TensorFlow SavedModel holds `encode` and `fill_mask`, which plain TensorFlow runs without this project; `text_model.py`
calls those that compute texts side by side.
"""

import functools
import os

import tensorflow as tf

from albert_hvd.model.encoder import flat_positions, named_variables
from albert_hvd.model.packed_inputs import packed_inputs
from albert_hvd.model.pretraining_model import AlbertPretrainer
from albert_hvd.run_folder.layout import write_model_files
from albert_hvd.serving.formats.parts import MASKED_LM_HEAD, POOLER

# Where TensorFlow's own tools leave other files in peace.
EXTRA = "assets.extra"


def _rows(name):
    """Any number of rows of any length: one trace serves them all."""
    return tf.TensorSpec([None, None], tf.int32, name=name)


_ROWS = [_rows(name) for name in ("input_ids", "input_mask", "segment_ids")]
# Of packed texts the layout says where they end.
_PACKED_ROWS = [_rows(name) for name in ("input_ids", "segment_ids", "layout")]

POOLINGS = ("mean", "cls", "pooler")


class ServingModel(tf.Module):
    """The model of a `sources.ModelSource`, in float32 and without dropout.

    Attributes:
      has_pooler, has_masked_lm: whether the source has the weights of these parts.
      vectors: for each of `POOLINGS` a function of input_ids and segment_ids, int32 (B, S), and layout, see
        `packed_inputs`; it gives one vector for each text, float32 (B, H).
    """

    def __init__(self, source):
        super().__init__(name="albert")
        self.has_pooler, self.has_masked_lm = (
            not any(path.startswith(part) for path in source.missing) for part in (POOLER, MASKED_LM_HEAD))
        self.pretrainer = AlbertPretrainer(source.config, seed=None)
        for path, variable in named_variables(self.pretrainer).items():
            if path not in source.missing:
                variable.assign(source.arrays[path])
        self.vectors = {pooling: tf.function(functools.partial(self._vectors, pooling), input_signature=_PACKED_ROWS,
                                             autograph=False) for pooling in POOLINGS}

    @tf.function(autograph=False, input_signature=_ROWS)
    def encode(self, input_ids, input_mask, segment_ids):
        """int32 (B, S) each -> dict of float32: `sequence_output` (B, S, H); `pooled_output` (B, H) with a pooler."""
        sequence_output, pooled_output = self.pretrainer.encoder(input_ids, input_mask, segment_ids)
        outputs = {"sequence_output": sequence_output}
        if self.has_pooler:
            outputs["pooled_output"] = pooled_output[:, 0]
        return outputs

    @tf.function(autograph=False, input_signature=[*_ROWS, _rows("masked_positions")])
    def fill_mask(self, input_ids, input_mask, segment_ids, masked_positions):
        """int32 (B, S) thrice and (B, P) -> {`log_probs`: float32 (B, P, V)}."""
        read = flat_positions(masked_positions, tf.shape(input_ids)[1])
        outputs = self.pretrainer.encoder.hidden_states(input_ids, input_mask, segment_ids, read=read)[-1]
        return {"log_probs": self._log_probs(outputs, masked_positions)}

    @tf.function(autograph=False, input_signature=[*_PACKED_ROWS, _rows("masked_positions")])
    def fill_mask_packed(self, input_ids, segment_ids, layout, masked_positions):
        """`fill_mask` of texts side by side -> float32 (B, P, V); layout: see `packed_inputs`."""
        rows, places = packed_inputs(layout, input_ids, segment_ids)
        read = tf.gather(places, flat_positions(masked_positions, tf.shape(input_ids)[1]))
        outputs = self.pretrainer.encoder.hidden_states(*rows, packed=True, read=read)[-1]
        return self._log_probs(outputs, masked_positions)

    def _log_probs(self, outputs, masked_positions):
        """Outputs (B * P, H) -> float32 (B, P, V)."""
        logits = self.pretrainer.masked_lm_logits(outputs)
        shape = tf.concat([tf.shape(masked_positions), logits.shape[-1:]], axis=0)
        return tf.reshape(tf.nn.log_softmax(logits), shape)

    def _vectors(self, pooling, input_ids, segment_ids, layout):
        rows, places = packed_inputs(layout, input_ids, segment_ids)
        cls = tf.gather(places, tf.range(0, tf.size(input_ids), tf.shape(input_ids)[1]))
        outputs = self.pretrainer.encoder.hidden_states(*rows, packed=True, read=None if pooling == "mean" else cls)[-1]
        if pooling == "mean":
            numbers = tf.reshape(rows[1], [-1])  # of the texts, from 1
            outputs = tf.reshape(outputs, [-1, outputs.shape[-1]])
            return tf.math.unsorted_segment_mean(outputs, numbers, tf.shape(input_ids)[0] + 1)[1:]
        return outputs if pooling == "cls" else self.pretrainer.encoder.pooled(outputs)


def write_saved_model(source, folder, tokenizer=None):
    """Write a SavedModel with the signatures `encode` and `fill_mask`; see `ServingModel`.

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
    write_model_files(os.path.join(folder, EXTRA), source.config, tokenizer)

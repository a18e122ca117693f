"""The two pre-training tasks on top of the encoder: masked language model and sentence order.

Everything is returned as sums: numerators and denominators are added over micro-batches, ranks or a
whole file, and divided once (DESIGN: the loss of a step is that of its global batch).
"""

import collections

import tensorflow as tf

from albert_hvd.errors import InputError
from albert_hvd.model.encoder import AlbertEncoder, flat_positions, named_variables
from albert_hvd.model.layers import Dense, LayerNorm
from albert_hvd.model.ops import ACTIVATIONS

# Each a float32 scalar, summed over the batch.
LossSums = collections.namedtuple("LossSums", [
    "masked_lm_loss", "masked_lm_correct", "masked_lm_weight",
    "sentence_loss", "sentence_correct", "sentence_weight"])

# Of each source of a mixture, float32 (S,) each, summed over the batch.
SourceSums = collections.namedtuple("SourceSums", ["masked_lm_loss", "masked_lm_weight", "sentence_loss", "sentence_weight"])

# What a head has to predict: positions int32 into the B*S of a batch, labels int32 and weights float32, (M,) each.
Slots = collections.namedtuple("Slots", ["positions", "labels", "weights"])

# How many sizes the number of positions that heads read is rounded up to.
_READ_SIZES = 4


class MaskedLmHead(tf.Module):
    """Scores of the whole vocabulary, tied to the word embeddings.

    "albert" transforms to width E; "brightmart" transforms at width H and goes back to E through
    the transposed embedding projection.
    """

    def __init__(self, config, initializer, name=None):
        super().__init__(name=name)
        self._back_through_projection = config.architecture == "brightmart"
        self._activation = ACTIVATIONS[config.hidden_act]
        width = config.hidden_size if self._back_through_projection else config.embedding_size
        self.transform = Dense(config.hidden_size, width, initializer, name="transform")
        self.layer_norm = LayerNorm(width, config.layer_norm_epsilon, name="layer_norm")
        self.output_bias = tf.Variable(tf.zeros([config.vocab_size]), name="output_bias")

    def __call__(self, x, embeddings):
        """x (M, H) -> float32 logits (M, V)."""
        x = self.layer_norm(self._activation(self.transform(x)))
        if self._back_through_projection:
            x = tf.matmul(x, tf.cast(embeddings.projection.kernel, x.dtype), transpose_b=True)
        logits = tf.matmul(x, tf.cast(embeddings.word_embeddings, x.dtype), transpose_b=True)
        return tf.nn.bias_add(tf.cast(logits, tf.float32), self.output_bias)


class AlbertPretrainer(tf.Module):
    """The encoder with both heads.

    Args:
      config: an `AlbertConfig`.
      seed: int; fixes the initial weights. None: zeros, for weights that will be read.
      compute_dtype: see `AlbertEncoder`.
      recompute, compiled: see `AlbertEncoder`.
      static_shapes: score every prediction slot, used or not, so that all shapes are known when
        the graph is compiled (XLA); otherwise slots of weight 0 cost nothing.
      attention: "plain", or "cudnn" for one fused kernel, under XLA on GPUs alone; see `fused_attention`.
    """

    def __init__(self, config, seed=0, compute_dtype=tf.float32, static_shapes=False, recompute=False, compiled=False,
                 attention="plain", name=None):
        super().__init__(name=name)
        self.config = config
        self._static_shapes = static_shapes
        self.encoder = AlbertEncoder(config, seed, compute_dtype, recompute, compiled, attention == "cudnn",
                                     name="encoder")
        self.masked_lm_head = MaskedLmHead(config, self.encoder.initializer, name="masked_lm_head")
        self.sentence_head = Dense(config.hidden_size, 2, self.encoder.initializer, name="sentence_head")

    def __call__(self, batch, dropout_seed=None, passes=None):
        """The summed losses and hits of a batch.

        Args:
          batch: dict of tensors as `records.RecordDataset.read` gives them, packed or not.
          dropout_seed: int32 (2,) while training with dropout.
          passes: see `AlbertEncoder.hidden_states`.

        Returns:
          `LossSums`.
        """
        return self.loss_sums(batch, dropout_seed, passes)[0]

    def loss_sums(self, batch, dropout_seed=None, passes=None, num_sources=0):
        """As `__call__`, and with `num_sources` above 0 the same losses apart by the sources of the records.

        Args:
          batch: has `source_numbers` then, int32 (B, C): of each record.

        Returns:
          (`LossSums`, `SourceSums` or an empty tuple).
        """
        masks = self._slots(batch, "masked_lm_positions", "masked_lm_ids", "masked_lm_weights")
        sentences = self._slots(batch, "cls_positions", "next_sentence_labels", "sentence_weights")
        at_masks, at_cls = self._outputs(batch, masks.positions, sentences.positions, dropout_seed, passes)
        losses, correct = _cross_entropy(self.masked_lm_logits(at_masks), masks)
        sentence_losses, sentence_correct = _cross_entropy(self.sentence_logits(self.encoder.pooled(at_cls)), sentences)
        sums = LossSums(tf.reduce_sum(losses), correct, tf.reduce_sum(masks.weights),
                        tf.reduce_sum(sentence_losses), sentence_correct, tf.reduce_sum(sentences.weights))
        if not num_sources:
            return sums, ()
        of_record = tf.reshape(batch["source_numbers"], [-1])
        of_mask, of_sentence = (
            tf.gather(of_record, _records_at(batch, slots.positions)) for slots in (masks, sentences))
        return sums, SourceSums(*(
            tf.math.unsorted_segment_sum(tf.stop_gradient(values), numbers, num_sources) for values, numbers in (
                (losses, of_mask), (masks.weights, of_mask),
                (sentence_losses, of_sentence), (sentences.weights, of_sentence))))

    def _slots(self, batch, positions, labels, weights):
        """The `Slots` of a batch by the names of its tensors, (B, N) each; without static shapes those of weight 0
        are left out."""
        shape = tf.shape(batch["input_ids"])
        # The one record of a row that is not packed begins it.
        places = batch[positions] if positions in batch else tf.zeros([shape[0], 1], tf.int32)
        slots = Slots(flat_positions(places, shape[1]), *(tf.reshape(batch[name], [-1]) for name in (labels, weights)))
        if self._static_shapes:
            return slots
        used = tf.where(slots.weights > 0)[:, 0]
        return Slots(*(tf.gather(x, used) for x in slots))

    def _outputs(self, batch, masked, cls, dropout_seed, passes):
        """The encoder's outputs at positions `masked` and `cls`, int32 (M,) and (N,) into B*S: (M, H) and (N, H)."""
        read, (num_masked, num_cls) = tf.concat([masked, cls], axis=0), (tf.shape(x)[0] for x in (masked, cls))
        if not self._static_shapes:
            # Their number is rounded up, for what XLA compiles is compiled for each number anew.
            most = tf.size(batch["masked_lm_weights"]) + tf.size(batch["sentence_weights"])
            unit = -(-most // _READ_SIZES)
            read = tf.pad(read, [[0, -(num_masked + num_cls) % unit]])
        outputs = self.encoder.hidden_states(
            batch["input_ids"], batch["input_mask"], batch["segment_ids"], batch.get("position_ids"),
            "cls_positions" in batch, dropout_seed, passes, read)[-1]
        return outputs[:num_masked], outputs[num_masked:num_masked + num_cls]

    def masked_lm_logits(self, outputs):
        """The encoder's outputs (M, H) -> float32 (M, V)."""
        return self.masked_lm_head(outputs, self.encoder.embeddings)

    def sentence_logits(self, pooled_output):
        """pooled_output (..., H) -> float32 (..., 2)."""
        return tf.cast(self.sentence_head(pooled_output), tf.float32)


def variable_shapes(config, source="config"):
    """The shape of every variable of `AlbertPretrainer(config)`, which is not made, so no memory is taken.

    Args:
      config: an `AlbertConfig`.
      source: what to call the config's place in errors, such as its path.

    Returns:
      dict of path, as `encoder.named_variables` gives it, to tuple of int.

    Raises:
      InputError: naming `source`, for sizes that no tensor can have.
    """
    try:
        with tf.Graph().as_default():  # the variables of a graph that is never run hold nothing
            variables = named_variables(AlbertPretrainer(config))
    except (ValueError, TypeError, OverflowError, tf.errors.OpError) as error:
        raise InputError("its config asks for a tensor of an impossible size "
                         f"({str(error).splitlines()[0]})",
                         "give the config that the model was trained with", value=source) from None
    return {path: tuple(variable.shape) for path, variable in variables.items()}


def _records_at(batch, positions):
    """Which record, int32 (M,) into those of all rows, stands at each position, int (M,) into all of the batch."""
    mask = batch["input_mask"]  # (B, S): 1 ... C in a packed row
    records = tf.range(tf.shape(mask)[0])[:, None] * tf.shape(batch["sentence_weights"])[1] + tf.maximum(mask, 1) - 1
    return tf.gather(tf.reshape(records, [-1]), positions)


def _cross_entropy(logits, slots):
    """Weighted negative log likelihoods, float32 (M,), and the weighted sum of the hits, a float32 scalar.

    Args:
      logits: float32 (M, V); slots: `Slots` of as many.
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=slots.labels, logits=logits)
    hits = tf.equal(tf.argmax(logits, axis=-1, output_type=slots.labels.dtype), slots.labels)
    return losses * slots.weights, tf.reduce_sum(tf.cast(hits, tf.float32) * slots.weights)

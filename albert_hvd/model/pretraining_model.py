"""The two pre-training tasks on top of the encoder: masked language model and sentence order.

Everything is returned as sums: numerators and denominators are added over micro-batches, ranks or a
whole file, and divided once (DESIGN: the loss of a step is that of its global batch).
"""

import collections

import tensorflow as tf

from albert_hvd.errors import InputError
from albert_hvd.model.encoder import AlbertEncoder, Dense, LayerNorm, named_variables
from albert_hvd.model.ops import ACTIVATIONS

# Each a float32 scalar, summed over the batch.
LossSums = collections.namedtuple("LossSums", [
    "masked_lm_loss", "masked_lm_correct", "masked_lm_weight",
    "sentence_loss", "sentence_correct", "sentence_weight"])

# Of each source of a mixture, float32 (S,) each, summed over the batch.
SourceSums = collections.namedtuple("SourceSums", ["masked_lm_loss", "masked_lm_weight", "sentence_loss", "sentence_weight"])


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
      seed: int; fixes the initial weights.
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

    def encode(self, batch, dropout_seed=None, passes=None):
        """Run the encoder on a batch of records; see `AlbertEncoder.__call__`."""
        return self.encoder(
            batch["input_ids"], batch["input_mask"], batch["segment_ids"],
            position_ids=batch.get("position_ids"), cls_positions=batch.get("cls_positions"),
            packed="cls_positions" in batch, dropout_seed=dropout_seed, passes=passes)

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
        sequence_output, pooled_output = self.encode(batch, dropout_seed, passes)
        slots = tf.reshape(batch["masked_lm_weights"], [-1])  # (B*P,)
        positions, labels = self._flat_predictions(batch)
        if not self._static_shapes:
            used = tf.where(slots > 0)[:, 0]
            slots, positions, labels = (tf.gather(x, used) for x in (slots, positions, labels))
        logits = self.masked_lm_logits(sequence_output, positions)
        losses, correct = _cross_entropy(logits, labels, slots)
        sentence_logits = self.sentence_logits(pooled_output)  # (B, C, 2)
        sentence_weights = tf.reshape(batch["sentence_weights"], [-1])
        sentence_losses, sentence_correct = _cross_entropy(
            tf.reshape(sentence_logits, [-1, 2]), tf.reshape(batch["next_sentence_labels"], [-1]),
            sentence_weights)
        sums = LossSums(tf.reduce_sum(losses), correct, tf.reduce_sum(slots),
                        tf.reduce_sum(sentence_losses), sentence_correct, tf.reduce_sum(sentence_weights))
        if not num_sources:
            return sums, ()
        of_record = tf.reshape(batch["source_numbers"], [-1])
        of_slot = tf.gather(of_record, _records_at(batch, positions))
        return sums, SourceSums(*(
            tf.math.unsorted_segment_sum(tf.stop_gradient(values), numbers, num_sources) for values, numbers in (
                (losses, of_slot), (slots, of_slot), (sentence_losses, of_record), (sentence_weights, of_record))))

    def masked_lm_logits(self, sequence_output, flat_positions):
        """sequence_output (B, S, H), flat_positions int (M,) into B*S -> float32 (M, V)."""
        flat = tf.reshape(sequence_output, [-1, self.config.hidden_size])
        return self.masked_lm_head(tf.gather(flat, flat_positions), self.encoder.embeddings)

    def sentence_logits(self, pooled_output):
        """pooled_output (B, C, H) -> float32 (B, C, 2)."""
        return tf.cast(self.sentence_head(pooled_output), tf.float32)

    @staticmethod
    def _flat_predictions(batch):
        """Positions (B*P,) into the flattened rows, and their labels (B*P,)."""
        positions = batch["masked_lm_positions"]  # (B, P)
        rows, length = tf.shape(positions)[0], tf.shape(batch["input_ids"])[1]
        flat = positions + tf.range(rows)[:, None] * length
        return tf.reshape(flat, [-1]), tf.reshape(batch["masked_lm_ids"], [-1])


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


def _records_at(batch, flat_positions):
    """Which record, int32 (M,) into those of all rows, stands at each position, int (M,) into all of the batch."""
    mask = batch["input_mask"]  # (B, S): 1 ... C in a packed row
    records = tf.range(tf.shape(mask)[0])[:, None] * tf.shape(batch["sentence_weights"])[1] + tf.maximum(mask, 1) - 1
    return tf.gather(tf.reshape(records, [-1]), flat_positions)


def _cross_entropy(logits, labels, weights):
    """Weighted negative log likelihoods, float32 like `weights`, and the weighted sum of the hits, a float32 scalar."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    hits = tf.cast(tf.equal(tf.argmax(logits, axis=-1, output_type=labels.dtype), labels), tf.float32)
    return losses * weights, tf.reduce_sum(hits * weights)

"""One update of the weights: micro-batches, one allreduce of the gradients, one optimizer step.

The loss and the gradient are those of the global batch. Each rank divides its sums by the weights of
all ranks and micro-batches, not by its own, so that it makes no difference how the batch was cut.
"""

import collections

import tensorflow as tf

from albert_hvd.model.encoder import named_variables
from albert_hvd.model.pretraining_model import LossSums
from albert_hvd.runtime import distributed

# What a step gives back, float32 scalars of the global batch: the six sums of `LossSums`, and
#   real_tokens: tokens that are not padding.
#   stop: above 0 when a rank asked to stop.
#   grad_norm: global norm of the gradients before clipping.
#   learning_rate: the one applied.
#   skipped: 1 when loss or gradients were not finite, so that no update was made.
#   bad_steps: how many updates in a row were skipped, without those that the loss scale is to blame for.
#   loss_scale: the scale of the next step; 1 unless the precision is float16.
StepResult = collections.namedtuple("StepResult", LossSums._fields + (
    "real_tokens", "stop", "grad_norm", "learning_rate", "skipped", "bad_steps", "loss_scale"))

_Accumulated = collections.namedtuple("_Accumulated", ["gradients", "sums"])


class SummedGradients:
    """Gradients that were computed already, in the place of a tape."""

    def __init__(self, gradients):
        self._gradients = gradients

    def gradient(self, loss, sources):
        """What `tf.GradientTape.gradient` would have given."""
        del loss, sources  # they were given when the gradients were summed
        return self._gradients


class TrainingStep:
    """The compiled step of one rank.

    Args:
      model: an `AlbertPretrainer`.
      optimizer: one of `optimization.py`, wrapped by `distributed.distributed_optimizer` and built.
      accumulation_steps: micro-batches of one update.
      xla: compile forward and backward; the allreduce stays outside.
    """

    def __init__(self, model, optimizer, accumulation_steps=1, xla=False):
        self._model, self._optimizer = model, optimizer
        self._variables = list(named_variables(model).values())
        self._accumulation_steps = accumulation_steps
        config = model.config
        self._has_dropout = bool(config.hidden_dropout_prob or config.attention_probs_dropout_prob)
        self._micro_step = tf.function(self._gradients_of, jit_compile=True) if xla else self._gradients_of
        self._step = tf.function(self._update)

    def __call__(self, batch, dropout_seed, stop):
        """Train on this rank's part of a global batch.

        Args:
          batch: dict of arrays of train_batch_size / size rows, as `input_pipeline` gives them.
          dropout_seed: pair of ints, another one for every step and rank.
          stop: whether this rank was asked to stop after this step.

        Returns:
          `StepResult` of floats.
        """
        batch = {name: tf.constant(array) for name, array in batch.items()}
        result = self._step(batch, tf.constant(dropout_seed, tf.int32), tf.constant(float(stop)))
        return StepResult(*(float(value) for value in result.numpy()))

    def _update(self, batch, dropout_seed, stop):
        real_tokens = tf.reduce_sum(tf.cast(batch["input_mask"] > 0, tf.float32))
        masked_lm_weight, sentence_weight, real_tokens, stop = tf.unstack(distributed.sum_over_ranks(
            tf.stack([tf.reduce_sum(batch["masked_lm_weights"]),
                      tf.reduce_sum(batch["sentence_weights"]), real_tokens, stop]), name="denominators"))
        # Horovod averages over ranks: a division by the mean weight of a rank comes out as one by
        # the weight of all. Dividing by less than that scales the loss.
        unit = float(distributed.size()) * self._optimizer.loss_scale.value
        denominators = (tf.maximum(masked_lm_weight, 1.0) / unit, tf.maximum(sentence_weight, 1.0) / unit)
        gradients, sums = self._accumulate(batch, denominators, dropout_seed)
        sums = distributed.sum_over_ranks(tf.stack(sums), name="sums")
        loss_is_finite = tf.reduce_all(tf.math.is_finite(sums))
        update = self._optimizer.apply_gradients(self._averaged(gradients), loss_is_finite)
        return tf.concat([sums, tf.stack([
            real_tokens, stop, update.grad_norm, update.learning_rate,
            tf.cast(tf.logical_not(update.applied), tf.float32),
            tf.cast(self._optimizer.bad_steps_in_a_row, tf.float32), self._optimizer.loss_scale.value])], axis=0)

    def _averaged(self, gradients):
        """[(gradient averaged over ranks, variable), ...].

        All gradients travel as one tensor. Horovod would fuse many by what happens to be ready, and
        the order of summation, hence the last bits, would depend on timing.
        """
        flat = tf.concat([tf.reshape(gradient, [-1]) for gradient in gradients], axis=0)
        # Horovod only uses the variable as a key.
        (flat, _), = self._optimizer.compute_gradients(None, self._variables[:1], tape=SummedGradients([flat]))
        parts = tf.split(flat, [variable.shape.num_elements() for variable in self._variables])
        return [(tf.reshape(part, variable.shape), variable) for part, variable in zip(parts, self._variables)]

    def _accumulate(self, batch, denominators, dropout_seed):
        """Gradients and `LossSums` of this rank, summed over its micro-batches."""
        if self._accumulation_steps == 1:
            return self._micro_step(batch, *denominators, dropout_seed)
        rows = tf.shape(batch["input_ids"])[0] // self._accumulation_steps

        def add_micro_batch(index, total):
            micro_batch = {name: array[index * rows:(index + 1) * rows] for name, array in batch.items()}
            seed = tf.random.experimental.stateless_fold_in(dropout_seed, index)
            part = self._micro_step(micro_batch, *denominators, seed)
            return index + 1, tf.nest.map_structure(tf.add, total, part)

        zero = _Accumulated([tf.zeros_like(variable) for variable in self._variables],
                            LossSums(*[tf.zeros([])] * len(LossSums._fields)))
        _, total = tf.while_loop(lambda index, _: index < self._accumulation_steps, add_micro_batch,
                                 (tf.constant(0), zero), parallel_iterations=1)
        return total

    def _gradients_of(self, micro_batch, masked_lm_denominator, sentence_denominator, dropout_seed):
        with tf.GradientTape() as tape:
            sums = self._model(micro_batch, dropout_seed if self._has_dropout else None)
            loss = sums.masked_lm_loss / masked_lm_denominator + sums.sentence_loss / sentence_denominator
        gradients = tape.gradient(loss, self._variables)
        return _Accumulated([tf.convert_to_tensor(gradient) for gradient in gradients], sums)

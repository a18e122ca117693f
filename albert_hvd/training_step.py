"""One update of the weights: micro-batches, one allreduce of the gradients, one optimizer step.

The loss and the gradient are those of the global batch. Each rank divides its sums by the weights of
all ranks and micro-batches, not by its own, so that it makes no difference how the batch was cut.
"""

import collections

import tensorflow as tf

from albert_hvd import distributed
from albert_hvd.modeling import named_variables
from albert_hvd.pretrainer import LossSums

# What a step gives back, float32 scalars of the global batch: the six sums of `LossSums`, and
#   real_tokens: tokens that are not padding.
#   stop: above 0 when a rank asked to stop.
#   grad_norm: global norm of the gradients before clipping.
#   learning_rate: the one applied.
#   bad_steps: how many updates in a row were skipped for gradients that are not finite.
StepResult = collections.namedtuple(
    "StepResult", LossSums._fields + ("real_tokens", "stop", "grad_norm", "learning_rate", "bad_steps"))

_Accumulated = collections.namedtuple("_Accumulated", ["gradients", "sums"])


class SummedGradients:
    """Gradients that were computed already, in the place of a tape."""

    def __init__(self, gradients):
        self._gradients = gradients

    def gradient(self, loss, sources):
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
        # the weight of all.
        size = float(distributed.size())
        denominators = (tf.maximum(masked_lm_weight, 1.0) / size, tf.maximum(sentence_weight, 1.0) / size)
        gradients, sums = self._accumulate(batch, denominators, dropout_seed)
        grads_and_vars = self._optimizer.compute_gradients(None, self._variables, tape=SummedGradients(gradients))
        grad_norm, learning_rate = self._optimizer.apply_gradients(grads_and_vars)
        sums = distributed.sum_over_ranks(tf.stack(sums), name="sums")
        bad_steps = tf.cast(self._optimizer.bad_steps_in_a_row, tf.float32)
        return tf.concat([sums, tf.stack([real_tokens, stop, grad_norm, learning_rate, bad_steps])], axis=0)

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

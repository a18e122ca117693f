"""One update of a task model: the gradients of all ranks added up, then divided by the weight of the global batch."""

import collections

import tensorflow as tf

from albert_hvd.finetuning.task_model import BATCH
from albert_hvd.runtime import distributed

# What a step gives back, float32 scalars of the global batch:
#   loss, weight: the summed loss in nats, and what it is to be divided by.
#   real_tokens, positions: with and without padding left out.
#   stop: above 0 when a rank asked to stop.
#   grad_norm: global norm of the gradients before clipping.
#   learning_rate: the one applied (before layer-wise decay).
#   skipped: 1 when loss or gradients were not finite, so that no update was made.
#   bad_steps: how many updates in a row were skipped, without those that the loss scale is to blame for.
TaskStepResult = collections.namedtuple("TaskStepResult", [
    "loss", "weight", "real_tokens", "positions", "stop", "grad_norm", "learning_rate", "skipped", "bad_steps"])


class TaskStep:
    """The compiled step of one rank.

    Args:
      model: `TaskModel`.
      optimizer: one of `optimization.py`, built, and not wrapped: the gradients are added up here.
      train_batch_size: rows of a global batch, which keeps the loss in the range of float16.
    """

    def __init__(self, model, optimizer, train_batch_size):
        self._model, self._optimizer, self._unit = model, optimizer, float(train_batch_size)
        self._variables = list(model.trained_variables().values())
        self._step = tf.function(self._update, autograph=False, input_signature=[
            BATCH, tf.TensorSpec([2], tf.int32), tf.TensorSpec([], tf.float32)])

    def __call__(self, batch, dropout_seed, stop):
        """Train on this rank's share of a global batch.

        Args:
          batch: as `batches.pad` makes it.
          dropout_seed: pair of ints, another one for every step and rank.
          stop: whether this rank was asked to stop after this step.

        Returns:
          `TaskStepResult` of floats.
        """
        result = self._step(batch, tf.constant(dropout_seed, tf.int32), tf.constant(float(stop)))
        return TaskStepResult(*(float(value) for value in result.numpy()))

    def _update(self, batch, dropout_seed, stop):
        with tf.GradientTape() as tape:
            logits = self._model.logits(batch, dropout_seed)
            loss = self._model.head.loss(logits, batch["labels"], batch["weights"])
            scaled = loss / self._unit * self._optimizer.loss_scale.value
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(scaled, self._variables)]
        # Rows without a slot only fill up the share of a rank.
        has_slots = tf.reduce_any(batch["weights"] > 0, axis=1)[:, None]
        real_tokens = tf.reduce_sum(tf.where(has_slots, batch["input_mask"], 0))
        sums = tf.stack([loss, tf.reduce_sum(batch["weights"]), tf.cast(real_tokens, tf.float32),
                         tf.cast(tf.size(batch["input_ids"]), tf.float32), stop])
        gradients, sums = self._summed(gradients, sums)
        factor = self._unit / tf.maximum(sums[1], 1e-6)
        update = self._optimizer.apply_gradients([(gradient * factor, variable) for gradient, variable
                                                  in zip(gradients, self._variables)], tf.math.is_finite(sums[0]))
        return tf.concat([sums, tf.stack([
            update.grad_norm, update.learning_rate, tf.cast(tf.logical_not(update.applied), tf.float32),
            tf.cast(self._optimizer.bad_steps_in_a_row, tf.float32)])], axis=0)

    def _summed(self, gradients, sums):
        """Both added up over ranks. They travel as one tensor, so that the order of summation is always the same."""
        flat = tf.concat([*(tf.reshape(gradient, [-1]) for gradient in gradients), sums], axis=0)
        sizes = [variable.shape.num_elements() for variable in self._variables]
        *parts, sums = tf.split(distributed.sum_over_ranks(flat, name="task_gradients"), [*sizes, sums.shape[0]])
        return [tf.reshape(part, variable.shape) for part, variable in zip(parts, self._variables)], sums

"""One update of the weights: micro-batches, one allreduce of the gradients, one optimizer step.

The loss and the gradient are those of the global batch. Each rank divides its sums by the weights of
all ranks and micro-batches, not by its own, so that it makes no difference how the batch was cut.

On a GPU a step is only begun when it is called: the host goes on while the GPU computes, and asks for
the result later.
"""

import collections
import concurrent.futures
import threading

import numpy as np
import tensorflow as tf

from albert_hvd.model.encoder import named_variables
from albert_hvd.model.pretraining_model import LossSums, SourceSums
from albert_hvd.runtime import distributed
from albert_hvd.training.batch_layout import BatchLayout
from albert_hvd.training.optimizer import average_over_ranks
from albert_hvd.training.schedule import Place

# What a step gives back, float32 scalars of the global batch: the six sums of `LossSums`, and
#   real_tokens: tokens that are not padding.
#   stop: above 0 when a rank asked to stop.
#   grad_norm: global norm of the gradients before clipping.
#   learning_rate: the one applied.
#   skipped: 1 when loss or gradients were not finite, so that no update was made.
#   bad_steps: how many updates in a row were skipped, without those that the loss scale is to blame for.
#   loss_scale: the scale of the next step; 1 unless the precision is float16.
#   used_sec: the sum over ranks of what they gave as such when the step began.
#   by_source: the `SourceSums` of a mixture one after the other, a list of floats, else empty.
StepResult = collections.namedtuple("StepResult", LossSums._fields + (
    "real_tokens", "stop", "used_sec", "grad_norm", "learning_rate", "skipped", "bad_steps", "loss_scale", "by_source"))
_SCALARS = 5  # from grad_norm to loss_scale

# A batch that lies where the step is computed: `numbers`, float32 (accumulation_steps, W) on the device; `layout`, its
# `BatchLayout`; `sums`, float32 (3,) on the host: masked_lm_weight, sentence_weight and real tokens of this rank.
StagedBatch = collections.namedtuple("StagedBatch", ["numbers", "layout", "sums"])


class PendingStep:
    """A step that has begun; `result()` waits for its end.

    TensorFlow's copy from a GPU waits for all that the GPU has been given by then. So the copy is asked for at once, by
    a thread of its own: asked for by `result()`, it would wait for the next step too.

    Attributes:
      used_sec: what of the time that schedules count had passed when it began, summed over ranks.
    """

    _readers = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="result")  # as many as steps overlap

    def __init__(self, values, real_tokens, stop, used_sec):
        self.used_sec = used_sec
        self._known = real_tokens, stop
        asked = threading.Event()

        def read():
            asked.set()  # numpy() lets go of Python only when it has asked
            return values.numpy()

        self._values = self._readers.submit(read)
        asked.wait()

    def result(self):
        """The `StepResult` of floats."""
        values = list(map(float, self._values.result()))
        sums = len(LossSums._fields)
        end = sums + _SCALARS
        return StepResult(*values[:sums], *self._known, self.used_sec, *values[sums:end], by_source=values[end:])


def _graph_of(function, xla=False):
    """A `tf.function` of what has no Python branch on a tensor: AutoGraph would take twice as long as the tracing."""
    return tf.function(function, jit_compile=xla or None, autograph=False)


class TrainingStep:
    """The compiled step of one rank.

    Args:
      model: an `AlbertPretrainer`.
      optimizer: one of `training/optimizer.py`, wrapped by `distributed.distributed_optimizer` and built.
      accumulation_steps: micro-batches of one update.
      xla: compile forward and backward as one program, and the update as another; the allreduce stays outside.
      num_sources: of a mixture, whose batches have `source_numbers`; 0: it is none.
    """

    def __init__(self, model, optimizer, accumulation_steps=1, xla=False, num_sources=0):
        self._model, self._optimizer = model, optimizer
        self._variables = list(named_variables(model).values())
        self._sizes = [variable.shape.num_elements() for variable in self._variables]
        self._accumulation_steps, self._xla, self._num_sources = accumulation_steps, xla, num_sources
        self._num_sums = len(LossSums._fields) + len(SourceSums._fields) * num_sources
        config = model.config
        self._has_dropout = bool(config.hidden_dropout_prob or config.attention_probs_dropout_prob)
        self._device = "GPU:0" if tf.config.get_visible_devices("GPU") else "CPU:0"
        self._steps = {}  # (layout key, passes): the functions for batches of that layout

    def stage(self, batch):
        """Copy a batch to where the step is computed; another thread may do so while a step is running.

        Args:
          batch: dict of arrays of train_batch_size / size rows, as `rows.py` gives them.

        Returns:
          `StagedBatch`.
        """
        layout = BatchLayout(batch, self._accumulation_steps)
        sums = np.array([batch["masked_lm_weights"].sum(dtype=np.float64),
                         batch["sentence_weights"].sum(dtype=np.float64),
                         np.count_nonzero(batch["input_mask"] > 0)], np.float32)
        # By way of a tensor of the host: making one on the GPU would hold up all Python while the GPU computes.
        with tf.device("CPU"):
            numbers = tf.constant(layout.pack(batch))
        with tf.device(self._device):
            return StagedBatch(tf.identity(numbers), layout, sums)

    def __call__(self, batch, dropout_seed, stop, used_sec=0.0, place=lambda used_sec: Place()):
        """`start`, and wait for the `StepResult` of floats."""
        return self.start(batch, dropout_seed, stop, used_sec, place).result()

    def start(self, batch, dropout_seed, stop, used_sec=0.0, place=lambda used_sec: Place()):
        """Begin to train on this rank's part of a global batch.

        Args:
          batch: `StagedBatch`, or what `stage` takes.
          dropout_seed: pair of ints, another one for every step and rank.
          stop: whether this rank was asked to stop after this step.
          used_sec: this rank's part of the time that schedules count.
          place: function of that time, summed over ranks, that gives the step's `Place`, the same on all ranks.

        Returns:
          `PendingStep`.
        """
        batch = batch if isinstance(batch, StagedBatch) else self.stage(batch)
        with tf.device("CPU"):  # known to the host, and wanted there
            sums = distributed.sum_over_ranks(tf.constant([*batch.sums, float(stop), used_sec]),
                                              name="denominators").numpy()
        place = place(float(sums[4]))
        step, _ = self._functions(batch.layout, place.passes)
        values = step(batch.numbers, self._scalars(sums, dropout_seed, place))
        return PendingStep(values, *map(float, sums[2:5]))

    def try_memory(self, batch):
        """Compute a micro-batch and throw the gradients away.

        Returns:
          Whether the device had enough memory.
        """
        batch = self.stage(batch)
        _, micro_step = self._functions(batch.layout, None)
        try:
            micro_step(batch.numbers[0], self._scalars(np.ones(2), (0, 0), Place()), tf.constant(0.0)).numpy()
        except tf.errors.ResourceExhaustedError:
            return False
        return True

    def step_function(self, batch):
        """The `tf.function` of a whole step and arguments for it, to look at its graph."""
        batch = self.stage(batch)
        return self._functions(batch.layout, None)[0], (batch.numbers, self._scalars(batch.sums, (0, 0), Place()))

    @staticmethod
    def _scalars(sums, dropout_seed, place):
        """float32 (6,): the weights of both tasks over all ranks, the weight of the sentence loss, the place in the
        schedule of learning rates (0: the number of the update), and the bits of the seed.

        They lie on the host, and the step's graph copies them: a copy to a GPU waits for the step that runs there.
        """
        weights = np.maximum(sums[:2].astype(np.float32), np.float32(1.0))  # a NaN stays one
        seed = np.array(dropout_seed, np.int64).astype(np.int32).view(np.float32)
        with tf.device("CPU"):
            return tf.constant(np.concatenate([
                weights, np.array([place.sentence_loss_weight, place.schedule_step or 0.0], np.float32), seed]))

    def _functions(self, layout, passes):
        """(the whole step, a micro-batch's gradients) for batches of this layout and so many passes."""
        key = layout.key, passes or self._model.config.num_hidden_layers
        if key not in self._steps:
            def micro_step(row, scalars, number):
                return self._gradients_of(layout.unpack(row), scalars, number, passes)

            micro_step = _graph_of(micro_step, self._xla)
            self._steps[key] = (
                _graph_of(lambda numbers, scalars: self._update(numbers, scalars, micro_step)), micro_step)
        return self._steps[key]

    def _update(self, numbers, scalars, micro_step):
        flat = self._accumulate(numbers, scalars, micro_step)
        gradients, sums = tf.split(flat, [sum(self._sizes), self._num_sums])
        sums = distributed.sum_over_ranks(sums, name="sums")
        # All gradients travel as one tensor. Horovod would fuse many by what happens to be ready, and
        # the order of summation, hence the last bits, would depend on timing.
        return self._apply(average_over_ranks(self._optimizer, gradients), sums, scalars[3])

    def _accumulate(self, numbers, scalars, micro_step):
        """Gradients, `LossSums` and `SourceSums` of this rank, summed over its micro-batches, as one vector."""
        if self._accumulation_steps == 1:
            return micro_step(numbers[0], scalars, tf.constant(0.0))

        def add_micro_batch(number, total):
            # As a float, for integers stay on the host.
            return number + 1, total + micro_step(numbers[number], scalars, tf.cast(number, tf.float32))

        total = tf.zeros([sum(self._sizes) + self._num_sums])
        _, total = tf.while_loop(lambda number, _: number < self._accumulation_steps, add_micro_batch,
                                 (tf.constant(0), total), parallel_iterations=1)
        return total

    def _gradients_of(self, micro_batch, scalars, number, passes):
        """Gradients of all variables, `LossSums` and `SourceSums` of a micro-batch, as one vector."""
        dropout_seed = None
        if self._has_dropout:
            dropout_seed = tf.bitcast(scalars[4:], tf.int32)
            if self._accumulation_steps > 1:
                dropout_seed = tf.random.experimental.stateless_fold_in(dropout_seed, tf.cast(number, tf.int32))
        # Gradients are averaged over ranks: a division by the mean weight of a rank comes out as one by
        # the weight of all. Dividing by less than that scales the loss.
        unit = float(distributed.size()) * self._optimizer.loss_scale.value
        with tf.GradientTape() as tape:
            sums, by_source = self._model.loss_sums(micro_batch, dropout_seed, passes, self._num_sources)
            loss = sums.masked_lm_loss * (unit / scalars[0]) + sums.sentence_loss * (unit * scalars[2] / scalars[1])
        gradients = tape.gradient(loss, self._variables)
        return tf.concat([*(tf.reshape(tf.convert_to_tensor(gradient), [-1]) for gradient in gradients), tf.stack(sums),
                          *by_source], axis=0)

    def _apply(self, gradients, sums, schedule_step):
        """Update the weights; what a step gives back, as one vector."""
        sums, by_source = tf.split(sums, [len(LossSums._fields), self._num_sums - len(LossSums._fields)])
        update = self._optimizer.apply_flat_gradients(gradients, tf.reduce_all(tf.math.is_finite(sums)), schedule_step)
        return tf.concat([sums, tf.stack([
            update.grad_norm, update.learning_rate, tf.cast(tf.logical_not(update.applied), tf.float32),
            tf.cast(self._optimizer.bad_steps_in_a_row, tf.float32), self._optimizer.loss_scale.value]), by_source],
                         axis=0)

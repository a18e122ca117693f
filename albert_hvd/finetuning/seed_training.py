"""Model, optimizer and position in the data of one seed, new or restored from its checkpoint; and its step."""

import collections
import dataclasses
import os

import tensorflow as tf

from albert_hvd import __version__
from albert_hvd.errors import RunFailed, parameter, setting
from albert_hvd.finetuning.batches import epoch_batches, micro_batches, pad
from albert_hvd.finetuning.evaluation import Scorer, evaluate
from albert_hvd.finetuning.task_data import slot_weights
from albert_hvd.finetuning.task_model import TaskModel, depth_of, write_task_model
from albert_hvd.model.encoder import named_variables
from albert_hvd.model.precision import COMPUTE_DTYPES
from albert_hvd.run_folder import checkpoints
from albert_hvd.run_folder.checkpoint_writer import CheckpointWriter
from albert_hvd.run_folder.checkpoints import CheckpointFolder
from albert_hvd.runtime import distributed
from albert_hvd.training.evaluation import BestEvaluation
from albert_hvd.training.optimizer import average_over_ranks
from albert_hvd.training.optimizers import OPTIMIZERS, layerwise

_KEPT_CHECKPOINTS = 1
_MAX_BAD_STEPS = 10
_FLOAT16_SCALING = {"initial_loss_scale": 32768.0, "loss_scale_growth_steps": 2000}


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
    """The compiled step of one rank: the gradient is that of the global batch, divided by its weight.

    Args:
      model: `TaskModel`.
      optimizer: one of `optimizer.py`, wrapped by `distributed.distributed_optimizer` and built.
      train_batch_size: rows of a global batch, which keeps the loss in the range of float16.
    """

    def __init__(self, model, optimizer, train_batch_size):
        self._model, self._optimizer, self._unit = model, optimizer, float(train_batch_size)
        self._variables = list(model.trained_variables().values())
        self._gradients = tf.function(self._gradients_of, autograph=False, input_signature=[
            model.batch_signature, tf.TensorSpec([2], tf.int32), tf.TensorSpec([], tf.int32)])
        self._update = tf.function(self._update_by, autograph=False, input_signature=[
            tf.TensorSpec([None], tf.float32), tf.TensorSpec([4], tf.float32), tf.TensorSpec([], tf.float32)])

    def __call__(self, micro_batches, dropout_seed, stop):
        """Train on this rank's share of a global batch.

        Args:
          micro_batches: list of one or more, each as `batches.pad` makes it.
          dropout_seed: pair of ints, another one for every step and rank.
          stop: whether this rank was asked to stop after this step.

        Returns:
          `TaskStepResult` of floats.
        """
        seed = tf.constant(dropout_seed, tf.int32)
        flat, sums = self._gradients(micro_batches[0], seed, tf.constant(0))
        for number, batch in enumerate(micro_batches[1:], 1):
            more = self._gradients(batch, seed, tf.constant(number))
            flat, sums = flat + more[0], sums + more[1]
        result = self._update(flat, sums, tf.constant(float(stop)))
        return TaskStepResult(*(float(value) for value in result.numpy()))

    def _gradients_of(self, batch, dropout_seed, number):
        """(the gradients of all variables as one vector; the first four of `TaskStepResult`, (4,)) of a micro-batch.

        Sums over slots and rows, so that those of a batch are the sum of those of its micro-batches.
        """
        dropout_seed = tf.random.experimental.stateless_fold_in(dropout_seed, number)
        with tf.GradientTape() as tape:
            loss = self._model.loss(batch, dropout_seed)
            scaled = loss / self._unit * self._optimizer.loss_scale.value
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(scaled, self._variables)]
        # A row without a slot is that of a rank which has none.
        has_slots = tf.reduce_any(batch["weights"] > 0, axis=1)[:, None]
        real_tokens = tf.reduce_sum(tf.where(has_slots, batch["input_mask"], 0))
        sums = tf.stack([loss, tf.reduce_sum(batch["weights"]), tf.cast(real_tokens, tf.float32),
                         tf.cast(tf.size(batch["input_ids"]), tf.float32)])
        # They travel as one tensor, so that the order of summation is always the same.
        return tf.concat([tf.reshape(gradient, [-1]) for gradient in gradients], axis=0), sums

    def _update_by(self, flat, sums, stop):
        """Update the weights by what `_gradients_of` gives, summed over micro-batches; a `TaskStepResult` as a vector."""
        sums = distributed.sum_over_ranks(tf.concat([sums, [stop]], axis=0), name="task_sums")
        # An average over ranks comes out as a sum when it is divided by the weight of the mean rank.
        flat = average_over_ranks(self._optimizer, flat) * (self._unit * distributed.size() / tf.maximum(sums[1], 1e-6))
        update = self._optimizer.apply_flat_gradients(flat, tf.math.is_finite(sums[0]))
        return tf.concat([sums, tf.stack([
            update.grad_norm, update.learning_rate, tf.cast(tf.logical_not(update.applied), tf.float32),
            tf.cast(self._optimizer.bad_steps_in_a_row, tf.float32)])], axis=0)


class SeedTraining:
    """What a step of one seed needs, with the state that its checkpoint holds.

    Attributes:
      position: batches taken; epoch and batch of the epoch follow from it.
      elapsed_sec: time spent in training, over all resumptions.
      real_tokens, timed_sec: tokens without padding and duration of the steps that were timed.
      evaluations: `BestEvaluation`, whose loss is 1 - the metric that selects.
      origin: where the weights come from, in words.
      scorer: `Scorer` of the weights as they are.
    """

    def __init__(self, job, seed, folder):
        """Args: `job`, a `job.Job`; `folder`, that of the seed."""
        options = self._options = job.options
        self._job, self.seed, self.folder = job, seed, folder
        self._weights = slot_weights(job.data.train, len(job.task.labels), options.class_weights)
        self._lengths = job.data.train.rows.lengths
        self.batches_per_epoch = len(epoch_batches(self._lengths, options.train_batch_size, seed, 0))
        config = dataclasses.replace(job.first_weights.config, hidden_dropout_prob=options.dropout)
        self._model = TaskModel(config, job.task, seed, COMPUTE_DTYPES[options.precision], options.dropout,
                                options.features_dropout, options.features_training, options.features_share)
        self._variables = named_variables(self._model)
        self._optimizer = self._make_optimizer()
        self._checkpoints = CheckpointFolder(os.path.join(folder, "checkpoints"), _KEPT_CHECKPOINTS)
        self._writer = CheckpointWriter(self._checkpoints)
        self.evaluations = BestEvaluation()
        self.position, self.elapsed_sec, self.real_tokens, self.timed_sec = 0, 0.0, 0.0, 0.0
        self.origin = job.first_weights.origin
        self._restore()
        self._step = TaskStep(self._model, self._optimizer, options.train_batch_size)
        self.scorer = Scorer(self._model, job.task, job.first_weights.tokenizer.pad_id, options.eval_batch_size)
        self._epoch, self._batches = None, None
        self._has_gpu = bool(tf.config.get_visible_devices("GPU"))

    def _make_optimizer(self):
        options, num_steps = self._options, self.num_train_steps
        scaling = _FLOAT16_SCALING if options.precision == "float16" else {}
        optimizer = distributed.distributed_optimizer(layerwise(
            OPTIMIZERS[options.optimizer], options.layer_decay, depth_of)(
                options.learning_rate, num_steps, round(options.warmup_proportion * num_steps),
                weight_decay=options.weight_decay, clip_norm=options.clip_norm, **scaling))
        optimizer.build(self._model.trained_variables())
        return optimizer

    @property
    def num_train_steps(self):
        return self._options.num_train_epochs * self.batches_per_epoch

    @property
    def at_end_of_epoch(self):
        return self.position > 0 and self.position % self.batches_per_epoch == 0

    def run_step(self, stop):
        """Train on the next global batch; returns its `TaskStepResult`.

        Raises:
          RunFailed: too many updates in a row were not finite, or the last checkpoint could not be written (rank 0).
        """
        self._writer.check()
        epoch, number = divmod(self.position, self.batches_per_epoch)
        if epoch != self._epoch:
            self._batches = epoch_batches(self._lengths, self._options.train_batch_size, self.seed, epoch)
            self._epoch = epoch
        rank, size = distributed.rank(), distributed.size()
        numbers, train = self._batches[number], self._job.data.train
        numbers = numbers[rank::size]
        parts = [numbers] if self._has_gpu else micro_batches(self._lengths, numbers)  # a GPU waits for calls
        batches = [pad(train.rows, part, self._job.first_weights.tokenizer.pad_id, train.gold, self._weights)
                   for part in parts]
        result = self._step(batches, (self.seed, self.position * size + rank), stop)
        self.position += 1
        if result.bad_steps >= _MAX_BAD_STEPS:
            raise RunFailed(f"training diverged: {int(result.bad_steps)} updates in a row had gradients that are not "
                            f"finite; lower {parameter('learning_rate')}, and give a new {parameter('output_dir')}")
        return result

    def evaluate(self, should_stop):
        """Metrics of the validation part with the weights as they are, or None when interrupted; best weights are kept.

        Returns:
          (metrics, whether they are the best so far) or None.
        """
        result = evaluate(self.scorer, self._job.task, self._job.data.valid, should_stop)
        if result is None:
            return None
        metrics, _ = result
        is_best = self.evaluations.add(self.position, 1.0 - metrics[self._job.task.select_by])
        if is_best and distributed.rank() == 0:
            write_task_model(self.model_folder, self._model, self._job.task, self._job.first_weights.tokenizer)
        return metrics, is_best

    @property
    def model_folder(self):
        """Where the weights that were best on the validation part are."""
        return os.path.join(self.folder, "model")

    def is_over(self):
        """Whether the last epoch is trained, or the validation part has not become better for long enough."""
        limit = self._options.early_stop_epochs
        return self.position >= self.num_train_steps or 0 < limit <= self.evaluations.evaluations_since_best

    def save(self):
        """Begin to write a checkpoint (rank 0)."""
        if distributed.rank() == 0:
            self._writer.wait()
            weights = {path: variable.numpy() for path, variable in self._variables.items()}
            slots = {path: slot.numpy() for path, slot in self._slots().items()}
            self._writer.start(self.position, weights, slots, self._state(), None)

    def close(self):
        """Finish the checkpoint that is being written; raises RunFailed when it cannot be."""
        try:
            self._writer.wait()
        finally:
            self._writer.close()

    def _state(self):
        return {"seed": self.seed, "updates": int(self._optimizer.step.numpy()),
                "loss_scale": self._optimizer.loss_scale.state(), "elapsed_sec": self.elapsed_sec,
                "real_tokens": self.real_tokens, "timed_sec": self.timed_sec,
                "evaluations": dataclasses.asdict(self.evaluations), "versions": {"albert_hvd": __version__}}

    def _slots(self):
        moments = ("first_moment", "second_moment")
        return {f"{path}/{moment}": slot for path, variable in self._model.trained_variables().items()
                for moment, slot in zip(moments, self._optimizer.slots_of(variable))}

    def _restore(self):
        """Take up the newest checkpoint, or the first weights, on rank 0, and give them to all ranks."""
        state = distributed.on_rank_0(self._restore_on_rank_0, "restore_seed")
        if state is not None:
            self.position, self.elapsed_sec = state["step"], state["elapsed_sec"]
            self.real_tokens, self.timed_sec = state["real_tokens"], state["timed_sec"]
            self.evaluations = BestEvaluation(**state["evaluations"])
            self._optimizer.step.assign(state["updates"])
            self._optimizer.loss_scale.restore(state["loss_scale"])
            self.origin = f"resuming at step {self.position}"
        distributed.broadcast_variables([*self._variables.values(), *self._slots().values()])

    def _first_bias(self):
        """A regression begins at the mean of the training part, which its rate would take long to reach."""
        train = self._job.data.train
        return {"head/bias": train.gold.mean(keepdims=True)} if self._job.task.is_regression else {}

    def _restore_on_rank_0(self):
        self._checkpoints.remove_unfinished()
        state = self._checkpoints.newest_valid()
        if state is None:
            for path, array in {**self._first_bias(), **self._job.first_weights.arrays}.items():
                self._variables[path].assign(array)
            return None
        path = self._checkpoints.path(state["step"])
        for name, variables in ((checkpoints.WEIGHTS, self._variables), (checkpoints.OPTIMIZER, self._slots())):
            checkpoints.restore_variables(variables, path, name, setting("output_dir", self._options.output_dir))
        return state

"""LAMB and AdamW with their schedule, as `tf.Module`s that `hvd.DistributedOptimizer` can wrap.

Horovod makes the wrapped optimizer again from `get_config()`, so that all arguments are plain
numbers, and slots are made afterwards, by `build`.

Sources: You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes"
(2020), algorithm 2; Loshchilov & Hutter, "Decoupled Weight Decay Regularization" (2019).
"""

import collections

import numpy as np
import tensorflow as tf

from albert_hvd.runtime import distributed
from albert_hvd.training.loss_scale import FLOOR, LossScale

# What `apply_gradients` gives back, scalar tensors:
#   grad_norm: float32, global norm of the gradients before clipping, without the loss scale.
#   learning_rate: float32, the one applied.
#   applied: bool; False when the update was skipped.
Update = collections.namedtuple("Update", ["grad_norm", "learning_rate", "applied"])

# An update that is being made, scalar tensors: `applied` and `learning_rate` as in `Update`; `first_sum` and `second_sum`,
# float32, what the weights of all gradients in the two moments add up to.
Now = collections.namedtuple("Now", ["applied", "learning_rate", "first_sum", "second_sum"])


def learning_rate_at(step, peak, num_train_steps, num_warmup_steps, power=1.0):
    """The learning rate of update number `step`, counted from 1.

    Linear from 0 to `peak` at `num_warmup_steps`, then polynomial to 0 at `num_train_steps`; both
    parts give `peak` where they meet.

    Args:
      step: float tensor or float.

    Returns:
      float32 scalar tensor.
    """
    step = tf.cast(step, tf.float32)
    warmup = step / max(1.0, float(num_warmup_steps))
    left = (num_train_steps - step) / max(1.0, float(num_train_steps - num_warmup_steps))
    decay = tf.clip_by_value(left, 0.0, 1.0) ** power
    return peak * tf.where(step < num_warmup_steps, warmup, decay)


class Optimizer(tf.Module):
    """What all optimizers share: schedule, clipping, moments and the skipping of bad gradients.

    Args:
      learning_rate: the peak of the schedule.
      num_train_steps, num_warmup_steps, power: see `learning_rate_at`.
      weight_decay: decoupled decay; not applied to biases and layer norms, that is, to variables of
        rank 1.
      beta_1, beta_2: decay rates of the two moments.
      epsilon: added to the root of the second moment.
      clip_norm: largest global norm of the gradients; 0 leaves them as they are.
      initial_loss_scale, loss_scale_growth_steps: see `LossScale`. Gradients come multiplied by
        `loss_scale.value`; by default, that is 1.

    Attributes:
      step: int64 variable, the updates made.
      bad_steps_in_a_row: int64 variable, the updates skipped since the last one made, without those
        that the loss scale is to blame for.
      loss_scale: `LossScale`.
    """

    def __init__(self, learning_rate, num_train_steps, num_warmup_steps=0, power=1.0,
                 weight_decay=0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-6, clip_norm=1.0,
                 initial_loss_scale=FLOOR, loss_scale_growth_steps=0, name=None):
        super().__init__(name=name)
        self._config = dict(
            learning_rate=learning_rate, num_train_steps=num_train_steps,
            num_warmup_steps=num_warmup_steps, power=power, weight_decay=weight_decay,
            beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, clip_norm=clip_norm,
            initial_loss_scale=initial_loss_scale, loss_scale_growth_steps=loss_scale_growth_steps)
        # As float32 has them: 1 - 0.999 is another number there, by 1 in 50,000, and a moment's weights must add up.
        self._betas = float(np.float32(beta_1)), float(np.float32(beta_2))
        self.loss_scale = LossScale(initial_loss_scale, loss_scale_growth_steps)
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.bad_steps_in_a_row = tf.Variable(0, dtype=tf.int64, trainable=False, name="bad_steps")
        self._slots = {}

    def get_config(self):
        return dict(self._config)

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def build(self, named_variables, compiled=False):
        """Make the slots of every variable.

        Args:
          named_variables: dict of path to variable, as `encoder.named_variables` gives it; all of them are updated
            together.
          compiled: have XLA make one program of an update's many small operations.
        """
        self._variables = list(named_variables.values())
        self._sizes = [variable.shape.num_elements() for variable in self._variables]
        for path, variable in named_variables.items():
            self._slots[variable.ref()] = tuple(
                tf.Variable(tf.zeros_like(variable), trainable=False, name=f"{path}/{moment}")
                for moment in self._moments_of(path, variable))
        if compiled:
            self._measure, self._write = (tf.function(part, jit_compile=True, autograph=False)
                                          for part in (self._measure, self._write))

    def _moments_of(self, path, variable):
        """Names of a variable's slots; a place for other optimizers to say otherwise."""
        del path, variable
        return "first_moment", "second_moment"

    def variables(self):
        """The optimizer's own variables: the step, the count of bad steps, the loss scale and the slots."""
        return [self.step, self.bad_steps_in_a_row, *self.loss_scale.variables,
                *(slot for slots in self._slots.values() for slot in slots)]

    def slots_of(self, variable):
        """(first moment, second moment) of a variable; some have the first alone."""
        return self._slots[variable.ref()]

    def compute_gradients(self, loss, var_list, tape):
        """[(gradient, variable), ...]; Horovod's wrapper averages the gradients over ranks.

        Args:
          tape: anything with `gradient(loss, var_list)`: a GradientTape, or gradients that were
            summed over micro-batches.
        """
        return list(zip(tape.gradient(loss, var_list), var_list))

    def apply_gradients(self, grads_and_vars, loss_is_finite=True, schedule_step=0.0):
        """`apply_flat_gradients` of [(gradient, variable), ...], with each of `build`'s variables once."""
        gradients = {variable.ref(): gradient for gradient, variable in grads_and_vars}
        flat = tf.concat([tf.reshape(tf.convert_to_tensor(gradients[variable.ref()]), [-1])
                          for variable in self._variables], axis=0)
        return self.apply_flat_gradients(flat, loss_is_finite, schedule_step)

    def apply_flat_gradients(self, gradients, loss_is_finite=True, schedule_step=0.0):
        """Clip by the global norm, then update; skip the update when loss or norm is not finite.

        The gradients are those of the global batch already, equal on all ranks, so that all ranks
        decide alike. An overflow that a smaller loss scale may cure says nothing about the model and
        is not a bad step. When the loss itself is not finite, or the scale is at its floor, the
        scale is not to blame: that is one.

        There is no branch in it, for which a GPU would wait for the host: a skipped update is computed, too, and the
        old values are kept.

        Args:
          gradients: float32 (N,), the gradients of all variables in `build`'s order, one behind the other; of the loss
            times `loss_scale.value`.
          loss_is_finite: bool tensor or bool.
          schedule_step: float32 scalar, the place in the schedule of learning rates; 0: the number of the update.

        Returns:
          `Update`.
        """
        loss_is_finite, schedule_step = tf.convert_to_tensor(loss_is_finite), tf.convert_to_tensor(schedule_step)
        update, factor, mixtures = self._measure(gradients, loss_is_finite, schedule_step)
        self._write(gradients, factor, update, loss_is_finite, self._directions(mixtures))
        return update

    def _measure(self, gradients, loss_is_finite, schedule_step):
        """`Update`, what to multiply the gradients by, and what `_directions` wants."""
        c, loss_scale = self._config, self.loss_scale.value
        norm = tf.sqrt(tf.reduce_sum(tf.square(gradients))) / loss_scale
        factor = (c["clip_norm"] / tf.maximum(norm, c["clip_norm"]) if c["clip_norm"] else tf.ones([])) / loss_scale
        schedule_step = tf.where(schedule_step > 0, schedule_step, tf.cast(self.step + 1, tf.float32))
        learning_rate = learning_rate_at(schedule_step, c["learning_rate"], c["num_train_steps"],
                                         c["num_warmup_steps"], c["power"])
        applied = tf.logical_and(tf.math.is_finite(norm), loss_is_finite)
        return Update(norm, learning_rate, applied), factor, self._mixtures(self._split(gradients), factor)

    def _split(self, flat):
        """The gradient of each variable, in its shape."""
        return [tf.reshape(part, variable.shape) for part, variable
                in zip(tf.split(flat, self._sizes), self._variables)]

    def _mixtures(self, gradients, factor):
        """What all ranks together make directions of; a place for optimizers that do."""
        del gradients, factor
        return []

    def _directions(self, mixtures):
        """From the mixtures; collectives may be in it, for no compiled program is around it."""
        return mixtures

    def _write(self, gradients, factor, update, loss_is_finite, directions):
        """Give variables, slots and counters their new values."""
        applied, step = update.applied, tf.cast(self.step + 1, tf.float64)
        now = Now(applied, update.learning_rate, *(tf.cast(1 - beta ** step, tf.float32) for beta in self._betas))
        gradients = self._split(tf.math.multiply_no_nan(gradients, tf.where(applied, factor, 0.0)))
        for variable, gradient in zip(self._variables, gradients):
            self._move(variable, gradient, now, directions)
        scale_is_to_blame = self.loss_scale.update(applied, loss_is_finite)
        self.step.assign_add(tf.cast(applied, tf.int64))
        self.bad_steps_in_a_row.assign(tf.where(
            applied, tf.constant(0, tf.int64),
            self.bad_steps_in_a_row + tf.cast(tf.logical_not(scale_is_to_blame), tf.int64)))

    def _move(self, variable, gradient, now, directions):
        """Give a variable and its slots their new values.

        Args:
          gradient: of its shape, clipped; zeros in an update that is skipped.
          now: `Now`.
          directions: as `_directions` gives them.
        """
        raise NotImplementedError

    def _assign(self, variable, applied, *values):
        """Give a variable and its slots these values, or let them keep theirs."""
        for place, value in zip((variable, *self.slots_of(variable)), values, strict=True):
            place.assign(tf.where(applied, value, place))


class AdamW(Optimizer):
    """Adam with bias correction and decoupled weight decay; one of TensorFlow's kernels does all for a variable."""

    def _move(self, variable, gradient, now, directions):
        del directions
        c, (first, second) = self._config, self.slots_of(variable)
        # A skipped update has a rate of 0, and keeps the moments.
        rate = tf.where(now.applied, now.learning_rate, 0.0)
        beta_1, beta_2 = (tf.where(now.applied, beta, 1.0) for beta in self._betas)
        if c["weight_decay"] and len(variable.shape) > 1:
            variable.assign(variable * (1.0 - rate * c["weight_decay"]))
        # With powers of 0 the kernel corrects no bias, which it would do in float32. Its epsilon is added to the root of the
        # moment as it is, so that it takes part in the correction.
        root = tf.sqrt(now.second_sum)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=first.handle, v=second.handle, beta1_power=0.0, beta2_power=0.0,
            lr=rate * root / now.first_sum, beta1=beta_1, beta2=beta_2, epsilon=c["epsilon"] * root, grad=gradient)


class Lamb(Optimizer):
    """AdamW's direction, with each variable's step scaled to the norm of the variable."""

    def _move(self, variable, gradient, now, directions):
        del directions
        c, (beta_1, beta_2), (first, second) = self._config, self._betas, self.slots_of(variable)
        m = beta_1 * first + (1 - beta_1) * gradient
        v = beta_2 * second + (1 - beta_2) * tf.square(gradient)
        direction = m / now.first_sum / (tf.sqrt(v / now.second_sum) + c["epsilon"])
        if len(variable.shape) > 1:
            direction += c["weight_decay"] * variable
        rate = now.learning_rate * _trust_ratio(variable, direction)
        self._assign(variable, now.applied, variable - rate * direction, m, v)


def _trust_ratio(variable, direction):
    """|w| / |direction|; 1 where either is 0, as for a bias that has not moved yet."""
    variable_norm, direction_norm = tf.norm(variable), tf.norm(direction)
    both = tf.logical_and(variable_norm > 0, direction_norm > 0)
    return tf.where(both, tf.math.divide_no_nan(variable_norm, direction_norm), 1.0)


def average_over_ranks(optimizer, gradients):
    """Gradients averaged over ranks, by the optimizer's Horovod wrapper; as they are in a world of one rank.

    Args:
      optimizer: one of these, wrapped by `distributed.distributed_optimizer`.
      gradients: float tensor (N,), the gradients of all variables one behind the other.
    """
    if distributed.size() == 1:
        return gradients
    # Horovod uses the variable as a key, nothing more.
    (average, _), = optimizer.compute_gradients(None, [optimizer.step], tape=_Given([gradients]))
    return average


class _Given:
    """Gradients that were computed already, in the place of a tape."""

    def __init__(self, gradients):
        self._gradients = gradients

    def gradient(self, loss, sources):
        """What `tf.GradientTape.gradient` would have given."""
        del loss, sources
        return self._gradients

"""LAMB and AdamW with their schedule, as `tf.Module`s that `hvd.DistributedOptimizer` can wrap.

Horovod makes the wrapped optimizer again from `get_config()`, so that all arguments are plain
numbers, and slots are made afterwards, by `build`.

Sources: You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes"
(2020), algorithm 2; Loshchilov & Hutter, "Decoupled Weight Decay Regularization" (2019).
"""

import collections

import tensorflow as tf

from albert_hvd.runtime import distributed
from albert_hvd.training.loss_scale import FLOOR, LossScale

# What `apply_gradients` gives back, scalar tensors:
#   grad_norm: float32, global norm of the gradients before clipping, without the loss scale.
#   learning_rate: float32, the one applied.
#   applied: bool; False when the update was skipped.
Update = collections.namedtuple("Update", ["grad_norm", "learning_rate", "applied"])


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


class _Optimizer(tf.Module):
    """What LAMB and AdamW share: schedule, clipping, moments and the skipping of bad gradients.

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
        self.loss_scale = LossScale(initial_loss_scale, loss_scale_growth_steps)
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.bad_steps_in_a_row = tf.Variable(0, dtype=tf.int64, trainable=False, name="bad_steps")
        self._slots = {}

    def get_config(self):
        return dict(self._config)

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def build(self, named_variables):
        """Make the slots of every variable.

        Args:
          named_variables: dict of path to variable, as `encoder.named_variables` gives it.
        """
        for path, variable in named_variables.items():
            self._slots[variable.ref()] = tuple(
                tf.Variable(tf.zeros_like(variable), trainable=False, name=f"{path}/{moment}")
                for moment in ("first_moment", "second_moment"))

    def variables(self):
        """The optimizer's own variables: the step, the count of bad steps, the loss scale and the slots."""
        return [self.step, self.bad_steps_in_a_row, *self.loss_scale.variables,
                *(slot for slots in self._slots.values() for slot in slots)]

    def slots_of(self, variable):
        """(first moment, second moment) of a variable."""
        return self._slots[variable.ref()]

    def learning_rate(self, step):
        c = self._config
        return learning_rate_at(step, c["learning_rate"], c["num_train_steps"],
                                c["num_warmup_steps"], c["power"])

    def compute_gradients(self, loss, var_list, tape):
        """[(gradient, variable), ...]; Horovod's wrapper averages the gradients over ranks.

        Args:
          tape: anything with `gradient(loss, var_list)`: a GradientTape, or gradients that were
            summed over micro-batches.
        """
        return list(zip(tape.gradient(loss, var_list), var_list))

    def apply_gradients(self, grads_and_vars, loss_is_finite=True, branch_free=False):
        """Clip by the global norm, then update; skip the update when loss or norm is not finite.

        The gradients are those of the global batch already, equal on all ranks, so that all ranks
        decide alike. An overflow that a smaller loss scale may cure says nothing about the model and
        is not a bad step. When the loss itself is not finite, or the scale is at its floor, the
        scale is not to blame: that is one.

        Args:
          grads_and_vars: [(gradient, variable), ...]; gradients of the loss times `loss_scale.value`.
          loss_is_finite: bool tensor or bool.
          branch_free: compute the update in any case and keep the old values where it is skipped: the same values
            without a branch, for which a GPU would wait for the host. Costs little where XLA compiles it.

        Returns:
          `Update`.
        """
        gradients, variables = zip(*((tf.convert_to_tensor(g), v) for g, v in grads_and_vars))
        loss_is_finite = tf.convert_to_tensor(loss_is_finite)
        loss_scale = self.loss_scale.value.read_value()
        norm = tf.linalg.global_norm(gradients) / loss_scale
        clip_norm = self._config["clip_norm"]
        factor = (clip_norm / tf.maximum(norm, clip_norm) if clip_norm else tf.ones([])) / loss_scale
        step = self.step.read_value() + 1
        learning_rate = self.learning_rate(step)
        applied = tf.logical_and(tf.math.is_finite(norm), loss_is_finite)

        def update():
            for gradient, variable in zip(gradients, variables):
                places = (variable, *self.slots_of(variable))
                # In float32, 1 - 0.999**1 has a relative error of 1e-5 already.
                for place, value in zip(places, self._updated(variable, gradient * factor, learning_rate,
                                                              tf.cast(step, tf.float64))):
                    place.assign(tf.where(applied, value, place) if branch_free else value)
            return tf.constant(0)

        if branch_free:
            update()
        else:
            tf.cond(applied, update, lambda: tf.constant(0))
        self._count(applied, loss_is_finite)
        return Update(norm, learning_rate, applied)

    def _count(self, applied, loss_is_finite):
        """Count an update as made, as bad, or as one that the loss scale is to blame for."""
        zero = tf.constant(0, tf.int64)
        scale_is_to_blame = self.loss_scale.update(applied, loss_is_finite)
        self.step.assign_add(tf.cast(applied, tf.int64))
        self.bad_steps_in_a_row.assign(tf.where(
            applied, zero, self.bad_steps_in_a_row + tf.cast(tf.logical_not(scale_is_to_blame), tf.int64)))

    def _updated(self, variable, gradient, learning_rate, step):
        """(variable, first moment, second moment) after update number `step`."""
        c = self._config
        first, second = self.slots_of(variable)
        m = c["beta_1"] * first + (1 - c["beta_1"]) * gradient
        v = c["beta_2"] * second + (1 - c["beta_2"]) * tf.square(gradient)
        m_hat = m / tf.cast(1 - c["beta_1"] ** step, tf.float32)
        v_hat = v / tf.cast(1 - c["beta_2"] ** step, tf.float32)
        direction = m_hat / (tf.sqrt(v_hat) + c["epsilon"])
        if len(variable.shape) > 1:
            direction += c["weight_decay"] * variable
        return variable - learning_rate * self._trust_ratio(variable, direction) * direction, m, v

    def _trust_ratio(self, variable, direction):
        raise NotImplementedError


class AdamW(_Optimizer):
    """Adam with bias correction and decoupled weight decay."""

    def _trust_ratio(self, variable, direction):
        return 1.0


class Lamb(_Optimizer):
    """AdamW's direction, with each variable's step scaled to the norm of the variable."""

    def _trust_ratio(self, variable, direction):
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


def layerwise(optimizer_class, decay, depth_of):
    """A subclass of an optimizer whose learning rate for a variable is multiplied by `decay ** depth_of(path)`.

    The nearer to the head, the faster a weight may move: Howard & Ruder, "Universal Language Model Fine-tuning for
    Text Classification" (2018), section 3.2.

    Args:
      depth_of: function of a variable's path.
    """

    class Layerwise(optimizer_class):

        def build(self, named_variables):
            super().build(named_variables)
            self._factors = {variable.ref(): decay ** depth_of(path) for path, variable in named_variables.items()}

        def _updated(self, variable, gradient, learning_rate, step):
            return super()._updated(variable, gradient, learning_rate * self._factors[variable.ref()], step)

    return Layerwise


OPTIMIZERS = {"lamb": Lamb, "adamw": AdamW}

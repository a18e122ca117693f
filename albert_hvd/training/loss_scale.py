"""Dynamic loss scaling for float16 (Micikevicius et al., "Mixed Precision Training", 2018, section 3.2).

Gradients below 6e-8 are 0 in float16. So the loss is multiplied by a scale as large as the gradients
bear, and the gradients are divided by it, in float32, before anything else is done with them. The
scale is a power of two: apart from what float16 loses, it changes no bit.
"""

import tensorflow as tf

# At 1 nothing is scaled: what overflows there overflows by itself.
FLOOR = 1.0
# Far from the end of float32, in which the norm of the scaled gradients is taken.
_CEILING = 2.0 ** 24
_FACTOR = 2.0


class LossScale(tf.Module):
    """A scale that halves on overflow and doubles after `growth_steps` updates without one.

    Args:
      initial: the first scale.
      growth_steps: updates without overflow before it doubles; 0 keeps the scale as it is for ever.

    Attributes:
      value: float32 variable, the scale of the next step.
      good_steps: int64 variable, updates since the last overflow.
    """

    def __init__(self, initial=FLOOR, growth_steps=0, name=None):
        super().__init__(name=name)
        self._growth_steps = growth_steps
        self.value = tf.Variable(initial, dtype=tf.float32, trainable=False, name="loss_scale")
        self.good_steps = tf.Variable(0, dtype=tf.int64, trainable=False, name="good_steps")

    def update(self, applied, loss_is_finite):
        """Follow up an update. There is no branch in it, which a GPU would have to ask the host about.

        Args:
          applied: bool tensor, whether the update was made; otherwise its gradients were not finite.
          loss_is_finite: bool tensor; a loss that is not finite has nothing to do with the scale.

        Returns:
          bool tensor: whether the scale is to blame for an update that was not made, and was halved, so that the same
          gradients may now be finite.
        """
        if not self._growth_steps:
            return tf.constant(False)
        overflowed = tf.logical_and(tf.logical_not(applied), loss_is_finite)
        shrinks = tf.logical_and(overflowed, self.value > FLOOR)
        good_steps = self.good_steps + 1
        grows = tf.logical_and(applied, tf.equal(good_steps % self._growth_steps, 0))
        self.good_steps.assign(tf.where(applied, good_steps, tf.where(overflowed, tf.constant(0, tf.int64),
                                                                      self.good_steps)))
        self.value.assign(tf.where(grows, tf.minimum(self.value * _FACTOR, _CEILING),
                                   tf.where(shrinks, tf.maximum(self.value / _FACTOR, FLOOR), self.value)))
        return shrinks

    def state(self):
        """What a checkpoint holds, JSON-able and exact; None for a fixed scale."""
        if not self._growth_steps:
            return None
        return {"value": float(self.value), "good_steps": int(self.good_steps)}

    def restore(self, state):
        """Take up `state()` of a checkpoint. A run that changes to float16 finds None: it starts as a new one."""
        if self._growth_steps and state is not None:
            self.value.assign(state["value"])
            self.good_steps.assign(state["good_steps"])

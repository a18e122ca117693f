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

    def after_good_step(self):
        """Count an update whose gradients were finite."""
        if self._growth_steps:
            grows = tf.equal(self.good_steps.assign_add(1) % self._growth_steps, 0)
            self.value.assign(tf.where(grows, tf.minimum(self.value * _FACTOR, _CEILING), self.value))

    def after_overflow(self):
        """Halve the scale, unless it is fixed or at its floor.

        Returns:
          bool tensor: whether it was halved, so that the same gradients may now be finite.
        """
        if not self._growth_steps:
            return tf.constant(False)
        shrinks = self.value > FLOOR
        self.value.assign(tf.maximum(self.value / _FACTOR, FLOOR))
        self.good_steps.assign(0)
        return shrinks

    def state(self):
        """What a checkpoint holds, JSON-able and exact; None for a fixed scale."""
        if not self._growth_steps:
            return None
        return {"value": float(self.value), "good_steps": int(self.good_steps)}

    def restore(self, state):
        """Take up `state()` of a checkpoint. A run that changes to float16 finds None, and starts anew."""
        if self._growth_steps and state is not None:
            self.value.assign(state["value"])
            self.good_steps.assign(state["good_steps"])

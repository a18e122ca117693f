"""The loss scale of float16: it halves, doubles, stays within its bounds, and is restored exactly."""

import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st

from albert_hvd.training.loss_scale import FLOOR, LossScale


@settings(max_examples=30, deadline=None)
@given(initial=st.integers(0, 24), growth_steps=st.integers(1, 4), goods=st.lists(st.booleans(), max_size=20))
def test_it_follows_the_rule_and_resumes_at_any_point(initial, growth_steps, goods):
    scale, resumed = LossScale(2.0 ** initial, growth_steps), LossScale(1024.0, growth_steps)
    exponent, good_steps = initial, 0
    for good in goods:
        resumed.restore(scale.state())
        for one in (scale, resumed):
            assert bool(one.update(tf.constant(good), tf.constant(True))) == (not good and exponent > 0)
        good_steps = good_steps + 1 if good else 0
        if good and good_steps % growth_steps == 0:
            exponent = min(exponent + 1, 24)
        elif not good:
            exponent = max(exponent - 1, 0)
        assert scale.value.numpy() == resumed.value.numpy() == 2.0 ** exponent


def test_a_fixed_scale_never_moves_and_is_never_to_blame():
    scale = LossScale()
    for applied in (True, False, True):
        assert not scale.update(tf.constant(applied), tf.constant(True))
    assert scale.value.numpy() == FLOOR
    assert scale.state() is None


@pytest.mark.parametrize("before, after", [(LossScale(), LossScale(8.0, 2)), (LossScale(64.0, 2), LossScale())])
def test_a_change_of_precision_starts_anew(before, after):
    value = after.value.numpy()
    after.restore(before.state())
    assert after.value.numpy() == value


def test_a_loss_that_is_not_finite_leaves_the_scale_alone():
    scale = LossScale(1024.0, 2)
    scale.update(tf.constant(True), tf.constant(True))
    assert not scale.update(tf.constant(False), tf.constant(False))
    assert scale.state() == {"value": 1024.0, "good_steps": 1}

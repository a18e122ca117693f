"""The heads: what they lose and what they choose."""

import numpy as np
import pytest
import tensorflow as tf
from small_tasks import make_task_model, make_task_rows

from albert_hvd.finetuning.batches import pad
from albert_hvd.finetuning.heads import LinearHead
from albert_hvd.model.encoder import named_variables

PAD = 0


def test_a_crf_without_transitions_is_the_linear_head(tiny_config):
    crf, task = make_task_model(tiny_config, "tagging", "crf")
    linear, _ = make_task_model(tiny_config, "tagging")
    for path, variable in named_variables(linear).items():
        variable.assign(named_variables(crf)[path])
    for part in (crf.head.transitions, crf.head.start, crf.head.end):
        part.assign(tf.zeros_like(part))
    batch = pad(make_task_rows(one_slot=False), np.arange(7), PAD)
    logits = linear.logits(batch)
    np.testing.assert_allclose(crf.head.loss(logits, batch["labels"], batch["weights"]),
                               linear.head.loss(logits, batch["labels"], batch["weights"]), rtol=1e-5)
    is_slot = batch["weights"] > 0
    np.testing.assert_array_equal(crf.head.decode(logits, batch["weights"]).numpy()[is_slot],
                                  linear.head.decode(logits, batch["weights"]).numpy()[is_slot])



def test_the_linear_loss_by_hand():
    head = LinearHead(2, 3, tf.zeros)
    logits = tf.math.log(tf.constant([[[.5, .25, .25], [.1, .2, .7], [1., 1., 1.]]]))
    loss = head.loss(logits, tf.constant([[0, 2, 1]]), tf.constant([[1., 3., 0.]]))
    assert float(loss) == pytest.approx(-np.log(.5) - 3 * np.log(.7), abs=1e-6)
    assert head.decode(logits, None).numpy().tolist() == [[0, 2, 0]]

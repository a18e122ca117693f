"""The encoder's own properties; its numbers are held against others' in test_reference_models.py."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from albert_hvd.model.config import ARCHITECTURES
from albert_hvd.model.encoder import Dropout, SharedLayer, named_variables
from albert_hvd.model.pretraining_model import AlbertPretrainer
from small_batches import pack_two_rows, random_batch


def losses_and_gradients(model, batch, dropout_seed=None):
    with tf.GradientTape() as tape:
        sums = model({name: tf.constant(array) for name, array in batch.items()}, dropout_seed)
        loss = sums.masked_lm_loss + sums.sentence_loss
    return sums, tape.gradient(loss, list(named_variables(model).values()))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_packed_rows_have_the_losses_and_gradients_of_separate_ones(tiny_config, architecture):
    config = dataclasses.replace(tiny_config, architecture=architecture)
    model = AlbertPretrainer(config, seed=3)
    batch = random_batch(config, 2, 12, [7, 5])
    separate, packed = (losses_and_gradients(model, b) for b in (batch, pack_two_rows(batch, [7, 5])))
    np.testing.assert_allclose(packed[0], separate[0], atol=1e-5)
    for ours, theirs in zip(packed[1], separate[1]):
        np.testing.assert_allclose(tf.convert_to_tensor(ours), tf.convert_to_tensor(theirs), atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padding_changes_nothing(tiny_config, architecture):
    model = AlbertPretrainer(dataclasses.replace(tiny_config, architecture=architecture), seed=3)
    batch = random_batch(tiny_config, 2, 16, [7, 5])
    short = {name: array[:, :7] if array.shape[1] == 16 else array for name, array in batch.items()}
    np.testing.assert_allclose(losses_and_gradients(model, batch)[0], losses_and_gradients(model, short)[0], atol=1e-5)


def test_scoring_unused_slots_too_gives_the_same_sums(tiny_config):
    batch = random_batch(tiny_config, 2, 12, [7, 5])
    models = [AlbertPretrainer(tiny_config, seed=3, static_shapes=static) for static in (False, True)]
    np.testing.assert_allclose(*(losses_and_gradients(model, batch)[0] for model in models), atol=1e-5)


def test_the_seed_fixes_the_weights(tiny_config):
    first, same, other = (named_variables(AlbertPretrainer(tiny_config, seed=seed)) for seed in (1, 1, 2))
    kernel = "encoder/layer/attention/query/kernel"
    np.testing.assert_array_equal(first[kernel], same[kernel])
    assert np.abs(first[kernel] - other[kernel]).max() > 0.01
    assert np.abs(first[kernel] - first["encoder/layer/attention/key/kernel"]).max() > 0.01


def test_layers_share_their_weights(tiny_config):
    deeper = dataclasses.replace(tiny_config, num_hidden_layers=7)
    shapes = [{path: v.shape for path, v in named_variables(AlbertPretrainer(config)).items()}
              for config in (tiny_config, deeper)]
    assert shapes[0] == shapes[1]


def test_dropout_follows_from_its_seed_and_call():
    x, seed = tf.ones([1000]), tf.constant([1, 2])
    first, again = Dropout(0.5, seed), Dropout(0.5, seed)
    a, b = first(x), first(x)
    np.testing.assert_array_equal(a, again(x))
    assert np.any(a != b)
    assert set(np.unique(a)) == {0.0, 2.0}
    assert Dropout(0.5, None)(x) is x
    assert Dropout(0.0, seed)(x) is x


def test_dropout_is_off_without_a_seed(tiny_config):
    config = dataclasses.replace(tiny_config, hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    batch = {name: tf.constant(array) for name, array in random_batch(config, 2, 12, [7, 5]).items()}
    with_rates, without = AlbertPretrainer(config, seed=3), AlbertPretrainer(tiny_config, seed=3)
    np.testing.assert_array_equal(with_rates(batch), without(batch))
    dropped = with_rates(batch, dropout_seed=tf.constant([0, 1]))
    assert dropped.masked_lm_loss != without(batch).masked_lm_loss
    np.testing.assert_array_equal(dropped, with_rates(batch, dropout_seed=tf.constant([0, 1])))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_recomputed_layers_have_the_same_gradients_and_dropout_masks(tiny_config, architecture):
    config = dataclasses.replace(tiny_config, architecture=architecture, hidden_dropout_prob=0.3,
                                 attention_probs_dropout_prob=0.3)
    batch = random_batch(config, 2, 12, [7, 5])
    seed = tf.constant([3, 2**31 - 1])
    (kept, kept_gradients), (again, again_gradients) = (
        losses_and_gradients(AlbertPretrainer(config, seed=3, recompute=recompute), batch, seed)
        for recompute in (False, True))
    np.testing.assert_array_equal(kept, again)
    for ours, theirs in zip(again_gradients, kept_gradients):
        np.testing.assert_array_equal(tf.convert_to_tensor(ours), tf.convert_to_tensor(theirs))


def test_recomputation_runs_every_layer_twice(tiny_config, monkeypatch):
    runs = []
    original = SharedLayer.__call__
    monkeypatch.setattr(SharedLayer, "__call__", lambda *arguments: runs.append(1) or original(*arguments))
    batch = random_batch(tiny_config, 2, 12, [7, 5])
    for recompute, expected in ((False, 1), (True, 2)):
        runs.clear()
        losses_and_gradients(AlbertPretrainer(tiny_config, recompute=recompute), batch)
        assert len(runs) == expected * tiny_config.num_hidden_layers

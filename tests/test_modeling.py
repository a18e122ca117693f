"""The encoder's own properties; its numbers are held against others' in test_reference_models.py."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from albert_hvd.config import ARCHITECTURES
from albert_hvd.modeling import Dropout, named_variables
from albert_hvd.pretrainer import AlbertPretrainer


def random_batch(config, rows, length, lengths, seed=0):
    """A batch with rows of the given true lengths and three predictions each."""
    random = np.random.default_rng(seed)
    mask = (np.arange(length) < np.array(lengths)[:, None]).astype(np.int32)
    return {
        "input_ids": random.integers(0, config.vocab_size, (rows, length)).astype(np.int32) * mask,
        "input_mask": mask,
        "segment_ids": (random.integers(0, 2, (rows, length)).astype(np.int32)) * mask,
        "masked_lm_positions": np.stack([random.choice(n, 3, replace=False) for n in lengths]).astype(np.int32),
        "masked_lm_ids": random.integers(0, config.vocab_size, (rows, 3)).astype(np.int32),
        "masked_lm_weights": np.tile(np.float32([1, 1, 0]), (rows, 1)),
        "next_sentence_labels": random.integers(0, 2, (rows, 1)).astype(np.int32),
        "sentence_weights": np.ones((rows, 1), np.float32),
    }


def pack_two_rows(batch, lengths):
    """The first two rows of a batch in one, as packing lays them out."""
    a, b = lengths
    row = {name: np.concatenate([batch[name][0, :a], batch[name][1, :b]])[None] for name in ("input_ids", "segment_ids")}
    row["input_mask"] = np.repeat(np.int32([1, 2]), [a, b])[None]
    row["position_ids"] = np.concatenate([np.arange(a), np.arange(b)]).astype(np.int32)[None]
    row["cls_positions"] = np.int32([[0, a]])
    row["masked_lm_positions"] = np.concatenate(
        [batch["masked_lm_positions"][0], batch["masked_lm_positions"][1] + a])[None]
    for name in ("masked_lm_ids", "masked_lm_weights", "next_sentence_labels", "sentence_weights"):
        row[name] = batch[name][:2].reshape(1, -1)
    return row


def losses_and_gradients(model, batch):
    with tf.GradientTape() as tape:
        sums = model({name: tf.constant(array) for name, array in batch.items()})
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
    shapes = [{path: v.shape for path, v in named_variables(AlbertPretrainer(c)).items()} for c in (tiny_config, deeper)]
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

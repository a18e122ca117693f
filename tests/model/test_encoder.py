"""The encoder's own properties; its numbers are held against others' in test_reference_models.py."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from albert_hvd.model.config import ARCHITECTURES
from albert_hvd.model.encoder import SharedLayer, named_variables
from albert_hvd.model.layers import Dropout
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


def test_without_a_seed_weights_begin_at_zero(tiny_config):
    for path, variable in named_variables(AlbertPretrainer(tiny_config, seed=None)).items():
        assert (variable.numpy() == path.endswith("/gamma")).all(), path


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


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_last_layer_read_at_some_positions_gives_what_a_whole_one_has_there(tiny_config, architecture, packed, recompute):
    config = dataclasses.replace(tiny_config, architecture=architecture)
    encoder = AlbertPretrainer(config, seed=3, recompute=recompute).encoder
    batch = random_batch(config, 2, 12, [7, 5])
    batch = pack_two_rows(batch, [7, 5]) if packed else batch
    rows = [tf.constant(batch[name]) for name in ("input_ids", "input_mask", "segment_ids")]
    read = tf.constant([3, 0, 8, 3])  # in any order, and one twice
    variables = [variable for path, variable in named_variables(encoder).items() if not path.startswith("pooler")]
    results = []
    for asked in (None, read):
        with tf.GradientTape() as tape:
            *inner, last = encoder.hidden_states(*rows, batch.get("position_ids"), packed, read=asked)
            outputs = last if asked is not None else tf.gather(tf.reshape(last, [12 * len(rows[0]), -1]), read)
            loss = tf.reduce_sum(outputs * tf.reshape(tf.cos(tf.range(tf.size(outputs, tf.float32))), outputs.shape))
        results.append([*inner, outputs, *map(tf.convert_to_tensor, tape.gradient(loss, variables))])
    assert results[1][config.num_hidden_layers].shape == [4, config.hidden_size]
    for whole, at_positions in zip(*results, strict=True):
        np.testing.assert_allclose(at_positions, whole, atol=1e-5)


def test_heads_have_the_last_layer_computed_where_they_read_it(tiny_config, monkeypatch):
    shapes = []
    original = SharedLayer._feed_forward
    monkeypatch.setattr(SharedLayer, "_feed_forward",
                        lambda layer, x: shapes.append(x.shape.as_list()) or original(layer, x))
    batch = random_batch(tiny_config, 8, 12, [7, 5] * 4)  # 2 masks in 3 slots and <cls>: 24 of 32 slots
    hidden = tiny_config.num_hidden_layers
    for static, rows in ((True, 32), (False, 24)):
        shapes.clear()
        model = AlbertPretrainer(tiny_config, static_shapes=static)
        model({name: tf.constant(array) for name, array in batch.items()})
        assert shapes == [[8, 12, tiny_config.hidden_size]] * (hidden - 1) + [[rows, tiny_config.hidden_size]]


def test_positions_that_are_read_come_in_few_numbers(tiny_config, monkeypatch):
    numbers = set()
    original = SharedLayer._feed_forward
    monkeypatch.setattr(SharedLayer, "_feed_forward", lambda layer, x: numbers.add(x.shape[0]) or original(layer, x))
    batch = random_batch(tiny_config, 16, 12, [7] * 16)  # 48 slots of masks and 16 of <cls>
    batch["masked_lm_weights"][:] = 0
    model, loss = AlbertPretrainer(dataclasses.replace(tiny_config, num_hidden_layers=1), seed=3), []
    for used in range(49):
        batch["masked_lm_weights"].reshape(-1)[:used] = 1
        loss.append(model({name: tf.constant(array) for name, array in batch.items()}).masked_lm_loss.numpy())
    assert numbers == {16, 32, 48, 64}
    assert loss[0] == 0 and (np.diff(loss) > 0).all()

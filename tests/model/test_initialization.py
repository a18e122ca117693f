"""Neighbour heads: what they look at before the first update, and that nothing but values differs."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from albert_hvd.model.config import AlbertConfig
from albert_hvd.model.encoder import named_variables
from albert_hvd.model.initialization import num_word_columns, position_frequencies, set_neighbour_heads
from albert_hvd.model.pretraining_model import AlbertPretrainer

TINY = dict(vocab_size=60, hidden_size=336, num_hidden_layers=4, num_attention_heads=12, intermediate_size=64,
            embedding_size=128, max_position_embeddings=512)
OFFSETS = (-1, 1, -2, 2, -3, 3, -1, 1)


def new_model(**sizes):
    config = AlbertConfig(**{**TINY, **sizes})
    model = AlbertPretrainer(config, seed=1)
    set_neighbour_heads(named_variables(model), config)
    return config, model


def attention_of(config, model, length, heads):
    """Attention of the first pass, float (heads, length, length), for random ids."""
    ids = np.random.default_rng(0).integers(0, config.vocab_size, (1, length)).astype(np.int32)
    x = model.encoder.embeddings(tf.constant(ids), tf.zeros_like(ids), None, tf.float32, lambda x: x)
    layer = model.encoder.layer
    x = layer.attention_norm(x) if config.architecture == "brightmart" else x
    query, key = (tf.reshape(part(x), [length, config.num_attention_heads, config.head_size])
                  for part in (layer.attention.query, layer.attention.key))
    return tf.nn.softmax(tf.einsum("qhd,khd->hqk", query, key) * config.head_size ** -0.5).numpy()[:heads]


# Tiny, base's head size, large's width, one wide head; both architectures; rows as long as the model can read.
@pytest.mark.parametrize("sizes", [
    {}, {"architecture": "brightmart"}, {"hidden_size": 768}, {"hidden_size": 1024, "num_attention_heads": 16},
    {"hidden_size": 2048, "num_attention_heads": 16}])
@pytest.mark.parametrize("length, least", [(128, 0.9), (512, 0.8)])
def test_heads_look_at_their_offset(sizes, length, least):
    config, model = new_model(**sizes)
    attention = attention_of(config, model, length, len(OFFSETS))
    for head, offset in enumerate(OFFSETS):
        assert np.diagonal(attention[head], offset).mean() > least, (head, offset)


def test_broad_heads_look_about_six_positions_away():
    config, model = new_model()
    attention = attention_of(config, model, 128, 10)
    for head, offset in ((8, -6), (9, 6)):
        distances = np.arange(128)[None] - np.arange(128)[:, None]
        middle = slice(40, 88)  # far from both ends
        mean = (attention[head] * distances)[middle].sum(axis=1).mean()
        assert abs(mean - offset) < 2
        assert (attention[head] * (abs(distances - offset) <= 4))[middle].sum(axis=1).mean() > 0.5


@pytest.mark.parametrize("sizes", [
    {"embedding_size": 4, "hidden_size": 8, "num_attention_heads": 4}, {"embedding_size": 8, "hidden_size": 6,
                                                                        "num_attention_heads": 2},
    {"embedding_size": 16, "hidden_size": 24, "num_attention_heads": 12, "architecture": "brightmart"},
    {"num_attention_heads": 1, "hidden_size": 32}])
def test_any_size_gives_finite_weights_of_the_same_shapes(sizes):
    config, model = new_model(**sizes)
    drawn = named_variables(AlbertPretrainer(config, seed=1))
    for path, variable in named_variables(model).items():
        assert variable.shape == drawn[path].shape
        assert np.all(np.isfinite(variable)), path
    assert num_word_columns(config) + 2 * len(position_frequencies(config)) * (config.architecture == "albert") == \
        config.embedding_size


def test_a_model_without_room_for_positions_keeps_its_random_heads():
    config, model = new_model(embedding_size=4, hidden_size=8, num_attention_heads=8)
    assert not len(position_frequencies(config))
    drawn = named_variables(AlbertPretrainer(config, seed=1))
    np.testing.assert_array_equal(model.encoder.layer.attention.query.kernel,
                                  drawn["encoder/layer/attention/query/kernel"])


def test_nothing_writes_to_the_position_columns_of_the_hidden_states():
    config, model = new_model()
    first = config.hidden_size - 2 * len(position_frequencies(config))
    layer = model.encoder.layer
    assert not np.any(layer.attention.output.kernel.numpy()[:, first:])
    assert not np.any(layer.output.kernel.numpy()[:, first:])
    assert not np.any(layer.attention.value.kernel.numpy()[first:])


def test_words_and_positions_have_their_shares_of_the_first_input():
    config, model = new_model()
    ids = np.random.default_rng(0).integers(0, config.vocab_size, (1, 100)).astype(np.int32)
    x = model.encoder.embeddings(tf.constant(ids), tf.zeros_like(ids), None, tf.float32, lambda x: x).numpy()
    first = config.hidden_size - 2 * len(position_frequencies(config))
    assert np.sqrt(np.mean(x[..., :first] ** 2)) == pytest.approx(1.3, rel=0.15)
    assert np.sqrt(np.mean(x[..., first:] ** 2)) == pytest.approx(1.0, rel=0.05)


def test_the_weights_follow_from_the_seed():
    weights = [named_variables(new_model(hidden_size=48, embedding_size=16)[1]) for _ in range(2)]
    for path in weights[0]:
        np.testing.assert_array_equal(weights[0][path], weights[1][path])


def test_fewer_passes_are_the_first_ones(tiny_config):
    config = dataclasses.replace(tiny_config, num_hidden_layers=3)
    model = AlbertPretrainer(config, seed=1)
    ids = np.arange(10, dtype=np.int32)[None] % config.vocab_size
    states = model.encoder.hidden_states(ids, np.ones_like(ids), np.zeros_like(ids))
    fewer = model.encoder.hidden_states(ids, np.ones_like(ids), np.zeros_like(ids), passes=2)
    assert len(fewer) == 3
    np.testing.assert_array_equal(fewer[-1], states[2])

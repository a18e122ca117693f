"""The CRF against the enumeration of all rows of tags, in float64."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from albert_hvd.finetuning.crf import CrfScores, log_likelihood, log_partition, sequence_score, viterbi

PARTS = ("emissions", "transitions", "start", "end")


def random_case(seed, lengths, num_words, num_tags, spread=1.0):
    """Scores drawn at random, {part: float64}, and tags (B, W); tags and emissions behind the ends too."""
    random = np.random.default_rng(seed)
    shapes = {"emissions": (len(lengths), num_words, num_tags), "transitions": (num_tags, num_tags),
              "start": (num_tags,), "end": (num_tags,)}
    parts = {name: random.normal(0, spread, shape).astype(np.float32).astype(np.float64)
             for name, shape in shapes.items()}
    return parts, random.integers(0, num_tags, (len(lengths), num_words))


def as_tensors(parts):
    tensors = {name: tf.constant(part, tf.float32) for name, part in parts.items()}
    return tensors["emissions"], CrfScores(tensors["transitions"], tensors["start"], tensors["end"])


def score_by_definition(parts, sentence, tags):
    if not len(tags):
        return 0.0
    return (parts["start"][tags[0]] + parts["end"][tags[-1]]
            + sum(parts["emissions"][sentence, word, tag] for word, tag in enumerate(tags))
            + sum(parts["transitions"][pair] for pair in itertools.pairwise(tags)))


def all_scores(parts, sentence, length):
    """{row of tags: score} of every row of tags of a sentence."""
    rows = itertools.product(range(len(parts["start"])), repeat=length)
    return {row: score_by_definition(parts, sentence, row) for row in rows}


def log_partition_by_definition(parts, sentence, length):
    return np.logaddexp.reduce(list(all_scores(parts, sentence, length).values()))


@st.composite
def cases(draw):
    num_words = draw(st.integers(1, 4))
    lengths = draw(st.lists(st.integers(0, num_words), min_size=1, max_size=4))
    seed, num_tags = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 3))
    return *random_case(seed, lengths, num_words, num_tags, draw(st.sampled_from([0.1, 1.0, 5.0]))), np.array(lengths)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_every_figure_is_that_of_the_enumeration(case):
    parts, tags, lengths = case
    emissions, scores = as_tensors(parts)
    partition = log_partition(emissions, lengths, scores)
    score = sequence_score(emissions, tags, lengths, scores)
    likelihood = log_likelihood(emissions, tags, lengths, scores)
    best_tags, best = viterbi(emissions, lengths, scores)
    assert {tensor.dtype for tensor in (partition, score, likelihood, best)} == {tf.float32}
    for sentence, length in enumerate(lengths):
        by_row = all_scores(parts, sentence, length)
        expected = score_by_definition(parts, sentence, tags[sentence, :length])
        np.testing.assert_allclose(partition[sentence], np.logaddexp.reduce(list(by_row.values())), atol=1e-4)
        np.testing.assert_allclose(score[sentence], expected, atol=1e-4)
        np.testing.assert_allclose(likelihood[sentence], score[sentence] - partition[sentence], atol=1e-6)
        assert tuple(best_tags[sentence, :length].numpy()) == max(by_row, key=by_row.get)
        np.testing.assert_allclose(best[sentence], max(by_row.values()), atol=1e-4)
        assert not best_tags[sentence, length:].numpy().any()


@pytest.mark.parametrize("part", PARTS)
def test_gradients_are_the_finite_differences_of_the_definition(part):
    lengths = np.array([3, 1, 0, 2])
    parts, tags = random_case(5, lengths, num_words=3, num_tags=3)

    def loss(parts):
        return sum(log_partition_by_definition(parts, sentence, length)
                   - score_by_definition(parts, sentence, tags[sentence, :length])
                   for sentence, length in enumerate(lengths))

    emissions, scores = as_tensors(parts)
    with tf.GradientTape() as tape:
        tape.watch([emissions, scores])
        value = -tf.reduce_sum(log_likelihood(emissions, tags, lengths, scores))
    np.testing.assert_allclose(value, loss(parts), atol=1e-5)
    gradient = tape.gradient(value, {"emissions": emissions, **scores._asdict()}[part])
    assert isinstance(gradient, tf.Tensor)
    for index in np.ndindex(parts[part].shape):
        sides = []
        for difference in (1e-5, -1e-5):
            moved = {name: array.copy() for name, array in parts.items()}
            moved[part][index] += difference
            sides.append(loss(moved))
        np.testing.assert_allclose(gradient[index], (sides[0] - sides[1]) / 2e-5, atol=1e-5)


def test_what_stands_behind_the_end_does_not_matter():
    parts, tags = random_case(1, [2, 5], num_words=5, num_tags=4)
    lengths = np.array([2, 5])
    changed = {**parts, "emissions": parts["emissions"].copy()}
    changed["emissions"][0, 2:] = 1e6
    other_tags = tags.copy()
    other_tags[0, 2:] = 3 - other_tags[0, 2:]
    figures = []
    for some, some_tags in ((parts, tags), (changed, other_tags)):
        emissions, scores = as_tensors(some)
        with tf.GradientTape() as tape:
            tape.watch(emissions)
            likelihood = log_likelihood(emissions, some_tags, lengths, scores)
        figures.append([likelihood, tape.gradient(likelihood, emissions), *viterbi(emissions, lengths, scores)])
    for one, other in zip(*figures, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_same_within_a_graph_whose_sizes_are_not_known():
    lengths = np.array([4, 3])
    parts, tags = random_case(2, lengths, num_words=4, num_tags=3)
    emissions, scores = as_tensors(parts)
    variables = CrfScores(*map(tf.Variable, scores))

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3]), tf.TensorSpec([None, None], tf.int32),
                                  tf.TensorSpec([None], tf.int32)])
    def in_graph(emissions, tags, lengths):
        with tf.GradientTape() as tape:
            likelihood = log_likelihood(emissions, tags, lengths, variables)
        return likelihood, tape.gradient(likelihood, list(variables)), viterbi(emissions, lengths, variables)

    likelihood, gradients, (best_tags, _) = in_graph(emissions, tags, lengths)
    np.testing.assert_allclose(likelihood, log_likelihood(emissions, tags, lengths, scores), rtol=1e-6)
    assert [gradient.shape for gradient in gradients] == [(3, 3), (3,), (3,)]
    np.testing.assert_array_equal(best_tags, viterbi(emissions, lengths, scores)[0])
    one_word, _, (best_tags, _) = in_graph(emissions[:, :1], tags[:, :1], [1, 0])
    assert best_tags.shape == (2, 1) and one_word[1] == 0
    np.testing.assert_allclose(one_word[0], log_likelihood(emissions[:1, :1], tags[:1, :1], np.array([1]), scores)[0],
                               rtol=1e-6)


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_large_scores_stay_finite(size):
    emissions = tf.constant([[[size, -size], [-size, size], [size, -size]]])
    scores = CrfScores(tf.zeros([2, 2]), tf.zeros([2]), tf.zeros([2]))
    with tf.GradientTape() as tape:
        tape.watch(emissions)
        likelihood = log_likelihood(emissions, [[0, 1, 0]], np.array([3]), scores)
    assert likelihood.numpy().tolist() == [0.0]
    assert viterbi(emissions, np.array([3]), scores)[0].numpy().tolist() == [[0, 1, 0]]
    assert np.isfinite(tape.gradient(likelihood, emissions)).all()


def test_half_precision_emissions_are_computed_in_float32():
    parts, tags = random_case(3, [30], num_words=30, num_tags=4)
    emissions, scores = as_tensors(parts)
    half = tf.cast(emissions, tf.float16)
    assert log_likelihood(half, tags, np.array([30]), scores).numpy().tolist() == log_likelihood(
        tf.cast(half, tf.float32), tags, np.array([30]), scores).numpy().tolist()

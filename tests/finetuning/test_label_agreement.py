"""What recurs, and whether its labels are the same."""

import pytest

from albert_hvd.finetuning.label_agreement import Agreement, agreements, in_words
from albert_hvd.finetuning.labelled_data import Example


def sentences(*pairs, times=1):
    return [Example(tuple(words.split()), tuple(tags.split()), "f", 1) for words, tags in pairs] * times


def test_texts_that_occur_once_say_nothing():
    once = [Example(f"text {number}", ("a",), "f", number) for number in range(200)]
    assert agreements(once, is_tagging=False) == []


def test_texts_are_held_against_the_other_occurrences():
    texts = [Example("saya", (label,), "f", 1) for label in "a" * 90 + "b" * 9 + "c"]
    texts += [Example("dia", (label,), "f", 1) for label in "ab" * 30]  # the other 59: one more of the other label
    texts += [Example("once", ("a",), "f", 1)]
    assert agreements(texts, is_tagging=False) == [Agreement(160, 90 / 160)]


def test_words_recur_between_the_same_neighbours():
    examples = sentences(("a b c", "X Y Z"), times=50) + sentences(("d b c", "X Z Z"), times=2)
    one, two = agreements(examples, is_tagging=True)
    # Between a and c, b is Y; between d and c it is Z: no disagreement.
    assert one == Agreement(156, 1.0, 1) and two == Agreement(156, 1.0, 2)
    examples += sentences(("a b c", "X Z Z"))
    one, two = agreements(examples, is_tagging=True)
    assert one == Agreement(159, pytest.approx(158 / 159), 1)
    # c behind "a b" and c behind "d b" are different where two words on each side count.
    assert two == Agreement(159, pytest.approx(158 / 159), 2)


def test_a_wider_context_separates():
    examples = sentences(("p a b c", "X X Y Z"), times=30) + sentences(("q a b c", "X X Z Z"), times=30)
    one, two = agreements(examples, is_tagging=True)
    assert one.count == two.count == 240
    assert (one.share, two.share) == (pytest.approx(180 / 240), 1.0)


def test_in_words():
    assert in_words(Agreement(160, 0.5625)) == "160 texts occur more than once; 56.2 % have the label of the others"
    assert in_words(Agreement(160, 1.0, 1)) == (
        "160 words recur between the same neighbours; 100.0 % have the label of the others")
    assert "the same 2 on each side" in in_words(Agreement(160, 1.0, 2))

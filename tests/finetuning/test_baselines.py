"""The baselines: what they answer on small data, and on the real data of both tasks."""

import collections

import pytest

from albert_hvd.errors import InputError
from albert_hvd.finetuning import baselines
from albert_hvd.finetuning.labelled_data import Example, TextPair, read_sentences, read_texts
from conftest import SHARED

TEXTS = [("sad", "hujan dan sedih"), ("happy", "suka hati benar"), ("sad", "dia sedih"), ("happy", "kami suka"),
         ("sad", "saya sedih lagi")]
SENTENCES = [(("Ali", "membaca", "buku"), ("PROPN", "VERB", "NOUN")), (("dia", "membaca"), ("PRON", "VERB")),
             (("Abu", "suka", "buku"), ("PROPN", "VERB", "NOUN")), (("3", "buku", "baru"), ("NUM", "NOUN", "ADJ"))]
TAGS = ["ADJ", "NOUN", "NUM", "PRON", "PROPN", "VERB"]


def texts(pairs):
    return [Example(text, (label,), "texts.tsv", line) for line, (label, text) in enumerate(pairs, 1)]


def sentences(pairs):
    return [Example(words, tags, "words.conll", line) for line, (words, tags) in enumerate(pairs, 1)]


def fitted(baseline, examples):
    baseline.fit([example.inputs for example in examples], [example.labels for example in examples])
    return baseline


def test_majority_answers_with_the_most_frequent_label():
    assert fitted(baselines.Majority(), texts(TEXTS)).predict(["apa sahaja", ""]) == [("sad",), ("sad",)]
    model = fitted(baselines.Majority(), sentences(SENTENCES))
    assert model.predict([("a", "b"), ("c",)]) == [("NOUN", "NOUN"), ("NOUN",)]
    # Of several, the first in the alphabet, whatever the order of the data.
    for pairs in (TEXTS[:2], TEXTS[1::-1]):
        assert fitted(baselines.Majority(), texts(pairs)).predict([""]) == [("happy",)]


def test_known_words_have_their_tag_and_others_that_of_their_ending_and_case():
    model = fitted(baselines.MostFrequentTag(), sentences(SENTENCES))
    assert model.predict([("buku", "membaca", "dia")]) == [("NOUN", "VERB", "PRON")]
    # "-aca" in lower case; an unknown ending in title case, of figures, in lower case; no word of this case at all.
    assert model.predict([("baca", "Siti", "77", "xyz", "KLCC")]) == [("VERB", "PROPN", "NUM", "NOUN", "NOUN")]
    assert model.num_parameters == len(model._tags)


@pytest.mark.parametrize("name", list(baselines.BASELINES["classification"]))
def test_baselines_of_classification(name):
    if name != "majority":
        pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra: baselines)")
    valid = texts([("sad", "sedih sekali"), ("happy", "suka"), ("happy", "kata yang lain")])
    result, = baselines.run("classification", ["happy", "sad"], texts(TEXTS), valid, texts(TEXTS[:1]), [name])
    assert sum(map(sum, result["valid"]["confusion"])) == result["valid"]["count"] == 3 and result["test"]["count"] == 1
    assert result["valid"]["loss"] is None and result["parameters"] > 0 and result["tokens_per_sec"] > 0
    assert result["valid"]["confusion"][1] == [0, 1]
    assert result["valid"]["accuracy"] == pytest.approx(1 / 3 if name == "majority" else 2 / 3)
    again, = baselines.run("classification", ["happy", "sad"], texts(TEXTS), valid, None, [name])
    assert again["test"] is None
    assert (again["valid"], again["parameters"]) == (result["valid"], result["parameters"])


@pytest.mark.parametrize("name", list(baselines.BASELINES["tagging"]))
def test_baselines_of_tagging(name):
    if name == "crf":
        pytest.importorskip("sklearn_crfsuite", reason="sklearn-crfsuite is not installed (extra: baselines)")
    examples = sentences(SENTENCES)
    result, = baselines.run("tagging", TAGS, examples, examples, None, [name])
    support = collections.Counter(tag for _, tags in SENTENCES for tag in tags)
    assert {tag: values["support"] for tag, values in result["valid"]["labels"].items()} == support
    assert result["valid"]["count"] == 11
    assert result["valid"]["accuracy"] == (pytest.approx(3 / 11) if name == "majority" else 1.0)
    again, = baselines.run("tagging", TAGS, examples, examples, None, [name])
    assert (again["valid"], again["parameters"]) == (result["valid"], result["parameters"])


PAIRS = [("yes", ("dia suka buku", "suka buku dia")), ("no", ("hujan lebat", "kereta baru")),
         ("yes", ("kami makan nasi", "makan nasi")), ("no", ("saya suka buku", "hujan petang")),
         ("yes", ("hujan lebat", "hujan lebat")), ("no", ("makan nasi", "kereta dia"))]


def pairs(values):
    return [Example(TextPair(texts), (value,), "pairs.tsv", line) for line, (value, texts) in enumerate(values, 1)]


def test_baselines_of_pairs():
    valid = pairs([("yes", ("buku dan nasi", "nasi dan buku")), ("no", ("buku", "nasi"))])
    majority, = baselines.run("pair_classification", ["no", "yes"], pairs(PAIRS), valid, None, ["majority"])
    assert majority["valid"]["confusion"] == [[1, 0], [1, 0]]  # of two as frequent ones the first in the alphabet
    pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra: baselines)")
    # What both texts have is a feature: words alone are the same in both pairs.
    model = fitted(baselines.TfidfLogisticRegression(), pairs(PAIRS * 3))
    assert model.predict([TextPair(("hujan makan", "hujan makan")), TextPair(("suka", "baru"))]) == [("yes",), ("no",)]


def test_baselines_of_a_regression():
    values = [(5.0 if label == "yes" else 1.0, texts) for label, texts in PAIRS]
    overlap = fitted(baselines.WordOverlap(), pairs(values))
    same, other = overlap.predict([TextPair(("a b", "b a")), TextPair(("a", "b"))])
    # Shares 1, 0, 2/3, 0, 1, 0 and values 5, 1, 5, 1, 5, 1: the least squares' line by hand.
    slope = (4 * (1 + 2 / 3 + 1) - 2 * 8 / 3) / (2 + 4 / 9 - (8 / 3) ** 2 / 6)
    assert same == (pytest.approx(3 + slope * (1 - 4 / 9)),) and other == (pytest.approx(3 - slope * 4 / 9),)
    assert fitted(baselines.Mean(), pairs(values)).predict(["x"]) == [(3.0,)]
    result, = baselines.run("pair_regression", None, pairs(values), pairs(values), None, ["word_overlap"])
    assert result["valid"]["pearson"] > 0.9 and result["valid"]["loss"] is None and result["parameters"] == 2
    pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra: baselines)")
    result, = baselines.run("pair_regression", None, pairs(values), pairs(values), pairs(values), ["ridge"])
    assert result["test"] == result["valid"] and result["test"]["pearson"] > 0.8
    texts_of = texts([(2.0, "hujan lebat"), (4.0, "hujan panas"), (4.0, "panas lagi")])
    result, = baselines.run("regression", None, texts_of, texts_of, None, ["ridge"])
    assert result["valid"]["spearman"] > 0.8


def test_the_crf_looks_at_neighbours():
    pytest.importorskip("sklearn_crfsuite", reason="sklearn-crfsuite is not installed (extra: baselines)")
    pairs = [(("di", "bank"), ("ADP", "NOUN")), (("saya", "bank"), ("PRON", "VERB"))] * 5
    model = fitted(baselines.WordFeatureCrf(), sentences(pairs))
    assert model.predict([("di", "bank"), ("saya", "bank")]) == [("ADP", "NOUN"), ("PRON", "VERB")]


def test_the_choice_of_baselines():
    assert baselines.chosen("tagging", "none") == []
    assert baselines.chosen("tagging", "most_frequent_tag,majority") == ["most_frequent_tag", "majority"]
    with pytest.raises(InputError, match="^baselines=majority,crf: a classification task has no baseline 'crf'"):
        baselines.chosen("classification", "majority,crf")


def test_without_the_extra_the_choice_is_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert baselines.chosen("classification", "majority") == ["majority"]
    with pytest.raises(InputError, match=r"^baselines=all: scikit-learn is not installed; pip install "
                                         r"'albert_hvd\[baselines\]'"):
        baselines.chosen("classification", "all")
    with pytest.raises(InputError, match="sklearn-crfsuite is not installed"):
        baselines.chosen("tagging", "crf")


def test_texts_without_words_are_refused():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra: baselines)")
    with pytest.raises(InputError, match="naive Bayes finds no word that two training texts have"):
        baselines.run("classification", ["happy", "sad"], texts([("sad", "..."), ("happy", "!")]), [], None,
                      ["naive_bayes"])


@pytest.mark.skipif(not SHARED.is_dir(), reason="the labelled data are not on this machine (../shared/data)")
def test_the_lookups_reach_what_the_data_set_says_of_them():
    train, valid = (read_sentences(str(SHARED / "data" / "pos" / f"{part}.conll"), "file")
                    for part in ("train", "valid"))
    tags = sorted({tag for example in train for tag in example.labels})
    found, = baselines.run("tagging", tags, train, valid, None, ["most_frequent_tag"])
    assert found["valid"]["count"] == 11868 and found["valid"]["accuracy"] == pytest.approx(0.9205, abs=5e-5)
    parts = [read_texts(str(SHARED / "data" / "emotion" / f"{part}.tsv"), "file") for part in ("train", "valid")]
    labels = sorted({example.labels[0] for example in parts[0]})
    found, = baselines.run("classification", labels, *parts, None, ["majority"])
    assert found["valid"]["accuracy"] == pytest.approx(1786 / 8840)

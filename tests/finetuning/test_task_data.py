"""Reading the parts of a task, the split, labels and weights."""

import hashlib
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpus import make_tokenizer
from small_tasks import labelled_texts, write_conll, write_tsv

from albert_hvd.errors import InputError
from albert_hvd.finetuning.labelled_data import Example
from albert_hvd.finetuning.options import FineTuningOptions, parse_seeds
from albert_hvd.finetuning.task_data import (check_classes, encode_parts, read_examples, read_labels,
                                             report_long_texts, slot_weights, split, with_label_names)
from albert_hvd.finetuning.tasks import task_class


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def read_parts(tokenizer, kind="classification", long_texts=None, **options):
    options = FineTuningOptions(task=kind, output_dir="x", max_seq_length=12, **options)
    examples = read_examples(task_class(kind), options)
    task = task_class(kind)(read_labels(options.labels_file, examples["train"]), max_seq_length=12,
                            long_texts=long_texts)
    return task, encode_parts(task, examples, options, tokenizer)


def test_parts_and_their_numbers(tokenizer, tmp_path):
    train = write_tsv(tmp_path / "train.tsv", [("b", "saya makan"), ("a", "dia"), ("b", "rumah besar")])
    valid = write_tsv(tmp_path / "valid.tsv", [("a", "kereta")])
    task, data = read_parts(tokenizer, train_file=train, valid_file=valid)
    assert task.labels == ("a", "b") and data.train.gold.tolist() == [1, 0, 1] and data.valid.gold.tolist() == [0]
    assert data.test is None
    assert data.train.description() == {
        "file": train, "examples": 3, "sha256": hashlib.sha256((tmp_path / "train.tsv").read_bytes()).hexdigest(),
        "longer_than_a_row": 0, "slots_cut_off": 0}


def test_labels_in_the_order_of_a_file(tokenizer, tmp_path):
    train = write_tsv(tmp_path / "train.tsv", [("b", "saya"), ("a", "dia")])
    (tmp_path / "labels.txt").write_text("c\nb\na\n")
    task, data = read_parts(tokenizer, train_file=train, valid_file=train, labels_file=str(tmp_path / "labels.txt"))
    assert task.labels == ("c", "b", "a") and data.train.gold.tolist() == [1, 2]
    with pytest.raises(InputError, match="^labels_file=.*nowhere.txt: cannot be read"):
        read_parts(tokenizer, train_file=train, valid_file=train, labels_file=str(tmp_path / "nowhere.txt"))


@pytest.mark.parametrize("flag", ["valid_file", "test_file"])
def test_an_unknown_label_is_named_with_its_line(tokenizer, tmp_path, flag):
    train = write_tsv(tmp_path / "train.tsv", [("b", "saya"), ("a", "dia")])
    other = write_tsv(tmp_path / "other.tsv", [("b", "saya"), ("c", "dia")])
    with pytest.raises(InputError, match=r"other.tsv:2: the label 'c' is not one of a, b"):
        read_parts(tokenizer, train_file=train, **{"valid_file": train, flag: other})


def test_the_split_is_seeded_and_recorded(tokenizer, tmp_path):
    train = write_tsv(tmp_path / "train.tsv", labelled_texts(60))
    first, again, other = (read_parts(tokenizer, train_file=train, split_seed=seed)[1] for seed in (1, 1, 2))
    assert first.valid.examples == again.valid.examples != other.valid.examples
    assert first.valid.sha256 == again.valid.sha256 != other.valid.sha256
    assert first.train.sha256 != first.valid.sha256


TEXTS = st.lists(st.text("abc", min_size=1, max_size=3), min_size=2, max_size=40)


@settings(deadline=None)
@given(texts=TEXTS, seed=st.integers(0, 5))
def test_a_split_divides_the_different_inputs(texts, seed):
    examples = [Example(text, ("x",), "f", line) for line, text in enumerate(texts)]
    different = len(set(texts))
    if not 0 < round(0.5 * different) < different:
        with pytest.raises(InputError, match="^valid_fraction=0.5"):
            split(examples, 0.5, seed)
        return
    train, valid = split(examples, 0.5, seed)
    assert sorted([*train, *valid], key=lambda example: example.line) == examples
    assert not {example.inputs for example in train} & {example.inputs for example in valid}
    assert len({example.inputs for example in valid}) == round(0.5 * different)


@pytest.mark.parametrize("seed", range(40))
def test_a_split_keeps_every_label_in_training(seed):
    labels = ["often"] * 50 + ["x", "y", "z", "x"]
    examples = [Example(f"text {number}", (label,), "f", number) for number, label in enumerate(labels)]
    train, valid = split(examples, 0.5, seed)
    assert {example.labels for example in train} == {(label,) for label in labels}
    assert len(valid) == 27 and len(train) == 27


def test_a_split_of_sentences_keeps_every_tag_in_training():
    tags = [("A", "B"), ("A", "C"), ("A", "A"), ("B", "A"), ("A", "B")]
    examples = [Example(tuple(f"w{number}{place}" for place in range(2)), row, "f", number)
                for number, row in enumerate(tags)]
    for seed in range(20):
        train, valid = split(examples, 0.4, seed)
        assert {tag for example in train for tag in example.labels} == {"A", "B", "C"} and len(valid) == 2


def test_a_split_without_a_label_to_spare_is_refused():
    examples = [Example(f"text {number}", (str(number),), "f", number) for number in range(9)]
    with pytest.raises(InputError, match="^train_file=f: each of its texts is the only one of a label.*give valid"):
        split(examples, 0.5, 1)


@pytest.mark.parametrize("content", ["marah\nsedih\n", "0\tmarah\n1\tsedih\n", "0,marah\n1,sedih",
                                     "\ufeffmarah\r\nsedih", '["marah", "sedih"]',
                                     '{"0": "marah", "1": "sedih"}', '{"sedih": 1, "marah": 0}'])
def test_numbers_get_their_names_from_a_file(tmp_path, content):
    (tmp_path / "labels.txt").write_text(content, encoding="utf-8")
    examples = {"train": [Example("a", ("1",), "f", 1), Example("b", ("0",), "f", 2)],
                "valid": [Example("c", ("1",), "g", 1)]}
    labels = read_labels(str(tmp_path / "labels.txt"), examples["train"])
    assert labels == ["marah", "sedih"]
    named = with_label_names(examples, labels)
    assert [example.labels for part in named.values() for example in part] == [("sedih",), ("marah",), ("sedih",)]
    with pytest.raises(InputError, match="g:7: the label 2 has no name: labels_file has 2, for 0 to 1"):
        with_label_names({**examples, "test": [Example("d", ("2",), "g", 7)]}, labels)
    by_name = {"train": [Example("a", ("marah",), "f", 1), Example("b", ("0",), "f", 2)]}
    assert with_label_names(by_name, labels) == by_name
    assert with_label_names(examples, ["1", "0"]) == examples


def test_a_label_for_each_text_is_none():
    examples = [Example("gembira", (f"Saya gembira {number}",), "f.tsv", number) for number in range(30)]
    with pytest.raises(InputError, match=r"^train_file=f.tsv: 30 different labels for 30 texts, such as 'Saya gembira "
                                         "0'; name the right columns with text_column and label_column, or all labels"):
        check_classes(examples)
    check_classes(examples[:3])
    check_classes(examples[:8] * 3)


def test_exchanged_columns_are_refused_for_what_they_are(tokenizer, tmp_path):
    train = write_tsv(tmp_path / "train.tsv", [(text, label) for label, text in labelled_texts(40)])
    with pytest.raises(InputError, match="40 different labels for 40 texts"):
        read_parts(tokenizer, train_file=train)


def test_long_texts_are_counted_in_a_line(tokenizer, tmp_path):
    sentence = [("kejohanan", "N")] * 9
    train = write_conll(tmp_path / "train.conll", [sentence, [("dia", "P")]])
    task, data = read_parts(tokenizer, "tagging", train_file=train, valid_file=train)
    assert report_long_texts("train", data.train, task) == (
        "train: 1 of 2 are longer than 12 pieces and were cut into windows")
    task, data = read_parts(tokenizer, "tagging", "truncate", train_file=train, valid_file=train)
    cut = data.train.rows.num_cut_slots
    assert report_long_texts("train", data.train, task).endswith(
        f"were cut off at the end; {cut} words were cut off and are not scored")
    assert data.train.description()["slots_cut_off"] == cut > 0


def test_nothing_is_said_of_short_texts(tokenizer, tmp_path):
    train = write_tsv(tmp_path / "train.tsv", [("b", "saya"), ("a", "dia")])
    task, data = read_parts(tokenizer, train_file=train, valid_file=train)
    assert report_long_texts("train", data.train, task) is None


def test_balanced_weights_and_windows():
    rows = types.SimpleNamespace(first_slot=np.array([0, 1, 2, 2, 3]), positions=[np.zeros(1)] * 5)
    part = types.SimpleNamespace(rows=rows, gold=np.array([0, 0, 0, 1]))
    assert slot_weights(part, 3, "none").tolist() == [1, 1, .5, 1]
    weights = slot_weights(part, 3, "balanced")
    np.testing.assert_allclose(weights, [2 / 3, 2 / 3, 1 / 3, 2])
    # Over the windows, both labels weigh the same.
    assert weights[0] + weights[1] + 2 * weights[2] == pytest.approx(weights[3])


def test_seeds():
    assert parse_seeds("1,2, 30") == (1, 2, 30)
    for text in ("", "1,1", "a", "-1", "1,", str(2 ** 31)):
        with pytest.raises(InputError, match="^seeds="):
            parse_seeds(text)

"""Tasks of pairs of texts, and of numbers: their files, what is trained, and what bin/predict answers."""

import json
import random

import numpy as np
import pytest
from conftest import own_lines, run_command
from small_corpus import WORDS
from trained_models import make_config, write_run

import albert_hvd
from albert_hvd.errors import InputError
from albert_hvd.finetuning.columns import Columns
from albert_hvd.finetuning.job import prepare
from albert_hvd.finetuning.labelled_data import TextPair, number_of, read_pairs, read_texts
from albert_hvd.finetuning.options import FineTuningOptions

ROWS = [("same", "saya makan nasi", "nasi saya makan"), ("other", "dia tidur", "kereta baru dibeli"),
        ("same", "hujan lebat turun", "turun hujan lebat"), ("other", "kami pergi", "bola itu besar")]
PAIRS = [TextPair(texts) for _, *texts in ROWS]


def write(path, rows, separator="\t"):
    path.write_text("".join(separator.join(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def read(path, **columns):
    return [(*example.labels, *example.inputs) for example in read_pairs(path, "train_file", Columns(**columns))]


@pytest.mark.parametrize("header, order", [
    (None, (0, 1, 2)), (("label", "text_a", "text_b"), (0, 1, 2)), (("premise", "hypothesis", "gold_label"), (1, 2, 0)),
    (("Sentence2", "Sentence1", "Label"), (2, 1, 0)), (("question1", "question2", "is_duplicate"), (1, 2, 0)),
    (("satu", "dua", "label"), (1, 2, 0)), (("ayat1", "kelas", "ayat2"), (1, 0, 2))])
@pytest.mark.parametrize("name, separator", [("a.tsv", "\t"), ("a.csv", ",")])
def test_two_columns_of_texts(tmp_path, name, separator, header, order):
    rows = [*([header] if header else []), *([row[place] for place in order] for row in ROWS)]
    assert read(write(tmp_path / name, rows, separator)) == ROWS


def test_pairs_by_name_and_of_json(tmp_path):
    path = write(tmp_path / "a.tsv", [("id", "x", "y", "z"), *(("1", *row) for row in ROWS)])
    assert read(path, text="y", pair="z", label="x") == ROWS == read(path, text="3", pair="z", label="2")
    (tmp_path / "a.jsonl").write_text("".join(
        json.dumps({"sentence1": first, "sentence2": second, "label": label}) + "\n" for label, first, second in ROWS))
    assert read(str(tmp_path / "a.jsonl")) == ROWS
    assert read(str(tmp_path / "a.jsonl"), text="sentence2", pair="sentence1") == [(a, c, b) for a, b, c in ROWS]


@pytest.mark.parametrize("content, columns, named", [
    ("same\tsaya makan\n", {}, r"a.tsv:1: 2 columns where 3 are wanted"),
    ("same\n", {}, "one column; write label<TAB>text<TAB>second text"),
    ("same\tsaya\t \n", {}, "the second text is empty"),
    ("label\ttext\tlang\nsame\tsaya makan\tms\n", dict(text="text", pair="text"), "text and second text are read from"),
    ("id\tlabel\tnota\tlain\n1\tsame\tsaya\tdia\n", dict(label="label"), "holds the text is not known; name it with"),
    ("label\ttext_a\ttext_b\nsame\tsaya\tdia\n", dict(pair="teks"), "text_pair_column=teks: no such column"),
])
def test_bad_pairs_are_named(tmp_path, content, columns, named):
    (tmp_path / "a.tsv").write_text(content)
    with pytest.raises(InputError, match=named):
        read(str(tmp_path / "a.tsv"), **columns)


def test_numbers_of_a_regression(tmp_path):
    path = write(tmp_path / "a.tsv", [("0.5", "saya"), ("-3", "dia"), ("1e1", "kami")])
    assert [example.labels for example in read_texts(path, "f", Columns(), number_of)] == [(0.5,), (-3.0,), (10.0,)]
    for wrong in ("baik", "nan", "inf", ""):
        with pytest.raises(InputError, match=r"b.tsv:2: the label '.*' is not a number"):
            read_texts(write(tmp_path / "b.tsv", [("1", "saya"), (wrong, "dia")]), "f", Columns(), number_of)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    write_run(folder / "run", make_config())
    luck, rows = random.Random(3), []
    for _ in range(60):
        first = luck.sample(WORDS[:30], 2)
        label = luck.choice(["other", "same"])
        rows.append((label, " ".join(first), " ".join(first if label == "same" else luck.sample(WORDS[:30], 2))))
    write(folder / "pairs.tsv", [("label", "text1", "text2"), *rows])
    write(folder / "values.tsv", [(str(4.5 if label == "same" else 0.5), *texts) for label, *texts in rows])
    write(folder / "lengths.tsv", [(str(len(first)), first) for _, first, _ in rows])
    return folder


def options(files, folder, task, name, **changes):
    return {"task": task, "train_file": str(files / name), "output_dir": str(folder), "max_seq_length": 24,
            "init_checkpoint": str(files / "run"), "num_train_epochs": 2, "train_batch_size": 8, **changes}


@pytest.mark.parametrize("task, name, changes, named", [
    ("pair_classification", "pairs.tsv", {"long_texts": "window"}, "long_texts=window: task=pair_classification has n"),
    ("pair_regression", "pairs.tsv", {}, "pairs.tsv:2: the label '.*' is not a number"),
    ("pair_regression", "values.tsv", {"class_weights": "balanced"}, "class_weights=balanced: a regression has no"),
    ("regression", "lengths.tsv", {"head": "crf"}, "head=crf: task=regression has none such; give linear"),
    ("pair_classification", "lengths.tsv", {}, "lengths.tsv:1: 2 columns where 3 are wanted"),
])
def test_what_does_not_go_together_is_refused(files, tmp_path, task, name, changes, named):
    with pytest.raises(InputError, match=named):
        prepare(FineTuningOptions(**options(files, tmp_path / "out", task, name, **changes)))
    assert not (tmp_path / "out").exists()


def test_a_model_of_one_segment_takes_no_pairs(files, tmp_path):
    write_run(tmp_path / "run", make_config(type_vocab_size=1))
    with pytest.raises(InputError, match="task=pair_classification: the model has one type of segment"):
        prepare(FineTuningOptions(**options(files, tmp_path / "out", "pair_classification", "pairs.tsv",
                                            init_checkpoint=str(tmp_path / "run"))))


def fine_tune(files, folder, task, name, ranks=0, **changes):
    result = run_command("finetune", ranks, **options(files, folder, task, name, dropout=0.0, deterministic=True,
                                                      learning_rate=0.01, **changes))
    assert result.returncode == 0, result.stderr
    with open(folder / "results.json", encoding="utf-8") as file:
        return json.load(file), result.stdout


def test_a_classification_of_pairs_from_training_to_answers(files, tmp_path):
    folder = tmp_path / "out"
    result, output = fine_tune(files, folder, "pair_classification", "pairs.tsv", baselines="majority")
    assert (result["kind"], result["labels"]) == ("pair_classification", ["other", "same"])
    (seed,), (majority,) = result["seeds"], result["baselines"]
    assert seed["valid"]["count"] == majority["valid"]["count"] == 6 and "true / predicted" in output
    records = [json.loads(line) for line in (folder / "seed-1" / "predictions.jsonl").read_text().splitlines()]
    right = [record["gold"] == record["label"] for record in records]
    assert np.mean(right) == pytest.approx(seed["valid"]["accuracy"])
    lines = "saya makan\tdia tidur\n\ndia tidur\tsaya makan\n"
    answer = run_command("predict", stdin=lines, model=folder)
    assert answer.returncode == 0, answer.stderr
    first, empty, turned = map(json.loads, answer.stdout.splitlines())
    assert (first["text_a"], first["text_b"]) == ("saya makan", "dia tidur") and set(first["probabilities"]) == {
        "other", "same"}
    assert empty == {"text_a": "", "text_b": "", "label": None, "probabilities": None}
    # The texts are told apart by their segments.
    assert first["probabilities"] != turned["probabilities"]
    model = albert_hvd.load(str(folder))
    assert model.kind == "pair_classification"
    again, = model.predict([("saya makan", "dia tidur")])
    assert again["probabilities"] == pytest.approx(first["probabilities"], abs=2e-6)
    for wrong in ("saya", ("saya",), ("a", "b", "c"), ("a", 3)):
        with pytest.raises(InputError, match=r"texts\[0\] is .*; give two str"):
            model.predict([wrong])
    answer = run_command("predict", stdin="saya\tdia\nsaya\nkami\tdia\n", model=folder)
    assert answer.returncode == 2 and len(answer.stdout.splitlines()) == 1
    assert own_lines(answer, "predict") == ["standard input:2: 1 text; write two on each line, with a tab between"]


@pytest.mark.parametrize("task, name", [
    ("pair_regression", "values.tsv"), pytest.param("regression", "lengths.tsv", marks=pytest.mark.tier("ci"))])
def test_a_regression_from_training_to_answers(files, tmp_path, task, name):
    folder = tmp_path / "out"
    result, output = fine_tune(files, folder, task, name, baselines="mean", seeds="1,2")
    first, second = result["seeds"]
    assert set(first["valid"]) == {"pearson", "spearman", "mse", "count", "loss"}
    assert result["summary"]["valid"]["pearson"]["mean"] == pytest.approx(
        (first["valid"]["pearson"] + second["valid"]["pearson"]) / 2)
    assert "valid Pearson" in output and "best pearson" in output and "true / predicted" not in output
    records = [json.loads(line) for line in (folder / "seed-1" / "predictions.jsonl").read_text().splitlines()]
    gold, scores = (np.array([record[key] for record in records]) for key in ("gold", "score"))
    assert np.corrcoef(gold, scores)[0, 1] == pytest.approx(first["valid"]["pearson"], abs=1e-3)
    assert np.square(gold - scores).mean() == pytest.approx(first["valid"]["mse"], rel=1e-3)
    # It begins at the mean, so that its scores are about as large as the values from the first step on.
    assert abs(scores.mean() - gold.mean()) < 2 * gold.std()
    text = ("saya", "dia") if task == "pair_regression" else "saya"
    record, empty = albert_hvd.load(str(folder)).predict([text, ("", "") if task == "pair_regression" else ""])
    assert isinstance(record["score"], float) and empty["score"] is None


@pytest.mark.parallel
@pytest.mark.tier("ci")
@pytest.mark.parametrize("task, name", [("pair_regression", "values.tsv"), ("pair_classification", "pairs.tsv")])
def test_two_ranks_have_the_metrics_of_one(files, tmp_path, task, name):
    ours, theirs = (fine_tune(files, tmp_path / str(ranks), task, name, ranks)[0]["seeds"][0]["valid"]
                    for ranks in (2, 0))
    assert ours["count"] == theirs["count"]
    for key in ("loss", "pearson", "spearman", "accuracy", "macro_f1"):
        assert ours.get(key) == pytest.approx(theirs.get(key), abs=1e-3), key


@pytest.mark.tier("ci")
def test_a_regression_is_compared_by_its_correlations(files, tmp_path):
    values, _ = fine_tune(files, tmp_path / "out", "regression", "lengths.tsv", baselines="mean")
    result = run_command("plot", words=[tmp_path / "out"], kind="comparison", output_dir=tmp_path / "plots")
    assert result.returncode == 0, result.stderr
    assert f"{values['summary']['valid']['pearson']['mean']:.4f}" in result.stdout and "Accuracy" not in result.stdout
    assert (tmp_path / "plots" / "regression_pearson.png").exists()

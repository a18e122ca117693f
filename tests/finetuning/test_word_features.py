"""Words as sparse features: what they are, that each slot gets its own, and what they add to the network's scores."""

import dataclasses
import json
import os

import numpy as np
import pytest
from small_tasks import TASK_LABELS, labelled_texts, make_task_model, tagged_sentences, write_conll, write_tsv
from task_folders import write_task_folder
from test_task_export import export
from trained_models import make_config, write_run

import albert_hvd
from albert_hvd.errors import InputError
from albert_hvd.finetuning.batches import pad
from albert_hvd.finetuning.encoding import Rows
from albert_hvd.finetuning.heads import WideScores
from albert_hvd.finetuning.job import prepare
from albert_hvd.finetuning.options import FineTuningOptions
from albert_hvd.finetuning.tasks import task_class
from albert_hvd.finetuning.word_features import NUM_BUCKETS, hashed, of_text, of_words
from albert_hvd.model.layers import Dropout


def test_a_text_has_its_words_and_pairs_of_them_once():
    assert of_text("Saya suka, saya!", "words") == [
        "saya", "suka", ",", "!", "< saya", "saya suka", "suka ,", ", saya", "saya !", "! >"]
    assert of_text("RM3.50", "words", "2:") == ["2:rm3.50", "2:< rm3.50", "2:rm3.50 >"]


def test_phrases_of_a_text_are_three_words_too():
    assert of_text("Saya suka, saya!", "phrases", "2:") == [
        *of_text("Saya suka, saya!", "words", "2:"), "2:< saya suka", "2:saya suka ,", "2:suka , saya", "2:, saya !",
        "2:saya ! >"]
    assert of_text("", "phrases") == ["< >"]


def test_a_word_has_its_form_endings_case_and_neighbours():
    first, second = of_words(["Kanak-kanak", "makan"], "words")
    assert first == ["word=kanak-kanak", "form=Kanak-kanak", "shape=title", "hyphen", "suffix-2=ak", "suffix-3=nak",
                     "suffix-4=anak", "prefix-2=ka", "prefix-3=kan", "-1:none", "+1:word=makan", "+1:shape=lower",
                     "+1:suffix-3=kan"]
    assert "hyphen" not in second and second[-4:] == [
        "-1:word=kanak-kanak", "-1:shape=title", "-1:suffix-3=nak", "+1:none"]


def test_phrases_of_a_word_are_what_it_forms_with_its_neighbours():
    sentence = ["Di", "Kuala", "Lumpur", "2020"]
    words, phrases = of_words(sentence, "words"), of_words(sentence, "phrases")
    assert [row[:len(alone)] for row, alone in zip(phrases, words, strict=True)] == words
    assert phrases[1][len(words[1]):] == [
        "-2:word=<", "+2:word=2020", "-1:pair=di kuala", "+1:pair=kuala lumpur", "-1:word, shape=di title",
        "+1:word, shape=lumpur title", "-2:shapes=< title title", "-1:shapes=title title title",
        "+0:shapes=title title digit", "suffix-1=a", "suffix-5=kuala", "prefix-4=kual", "prefix-5=kuala",
        "circumfix-2=ku la", "circumfix-3=kua ala"]
    assert phrases[3][len(words[3]):][:4] == ["-2:word=kuala", "+2:word=>", "-1:pair=lumpur 2020", "+1:pair=2020 >"]
    assert of_words([], "phrases") == []


def test_numbers_are_the_same_everywhere():
    # CRC-32 of the UTF-8 bytes, modulo 2**17 - 1, plus 1; of phrases modulo 2**18 - 1.
    assert hashed(["word=rumah", "saya", "saya"], "words").tolist() == [19667, 55652]
    assert hashed(["word=rumah", "saya"], "phrases").tolist() == [5998, 170476]
    many = hashed(map(str, range(100000)), "words")
    assert many.dtype == np.int32 and many.min() >= 1 and many.max() < NUM_BUCKETS["words"]
    assert hashed([], "words").shape == (0,) and len(hashed(["\udcff"], "words")) == 1


@pytest.mark.parametrize("kind", ["words", "phrases"])
@pytest.mark.parametrize("name, inputs, slots", [
    ("classification", ["saya makan", "x"], lambda kind: [of_text("saya makan", kind), of_text("x", kind)]),
    ("pair_classification", [("saya", "kamu")], lambda kind: [of_text("saya", kind) + of_text("kamu", kind, "2:")]),
    # A sentence of 20 words has two rows or more; each word keeps its features.
    ("tagging", [["saya"] * 20, ["kamu"]], lambda kind: of_words(["saya"] * 20, kind) + of_words(["kamu"], kind))])
def test_each_slot_has_its_own(name, inputs, slots, kind, tmp_path):
    from small_corpus import make_tokenizer

    task = task_class(name)(TASK_LABELS, max_seq_length=16, features=kind)
    rows = task.encode(inputs, make_tokenizer(tmp_path))
    assert [array.tolist() for array in rows.features] == [hashed(names, kind).tolist() for names in slots(kind)]
    assert task_class(name)(TASK_LABELS).encode(inputs, make_tokenizer(tmp_path)).features is None


def test_padding_puts_them_in_their_places():
    ids = [np.arange(n, dtype=np.int32) for n in (3, 5, 4)]
    positions = [np.int32([1]), np.int32([1, 3]), np.int32([1, 2])]
    features = [np.int32(values) for values in ([7], [1, 2, 3], [4], [], [5, 6])]
    rows = Rows(ids, positions, np.array([0, 1, 3]), np.arange(3), np.array([1, 2, 2]), 12, 0, 0, features=features)
    batch = pad(rows, np.array([2, 1]), 0)
    expected = np.zeros([2, 2, 4], np.int32)
    expected[0, 1, :2], expected[1, 0, :3], expected[1, 1, :1] = [5, 6], [1, 2, 3], [4]
    np.testing.assert_array_equal(batch["features"], expected)
    assert "features" not in pad(dataclasses.replace(rows, features=None), np.array([2, 1]), 0)


def test_scores_are_a_sum_over_the_root_of_the_number():
    wide = WideScores(9, 2)
    assert not wide.kernel.numpy().any()
    kernel = np.random.default_rng(1).normal(size=(9, 2)).astype(np.float32)
    wide.kernel.assign(kernel)
    scores = wide(np.int32([[[3, 5, 8, 0], [0, 0, 0, 0]], [[2, 0, 0, 0], [1, 4, 0, 0]]])).numpy()
    expected = [[10 * kernel[[3, 5, 8]].sum(0) / 3 ** .5, [0, 0]], [10 * kernel[2], 10 * kernel[[1, 4]].sum(0) / 2 ** .5]]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_dropout_leaves_features_out():
    """Each feature counts twice or not at all, and padding never; another seed leaves out others."""
    wide, features = WideScores(65, 64), np.arange(65, dtype=np.int32)[None, None]
    wide.kernel.assign(np.concatenate([np.ones([1, 64]), np.eye(64)]))
    kept = [wide(features, Dropout(0.5, seed)).numpy()[0, 0] * 8 / 10 for seed in (np.int32([1, 2]), np.int32([1, 3]))]
    for scores in kept:
        assert set(scores.tolist()) == {0.0, 2.0} and 16 < (scores > 0).sum() < 48
    assert (kept[0] != kept[1]).any()
    np.testing.assert_array_equal(wide(features, Dropout(0.5, None)), wide(features))


@pytest.mark.parametrize("name, head", [("classification", "linear"), ("tagging", "crf"), ("regression", "linear")])
def test_they_are_added_to_the_networks(tiny_config, name, head):
    if name == "regression":
        task = task_class(name)(["score"], max_seq_length=16, features="words")
        from albert_hvd.finetuning.task_model import TaskModel

        model = TaskModel(tiny_config, task)
    else:
        model, task = make_task_model(tiny_config, name, head, features="words")
    model.wide.kernel.assign(np.random.default_rng(2).normal(size=model.wide.kernel.shape))
    input_ids, one = np.int32([[3, 7, 8, 4]]), np.int32([[1]])
    features = np.int32([[[5, 11, 0]]])
    alone = model.head(model.encoder.pooled(model.encoder(input_ids, np.ones_like(input_ids), np.zeros_like(input_ids))[
        0][:, :1])) if task.uses_pooler else None
    both = model(input_ids, np.ones_like(input_ids), np.zeros_like(input_ids), one, features=features)
    model.wide.kernel.assign(np.zeros(model.wide.kernel.shape))
    network = model(input_ids, np.ones_like(input_ids), np.zeros_like(input_ids), one, features=features)
    if alone is not None:
        np.testing.assert_allclose(network, alone, atol=1e-5)
    model.wide.kernel.assign(np.random.default_rng(2).normal(size=model.wide.kernel.shape))
    np.testing.assert_allclose(both, network + model.wide(features), atol=1e-5)
    assert "wide/kernel" in model.trained_variables()


def small_batch(task_name, features):
    """Two rows of one slot or of two, whose features are `features`, int32 (2, W, F)."""
    slots = features.shape[1]
    return {"input_ids": np.int32([[3, 7, 8, 4], [3, 9, 4, 0]]), "input_mask": np.int32([[1, 1, 1, 1], [1, 1, 1, 0]]),
            "segment_ids": np.zeros([2, 4], np.int32), "positions": np.int32([[1, 2], [1, 0]])[:, :slots],
            "labels": np.float32([[0.5], [2.0]]) if task_name == "regression" else np.int32([[1, 0], [0, 0]])[:, :slots],
            "weights": np.float32([[1, 1], [1, 0]])[:, :slots], "features": features}


@pytest.mark.parametrize("name, head", [("classification", "linear"), ("tagging", "linear"), ("tagging", "crf"),
                                        ("regression", "linear")])
def test_parts_of_an_ensemble_are_trained_as_if_alone(tiny_config, name, head):
    """The mean of two losses: of the network's scores by 0.2, and of the features' by 0.8; the head's bias is in both."""
    from albert_hvd.finetuning.task_model import TaskModel

    task = task_class(name)(["score"] if name == "regression" else TASK_LABELS, head, max_seq_length=16, features="words")
    joint, apart = (TaskModel(tiny_config, task, features_training=way, features_share=0.8) for way in ("joint", "ensemble"))
    random = np.random.default_rng(5)
    for variables in zip(joint.trained_variables().values(), apart.trained_variables().values(), strict=True):
        value = random.normal(size=variables[0].shape, scale=0.3)
        for variable in variables:
            variable.assign(value)
    features = np.int32([[[5, 11], [7, 0]], [[2, 0], [0, 0]]])[:, :2 if name == "tagging" else 1]
    batch, seed = small_batch(name, features), np.int32([1, 2])
    both = apart.logits(batch)
    np.testing.assert_array_equal(both, joint.logits(batch))
    loss_of = lambda scores: apart.head.loss(scores, batch["labels"], batch["weights"])
    np.testing.assert_allclose(joint.loss(batch, seed), loss_of(both), rtol=1e-6)
    wide, bias = apart.wide(features), apart.head.bias
    alone = both - bias - wide
    expected = (loss_of(alone / 0.2 + bias) + loss_of(wide / 0.8 + bias)) / 2
    np.testing.assert_allclose(apart.loss(batch, seed), expected, rtol=1e-5)
    assert abs(float(expected) - float(loss_of(both))) > 1e-3


def test_without_features_an_ensemble_is_the_network(tiny_config):
    from albert_hvd.finetuning.task_model import TaskModel

    model = TaskModel(tiny_config, task_class("classification")(TASK_LABELS), features_training="ensemble")
    batch = small_batch("classification", np.zeros([2, 1, 1], np.int32))
    del batch["features"]
    expected = model.head.loss(model.logits(batch), batch["labels"], batch["weights"])
    np.testing.assert_allclose(model.loss(batch, np.int32([1, 2])), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["words", "phrases"])
@pytest.mark.parametrize("name, inputs", [("emotion", ["saya makan", "mereka"]), ("pos", [["saya", "makan"]])])
def test_a_saved_model_predicts_with_them(name, inputs, kind, tmp_path):
    from albert_hvd.finetuning.task_model import read_task_model, write_task_model

    folder = write_task_folder(tmp_path, name, features=kind)
    before = albert_hvd.load(folder).predict(inputs)
    model, task, tokenizer = read_task_model(os.path.join(folder, "model"))
    assert task.features == kind and model.wide.kernel.shape[0] == NUM_BUCKETS[kind]
    # The features of the first word or text now vote for the second label, and nothing else does.
    first = task.encode(inputs, tokenizer).features[0]
    kernel = np.zeros(model.wide.kernel.shape, np.float32)
    kernel[first, 1] = 100.0
    model.wide.kernel.assign(kernel)
    write_task_model(os.path.join(folder, "model"), model, task, tokenizer)
    after = albert_hvd.load(folder).predict(inputs)
    label = (lambda record: record["label"]) if name == "emotion" else (lambda record: record["tags"][0])
    assert label(after[0]) == task.labels[1]
    assert name == "pos" or after[1]["label"] == before[1]["label"]


@pytest.mark.parametrize("format_name, reason", [("huggingface", "transformers reads pieces, and this model words"),
                                                 ("saved_model", "a SavedModel is given pieces")])
def test_formats_of_pieces_alone_are_refused(format_name, reason, tmp_path):
    folder = write_task_folder(tmp_path, "emotion", features="words")
    with pytest.raises(InputError, match=f"^format={format_name}: {reason}.*features=none"):
        export(folder, tmp_path / "out", format_name)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("way", ["ensemble", "joint"])
@pytest.mark.parametrize("name", ["emotion", "pos"])
def test_what_a_word_alone_tells_is_learned(name, way, tmp_path):
    from albert_hvd.finetuning.seed_training import SeedTraining

    write_run(tmp_path / "run", make_config())
    train = (write_tsv(tmp_path / "train.tsv", labelled_texts(300)) if name == "emotion"
             else write_conll(tmp_path / "train.conll", tagged_sentences(400)))
    accuracies = {}
    for features in ("none", "words"):
        options = FineTuningOptions(task=name, train_file=train, output_dir=str(tmp_path / features), features=features,
                                    features_training=way, init_checkpoint=str(tmp_path / "run"), max_seq_length=32,
                                    num_train_epochs=8)
        job = prepare(options)
        training = SeedTraining(job, 1, str(tmp_path / features / "seed"))
        while not training.is_over():
            training.run_step(False)
        accuracies[features] = training.evaluate(None)[0]["accuracy"]
    assert accuracies["words"] > 0.9 > accuracies["none"], accuracies


def test_a_folder_from_before_they_came_goes_on(tmp_path):
    write_run(tmp_path / "run", make_config())
    options = dict(task="emotion", train_file=write_tsv(tmp_path / "train.tsv", labelled_texts(30)),
                   output_dir=str(tmp_path / "out"), init_checkpoint=str(tmp_path / "run"), max_seq_length=24)
    prepare(FineTuningOptions(**options))
    flags = json.loads((tmp_path / "out" / "flags.json").read_text())
    del flags["features"]
    (tmp_path / "out" / "flags.json").write_text(json.dumps(flags))
    prepare(FineTuningOptions(**options))
    with pytest.raises(InputError, match="^features: words now and none in the run"):
        prepare(FineTuningOptions(**options, features="words"))


def test_a_folder_from_before_features_were_trained_apart_goes_on_jointly(tmp_path):
    write_run(tmp_path / "run", make_config())
    options = dict(task="emotion", train_file=write_tsv(tmp_path / "train.tsv", labelled_texts(30)), features="words",
                   output_dir=str(tmp_path / "out"), init_checkpoint=str(tmp_path / "run"), max_seq_length=24)
    prepare(FineTuningOptions(**options))
    flags = json.loads((tmp_path / "out" / "flags.json").read_text())
    del flags["features_training"], flags["features_dropout"]  # nor could they be dropped
    (tmp_path / "out" / "flags.json").write_text(json.dumps(flags))
    with pytest.raises(InputError, match="^features_training: ensemble now and joint in the run"):
        prepare(FineTuningOptions(**options))
    with pytest.raises(InputError, match="^features_dropout: 0.5 now and 0.0 in the run"):
        prepare(FineTuningOptions(**options, features_training="joint", features_dropout=0.5))
    prepare(FineTuningOptions(**options, features_training="joint"))

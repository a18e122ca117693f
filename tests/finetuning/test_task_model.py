"""The model of a task: what its scores depend on, what it trains; and its folder on disk."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from small_corpus import make_tokenizer
from small_tasks import TASK_LABELS, make_task_model, make_task_rows
from trained_models import make_config

from albert_hvd.errors import InputError
from albert_hvd.finetuning.batches import pad
from albert_hvd.finetuning.task_model import (TaskModel, copy_task_model, is_task_folder, read_task_model,
                                              task_of_values, task_values, write_task_model)
from albert_hvd.finetuning.tasks import task_class
from albert_hvd.model.encoder import named_variables
from albert_hvd.model.layers import Dropout

PAD = 0


def test_the_mean_is_that_of_the_real_pieces(tiny_config):
    model, _ = make_task_model(tiny_config, "classification", pooling="mean")
    input_ids, length = np.int32([[3, 7, 8, 4, PAD, PAD]]), 4
    mask = (np.arange(6) < length).astype(np.int32)[None]
    scores = model(input_ids, mask, np.zeros_like(input_ids), np.int32([[0]]))
    outputs, _ = model.encoder(input_ids, mask, np.zeros_like(input_ids))
    np.testing.assert_allclose(scores[:, 0], model.head(outputs[:, :length].numpy().mean(axis=1)), atol=1e-5)
    assert not any("pooler" in path for path in model.trained_variables())



def test_the_mean_of_a_word_ends_at_the_next_word_or_at_sep(tiny_config):
    model, _ = make_task_model(tiny_config, "tagging", pooling="mean")
    input_ids = np.int32([[3, 7, 8, 9, 10, 11, 4, PAD], [3, 5, 4, PAD, PAD, PAD, PAD, PAD]])
    mask = (np.arange(8) < [[7], [3]]).astype(np.int32)
    scores = model(input_ids, mask, np.zeros_like(input_ids), np.int32([[1, 2, 4], [1, 0, 0]]))
    outputs = model.encoder(input_ids, mask, np.zeros_like(input_ids))[0].numpy()
    for (row, word), (start, end) in {(0, 0): (1, 2), (0, 1): (2, 4), (0, 2): (4, 6), (1, 0): (1, 2)}.items():
        mean = outputs[row, start:end].mean(axis=0, keepdims=True)
        np.testing.assert_allclose(scores[row, word], model.head(mean)[0], atol=1e-5)



@pytest.mark.parametrize("name", ["classification", "tagging"])
def test_the_sum_of_layers_begins_with_the_embeddings(tiny_config, name):
    model, _ = make_task_model(tiny_config, name, layers="sum")
    weights = np.float32([3, *range(1, tiny_config.num_hidden_layers + 1)])
    np.testing.assert_array_equal(model.layers.weights, np.ones(len(weights)))
    model.layers.weights.assign(weights)
    input_ids = np.int32([[3, 7, 8, 4]])
    segments, mask = np.zeros_like(input_ids), np.ones_like(input_ids)
    first = model.encoder.embeddings(input_ids, segments, None, tf.float32, Dropout(0.0, None))
    states = [first, *model.encoder.hidden_states(input_ids, mask, segments)[1:]]
    total = sum(weight * state.numpy() for weight, state in zip(weights, states, strict=True))
    position = 0 if name == "classification" else 2
    read = total[:, position:position + 1]
    expected = model.head(model.encoder.pooled(read) if name == "classification" else read)
    np.testing.assert_allclose(model(input_ids, mask, segments, np.int32([[position]])), expected, atol=1e-4)
    assert "layers/weights" in model.trained_variables()



def test_a_task_trains_what_it_uses(tiny_config):
    tagging, _ = make_task_model(tiny_config, "tagging", "crf")
    assert set(named_variables(tagging)) - set(tagging.trained_variables()) == {
        "encoder/pooler/kernel", "encoder/pooler/bias"}
    assert {f"head/{name}" for name in ("kernel", "bias", "transitions", "start", "end")} <= set(
        tagging.trained_variables())
    classifier, _ = make_task_model(tiny_config, "classification")
    assert set(classifier.trained_variables()) == set(named_variables(classifier))



def test_dropout_is_for_training_and_follows_from_its_seed(tiny_config):
    task = task_class("classification")(TASK_LABELS)
    model = TaskModel(dataclasses.replace(tiny_config, hidden_dropout_prob=0.3), task, head_dropout=0.5)
    batch = pad(make_task_rows(one_slot=True), np.arange(7), PAD)
    plain, again = model.logits(batch), model.logits(batch)
    np.testing.assert_array_equal(plain, again)
    dropped = [model.logits(batch, tf.constant(seed)).numpy() for seed in ([1, 2], [1, 2], [1, 3])]
    np.testing.assert_array_equal(dropped[0], dropped[1])
    assert np.abs(dropped[0] - dropped[2]).max() > 1e-4 and np.abs(dropped[0] - plain).max() > 1e-4



@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))



@pytest.fixture
def folder(tokenizer, tmp_path):
    task = task_class("pos")(["X", "NOUN", "VERB"], "crf", max_seq_length=40, pooling="mean", layers="sum")
    write_task_model(str(tmp_path / "model"), TaskModel(make_config(), task, seed=4), task, tokenizer)
    return tmp_path / "model"



def test_round_trip(folder, tokenizer):
    model, task, own_tokenizer = read_task_model(str(folder))
    assert (task.name, task.kind, task.labels, task.head) == ("pos", "tagging", ("X", "NOUN", "VERB"), "crf")
    assert (task.max_seq_length, task.long_texts, task.pooling, task.layers) == (40, "window", "mean", "sum")
    assert own_tokenizer.sha256 == tokenizer.sha256 and model.config == make_config()
    for path, variable in named_variables(TaskModel(make_config(), task, seed=4)).items():
        np.testing.assert_array_equal(named_variables(model)[path], variable)
    assert json.loads((folder / "task.json").read_text())["format"] == "albert_hvd task 2"



def test_a_copy_is_the_same(folder, tmp_path):
    copy_task_model(str(folder), str(tmp_path / "copy"))
    assert all((tmp_path / "copy" / path.name).read_bytes() == path.read_bytes() for path in folder.iterdir())
    assert is_task_folder(str(tmp_path / "copy")) and not is_task_folder(str(tmp_path))



def test_a_task_that_is_not_known_here_is_one_of_its_kind():
    values = {**task_values(task_class("emotion")(["a", "b"])), "task": "sentiment"}
    task = task_of_values(values, "x")
    assert (task.name, task.labels) == ("classification", ("a", "b"))



def change_json(folder, name, **changes):
    values = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**values, **changes}))



@pytest.mark.parametrize("damage, named", [
    (lambda folder: (folder / "task.json").write_text("{"), "task.json cannot be read as JSON"),
    (lambda folder: change_json(folder, "task.json", format="other"), "not of the format"),
    (lambda folder: change_json(folder, "task.json", labels=3), "task.json lacks or spoils"),
    (lambda folder: change_json(folder, "task.json", head="mlp"), "head=mlp"),
    (lambda folder: change_json(folder, "task.json", layers="first"), "layers=first"),
    (lambda folder: change_json(folder, "task.json", labels=["a", "b"]), "head/kernel has shape (16, 3)"),
    (lambda folder: change_json(folder, "config.json", vocab_size=90), "has 110 pieces, its model 90"),
    (lambda folder: change_json(folder, "task.json", tokenizer_sha256="0" * 64), "is not the vocabulary"),
    (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 40), "model.safetensors cannot be read"),
    (lambda folder: (folder / "spiece.model").unlink(), "spiece.model: no such file"),
    (lambda folder: shutil.rmtree(folder), "no task model there"),
])
def test_damage_is_named(folder, damage, named):
    damage(folder)
    with pytest.raises(InputError) as error:
        read_task_model(str(folder), "model")
    assert named in str(error.value) and ("model=" in str(error.value) or named.startswith(("head=", "layers=")))

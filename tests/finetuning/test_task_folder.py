"""A task model on disk."""

import json
import shutil

import numpy as np
import pytest
from small_corpus import make_tokenizer
from trained_models import make_config

from albert_hvd.errors import InputError
from albert_hvd.finetuning.task_folder import (copy_task_model, is_task_folder, read_task_model, task_of_values,
                                               task_values, write_task_model)
from albert_hvd.finetuning.task_model import TaskModel
from albert_hvd.finetuning.tasks import task_class
from albert_hvd.model.encoder import named_variables


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
    (lambda folder: change_json(folder, "task.json", head="mlp"), "--head=mlp"),
    (lambda folder: change_json(folder, "task.json", layers="first"), "--layers=first"),
    (lambda folder: change_json(folder, "task.json", labels=["a", "b"]), "head/kernel has shape (16, 3)"),
    (lambda folder: change_json(folder, "config.json", vocab_size=90), "has 110 pieces, its model 90"),
    (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 40), "model.safetensors cannot be read"),
    (lambda folder: (folder / "spiece.model").unlink(), "spiece.model: no such file"),
    (lambda folder: shutil.rmtree(folder), "no task model there"),
])
def test_damage_is_named(folder, damage, named):
    damage(folder)
    with pytest.raises(InputError) as error:
        read_task_model(str(folder), "--model")
    assert named in str(error.value) and ("--model=" in str(error.value) or named.startswith("--"))

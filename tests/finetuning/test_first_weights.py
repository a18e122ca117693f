"""Where fine-tuning begins: any kind of pre-trained model, or random weights; never with another vocabulary."""

import json
import shutil

import numpy as np
import pytest
from small_corpus import make_tokenizer
from trained_models import make_config, write_kinds, write_run

from albert_hvd.data.text.tokenizer_training import train_tokenizer
from albert_hvd.errors import InputError
from albert_hvd.finetuning.first_weights import read_first_weights
from albert_hvd.finetuning.options import FineTuningOptions


def read(**options):
    return read_first_weights(FineTuningOptions(task="pos", train_file="x", output_dir="y", **options))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_kinds(tmp_path_factory.mktemp("kinds"), make_config())


@pytest.fixture(scope="module")
def other_tokenizer(tmp_path_factory):
    """As large as the models' own."""
    lines = [f"{a}{b} {b}{a}{b}" for a in "abcdefghijklmnop" for b in ("la", "ku", "si", "to", "me", "ra")] * 3
    return train_tokenizer(lines, str(tmp_path_factory.mktemp("other") / "other"), vocab_size=110).path


def test_every_kind_of_folder_gives_the_same_encoder(folders):
    first, *others = (read(init_checkpoint=folder) for folder in folders)
    assert first.name == "run" and set(first.arrays) and all(path.startswith("encoder/") for path in first.arrays)
    for other in others:
        assert other.config == first.config and other.tokenizer.sha256 == first.tokenizer.sha256
        assert set(other.arrays) == set(first.arrays)
        for path, array in first.arrays.items():
            np.testing.assert_array_equal(other.arrays[path], array)


def test_random_weights(tmp_path):
    tokenizer = make_tokenizer(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(make_config().to_dict()))
    weights = read(bert_config_file=str(tmp_path / "config.json"), tokenizer=tokenizer.path)
    assert (weights.arrays, weights.name, weights.config) == ({}, "random weights", make_config())
    with pytest.raises(InputError, match="--tokenizer missing"):
        read(bert_config_file=str(tmp_path / "config.json"))
    (tmp_path / "config.json").write_text(json.dumps(make_config(vocab_size=90).to_dict()))
    with pytest.raises(InputError, match="110 pieces, but the config's vocab_size is 90"):
        read(bert_config_file=str(tmp_path / "config.json"), tokenizer=tokenizer.path)


def test_another_vocabulary_of_the_same_size_is_refused(folders, other_tokenizer):
    for folder in folders:
        with pytest.raises(InputError, match="not the vocabulary that --init_checkpoint="):
            read(init_checkpoint=folder, tokenizer=other_tokenizer)


def test_a_run_knows_its_vocabulary_without_the_file(tmp_path, other_tokenizer):
    """bin/pretrain notes the hashes of the vocabularies of its records."""
    tokenizer = make_tokenizer(tmp_path)
    run = write_run(tmp_path / "run", make_config(), tokenizer=False)
    with pytest.raises(InputError, match="its vocabulary is not known"):
        read(init_checkpoint=run)
    read(init_checkpoint=run, tokenizer=other_tokenizer)  # nothing is known of it
    run = write_run(tmp_path / "noted", make_config(), tokenizer=False, tokenizers=[tokenizer.sha256])
    assert read(init_checkpoint=run, tokenizer=tokenizer.path).tokenizer.sha256 == tokenizer.sha256
    with pytest.raises(InputError, match="not the vocabulary"):
        read(init_checkpoint=run, tokenizer=other_tokenizer)


def test_another_config_or_a_task_model_is_refused(folders, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(make_config(hidden_size=32).to_dict()))
    with pytest.raises(InputError, match="--bert_config_file=.*not the config of"):
        read(init_checkpoint=folders[0], bert_config_file=str(tmp_path / "config.json"))
    shutil.copytree(folders[2], tmp_path / "task")
    (tmp_path / "task" / "task.json").write_text("{}")
    with pytest.raises(InputError, match="it is a task model already"):
        read(init_checkpoint=str(tmp_path / "task"))
    with pytest.raises(InputError, match="--init_checkpoint=.*no such file or folder"):
        read(init_checkpoint=str(tmp_path / "nowhere"))

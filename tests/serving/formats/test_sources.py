"""Recognising and reading models of three kinds, and refusing everything else."""

import dataclasses
import json

import numpy as np
import pytest

from albert_hvd.errors import InputError
from albert_hvd.serving.formats.huggingface.names import to_huggingface
from albert_hvd.serving.formats.sources import read_model
from albert_hvd.serving.formats.tf1 import write_checkpoint
from model_folders import FOLDERS, write_huggingface, write_run, write_tf1
from tf1_checkpoints import random_arrays, same_arrays, save_tensors, write_config


@pytest.fixture
def arrays(tiny_config):
    return random_arrays(tiny_config)


def refusal(path, **arguments):
    with pytest.raises(InputError) as error:
        read_model(str(path), "input", **arguments)
    return str(error.value)


@pytest.mark.parametrize("architecture", sorted(FOLDERS))
@pytest.mark.parametrize("name", ["", "model.ckpt", "model.ckpt.index", "model.ckpt.data-00000-of-00001"])
def test_reference_checkpoints_are_known_by_their_variables(architecture, name, fixtures):
    source = read_model(str(fixtures / FOLDERS[architecture] / name), "input")
    assert (source.kind, source.config.architecture, source.missing) == ("tf1", architecture, [])
    assert source.config.hidden_size == 48 and source.tokenizer_path is None
    assert source.folder == str(fixtures / FOLDERS[architecture])


def test_a_hugging_face_folder(arrays, tiny_config, tmp_path):
    source = read_model(write_huggingface(tmp_path, arrays, tiny_config), "input")
    assert source.kind == "huggingface" and source.missing == [] and same_arrays(source.arrays, arrays)
    assert source.config.to_dict() == tiny_config.to_dict()


def test_a_hugging_face_folder_without_heads(arrays, tiny_config, tmp_path):
    trunk = {path: array for path, array in arrays.items() if path.startswith("encoder/")}
    source = read_model(write_huggingface(tmp_path, trunk, tiny_config), "input")
    assert sorted(source.missing) == sorted(set(arrays) - set(trunk)) and same_arrays(source.arrays, trunk)


@pytest.mark.parametrize("inner", ["", "checkpoints", "checkpoints/step_00000007"])
def test_a_run(inner, arrays, tiny_config, tmp_path):
    write_run(tmp_path, arrays, tiny_config)
    (tmp_path / "spiece.model").write_bytes(b"")
    source = read_model(str(tmp_path / inner), "input")
    assert source.kind == "run" and same_arrays(source.arrays, arrays) and source.missing == []
    assert (source.folder, source.tokenizer_path) == (str(tmp_path), str(tmp_path / "spiece.model"))


def test_of_a_run_the_newest_valid_checkpoint_is_read(arrays, tiny_config, tmp_path, capsys):
    write_run(tmp_path, arrays, tiny_config, step=7)
    write_run(tmp_path, random_arrays(tiny_config, seed=9), tiny_config, step=8)
    (tmp_path / "checkpoints" / "step_00000008" / "weights.safetensors").write_bytes(b"damaged")
    assert same_arrays(read_model(str(tmp_path), "input").arrays, arrays)
    assert "step_00000008" in capsys.readouterr().err


def test_slots_and_foreign_heads_are_passed_over(arrays, tiny_config, tmp_path):
    path = write_tf1(tmp_path, arrays, tiny_config, **{
        "global_step": np.int64(9), "output_weights": np.zeros([3, 16], np.float32),
        "bert/pooler/dense/kernel/adam_m": np.zeros([16, 16], np.float32),
        "bert/embeddings/word_embeddings/adam_v": np.zeros([50, 8], np.float32)})
    assert same_arrays(read_model(path, "input").arrays, arrays)


@pytest.mark.parametrize("architecture", sorted(FOLDERS))
def test_a_compressed_checkpoint_holds_the_trunk_alone(architecture, tiny_config, tmp_path):
    config = dataclasses.replace(tiny_config, architecture=architecture)
    arrays = random_arrays(config)
    trunk = {path: array for path, array in arrays.items() if path.startswith("encoder/")}
    source = read_model(write_tf1(tmp_path, trunk, config), "input")
    assert same_arrays(source.arrays, trunk) and set(source.missing) == set(arrays) - set(trunk)


def test_trunk_and_heads_are_whole_or_not_there(arrays, tiny_config, tmp_path):
    for path in ("encoder/embeddings/word_embeddings", "masked_lm_head/output_bias"):
        del arrays[path]
    message = refusal(write_tf1(tmp_path, arrays, tiny_config))
    assert "bert/embeddings/word_embeddings is missing" in message
    assert "cls/predictions/output_bias is missing" in message


def test_every_differing_tensor_is_named(arrays, tiny_config, tmp_path):
    path = write_tf1(tmp_path, arrays, tiny_config)
    message = refusal(path, config=dataclasses.replace(tiny_config, vocab_size=20, max_position_embeddings=4))
    for part in ("bert/embeddings/word_embeddings has shape (50, 8), the config (20, 8)",
                 "bert/embeddings/position_embeddings has shape (16, 8), the config (4, 8)",
                 "cls/predictions/output_bias has shape (50,), the config (20,)"):
        assert part in message
    assert message.count("has shape") == 3


def test_layers_that_are_not_shared_are_refused(arrays, tiny_config, tmp_path):
    other = {"bert/encoder/transformer/group_1/inner_group_0/LayerNorm/beta": np.zeros(16, np.float32)}
    assert f"{next(iter(other))} is unknown" in refusal(write_tf1(tmp_path, arrays, tiny_config, **other))


def test_a_bert_is_refused(tiny_config, tmp_path):
    name = "bert/encoder/layer_0/attention/self/query/kernel"
    save_tensors(tmp_path / "bert_model.ckpt", {name: np.zeros([16, 16], np.float32)})
    assert "shared layers" in refusal(tmp_path)


def test_a_config_of_absurd_sizes_takes_no_memory(arrays, tiny_config, tmp_path):
    path = write_tf1(tmp_path, arrays, tiny_config)
    assert "the config (1000000000000, 8)" in refusal(path, config=dataclasses.replace(tiny_config, vocab_size=10**12))
    assert "impossible size" in refusal(path, config=dataclasses.replace(tiny_config, vocab_size=10**30))


def test_without_a_config(arrays, tiny_config, tmp_path):
    path = write_tf1(tmp_path, arrays, tiny_config)
    (tmp_path / "albert_config.json").unlink()
    assert "bert_config_file" in refusal(path)
    assert same_arrays(read_model(path, "input", config=tiny_config).arrays, arrays)
    for name in ("albert_config_base.json", "albert_config_large.json"):
        write_config(tmp_path, tiny_config, name)
    assert "albert_config_base.json, albert_config_large.json" in refusal(path)


def test_several_checkpoints(arrays, tiny_config, tmp_path):
    for name in ("model.ckpt-1", "model.ckpt-2"):
        write_tf1(tmp_path, {path: array + int(name[-1]) for path, array in arrays.items()}, tiny_config, name)
    assert "several checkpoints are there (model.ckpt-1, model.ckpt-2)" in refusal(tmp_path)
    # As it was written on another machine.
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/home/someone/out/model.ckpt-2"\n')
    wanted = arrays["encoder/pooler/bias"] + 2
    assert (read_model(str(tmp_path), "input").arrays["encoder/pooler/bias"] == wanted).all()


def test_the_vocabulary_beside_it(arrays, tiny_config, tmp_path):
    path = write_tf1(tmp_path, arrays, tiny_config)
    (tmp_path / "sp10m.model").write_bytes(b"")
    assert read_model(path, "input").tokenizer_path == str(tmp_path / "sp10m.model")
    (tmp_path / "other.model").write_bytes(b"")
    assert read_model(path, "input").tokenizer_path is None
    (tmp_path / "spiece.model").write_bytes(b"")
    assert read_model(path, "input").tokenizer_path == str(tmp_path / "spiece.model")


def test_a_pickle_is_read_only_when_asked_for(tiny_config, arrays, tmp_path):
    write_huggingface(tmp_path, arrays, tiny_config)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    assert "is a pickle" in refusal(tmp_path) and "--allow_pickle" in refusal(tmp_path)


@pytest.mark.parametrize("values", ["{", "[" * 100000, json.dumps({"model_type": "bert"}), "[1]"])
def test_a_hugging_face_config_that_is_none(values, arrays, tiny_config, tmp_path):
    write_huggingface(tmp_path, arrays, tiny_config)
    (tmp_path / "config.json").write_text(values)
    assert "config.json" in refusal(tmp_path)


def test_unknown_kinds_hear_what_is_accepted(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("text")
    for name, what in (("empty", "an empty folder"), ("notes.txt", "no model"), (".", "no model"),
                       ("absent", "no such file")):
        message = refusal(tmp_path / name)
        assert what in message and "a TensorFlow 1 checkpoint" in message and "\n" not in message


def test_a_hostile_index_is_refused(tiny_config, tmp_path):
    write_config(tmp_path, tiny_config)
    (tmp_path / "model.ckpt.index").write_bytes(b"\xff" * 1000)
    (tmp_path / "model.ckpt.data-00000-of-00001").write_bytes(b"")
    assert "not a readable TensorFlow checkpoint" in refusal(tmp_path)


def test_a_weights_only_copy_can_be_written_back(arrays, tiny_config, tmp_path):
    source = read_model(write_run(tmp_path / "run", arrays, tiny_config), "input")
    write_checkpoint(str(tmp_path / "tf1" / "model.ckpt"), source.arrays, source.config)
    write_config(tmp_path / "tf1", tiny_config)
    assert same_arrays(read_model(str(tmp_path / "tf1"), "input").arrays, arrays)


def test_a_pickle_of_tensors_is_read_when_asked_for(tiny_config, arrays, tmp_path):
    torch = pytest.importorskip("torch")
    write_huggingface(tmp_path, arrays, tiny_config)
    (tmp_path / "model.safetensors").unlink()
    tensors = {name: torch.from_numpy(array) for name, array in to_huggingface(arrays).items()}
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    source = read_model(str(tmp_path), "input", allow_pickle=True)
    assert source.kind == "huggingface" and same_arrays(source.arrays, arrays)

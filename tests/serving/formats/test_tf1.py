"""TF1 -> ours -> TF1: names, shapes and every bit."""

import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf

from albert_hvd.errors import InputError
from albert_hvd.model.encoder import named_variables
from albert_hvd.model.pretraining_model import AlbertPretrainer, variable_shapes
from albert_hvd.serving.formats import tf1
from albert_hvd.serving.formats.sources import read_model
from model_folders import FOLDERS
from tf1_checkpoints import random_arrays, same_arrays, save_tensors, write_config

ARCHITECTURES = sorted(FOLDERS)


def stored_tensors(prefix):
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_checkpoint_of_the_project_itself_is_written_as_it_was(architecture, fixtures, tmp_path):
    prefix = fixtures / FOLDERS[architecture] / "model.ckpt"
    source = read_model(str(prefix), "input")
    tf1.write_checkpoint(str(tmp_path / "model.ckpt"), source.arrays, source.config)
    assert same_arrays(stored_tensors(tmp_path / "model.ckpt"), stored_tensors(prefix))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_is_written_is_read_again(architecture, tiny_config, tmp_path):
    config = dataclasses.replace(tiny_config, architecture=architecture)
    arrays = random_arrays(config)
    tf1.write_checkpoint(str(tmp_path / "out" / "model.ckpt"), arrays, config)
    write_config(tmp_path / "out", config)
    source = read_model(str(tmp_path / "out"), "input")
    assert same_arrays(source.arrays, arrays) and source.config == config
    assert source.missing == [] and source.kind == "tf1"
    assert tf.train.latest_checkpoint(str(tmp_path / "out")) == str(tmp_path / "out" / "model.ckpt")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_shapes_are_those_of_the_model(architecture, tiny_config):
    config = dataclasses.replace(tiny_config, architecture=architecture)
    assert variable_shapes(config) == {path: tuple(variable.shape) for path, variable
                                       in named_variables(AlbertPretrainer(config)).items()}


def test_a_folder_that_cannot_be_written(tiny_config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="^output_dir"):
        tf1.write_checkpoint(str(tmp_path / "file" / "model.ckpt"), random_arrays(tiny_config), tiny_config)


def test_half_precision_is_read_as_float32(tiny_config, tmp_path):
    arrays = random_arrays(tiny_config)
    save_tensors(tmp_path / "model.ckpt", {
        tf1.tf1_name(path, "albert"): tf.cast(tf1.to_tf1_layout(path, array), tf.bfloat16)
        for path, array in arrays.items()})
    write_config(tmp_path, tiny_config)
    read = read_model(str(tmp_path), "input").arrays["encoder/pooler/kernel"]
    assert read.dtype == np.float32
    assert (read == tf.cast(tf.cast(arrays["encoder/pooler/kernel"], tf.bfloat16), tf.float32).numpy()).all()


def test_integers_are_refused(tiny_config, tmp_path):
    tensors = {tf1.tf1_name(path, "albert"): tf1.to_tf1_layout(path, array)
               for path, array in random_arrays(tiny_config).items()}
    tensors["bert/pooler/dense/bias"] = np.zeros(16, np.int32)
    save_tensors(tmp_path / "model.ckpt", tensors)
    write_config(tmp_path, tiny_config)
    with pytest.raises(InputError, match="bert/pooler/dense/bias holds int32"):
        read_model(str(tmp_path), "input")


def test_a_byte_that_changed_is_found(tiny_config, tmp_path):
    tf1.write_checkpoint(str(tmp_path / "model.ckpt"), random_arrays(tiny_config), tiny_config)
    write_config(tmp_path, tiny_config)
    path = tmp_path / "model.ckpt.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="cannot be read .*download the checkpoint again"):
        read_model(str(tmp_path), "input")


@pytest.mark.parametrize("keep", [0, 0.5])
@pytest.mark.parametrize("file", ["index", "data-00000-of-00001"])
def test_a_truncated_checkpoint_is_refused(file, keep, tiny_config, tmp_path):
    tf1.write_checkpoint(str(tmp_path / "model.ckpt"), random_arrays(tiny_config), tiny_config)
    write_config(tmp_path, tiny_config)
    path = tmp_path / f"model.ckpt.{file}"
    os.truncate(path, int(path.stat().st_size * keep))
    with pytest.raises(InputError, match="copy or download"):
        read_model(str(tmp_path), "input")

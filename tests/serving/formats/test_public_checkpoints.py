"""Checkpoints and configs as Google, brightmart, TF-Hub and Hugging Face publish them."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from huggingface_folders import random_arrays
from safetensors.numpy import save_file

from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.model.encoder import named_variables
from albert_hvd.model.pretraining_model import AlbertPretrainer
from albert_hvd.serving.export import export
from albert_hvd.serving.formats.huggingface.names import config_to_huggingface, to_huggingface
from albert_hvd.serving.formats.sources import read_model
from albert_hvd.serving.formats.tf1 import tf1_name, to_tf1_layout
from albert_hvd.serving.import_model import import_checkpoint
from albert_hvd.serving.options import ImportOptions
from albert_hvd.serving.text_model import load
from model_folders import SPECIAL_IDS
from tf1_checkpoints import same_arrays, save_tensors, write_config
from trained_models import make_config, write_run

# What the configs of google-research/albert have beside the sizes.
GOOGLE = {"attention_probs_dropout_prob": 0, "hidden_dropout_prob": 0, "hidden_act": "gelu", "initializer_range": 0.02,
          "max_position_embeddings": 512, "num_hidden_groups": 1, "net_structure_type": 0, "gap_size": 0,
          "num_memory_blocks": 0, "inner_group_num": 1, "down_scale_factor": 1, "type_vocab_size": 2,
          "embedding_size": 128}


@pytest.mark.parametrize("sizes, keys", [
    ((768, 12, 12, 3072, 30000), {"attention_probs_dropout_prob": 0.1, "hidden_dropout_prob": 0.1}),  # base v1
    ((1024, 24, 16, 4096, 30000), {}), ((2048, 24, 16, 8192, 30000), {}),
    ((4096, 12, 64, 16384, 30000), {"layers_to_keep": [], "classifier_dropout_prob": 0.1}),  # xxlarge
    ((768, 12, 12, 3072, 21128), {"hidden_act": "relu"})])  # Chinese
def test_googles_configs(sizes, keys):
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    config = AlbertConfig.from_dict({**GOOGLE, **dict(zip(names, sizes)), **keys})
    assert tuple(getattr(config, name) for name in names) == sizes
    assert config.hidden_act == keys.get("hidden_act", "gelu") and config.architecture == "albert"


@pytest.fixture
def config(tiny_config):
    return dataclasses.replace(tiny_config, num_hidden_layers=3)


def tf1_tensors(arrays, architecture="albert"):
    return {tf1_name(path, architecture): to_tf1_layout(path, array) for path, array in arrays.items()}


def write(folder, tensors, config):
    save_tensors(folder / "model.ckpt", tensors)
    write_config(folder, config)
    return str(folder)


def test_names_of_tf_hub(config, tmp_path):
    arrays = random_arrays(config)
    tensors = {f"module/{name}": array for name, array in tf1_tensors(arrays).items()}
    source = read_model(write(tmp_path, tensors, config), "input")
    assert same_arrays(source.arrays, arrays) and not source.missing and not source.left_out


def test_a_folder_of_tf_hub(config, tmp_path):
    """Its config is published elsewhere, its vocabulary lies in assets/."""
    arrays = random_arrays(config)
    (tmp_path / "variables").mkdir()
    (tmp_path / "assets").mkdir()
    save_tensors(tmp_path / "variables" / "variables",
                 {f"module/{name}": array for name, array in tf1_tensors(arrays).items()})
    (tmp_path / "tfhub_module.pb").touch()
    (tmp_path / "assets" / "30k-clean.model").touch()
    for path in (tmp_path, tmp_path / "variables" / "variables"):
        source = read_model(str(path), "input", config)
        assert same_arrays(source.arrays, arrays)
        assert source.tokenizer_path == str(tmp_path / "assets" / "30k-clean.model")
        with pytest.raises(InputError, match="no config beside the checkpoint"):
            read_model(str(path), "input")


def keras_names(tensors, layers, change=None):
    """The norms as google-research/albert under TensorFlow 2 stores them: numbered, and once for each layer."""
    group, found = "bert/encoder/transformer/group_0", {}
    for name, array in tensors.items():
        if name.startswith(f"{group}/inner_group_0/LayerNorm"):
            second, leaf = "LayerNorm_1" in name, name.rpartition("/")[2]
            for layer in range(layers):
                scope = f"{group}{f'_{layer}' * (layer > 0)}/layer_{layer}/inner_group_0"
                found[f"{scope}/layer_normalization_{2 * layer + 1 + second}/{leaf}"] = array + (
                    1 if change == layer else 0)
        else:
            number = f"_{2 * layers + 1}" if name.startswith("cls/") else ""
            found[name.replace("LayerNorm", f"layer_normalization{number}")] = array
    return found


def test_names_of_keras_norms(config, tmp_path):
    arrays = random_arrays(config)
    tensors = keras_names(tf1_tensors(arrays), 3)
    assert "bert/encoder/transformer/group_0_2/layer_2/inner_group_0/layer_normalization_6/gamma" in tensors
    slots = {f"{name}/adam_m": array for name, array in tensors.items()}
    source = read_model(write(tmp_path, {**tensors, **slots, "global_step": np.int64(9)}, config), "input")
    assert same_arrays(source.arrays, arrays) and not source.left_out


def test_keras_norms_in_the_first_releases_scopes(config, tmp_path):
    arrays = random_arrays(config)
    tensors = {name.replace("LayerNorm", "layer_normalization"): array for name, array in tf1_tensors(arrays).items()}
    assert same_arrays(read_model(write(tmp_path, tensors, config), "input").arrays, arrays)


def test_layers_with_norms_of_their_own_are_refused(config, tmp_path):
    path = write(tmp_path, keras_names(tf1_tensors(random_arrays(config)), 3, change=1), config)
    with pytest.raises(InputError, match="group_0_1/layer_1/.* differs from .*group_0/layer_0/.*norms of their own"):
        read_model(path, "input")


def huggingface_folder(folder, config, **extra):
    folder.mkdir()
    arrays = random_arrays(config)
    trunk = {path: array for path, array in arrays.items() if path.startswith("encoder/")}
    save_file({**to_huggingface(trunk), **extra}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config_to_huggingface(config, SPECIAL_IDS)))
    return trunk


@pytest.mark.parametrize("extra", [
    {"classifier.weight": np.zeros([3, 16], np.float32), "classifier.bias": np.zeros(3, np.float32)},
    {"qa_outputs.weight": np.zeros([2, 16], np.float32)}])
def test_a_hugging_face_folder_with_the_head_of_a_task(tiny_config, tmp_path, capsys, extra):
    trunk = huggingface_folder(tmp_path / "model", tiny_config, **extra)
    source = read_model(str(tmp_path / "model"), "input")
    assert same_arrays(source.arrays, trunk) and source.left_out == tuple(sorted(extra))
    lines = import_checkpoint(ImportOptions("huggingface", str(tmp_path / "model"), str(tmp_path / "run")))
    assert f"left out, the head of another task: {', '.join(sorted(extra))}" in lines
    export("tf1", str(tmp_path / "model"), str(tmp_path / "tf1"))
    assert sorted(extra)[0] in capsys.readouterr().err


def test_a_tensorflow_checkpoint_with_the_head_of_a_task(tiny_config, tmp_path):
    tensors = {**tf1_tensors(random_arrays(tiny_config)), "output_weights": np.zeros([3, 16], np.float32),
               "output_weights/adam_m": np.zeros([3, 16], np.float32), "global_step": np.int64(3)}
    assert read_model(write(tmp_path, tensors, tiny_config), "input").left_out == ("output_weights",)


@pytest.mark.parametrize("ours, theirs", [("gelu", "gelu_new"), ("gelu_erf", "gelu"), ("relu", "relu")])
def test_transformers_gives_the_same_outputs_with_each_activation(tmp_path, ours, theirs):
    """Out and in again; the initial weights are wide, so that the two forms of gelu differ by more than 1e-5."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra: parity)")
    run = write_run(tmp_path / "run", make_config(hidden_act=ours))
    folder = str(export("huggingface", run, str(tmp_path / "out")))
    assert json.loads((tmp_path / "out" / "config.json").read_text())["hidden_act"] == theirs
    peer = transformers.AlbertForPreTraining.from_pretrained(folder).eval()
    peer.save_pretrained(tmp_path / "saved")
    source = read_model(str(tmp_path / "saved"), "input")
    assert source.config.hidden_act == ours and same_arrays(source.arrays, read_model(run, "model").arrays)
    ids = np.random.default_rng(0).integers(0, 110, [3, 20])
    with torch.no_grad():
        outputs = peer(torch.tensor(ids))
    logits = {}
    for act in (ours, "gelu_erf" if ours == "gelu" else "gelu"):
        model = AlbertPretrainer(dataclasses.replace(source.config, hidden_act=act))
        for path, variable in named_variables(model).items():
            variable.assign(source.arrays[path])
        rows = tf.constant(ids, tf.int32)
        sequence_output, pooled_output = model.encoder(rows, tf.ones_like(rows), tf.zeros_like(rows))
        flat = tf.reshape(sequence_output, [60, source.config.hidden_size])
        logits[act] = (tf.reshape(model.masked_lm_logits(flat), [3, 20, -1]).numpy(),
                       model.sentence_logits(pooled_output)[:, 0].numpy())
    for got, expected in zip(logits.pop(ours), (outputs.prediction_logits, outputs.sop_logits), strict=True):
        np.testing.assert_allclose(got, expected.numpy(), atol=1e-5)
    (other, _), = logits.values()
    assert np.abs(other - outputs.prediction_logits.numpy()).max() > 1e-4


def test_every_activation_is_kept_by_every_format(tmp_path):
    for act in ("relu", "gelu_erf"):
        run = write_run(tmp_path / act, make_config(hidden_act=act))
        expected = load(run).encode(["saya makan"])
        for name in ("tf1", "huggingface"):
            path = str(export(name, run, str(tmp_path / f"{act}_{name}")))
            assert read_model(path, "model").config.hidden_act == act
            np.testing.assert_allclose(load(path).encode(["saya makan"]), expected, atol=1e-6)


def test_gelu_new_is_another_name_of_gelu():
    assert AlbertConfig.from_dict({"vocab_size": 9, "hidden_act": "gelu_new"}).hidden_act == "gelu"

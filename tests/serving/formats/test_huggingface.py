"""Configs, names and weight files of Hugging Face's ALBERT, without its libraries."""

import json
import struct

import numpy as np
import pytest
from huggingface_folders import make_config, random_arrays
from safetensors.numpy import save_file

from albert_hvd.errors import InputError
from albert_hvd.serving.formats.huggingface import names as huggingface
from albert_hvd.serving.formats.huggingface.weights import read_weights

HEADS = ("masked_lm_head/", "sentence_head/")


@pytest.fixture(scope="module")
def config():
    return make_config(50)


@pytest.fixture(scope="module")
def arrays(config):
    return random_arrays(config)


def write(folder, tensors):
    save_file(tensors, str(folder / "model.safetensors"))
    return str(folder)


def test_the_round_trip_keeps_every_bit(config, arrays, tmp_path):
    back = read_weights(write(tmp_path, huggingface.to_huggingface(arrays)), config)
    assert back.keys() == arrays.keys()
    assert all(back[path].tobytes() == arrays[path].tobytes() for path in arrays)
    again = huggingface.to_huggingface(back)
    assert all(np.array_equal(again[name], value) for name, value in huggingface.to_huggingface(arrays).items())


def test_a_bare_model_has_no_prefix_and_no_heads(config, arrays, tmp_path):
    trunk = {path: array for path, array in arrays.items() if not path.startswith(HEADS)}
    bare = {name.removeprefix("albert."): value for name, value in huggingface.to_huggingface(trunk).items()}
    bare["embeddings.position_ids"] = np.arange(64)[None]
    back = read_weights(write(tmp_path, bare), config)
    assert back.keys() == trunk.keys() and all(np.array_equal(back[path], trunk[path]) for path in trunk)


def test_a_masked_lm_has_no_pooler(config, arrays, tmp_path):
    kept = {path: array for path, array in arrays.items() if not path.startswith(("encoder/pooler", "sentence_head"))}
    assert read_weights(write(tmp_path, huggingface.to_huggingface(kept)), config).keys() == kept.keys()


def test_tied_tensors_are_one_or_refused(config, arrays, tmp_path):
    tensors = huggingface.to_huggingface(arrays)
    words, bias = tensors["albert.embeddings.word_embeddings.weight"], tensors.pop("predictions.bias")
    tied = {**tensors, "predictions.decoder.weight": words.copy(), "predictions.decoder.bias": bias}
    back = read_weights(write(tmp_path, tied), config)
    assert np.array_equal(back["masked_lm_head/output_bias"], bias) and back.keys() == arrays.keys()
    with pytest.raises(InputError, match="predictions.decoder.weight differs from albert.embeddings.word_emb"):
        read_weights(write(tmp_path, {**tied, "predictions.decoder.weight": words + 1}), config)


def test_half_precision_becomes_float32(config, arrays, tmp_path):
    import ml_dtypes

    for dtype in (np.float16, ml_dtypes.bfloat16):
        tensors = {name: value.astype(dtype) for name, value in huggingface.to_huggingface(arrays).items()}
        back = read_weights(write(tmp_path, tensors), config)
        for path, array in arrays.items():
            assert back[path].dtype == np.float32
            np.testing.assert_array_equal(back[path], array.astype(dtype).astype(np.float32))


def test_shards_are_read_by_their_index(config, arrays, tmp_path):
    tensors = huggingface.to_huggingface(arrays)
    names = sorted(tensors)
    weight_map = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(names)}
    for part in range(2):
        save_file({name: tensors[name] for name in names[part::2]}, str(tmp_path / f"part-{part}.safetensors"))
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert read_weights(str(tmp_path), config).keys() == arrays.keys()
    index.write_text(json.dumps({"weight_map": {"a": "../part-0.safetensors"}}))
    with pytest.raises(InputError, match="'../part-0.safetensors' is not a file of this folder"):
        read_weights(str(tmp_path), config)


def test_one_error_names_every_wrong_tensor(config, arrays, tmp_path):
    tensors = huggingface.to_huggingface(arrays)
    del tensors["albert.embeddings.LayerNorm.bias"], tensors["predictions.dense.bias"]
    tensors["albert.pooler.weight"] = np.zeros((3, 5), np.float32)
    tensors["albert.encoder.adapter.weight"] = np.zeros((3, 16), np.float32)
    with pytest.raises(InputError) as refusal:
        read_weights(write(tmp_path, tensors), config)
    for problem in ("albert.embeddings.LayerNorm.bias is missing", "predictions.dense.bias is missing",
                    "albert.pooler.weight has shape (3, 5), the config (16, 16)",
                    "albert.encoder.adapter.weight is unknown"):
        assert problem in str(refusal.value)


def test_damaged_and_hostile_files_are_refused(config, arrays, tmp_path):
    path = tmp_path / "model.safetensors"
    whole = (write(tmp_path, huggingface.to_huggingface(arrays)), path.read_bytes())[1]
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40, 1 << 20], "data_offsets": [0, 16]}}).encode()
    for data in (whole[:-100], whole[:5], b"", struct.pack("<Q", 1 << 60) + b"{}",
                 struct.pack("<Q", len(header)) + header + bytes(16)):
        path.write_bytes(data)
        with pytest.raises(InputError, match="not a readable safetensors file"):
            read_weights(str(tmp_path), config)


def test_a_folder_without_weights_is_named(config, tmp_path):
    with pytest.raises(InputError, match="no weights there"):
        read_weights(str(tmp_path), config)


class _Ids:
    pad_id, cls_id, sep_id = 5, 3, 4


def test_configs_go_there_and_back(config):
    theirs = huggingface.config_to_huggingface(config, _Ids)
    assert (theirs["pad_token_id"], theirs["bos_token_id"], theirs["eos_token_id"]) == (5, 3, 4)
    assert (theirs["model_type"], theirs["hidden_act"]) == ("albert", "gelu_new")
    assert huggingface.config_from_huggingface(json.loads(json.dumps(theirs)), "x") == config


def test_several_groups_of_layers_are_not_supported(config):
    theirs = {**huggingface.config_to_huggingface(config, _Ids), "num_hidden_groups": 12}
    with pytest.raises(InputError, match="num_hidden_groups = 12 is not supported, only 1 is; give such a model"):
        huggingface.config_from_huggingface(theirs, "folder/config.json")


@pytest.mark.parametrize("key, value", [
    ("model_type", "bert"), ("hidden_act", "quick_gelu"), ("num_hidden_groups", 2), ("inner_group_num", 2),
    ("position_embedding_type", "relative_key"), ("pruned_heads", {"0": [1]}), ("hidden_size", 17),
    ("layer_norm_eps", -1.0)])
def test_what_is_not_computed_is_refused_by_name(config, key, value):
    theirs = {**huggingface.config_to_huggingface(config, _Ids), key: value}
    name = "layer_norm_epsilon" if key == "layer_norm_eps" else key
    with pytest.raises(InputError, match=f"folder/config.json: {name} = "):
        huggingface.config_from_huggingface(theirs, "folder/config.json")


def test_brightmart_is_refused_with_the_reason(config):
    import dataclasses

    other = dataclasses.replace(config, architecture="brightmart")
    with pytest.raises(InputError, match="brightmart.*normalises after each sublayer"):
        huggingface.config_to_huggingface(other, _Ids)

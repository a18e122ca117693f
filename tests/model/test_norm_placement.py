"""`ln_type`: brightmart's own public models are post-LN, the old project's pre-LN, under the same variable names."""

import json
import shutil

import numpy as np
import numpy_brightmart
import pytest
import tensorflow as tf

from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.model.pretraining_model import AlbertPretrainer
from albert_hvd.model.encoder import named_variables
from albert_hvd.serving.formats.sources import read_model


def model_folder(fixtures, folder, **keys):
    """brightmart's reference checkpoint with `keys` in its config; returns its path."""
    shutil.copytree(fixtures / "brightmart_tf1", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").chmod(0o644)
    (folder / "config.json").write_text(json.dumps({**config, **keys}))
    return str(folder)


def outputs_of(source, inputs):
    """Our sequence_output and pooled_output of a `ModelSource`."""
    model = AlbertPretrainer(source.config)
    for path, variable in named_variables(model).items():
        variable.assign(source.arrays[path])
    rows = (tf.constant(inputs[name].astype(np.int32)) for name in ("input_ids", "input_mask", "segment_ids"))
    sequence_output, pooled_output = model.encoder(*rows)
    return sequence_output.numpy(), pooled_output.numpy()[:, 0]


@pytest.mark.parametrize("keys, ln_type", [
    ({}, "preln"), ({"ln_type": "preln"}, "preln"), ({"ln_type": None}, "preln"), ({"ln_type": "postln"}, "postln"),
    ({"ln_type": "postln", "architecture": "brightmart"}, "postln"),
    ({"ln_type": "postln", "directionality": "bidi", "pooler_fc_size": 768}, "postln")])
def test_a_checkpoint_is_computed_as_its_config_says(fixtures, tmp_path, keys, ln_type):
    path = model_folder(fixtures, tmp_path / "model", **keys)
    inputs = np.load(fixtures / "brightmart_tf1" / "inputs.npz")
    reader = tf.train.load_checkpoint(f"{path}/model.ckpt")
    variables = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    config = {**json.loads((tmp_path / "model" / "config.json").read_text()), "ln_type": ln_type}
    expected = numpy_brightmart.outputs(variables, config, inputs)
    if ln_type == "preln":  # what the old project's own code computed vouches for the formulas
        known = np.load(fixtures / "brightmart_tf1" / "expected.npz")
        np.testing.assert_allclose(expected[0], known["sequence_output"], atol=1e-5)
    for ours, theirs in zip(outputs_of(read_model(path, "model"), inputs), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("keys, ln_type", [({"ln_type": "postln"}, "postln"), ({"ln_type": "preln"}, None), ({}, None)])
def test_a_written_config_says_where_the_norms_are(keys, ln_type):
    config = AlbertConfig.from_dict({"vocab_size": 100, "architecture": "brightmart", **keys})
    assert config.to_dict().get("ln_type") == ln_type
    again = AlbertConfig.from_dict(config.to_dict())
    assert again.is_pre_norm == config.is_pre_norm == (ln_type is None)


def test_pre_ln_without_architecture_is_brightmarts():
    assert AlbertConfig.from_dict({"vocab_size": 100, "ln_type": "preln"}).architecture == "brightmart"
    assert AlbertConfig.from_dict({"vocab_size": 100, "ln_type": "postln"}).to_dict() == \
        AlbertConfig.from_dict({"vocab_size": 100}).to_dict()


@pytest.mark.parametrize("keys", [{"ln_type": "preln", "architecture": "albert"}, {"ln_type": "PostLN"},
                                  {"ln_type": "sandwich", "architecture": "brightmart"}, {"ln_type": 1}])
def test_norms_that_are_not_computed_are_refused(keys):
    with pytest.raises(InputError, match="ln_type = "):
        AlbertConfig.from_dict({"vocab_size": 100, **keys})


def test_googles_variables_with_pre_ln_are_refused(fixtures, tmp_path):
    shutil.copytree(fixtures / "google_albert_tf1", tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.chmod(0o644)
    path.write_text(json.dumps({**json.loads(path.read_text()), "ln_type": "preln"}))
    with pytest.raises(InputError, match="ln_type = 'preln' is not computed with architecture = 'albert'"):
        read_model(str(tmp_path / "model"), "model")


@pytest.mark.parametrize("key, value", [("directionality", "left-to-right"),
                                        ("num_hidden_groups", 12), ("net_structure_type", 1), ("gap_size", 1)])
def test_a_key_that_changes_the_arithmetic_is_not_ignored(key, value):
    with pytest.raises(InputError, match=f"{key} = "):
        AlbertConfig.from_dict({"vocab_size": 100, key: value})

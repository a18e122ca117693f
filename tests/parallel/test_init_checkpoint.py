"""--init_checkpoint of bin/pretrain: weights from this program's runs, TensorFlow 1 and Hugging Face."""

import json
import types

import numpy as np
import pytest
from safetensors.numpy import save_file

from albert_hvd.model.config import AlbertConfig
from albert_hvd.run_folder.checkpoints import CheckpointFolder
from albert_hvd.serving.formats.huggingface.names import config_to_huggingface, to_huggingface
from albert_hvd.serving.formats.tf1 import write_checkpoint
from conftest import own_lines, run_command
from huggingface_folders import random_arrays
from pretraining_runs import flags, weights

SPECIAL_IDS = types.SimpleNamespace(pad_id=0, unk_id=1, cls_id=2, sep_id=3, mask_id=4)


@pytest.fixture(scope="module")
def config(training_files):
    return AlbertConfig.from_json_file(str(training_files / "config.json"))


def first_weights(training_files, output_dir, init_checkpoint):
    """The weights that training starts from: those after an update of learning rate 0, and its start table."""
    result = run_command("pretrain", **flags(training_files, str(output_dir), init_checkpoint=init_checkpoint,
                                             num_train_steps=1, num_warmup_steps=0, learning_rate=0))
    assert result.returncode == 0, result.stderr
    return weights(str(output_dir), step=1), result.stdout


def test_a_tensorflow_1_checkpoint_without_heads(training_files, config, tmp_path):
    arrays = {path: array for path, array in random_arrays(config).items() if "head" not in path}
    write_checkpoint(str(tmp_path / "model.ckpt"), arrays, config)
    started, table = first_weights(training_files, tmp_path / "run", str(tmp_path / "model.ckpt"))
    assert all((started[path] == array).all() for path, array in arrays.items())
    assert f"weights of {tmp_path}/model.ckpt (new: " in table and "masked_lm_head/output_bias" in table
    # As for new weights: the log frequencies of the pieces.
    bias = started["masked_lm_head/output_bias"]
    assert np.exp(bias).sum() == pytest.approx(1, abs=1e-4) and bias.std() > 0.1


def test_a_hugging_face_folder(training_files, config, tmp_path):
    arrays = random_arrays(config)
    folder = tmp_path / "huggingface"
    folder.mkdir()
    save_file(to_huggingface(arrays), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config_to_huggingface(config, SPECIAL_IDS)))
    started, _ = first_weights(training_files, tmp_path / "run", str(folder))
    assert started.keys() == arrays.keys() and all((started[path] == arrays[path]).all() for path in arrays)


@pytest.mark.parametrize("kind", ["run", "huggingface"])
def test_a_model_that_differs_where_shapes_do_not_show_it_is_refused(training_files, config, tmp_path, kind):
    other = AlbertConfig.from_dict({**config.to_dict(), "num_attention_heads": 4}, "test")
    folder = tmp_path / f"{kind}_model"
    if kind == "run":
        CheckpointFolder(str(folder / "checkpoints")).save(1, random_arrays(other), None, {"config": other.to_dict()})
    else:
        folder.mkdir()
        save_file(to_huggingface(random_arrays(other)), folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(config_to_huggingface(other, SPECIAL_IDS)))
    result = run_command("pretrain", **flags(training_files, str(tmp_path / "run"), init_checkpoint=str(folder)))
    assert result.returncode == 2
    (line,) = own_lines(result, "pretrain")
    assert line.startswith(f"--init_checkpoint={folder}: its config differs from --bert_config_file: ")
    assert "{'num_attention_heads': 2} now and {'num_attention_heads': 4}" in line

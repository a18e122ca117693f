"""Folders of the three kinds of models that are read: a run, a TensorFlow 1 checkpoint, a Hugging Face folder."""

import json
import types

from safetensors.numpy import save_file

from albert_hvd.run_folder.checkpoints import CheckpointFolder
from albert_hvd.serving.formats.huggingface.names import config_to_huggingface, to_huggingface
from albert_hvd.serving.formats.tf1 import tf1_name, to_tf1_layout
from tf1_checkpoints import save_tensors, write_config

# Of ../shared/fixtures: numbers computed with the two original projects' own code.
FOLDERS = {"albert": "google_albert_tf1", "brightmart": "brightmart_tf1"}
SPECIAL_IDS = types.SimpleNamespace(pad_id=0, cls_id=2, sep_id=3)


def write_tf1(folder, arrays, config, name="model.ckpt", **extra):
    """A checkpoint with `extra` variables and the config beside it."""
    folder.mkdir(exist_ok=True)
    tensors = {tf1_name(path, config.architecture): to_tf1_layout(path, array) for path, array in arrays.items()}
    save_tensors(folder / name, {**tensors, **extra})
    write_config(folder, config)
    return str(folder)


def write_huggingface(folder, arrays, config):
    save_file(to_huggingface(arrays), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config_to_huggingface(config, SPECIAL_IDS)))
    return str(folder)


def write_run(folder, arrays, config, step=7):
    CheckpointFolder(str(folder / "checkpoints")).save(step, arrays, None, {"config": config.to_dict()})
    return str(folder)

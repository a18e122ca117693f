"""Any model that this program can read, recognised by what is in its folder.

Three kinds: a run of this program or one of its checkpoints, a TensorFlow 1 checkpoint of
google-research/albert or of the old project, and a Hugging Face ALBERT. Whatever the kind, names and
shapes are compared with the config before a tensor is read.
"""

import dataclasses
import glob
import json
import os
import sys

from albert_hvd.data.text.text_form import TOKENIZER_CONFIG
from albert_hvd.errors import InputError, command, parameter, setting
from albert_hvd.model.config import AlbertConfig
from albert_hvd.run_folder.checkpoints import (BEST, STATE, WEIGHTS, CheckpointFolder, find_checkpoint, load_arrays,
                                               read_state)
from albert_hvd.run_folder.layout import CONFIG, FLAGS, VOCABULARY
from albert_hvd.runtime.files import read_json_object
from albert_hvd.serving.formats.huggingface.names import config_from_huggingface
from albert_hvd.serving.formats.huggingface.weights import PICKLE, SAFETENSORS, SHARDS, other_heads, read_weights
from albert_hvd.serving.formats.shipped import located, shipped_names

ACCEPTED = ("a run's folder or one of its checkpoints/step_* folders, a TensorFlow 1 checkpoint (its prefix, or the "
            f"folder with its .index file), or a Hugging Face folder ({SAFETENSORS} or {PICKLE})")

_CONFIG_NAMES = (CONFIG, "albert_config*.json", "bert_config.json")
_TOKENIZER_NAMES = (VOCABULARY, "*.model", os.path.join("assets", "*.model"))

# What marks a folder of TF-Hub's first format, and where its checkpoint is.
_TF_HUB, _TF_HUB_PREFIX = "tfhub_module.pb", os.path.join("variables", "variables")


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """A model in memory, and where it came from.

    Attributes:
      kind: "run", "tf1" or "huggingface".
      config: its `AlbertConfig`.
      arrays: dict of variable path (`encoder.named_variables`) to float32 array.
      missing: the paths that the source lacks: all of the pooler's or of a head's; [] when it is complete.
      tokenizer_path: the SentencePiece model beside it, or None.
      folder: the run's folder, or the one that holds the files.
      vocabularies: the SHA-256 of the vocabularies that its training records were made with, as far as it says.
      left_out: the names of the tensors of heads of other tasks, which are not read.
    """

    kind: str
    config: AlbertConfig
    arrays: dict
    missing: list
    tokenizer_path: str
    folder: str
    vocabularies: tuple = ()
    left_out: tuple = ()

    def left_out_in_words(self):
        """What was not read, "" when that is nothing."""
        return f"left out, the head of another task: {', '.join(self.left_out)}" if self.left_out else ""


def read_model(path, option, config=None, allow_pickle=False):
    """Read a model of any of the three kinds.

    Args:
      path: see `ACCEPTED`; of a run, the newest checkpoint that is whole; or the name of a shipped model.
      option: the name of the option that it comes from, for messages.
      config: `AlbertConfig` of a TensorFlow 1 checkpoint; None: the JSON file beside it. The
        architecture follows from the names of its variables. The other kinds have their own config.
      allow_pickle: whether a Hugging Face folder may be read whose weights are a pickle alone.

    Returns:
      a `ModelSource`.

    Raises:
      InputError: nothing there, an unknown kind, no config, a damaged file, or tensors that do not
        fit the config; names each of them.
    """
    kind, path = kind_of(path, option), located(path)
    if kind == "run":
        return _read_run(path, option)
    if kind == "huggingface":
        return _read_huggingface(path, option, allow_pickle)
    return _read_tf1(checkpoint_prefix(path, option), option, config)


def kind_of(path, option):
    """A `ModelSource.kind`, by the names of the files there; InputError when it is none of them."""
    path = located(path)
    if _is_run(path):
        return "run"
    if any(os.path.isfile(os.path.join(path, name)) for name in (SAFETENSORS, SHARDS, PICKLE)):
        return "huggingface"
    if os.path.isfile(f"{_without_suffix(path)}.index") or glob.glob(os.path.join(glob.escape(path), "*.index")):
        return "tf1"
    if os.path.isfile(os.path.join(path, _TF_HUB)):
        return "tf1"
    if not os.path.exists(path):
        named = "".join(f", or the name {name}" for name in shipped_names())
        raise InputError("no such file or folder", f"give {ACCEPTED}{named}", name=option, value=path)
    what = "an empty folder" if os.path.isdir(path) and not os.listdir(path) else "no model that is known here"
    raise InputError(what, f"give {ACCEPTED}", name=option, value=path)


def _is_run(path):
    return (os.path.isfile(os.path.join(path, STATE)) or os.path.isdir(os.path.join(path, "checkpoints"))
            or os.path.basename(path) == BEST or bool(CheckpointFolder(path).steps()))


def _read_run(path, option):
    from albert_hvd.model.pretraining_model import variable_shapes

    checkpoint = find_checkpoint(path, option)
    source = setting(option, checkpoint)
    state = read_state(checkpoint)
    config = AlbertConfig.from_dict(state.get("config"), source)
    arrays = load_arrays(checkpoint, WEIGHTS, variable_shapes(config, source), source)
    # bin/import_checkpoint gave random values to what the model lacked; until they are trained they are not its own.
    missing = [name for name in state.get("imported", {}).get("new_variables", []) if name in arrays]
    arrays = {name: array for name, array in arrays.items() if name not in missing}
    folder = run_folder_of(checkpoint)
    return ModelSource("run", config, arrays, missing, tokenizer_beside(folder), folder,
                       recorded_vocabularies(state))


def recorded_vocabularies(state):
    """The SHA-256 of the vocabularies of a checkpoint's training records, by its state; () when it does not say."""
    recorded = state.get("tokenizers")
    return tuple(map(str, recorded)) if isinstance(recorded, list) else ()


def run_folder_of(checkpoint):
    """The folder of the run that a checkpoint is of; the checkpoint's own where it lies elsewhere."""
    parent = os.path.dirname(os.path.abspath(checkpoint))
    return os.path.dirname(parent) if os.path.basename(parent) == "checkpoints" else checkpoint


def _read_huggingface(folder, option, allow_pickle):
    from albert_hvd.model.pretraining_model import variable_shapes

    names = [name for name in (SAFETENSORS, SHARDS) if os.path.exists(os.path.join(folder, name))]
    if not names and not allow_pickle:
        raise InputError(f"{PICKLE} is a pickle",
                         f"give a folder with {SAFETENSORS}, or read it with "
                         f"{command('import_checkpoint', allow_pickle='')} (its tensors alone are loaded, no code is "
                         "run)", name=option, value=folder)
    config_path = os.path.join(folder, CONFIG)
    config = config_from_huggingface(_read_config(config_path), config_path)
    arrays = read_weights(folder, config)
    missing = [path for path in variable_shapes(config, config_path) if path not in arrays]
    return ModelSource("huggingface", config, arrays, missing, tokenizer_beside(folder), folder,
                       left_out=tuple(other_heads(folder)))


def _read_tf1(prefix, option, config):
    from albert_hvd.model.pretraining_model import variable_shapes
    from albert_hvd.serving.formats import tf1

    folder = folder_of_prefix(prefix)
    stored = tf1.stored_shapes(prefix)
    architecture = tf1.architecture_of(stored)
    if architecture is None:
        raise InputError("its variables are not those of an ALBERT with shared layers",
                         "give a checkpoint of google-research/albert or of the old project", name=option, value=prefix)
    config_path = None if config else _config_beside(folder, option)
    config = dataclasses.replace(config or AlbertConfig.from_json_file(config_path, option), architecture=architecture)
    config.check_norms(config_path or setting(option, prefix))
    shapes = variable_shapes(config, setting(option, prefix))
    tf1.check_fit(prefix, stored, shapes, architecture)
    arrays = tf1.read_checkpoint(prefix, shapes, architecture)
    missing = [path for path in shapes if path not in arrays]
    source = ModelSource("tf1", config, arrays, missing, tokenizer_beside(folder), folder,
                         left_out=tuple(tf1.other_heads(stored)))
    warn_of_other_architecture(source, config_path)
    return source


def warn_of_other_architecture(source, config_path):
    """Say on stderr that a config file names another architecture than the variables of a TensorFlow 1 checkpoint.

    Args:
      source: a `ModelSource`.
      config_path: the JSON file that its config was read from; None: there was none.
    """
    architecture = source.config.architecture
    named = read_json_object(config_path).get("architecture", architecture) if config_path else architecture
    if source.kind == "tf1" and named != architecture:
        # Its name alone: what lies in an archive is read from a folder that goes away.
        sys.stderr.write(f"warning: {os.path.basename(config_path)}: architecture = {named!r}, but the checkpoint's "
                         f"variables are those of {architecture!r}, and are read as that; fix the file or "
                         f"leave the key out\n")


def say_what_is_left_out(source):
    """Name on stderr what of a `ModelSource` was not read."""
    if source.left_out:
        sys.stderr.write(f"note: {source.folder}: {source.left_out_in_words()}\n")


def tokenizer_beside(folder):
    """The SentencePiece model in `folder`: spiece.model, else the only *.model there; else None."""
    for name in _TOKENIZER_NAMES:
        paths = glob.glob(os.path.join(glob.escape(folder), name))
        if len(paths) == 1:
            return paths[0]
    return None


def trained_positions(folder, config):
    """How long a row may be, <cls> and <sep> included, to have trained positions only.

    Args:
      folder: the model's, in which its run may have left its flags, or Hugging Face's tokenizer its settings.
      config: `AlbertConfig`.

    Returns:
      The run's `max_seq_length` or the tokenizer's `model_max_length`, as far as one is known, else all positions that
      the model has.
    """
    flags, tokenizer = (read_json_object(os.path.join(folder, name)) for name in (FLAGS, TOKENIZER_CONFIG))
    trained = flags.get("max_seq_length", tokenizer.get("model_max_length"))
    everything = config.max_position_embeddings
    return min(trained, everything) if type(trained) is int and trained > 2 else everything


def _without_suffix(path):
    """The prefix of a TensorFlow checkpoint of which one file was named."""
    stem, extension = os.path.splitext(path)
    return stem if extension in (".index", ".meta") or extension.startswith(".data-") else path


def checkpoint_prefix(path, option):
    """The TensorFlow checkpoint meant: the prefix named; in a folder what its `checkpoint` file says, or the only one."""
    if not os.path.isdir(path):
        return _without_suffix(path)
    if os.path.isfile(os.path.join(path, _TF_HUB)):
        return os.path.join(path, _TF_HUB_PREFIX)
    prefixes = sorted(_without_suffix(name) for name in glob.glob(os.path.join(glob.escape(path), "*.index")))
    newest = _named_in_checkpoint_file(path)
    if newest in prefixes:
        return newest
    if len(prefixes) > 1:
        names = ", ".join(os.path.basename(prefix) for prefix in prefixes)
        raise InputError(f"several checkpoints are there ({names})", "name one of them", name=option, value=path)
    return prefixes[0]


def folder_of_prefix(prefix):
    """Where the config and the vocabulary of a TensorFlow checkpoint lie."""
    folder = os.path.dirname(os.path.abspath(prefix))
    above = os.path.dirname(folder)
    return above if os.path.isfile(os.path.join(above, _TF_HUB)) else folder


def _named_in_checkpoint_file(folder):
    """The prefix that TensorFlow's `checkpoint` file names, looked for in `folder`; None without one."""
    try:
        with open(os.path.join(folder, "checkpoint"), encoding="utf-8") as file:
            line = file.readline(4096)
    except (OSError, UnicodeDecodeError):
        return None
    # Its path may be that of the machine it was trained on.
    key, _, value = line.partition(":")
    name = os.path.basename(value.strip().strip('"'))
    return os.path.join(folder, name) if key == "model_checkpoint_path" and name else None


def _config_beside(folder, option):
    """The path of the config file of a TensorFlow 1 checkpoint."""
    for name in _CONFIG_NAMES:
        paths = sorted(glob.glob(os.path.join(glob.escape(folder), name)))
        if len(paths) > 1:
            raise InputError(f"several configs are there ({', '.join(map(os.path.basename, paths))})",
                             f"name one with {parameter('bert_config_file')}", name=option, value=folder)
        if paths:
            return paths[0]
    raise InputError(f"no config beside the checkpoint ({', '.join(_CONFIG_NAMES)})",
                     f"name it with {parameter('bert_config_file')}", name=option, value=folder)


def _read_config(path):
    """The JSON value in a Hugging Face folder's config.json."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot be read as JSON ({error})",
                         "give a folder with the model's own config.json", value=path) from None

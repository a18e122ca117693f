"""TensorFlow 1 checkpoints of google-research/albert and of the old project.

Both projects name their variables after BERT's; the encoder's scopes differ. One table for each
architecture maps our variable paths (`encoder.named_variables`) to theirs.
"""

import glob
import math
import os

import numpy as np
import tensorflow as tf

from albert_hvd.errors import InputError, parameter
from albert_hvd.runtime.files import make_folder, whole_file
from albert_hvd.serving.formats.parts import missing_paths
from albert_hvd.serving.formats.tf1_names import canonical_names

_COMMON = {
    "encoder/embeddings/word_embeddings": "bert/embeddings/word_embeddings",
    "encoder/embeddings/position_embeddings": "bert/embeddings/position_embeddings",
    "encoder/embeddings/token_type_embeddings": "bert/embeddings/token_type_embeddings",
    "encoder/embeddings/layer_norm": "bert/embeddings/LayerNorm",
    "encoder/pooler": "bert/pooler/dense",
    "masked_lm_head/transform": "cls/predictions/transform/dense",
    "masked_lm_head/layer_norm": "cls/predictions/transform/LayerNorm",
    "masked_lm_head/output_bias": "cls/predictions/output_bias",
    "sentence_head/kernel": "cls/seq_relationship/output_weights",
    "sentence_head/bias": "cls/seq_relationship/output_bias",
}

_ALBERT_LAYER = "bert/encoder/transformer/group_0/inner_group_0"
_BRIGHTMART_LAYER = "bert/encoder/layer_shared"

_NAMES = {
    "albert": {
        **_COMMON,
        "encoder/embeddings/projection": "bert/encoder/embedding_hidden_mapping_in",
        "encoder/layer/attention/query": f"{_ALBERT_LAYER}/attention_1/self/query",
        "encoder/layer/attention/key": f"{_ALBERT_LAYER}/attention_1/self/key",
        "encoder/layer/attention/value": f"{_ALBERT_LAYER}/attention_1/self/value",
        "encoder/layer/attention/output": f"{_ALBERT_LAYER}/attention_1/output/dense",
        "encoder/layer/attention_norm": f"{_ALBERT_LAYER}/LayerNorm",
        "encoder/layer/intermediate": f"{_ALBERT_LAYER}/ffn_1/intermediate/dense",
        "encoder/layer/output": f"{_ALBERT_LAYER}/ffn_1/intermediate/output/dense",
        "encoder/layer/output_norm": f"{_ALBERT_LAYER}/LayerNorm_1",
    },
    "brightmart": {
        **_COMMON,
        "encoder/embeddings/projection/kernel": "bert/embeddings/word_embeddings_2",
        "encoder/layer/attention/query": f"{_BRIGHTMART_LAYER}/attention/self/query",
        "encoder/layer/attention/key": f"{_BRIGHTMART_LAYER}/attention/self/key",
        "encoder/layer/attention/value": f"{_BRIGHTMART_LAYER}/attention/self/value",
        "encoder/layer/attention/output": f"{_BRIGHTMART_LAYER}/attention/output/dense",
        "encoder/layer/attention_norm": f"{_BRIGHTMART_LAYER}/attention/output/LayerNorm",
        "encoder/layer/intermediate": f"{_BRIGHTMART_LAYER}/intermediate/dense",
        "encoder/layer/output": f"{_BRIGHTMART_LAYER}/output/dense",
        "encoder/layer/output_norm": f"{_BRIGHTMART_LAYER}/output/LayerNorm",
    },
}

# Stored (2, H) there and (H, 2) here.
_TRANSPOSED = ("sentence_head/kernel",)


def tf1_name(path, architecture):
    """The TF1 name of our variable `path`."""
    names = _NAMES[architecture]
    if path in names:
        return names[path]
    module, _, leaf = path.rpartition("/")
    return f"{names[module]}/{leaf}"


def to_tf1_layout(path, array):
    """Our array as TF1 stores it; the same call turns it back."""
    return array.T if path in _TRANSPOSED else array


def architecture_of(names):
    """"albert" or "brightmart" by the names of a checkpoint's variables; None for neither."""
    names = set(names)
    for architecture in _NAMES:
        if tf1_name("encoder/layer/attention/query/kernel", architecture) in names:
            return architecture
    return None


def stored_shapes(prefix):
    """The shape of every variable of a checkpoint by its TF1 name (see `tf1_names`), after a check that its data can be
    there.

    Raises:
      InputError: no such checkpoint, or data files that are shorter than its index says.
    """
    reader = _open_reader(prefix)
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    declared = sum(math.prod(shape) * dtypes[name].size for name, shape in shapes.items())
    present = sum(os.path.getsize(path) for path in glob.glob(f"{glob.escape(prefix)}.data-*"))
    if declared > present:
        raise InputError(f"its index names {declared} bytes, its data files hold {present}",
                         "copy or download the checkpoint again", value=prefix)
    return {name: tuple(shapes[stored[0]]) for name, stored in canonical_names(shapes).items()}


def check_fit(prefix, stored, shapes, architecture):
    """Compare the variables of a checkpoint with those of a model.

    Slots of an optimizer, the step counter and the heads of other tasks are skipped.

    Args:
      prefix: the checkpoint, for messages.
      stored: its shapes, see `stored_shapes`.
      shapes: dict of our variable path to its shape.

    Raises:
      InputError: names every variable that is missing, unknown or of another shape. The pooler and each
        head may be missing as a whole.
    """
    wanted = {tf1_name(path, architecture): _tf1_shape(path, shape) for path, shape in shapes.items()}
    problems = [f"{tf1_name(path, architecture)} is missing"
                for path in missing_paths(shapes, lambda path: tf1_name(path, architecture) in stored)]
    problems += [f"{name} has shape {stored[name]}, the config {shape}" for name, shape in wanted.items()
                 if stored.get(name, shape) != shape]
    problems += [f"{name} is unknown" for name in sorted(stored) if name.startswith("bert/")
                 and name not in wanted and name.rpartition("/")[0] not in wanted]
    if problems:
        raise InputError(f"the checkpoint does not fit its config: {'; '.join(problems)}",
                         f"name the config that it was trained with ({parameter('bert_config_file')})", value=prefix)


def _tf1_shape(path, shape):
    return tuple(shape)[::-1] if path in _TRANSPOSED else tuple(shape)


def other_heads(stored):
    """Which of a checkpoint's variables, by `stored_shapes`, are of the heads of other tasks, sorted."""
    return sorted(name for name, shape in stored.items() if shape and not name.startswith(("bert/", "cls/"))
                  and not any(name.startswith(f"{other}/") for other in stored))


def read_checkpoint(prefix, paths, architecture):
    """The variables `paths` of a TF1 checkpoint, by our names and in our layout.

    Args:
      prefix: the checkpoint's path without `.index`.
      paths: our variable paths; those that the checkpoint lacks are left out.

    Returns:
      dict of path to float32 array.

    Raises:
      InputError: no such checkpoint, a damaged one, or one of another architecture.
    """
    reader = _open_reader(prefix)
    stored = canonical_names(reader.get_variable_to_shape_map())
    found = architecture_of(stored)
    if found != architecture:
        raise InputError(f"its variables are those of the architecture {found!r}, the config says {architecture!r}: "
                         f"set \"architecture\" in {parameter('bert_config_file')}", value=prefix)
    return {path: _read_shared(reader, prefix, path, stored[tf1_name(path, architecture)])
            for path in paths if tf1_name(path, architecture) in stored}


def write_checkpoint(prefix, arrays, config):
    """Write a TF1 checkpoint, as the project that the architecture comes from names its variables.

    Args:
      prefix: its path without `.index`. A file `checkpoint` beside it names it the newest, for
        `tf.train.latest_checkpoint`.
      arrays: dict of our variable path to float32 array.
      config: the model's `AlbertConfig`.

    Raises:
      InputError: the folder cannot be written.
    """
    tensors = {tf1_name(path, config.architecture): to_tf1_layout(path, array) for path, array in arrays.items()}
    folder, name = os.path.split(os.path.abspath(prefix))
    make_folder(folder, "output_dir")
    try:
        tf.raw_ops.SaveV2(prefix=prefix, tensor_names=list(tensors), shape_and_slices=[""] * len(tensors),
                          tensors=list(tensors.values()))
    except tf.errors.OpError as error:
        raise InputError(f"cannot write {prefix} ({_first_line(error)})",
                         "make room or choose another place", name="output_dir") from None
    with whole_file(os.path.join(folder, "checkpoint"), "output_dir") as file:
        file.write(f'model_checkpoint_path: "{name}"\nall_model_checkpoint_paths: "{name}"\n'.encode())


def _open_reader(prefix):
    try:
        return tf.train.load_checkpoint(prefix)
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise InputError(f"not a readable TensorFlow checkpoint ({_first_line(error)})",
                         "copy or download it again", value=prefix) from None


def _read_shared(reader, prefix, path, names):
    """One variable in our layout; InputError when a checkpoint has several for it that differ."""
    array, *others = (_read_array(reader, prefix, path, name) for name in names)
    for name, other in zip(names[1:], others, strict=True):
        if not np.array_equal(other, array):
            raise InputError(f"{name} differs from {names[0]}: its layers have norms of their own, and here all layers "
                             "share theirs",
                             "give a checkpoint whose layers share all weights", value=prefix)
    return array


def _read_array(reader, prefix, path, name):
    """The variable `name` in our layout of `path`; TensorFlow compares it with its checksum."""
    try:
        array = reader.get_tensor(name)
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} cannot be read ({_first_line(error)})",
                         "copy or download the checkpoint again", value=prefix) from None
    if not reader.get_variable_to_dtype_map()[name].is_floating:
        raise InputError(f"{name} holds {array.dtype}, not floats", "give the checkpoint of a model", value=prefix)
    return np.ascontiguousarray(to_tf1_layout(path, array).astype(np.float32))


def _first_line(error):
    return str(error).splitlines()[0] if str(error) else type(error).__name__

"""The weight files of a Hugging Face folder: safetensors, in one file or in shards, or a PyTorch pickle.

Names and shapes are compared with the config before any tensor is read.
"""

import json
import os
import zipfile

import numpy as np
from safetensors import SafetensorError, safe_open

from albert_hvd.errors import InputError
from albert_hvd.serving.formats.huggingface.names import (check_architecture, from_huggingface, huggingface_name,
                                                          is_transposed)
from albert_hvd.serving.formats.parts import missing_paths

SAFETENSORS, SHARDS, PICKLE = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"

_WORD_EMBEDDINGS = "albert.embeddings.word_embeddings.weight"
_DECODER, _DECODER_BIAS, _BIAS = "predictions.decoder.weight", "predictions.decoder.bias", "predictions.bias"
_BUFFERS = ("position_ids", "token_type_ids")
TASK_HEAD = {path: huggingface_name(path) for path in ("head/kernel", "head/bias")}
# What AlbertModel consists of, and the heads that are read.
_TRUNK, _HEADS = ("embeddings.", "encoder.", "pooler."), ("predictions.", "sop_classifier.")
# As safetensors and as PyTorch call them.
_FLOATS = ("F32", "F16", "BF16", "torch.float32", "torch.float16", "torch.bfloat16")


def read_weights(folder, config):
    """The variables of a Hugging Face ALBERT by our paths.

    The head of another task, such as a classifier's, is left out; see `other_heads`.

    Args:
      folder: holds model.safetensors (or its shards with an index), else pytorch_model.bin.
      config: its `AlbertConfig`.

    Returns:
      dict of path to float32 array. The pooler and each head are left out when the folder lacks them.

    Raises:
      InputError: no weights, a damaged file, or tensors that do not fit `config`; names each of them.
    """
    from albert_hvd.model.pretraining_model import variable_shapes

    check_architecture(config)
    shapes = variable_shapes(config, folder)
    tensors = _canonical_names(_open_weights(folder))
    tensors = {name: tensor for name, tensor in tensors.items() if not _is_other_head(name)}
    _check_fit(folder, tensors, shapes)
    arrays = {name: _float32(tensor.read()) for name, tensor in tensors.items()}
    _resolve_ties(folder, arrays)
    return from_huggingface(arrays, shapes)


def other_heads(folder):
    """The names of the tensors in a Hugging Face folder that belong to the heads of other tasks, sorted."""
    return sorted(filter(_is_other_head, _canonical_names(_open_weights(folder))))


def _is_other_head(name):
    return not name.startswith(("albert.", *_HEADS))


class _Tensor:
    """A tensor that is not in memory yet: its `shape`, its `dtype` as the file calls it, and `read()`."""

    def __init__(self, shape, dtype, read):
        self.shape, self.dtype, self.read = tuple(shape), str(dtype), read


def _open_weights(folder):
    """Each tensor of a folder by name, as `_Tensor`."""
    if os.path.exists(os.path.join(folder, SAFETENSORS)):
        return _open_safetensors(os.path.join(folder, SAFETENSORS))
    if os.path.exists(os.path.join(folder, SHARDS)):
        return _open_shards(folder)
    if os.path.exists(os.path.join(folder, PICKLE)):
        return _open_pickle(os.path.join(folder, PICKLE))
    raise InputError("no weights there", f"give a folder with {SAFETENSORS} or {PICKLE}", value=folder)


def _open_safetensors(path):
    import ml_dtypes  # noqa: F401 - teaches NumPy the type bfloat16

    try:
        file = safe_open(path, framework="numpy")  # checks every declared shape against the file's size
        names = list(file.keys())
        slices = {name: file.get_slice(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:  # a ValueError: a name that no file can have
        raise InputError(f"not a readable safetensors file ({error})", "download it again", value=path) from None
    return {name: _Tensor(piece.get_shape(), piece.get_dtype(), lambda name=name: file.get_tensor(name))
            for name, piece in slices.items()}


def _open_shards(folder):
    path = os.path.join(folder, SHARDS)
    try:
        with open(path, encoding="utf-8") as file:
            names = set(json.load(file)["weight_map"].values())
        outside = [name for name in names if not isinstance(name, str) or os.path.basename(name) != name]
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise InputError(f"not a readable index of shards ({error})", "download it again", value=path) from None
    if outside:
        raise InputError(f"the shard {outside[0]!r} is not a file of this folder",
                         "the index is damaged or hostile: get the model elsewhere", value=path)
    tensors = {}
    for name in sorted(names):
        tensors.update(_open_safetensors(os.path.join(folder, name)))
    return tensors


def _open_pickle(path):
    try:
        import torch
    except ImportError:
        raise InputError("PyTorch is needed to read this file and is not installed",
                         f"pip install torch, or give a folder with {SAFETENSORS}", value=path) from None
    # CVE-2025-32434: before 2.6 weights_only=True could still run code.
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 6):
        raise InputError(f"PyTorch {torch.__version__} cannot read it safely",
                         f"install 2.6 or newer, or give a folder with {SAFETENSORS}", value=path)
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # noqa: BLE001 - torch.load raises what the damaged file makes it raise
        raise InputError(f"not a file of tensors alone ({str(error).splitlines()[0]})",
                         f"give a folder with {SAFETENSORS}", value=path) from None
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise InputError("not a dict of tensors", f"give a folder with {SAFETENSORS}", value=path)
    return {name: _Tensor(tensor.shape, tensor.dtype, lambda tensor=tensor: tensor.float().numpy())
            for name, tensor in tensors.items()}


def _canonical_names(tensors):
    """The names of AlbertForPreTraining: a bare AlbertModel is saved without its prefix; buffers are left out."""
    bare = not any(name.startswith("albert.") for name in tensors)
    return {f"albert.{name}" if bare and name.startswith(_TRUNK) else name: tensor
            for name, tensor in tensors.items() if name.rpartition(".")[2] not in _BUFFERS}


def read_task_head(folder, config):
    """The classifier of a fine-tuned model, {"head/kernel": float32 (H, L), "head/bias": (L,)}; None without one.

    Raises:
      InputError: a damaged file, or a classifier that does not fit `config`, an `AlbertConfig`.
    """
    tensors = _open_weights(folder)
    if not set(TASK_HEAD.values()) <= set(tensors):
        return None
    kernel, bias = (tensors[TASK_HEAD[path]] for path in ("head/kernel", "head/bias"))
    if (len(kernel.shape) != 2 or 0 in kernel.shape or kernel.shape[1] != config.hidden_size
            or bias.shape != kernel.shape[:1] or not {kernel.dtype, bias.dtype} <= set(_FLOATS)):
        raise InputError(f"its classifier has the shapes {kernel.shape} and {bias.shape}, of the types {kernel.dtype} "
                         f"and {bias.dtype}, and its config a hidden size of {config.hidden_size}",
                         "download it again", value=folder)
    return from_huggingface({name: _float32(tensors[name].read()) for name in TASK_HEAD.values()}, TASK_HEAD)


def _check_fit(folder, tensors, shapes):
    """InputError naming every tensor that is missing, unknown, of another shape or not of floats."""
    wanted = {huggingface_name(path): shape[::-1] if is_transposed(path) else shape for path, shape in shapes.items()}
    aliases = {_DECODER: wanted[_WORD_EMBEDDINGS], _DECODER_BIAS: wanted[_BIAS]}
    present = {_BIAS if name == _DECODER_BIAS else name for name in tensors}
    problems = [f"{huggingface_name(path)} is missing"
                for path in missing_paths(shapes, lambda path: huggingface_name(path) in present)]
    for name, tensor in tensors.items():
        shape = aliases.get(name, wanted.get(name))
        if shape is None:
            problems.append(f"{name} is unknown")
        elif tensor.shape != shape:
            problems.append(f"{name} has shape {tensor.shape}, the config {shape}")
        elif tensor.dtype not in _FLOATS:
            problems.append(f"{name} is of type {tensor.dtype}")
    if problems:
        raise InputError(f"the weights do not fit its config.json, or not this program: {'; '.join(problems)}",
                         "give the folder of an AlbertModel, AlbertForMaskedLM or AlbertForPreTraining", value=folder)


def _float32(array):
    return np.asarray(array).astype(np.float32)


def _resolve_ties(folder, arrays):
    """Fold the decoder into the word embeddings and the output bias; InputError where they differ."""
    arrays.setdefault(_BIAS, arrays.get(_DECODER_BIAS))
    for alias, name in ((_DECODER, _WORD_EMBEDDINGS), (_DECODER_BIAS, _BIAS)):
        if alias in arrays and not np.array_equal(arrays.pop(alias), arrays[name]):
            raise InputError(f"{alias} differs from {name}",
                             "here the two are one: give a model whose tie_word_embeddings is true", value=folder)
    if arrays[_BIAS] is None:
        del arrays[_BIAS]

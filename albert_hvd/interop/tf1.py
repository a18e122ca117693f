"""TensorFlow 1 checkpoints of google-research/albert and of the old project.

Both projects name their variables after BERT's; the encoder's scopes differ. One table for each
architecture maps our variable paths (`modeling.named_variables`) to theirs.
"""

import numpy as np
import tensorflow as tf

from albert_hvd.errors import InputError

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


def read_checkpoint(prefix, paths, architecture):
    """The variables `paths` of a TF1 checkpoint, by our names and in our layout.

    Args:
      prefix: the checkpoint's path without `.index`.
      paths: our variable paths; those that the checkpoint lacks are left out.

    Returns:
      dict of path to float32 array.

    Raises:
      InputError: no such checkpoint, or one of another architecture.
    """
    try:
        reader = tf.train.load_checkpoint(prefix)
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise InputError(f"{prefix}: not a readable TensorFlow checkpoint ({_first_line(error)})") from None
    shapes = reader.get_variable_to_shape_map()
    found = architecture_of(shapes)
    if found != architecture:
        raise InputError(f"{prefix}: its variables are those of the architecture {found!r}, the config "
                         f"says {architecture!r}: set \"architecture\" in --bert_config_file")
    return {path: np.ascontiguousarray(to_tf1_layout(path, reader.get_tensor(tf1_name(path, architecture))))
            for path in paths if tf1_name(path, architecture) in shapes}


def _first_line(error):
    return str(error).splitlines()[0] if str(error) else type(error).__name__

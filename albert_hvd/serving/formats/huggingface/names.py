"""Hugging Face's ALBERT (`model_type: albert`): its config, the names and layouts of its tensors.

Only the "albert" architecture has a counterpart there. Sources: `configuration_albert.py` and
`modeling_albert.py` of the transformers library, whose linear layers hold kernels as (output, input).
Reading the files of a folder is `huggingface_weights.py`'s task.
"""

import numpy as np

from albert_hvd.errors import InputError, parameter
from albert_hvd.model.config import AlbertConfig

MODEL_TYPE = "albert"

# What transformers computes for a key that config.json leaves out.
_DEFAULTS = {
    "vocab_size": 30000, "embedding_size": 128, "hidden_size": 4096, "num_hidden_layers": 12,
    "num_attention_heads": 64, "intermediate_size": 16384, "max_position_embeddings": 512, "type_vocab_size": 2,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.02,
}

# Activations by their names there, and ours. The tanh approximation of gelu has several; plain "gelu" is the exact
# function.
_ACTIVATIONS = {"gelu": "gelu_erf", "gelu_python": "gelu_erf", "relu": "relu",
                **dict.fromkeys(("gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate"),
                                "gelu")}
_OUR_ACTIVATIONS = {"gelu": "gelu_new", "gelu_new": "gelu_new", "gelu_erf": "gelu", "relu": "relu"}

# Settings that change what is computed, with the only value that our model computes.
_REQUIRED = {
    "num_hidden_groups": 1, "inner_group_num": 1, "position_embedding_type": "absolute", "net_structure_type": 0,
    "gap_size": 0, "num_memory_blocks": 0, "down_scale_factor": 1,
}
_MUST_BE_EMPTY = ("pruned_heads", "quantization_config")

_LAYER = "albert.encoder.albert_layer_groups.0.albert_layers.0"

# Our modules and variables, and theirs.
_MODULES = {
    "encoder/embeddings/layer_norm": "albert.embeddings.LayerNorm",
    "encoder/embeddings/projection": "albert.encoder.embedding_hidden_mapping_in",
    "encoder/layer/attention/query": f"{_LAYER}.attention.query",
    "encoder/layer/attention/key": f"{_LAYER}.attention.key",
    "encoder/layer/attention/value": f"{_LAYER}.attention.value",
    "encoder/layer/attention/output": f"{_LAYER}.attention.dense",
    "encoder/layer/attention_norm": f"{_LAYER}.attention.LayerNorm",
    "encoder/layer/intermediate": f"{_LAYER}.ffn",
    "encoder/layer/output": f"{_LAYER}.ffn_output",
    "encoder/layer/output_norm": f"{_LAYER}.full_layer_layer_norm",
    "encoder/pooler": "albert.pooler",
    "masked_lm_head/transform": "predictions.dense",
    "masked_lm_head/layer_norm": "predictions.LayerNorm",
    "sentence_head": "sop_classifier.classifier",
    "head": "classifier",  # of a fine-tuned model
}
_VARIABLES = {
    "encoder/embeddings/word_embeddings": "albert.embeddings.word_embeddings.weight",
    "encoder/embeddings/position_embeddings": "albert.embeddings.position_embeddings.weight",
    "encoder/embeddings/token_type_embeddings": "albert.embeddings.token_type_embeddings.weight",
    "masked_lm_head/output_bias": "predictions.bias",
}
_LEAVES = {"kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias"}


def config_from_huggingface(values, source):
    """Our config for the `config.json` of a Hugging Face ALBERT.

    Args:
      values: the parsed JSON object.
      source: what to call the file in errors, such as its path.

    Raises:
      InputError: another model type, or a setting that our model does not compute; names the key,
        its value and the fix.
    """
    if not isinstance(values, dict):
        raise InputError(f"a JSON object is wanted, found {type(values).__name__}", value=source)
    if values.get("model_type") != MODEL_TYPE:
        raise InputError(f"model_type = {values.get('model_type')!r} is not an ALBERT",
                         f"give a folder whose model_type is \"{MODEL_TYPE}\"", value=source)
    hidden_act = values.get("hidden_act", "gelu_new")
    if not isinstance(hidden_act, str) or hidden_act not in _ACTIVATIONS:
        raise InputError(f"hidden_act = {hidden_act!r} is not computed here",
                         f"give a model with one of {', '.join(_ACTIVATIONS)}", value=source)
    for key, wanted in _REQUIRED.items():
        if values.get(key, wanted) != wanted:
            raise InputError(f"{key} = {values[key]!r} is not supported, only {wanted!r} is", "give such a model",
                             value=source)
    for key in _MUST_BE_EMPTY:
        if values.get(key):
            raise InputError(f"{key} = {values[key]!r} is not supported", "save the model without it", value=source)
    ours = {key: values.get(key, default) for key, default in _DEFAULTS.items()}
    ours["hidden_act"] = _ACTIVATIONS[hidden_act]
    ours["layer_norm_epsilon"] = values.get("layer_norm_eps", 1e-12)
    return AlbertConfig.from_dict(ours, source)


def config_to_huggingface(config, tokenizer, architecture="AlbertForPreTraining"):
    """The `config.json` of a Hugging Face folder as a dict.

    Args:
      config: an `AlbertConfig`.
      tokenizer: a `tokenizer.Tokenizer`, whose ids of the special pieces are written.
      architecture: name of the transformers class that the weights are complete for.

    Raises:
      InputError: the architecture has no counterpart at Hugging Face.
    """
    check_architecture(config)
    return {
        "architectures": [architecture], "model_type": MODEL_TYPE,
        **sizes_to_huggingface(config), "hidden_act": _OUR_ACTIVATIONS[config.hidden_act],
        "layer_norm_eps": config.layer_norm_epsilon,
        "num_hidden_groups": 1, "inner_group_num": 1, "classifier_dropout_prob": 0.1,
        "tie_word_embeddings": True, "dtype": "float32",
        "pad_token_id": tokenizer.pad_id, "bos_token_id": tokenizer.cls_id, "eos_token_id": tokenizer.sep_id,
    }


def sizes_to_huggingface(config):
    """The entries of `config_to_huggingface` that have the same name and value here, as a dict."""
    return {key: getattr(config, key) for key in _DEFAULTS}


def check_architecture(config):
    """InputError, with the reason, unless Hugging Face's AlbertModel computes what `config` says."""
    if config.architecture != "albert":
        raise InputError(f"architecture = {config.architecture!r} cannot be exported to Hugging Face: its "
                         "embeddings and masked-LM head have other shapes than AlbertModel's"
                         + (", and AlbertModel normalises after each sublayer, not before it" if config.is_pre_norm
                            else ""),
                         f"export it with another {parameter('format')}")


def huggingface_name(path):
    """The name at Hugging Face of our variable `path`."""
    if path in _VARIABLES:
        return _VARIABLES[path]
    module, _, leaf = path.rpartition("/")
    return f"{_MODULES[module]}.{_LEAVES[leaf]}"


def is_transposed(path):
    """Whether Hugging Face stores the variable with its two axes exchanged."""
    return path.endswith("/kernel")


def to_huggingface(arrays):
    """Our arrays by path as theirs by name; kernels are transposed, every bit is kept."""
    return {huggingface_name(path): np.ascontiguousarray(array.T if is_transposed(path) else array)
            for path, array in arrays.items()}


def from_huggingface(tensors, paths):
    """The inverse of `to_huggingface` for those of `paths` that `tensors` has."""
    arrays = {path: tensors[huggingface_name(path)] for path in paths if huggingface_name(path) in tensors}
    return {path: np.ascontiguousarray(array.T if is_transposed(path) else array) for path, array in arrays.items()}

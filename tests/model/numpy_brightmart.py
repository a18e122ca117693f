"""The forward pass of brightmart's ALBERT in NumPy and float64, written from the formulas alone.

Source: `transformer_model` of brightmart/albert_zh (post-LN) and the old project's (pre-LN). It takes a checkpoint's
own variable names, so that neither our name tables nor our layers can hide a mistake in it.
"""

import numpy as np

_LAYER = "bert/encoder/layer_shared"


def outputs(variables, config, inputs):
    """sequence_output (B, S, H) and pooled_output (B, H).

    Args:
      variables: {TF1 name: array}.
      config: dict of the JSON file; "ln_type" is "preln" or "postln".
      inputs: `input_ids input_mask segment_ids` (B, S).
    """
    v = {name: np.asarray(array, np.float64) for name, array in variables.items()}
    x = v["bert/embeddings/word_embeddings"][inputs["input_ids"]] @ v["bert/embeddings/word_embeddings_2"]
    x = x + v["bert/embeddings/token_type_embeddings"][inputs["segment_ids"]]
    x = x + v["bert/embeddings/position_embeddings"][:x.shape[1]]
    x = _norm(v, "bert/embeddings/LayerNorm", x)
    adder = (1.0 - inputs["input_mask"][:, None, None, :]) * -10000.0
    for _ in range(config["num_hidden_layers"]):
        if config["ln_type"] == "preln":
            x = x + _attention(v, _norm(v, f"{_LAYER}/attention/output/LayerNorm", x), adder, config)
            x = x + _feed_forward(v, _norm(v, f"{_LAYER}/output/LayerNorm", x))
        else:
            x = _norm(v, f"{_LAYER}/attention/output/LayerNorm", x + _attention(v, x, adder, config))
            x = _norm(v, f"{_LAYER}/output/LayerNorm", x + _feed_forward(v, x))
    return x, np.tanh(_dense(v, "bert/pooler/dense", x[:, 0]))


def _dense(v, name, x):
    return x @ v[f"{name}/kernel"] + v[f"{name}/bias"]


def _norm(v, name, x):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-12) * v[f"{name}/gamma"] + v[f"{name}/beta"]


def _attention(v, x, adder, config):
    heads = config["num_attention_heads"]
    query, key, value = (np.stack(np.split(_dense(v, f"{_LAYER}/attention/self/{part}", x), heads, axis=-1), axis=1)
                         for part in ("query", "key", "value"))  # (B, N, S, D)
    scores = query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1]) + adder
    probs = np.exp(scores - scores.max(-1, keepdims=True))
    context = probs / probs.sum(-1, keepdims=True) @ value
    return _dense(v, f"{_LAYER}/attention/output/dense", np.concatenate(list(context.swapaxes(0, 1)), axis=-1))


def _feed_forward(v, x):
    x = _dense(v, f"{_LAYER}/intermediate/dense", x)
    x = 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x ** 3)))
    return _dense(v, f"{_LAYER}/output/dense", x)

"""The gradient of a model as an allreduce sees it: tensors of its variables' shapes."""


def gradient_shapes(config):
    """The shapes of a model's variables with both heads, a list of `tf.TensorShape`; `config`: an `AlbertConfig`."""
    from albert_hvd.model.encoder import named_variables
    from albert_hvd.model.pretraining_model import AlbertPretrainer

    return [variable.shape for variable in named_variables(AlbertPretrainer(config)).values()]


def num_gradient_values(config):
    """How many values these have together, counted without TensorFlow. The layers share theirs."""
    hidden, intermediate, embedding = config.hidden_size, config.intermediate_size, config.embedding_size
    has_wide_embeddings = config.architecture == "brightmart"
    width = hidden if has_wide_embeddings else embedding
    embeddings = (config.vocab_size * embedding + (config.max_position_embeddings + config.type_vocab_size) * width +
                  2 * width + embedding * hidden + (0 if has_wide_embeddings else hidden))
    layer = 4 * _dense(hidden, hidden) + _dense(hidden, intermediate) + _dense(intermediate, hidden) + 4 * hidden
    heads = _dense(hidden, hidden) + _dense(hidden, 2) + _dense(hidden, width) + 2 * width + config.vocab_size
    return embeddings + layer + heads


def _dense(inputs, outputs):
    return inputs * outputs + outputs

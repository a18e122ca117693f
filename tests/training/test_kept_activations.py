"""What the backward pass keeps of the forward pass, counted in the graph: the batch plan's estimate is on the safe side."""

import dataclasses

import pytest
import tensorflow as tf
from small_batches import random_batch

from albert_hvd.model.config import AlbertConfig
from albert_hvd.model.encoder import named_variables
from albert_hvd.model.pretraining_model import AlbertPretrainer
from albert_hvd.training.batch_plan import activation_bytes_per_row

CONFIG = AlbertConfig(vocab_size=200, embedding_size=16, hidden_size=64, num_hidden_layers=1, num_attention_heads=4,
                      intermediate_size=256, max_position_embeddings=128)
LENGTH = 128
SAME_MEMORY = ("Reshape", "Identity", "IdentityN", "ExpandDims", "Squeeze")


def kept_bytes(config, rows, precision, recompute):
    """Bytes of the tensors that are made before the loss is known and read after it, weights among them."""
    model = AlbertPretrainer(config, compute_dtype=tf.dtypes.as_dtype(precision), static_shapes=True, recompute=recompute)
    batch = random_batch(config, rows, LENGTH, [LENGTH] * rows)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            sums = model(batch, None)
            loss = tf.identity(sums.masked_lm_loss + sums.sentence_loss, name="the_loss")
        return tape.gradient(loss, list(named_variables(model).values()))

    operations = step.get_concrete_function().graph.get_operations()  # in the order in which they were made
    border = 1 + [operation.name for operation in operations].index("the_loss")
    before = {output.ref() for operation in operations[:border] for output in operation.outputs}
    kept = {origin(tensor).ref() for operation in operations[border:] for tensor in operation.inputs
            if tensor.ref() in before}
    return sum(tensor.deref().shape.num_elements() * tensor.deref().dtype.size for tensor in kept)


def origin(tensor):
    """The tensor whose memory this one shares."""
    while tensor.op.type in SAME_MEMORY:
        tensor = tensor.op.inputs[tensor.value_index if tensor.op.type == "IdentityN" else 0]
    return tensor


def layer_bytes(config, precision, recompute):
    """What a further layer keeps of one row."""
    deeper = dataclasses.replace(config, num_hidden_layers=config.num_hidden_layers + 1)
    return sum(sign * kept_bytes(sizes, rows, precision, recompute)
               for sizes, rows, sign in ((deeper, 2, 1), (deeper, 1, -1), (config, 2, -1), (config, 1, 1)))


@pytest.mark.parametrize("architecture, precision", [("albert", "float32"), ("albert", "bfloat16"),
                                                     ("brightmart", "float32")])
def test_a_layer_keeps_less_than_the_estimate_and_with_recomputation_its_input(architecture, precision):
    config = dataclasses.replace(CONFIG, architecture=architecture)
    value_bytes = tf.dtypes.as_dtype(precision).size
    deeper = dataclasses.replace(config, num_hidden_layers=config.num_hidden_layers + 1)
    estimate = (activation_bytes_per_row(deeper, LENGTH, precision) - activation_bytes_per_row(config, LENGTH, precision))
    assert layer_bytes(config, precision, recompute=True) == LENGTH * config.hidden_size * value_bytes
    assert estimate / 3 < layer_bytes(config, precision, recompute=False) < estimate

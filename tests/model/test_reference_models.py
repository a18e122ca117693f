"""Our model against numbers computed with the two original projects' own code."""

import numpy as np
import pytest
import tensorflow as tf

from albert_hvd.model.config import AlbertConfig
from albert_hvd.model.encoder import at_positions, flat_positions, named_variables
from albert_hvd.model.pretraining_model import AlbertPretrainer
from albert_hvd.serving.formats import tf1
from model_folders import FOLDERS

# The projects divide by the sum of weights plus this.
REFERENCE_EPSILON = 1e-5


@pytest.fixture(params=sorted(FOLDERS))
def reference(request, fixtures):
    """(model with the reference weights, batch, expected outputs, expected gradients)."""
    architecture = request.param
    folder = fixtures / FOLDERS[architecture]
    loaded = AlbertConfig.from_json_file(str(folder / "config.json")).to_dict()
    config = AlbertConfig(**{**loaded, "architecture": architecture})
    model = AlbertPretrainer(config)
    variables = named_variables(model)
    arrays = tf1.read_checkpoint(str(folder / "model.ckpt"), variables, architecture)
    assert arrays.keys() == variables.keys()
    for path, variable in variables.items():
        variable.assign(arrays[path])
    inputs = np.load(folder / "inputs.npz")
    batch = {name: tf.constant(inputs[name].astype(np.int32 if inputs[name].dtype == np.int64 else np.float32))
             for name in inputs.files if name != "sentence_labels"}
    batch["next_sentence_labels"] = tf.constant(inputs["sentence_labels"].astype(np.int32))
    batch["sentence_weights"] = tf.ones_like(batch["next_sentence_labels"], tf.float32)
    return model, batch, np.load(folder / "expected.npz"), np.load(folder / "gradients.npz")


def test_outputs_match(reference):
    model, batch, expected, _ = reference
    sequence_output, pooled_output = model.encoder(*(batch[name] for name in ("input_ids", "input_mask", "segment_ids")))
    np.testing.assert_allclose(sequence_output, expected["sequence_output"], atol=1e-5)
    np.testing.assert_allclose(pooled_output[:, 0], expected["pooled_output"], atol=1e-5)
    positions = flat_positions(batch["masked_lm_positions"], sequence_output.shape[1])
    logits = model.masked_lm_logits(at_positions(sequence_output, positions))
    np.testing.assert_allclose(tf.nn.log_softmax(logits), expected["masked_lm_log_probs"], atol=1e-5)
    log_probs = tf.nn.log_softmax(model.sentence_logits(pooled_output)[:, 0])
    np.testing.assert_allclose(log_probs, expected["sentence_log_probs"], atol=1e-5)


def _reference_loss(model, batch):
    sums = model(batch)
    masked_lm_loss = sums.masked_lm_loss / (sums.masked_lm_weight + REFERENCE_EPSILON)
    return masked_lm_loss, sums.sentence_loss / sums.sentence_weight


def test_losses_and_every_gradient_match(reference):
    model, batch, expected, gradients = reference
    variables = named_variables(model)
    with tf.GradientTape() as tape:
        masked_lm_loss, sentence_loss = _reference_loss(model, batch)
        loss = masked_lm_loss + sentence_loss
    np.testing.assert_allclose(masked_lm_loss, expected["masked_lm_loss"], atol=1e-5)
    np.testing.assert_allclose(sentence_loss, expected["sentence_loss"], atol=1e-5)
    ours = tape.gradient(loss, list(variables.values()))
    for path, gradient in zip(variables, ours):
        name = tf1.tf1_name(path, model.config.architecture)
        np.testing.assert_allclose(tf1.to_tf1_layout(path, tf.convert_to_tensor(gradient).numpy()),
                                   gradients[f"grad:{name}"], atol=1e-5, err_msg=name)
    assert len(variables) == len(gradients.files)

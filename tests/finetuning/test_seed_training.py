"""One update: divided by the weight of the batch, with rates by depth."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from albert_hvd.finetuning.seed_training import TaskStep
from albert_hvd.finetuning.task_model import TaskModel, depth_of
from albert_hvd.finetuning.tasks import task_class
from albert_hvd.model.encoder import named_variables
from albert_hvd.training.optimizer import AdamW
from albert_hvd.training.optimizers import layerwise


def make_step(config, name="classification", decay=1.0, head="linear", layers="last", **optimizer):
    model = TaskModel(config, task_class(name)(["a", "b", "c"], head, layers=layers), seed=1)
    values = {"learning_rate": 0.01, "num_train_steps": 100, "clip_norm": 0.0, "weight_decay": 0.0, **optimizer}
    made = layerwise(AdamW, decay, depth_of)(**values)
    made.build(model.trained_variables())
    return model, TaskStep(model, made, train_batch_size=4)


def make_batch(rows=4, width=1, seed=0):
    random = np.random.default_rng(seed)
    lengths = random.integers(3, 9, rows)
    mask = (np.arange(8) < lengths[:, None]).astype(np.int32)
    return {"input_ids": random.integers(5, 50, (rows, 8)).astype(np.int32), "input_mask": mask,
            "segment_ids": np.zeros_like(mask), "positions": np.tile(np.arange(width, dtype=np.int32), (rows, 1)),
            "labels": random.integers(0, 3, (rows, width)).astype(np.int32),
            "weights": random.uniform(0.5, 2, (rows, width)).astype(np.float32)}


def values_of(model):
    return {path: variable.numpy() for path, variable in named_variables(model).items()}


def test_the_loss_is_divided_by_the_weights(tiny_config):
    model, step = make_step(tiny_config)
    batch = make_batch()
    with tf.GradientTape() as tape:
        logits = model.logits(batch)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch["labels"], logits)
        loss = tf.reduce_sum(losses * batch["weights"]) / batch["weights"].sum()
    gradients = [tf.convert_to_tensor(gradient) for gradient in
                 tape.gradient(loss, list(model.trained_variables().values()))]
    result = step([batch], (0, 0), stop=False)
    assert result.loss / result.weight == pytest.approx(float(loss), rel=1e-5)
    assert result.grad_norm == pytest.approx(float(tf.linalg.global_norm(gradients)), rel=1e-4)
    assert result.real_tokens == batch["input_mask"].sum() and result.positions == 32
    assert (result.stop, result.skipped, result.bad_steps) == (0, 0, 0)


def test_rows_of_padding_change_nothing(tiny_config):
    results, weights = [], []
    for extra in (0, 2):
        model, step = make_step(tiny_config, epsilon=0.01)  # a gradient that is only rounding moves nothing
        batch = {name: np.concatenate([array, array[:extra] * (name != "weights")]) for name, array in
                 make_batch().items()}
        if extra:
            batch["input_mask"][-extra:] = 1
        results.append(step([batch], (0, 0), stop=True)._replace(positions=0))
        weights.append(values_of(model))
    assert results[0] == pytest.approx(results[1], rel=1e-5) and results[0].stop == 1
    for path, value in weights[0].items():
        np.testing.assert_allclose(weights[1][path], value, atol=1e-5, err_msg=path)


@pytest.mark.parametrize("head", ["linear", "crf"])
def test_micro_batches_come_to_the_update_of_the_whole(tiny_config, head):
    batch = make_batch(rows=5, width=3)
    batch["weights"] = np.ones_like(batch["weights"])
    parts = [{name: array[start:end] for name, array in batch.items()} for start, end in ((0, 2), (2, 3), (3, 5))]
    results, weights = [], []
    for micro_batches in ([batch], parts):
        model, step = make_step(tiny_config, "tagging", head=head, epsilon=0.01)
        results.append(step(micro_batches, (0, 0), stop=False))
        weights.append(values_of(model))
    assert results[1] == pytest.approx(results[0], rel=1e-5)
    for path, value in weights[0].items():
        np.testing.assert_allclose(weights[1][path], value, atol=1e-6, err_msg=path)


def test_each_micro_batch_has_a_dropout_of_its_own(tiny_config):
    config = dataclasses.replace(tiny_config, hidden_dropout_prob=0.5)
    losses = []
    for micro_batches in ([make_batch()], [make_batch()] * 2):
        _, step = make_step(config)
        losses.append(step(micro_batches, (3, 4), stop=False).loss)
    assert losses[1] != pytest.approx(2 * losses[0], rel=1e-4)


def test_a_batch_is_learned(tiny_config):
    for name, head in (("classification", "linear"), ("tagging", "linear"), ("tagging", "crf")):
        _, step = make_step(tiny_config, name, head=head, num_train_steps=1000)
        batch = make_batch(width=1 if name == "classification" else 3)
        if head == "crf":
            batch["weights"] = np.ones_like(batch["weights"])
        losses = [step([batch], (0, 0), stop=False).loss for _ in range(40)]
        assert losses[-1] < 0.3 * losses[0], (name, head)
        assert step._gradients.experimental_get_tracing_count() == 1


def test_layerwise_rates(tiny_config):
    """Adam's first step has the size of the learning rate, whatever the gradient."""
    model, step = make_step(tiny_config, decay=0.1, layers="sum")
    before = values_of(model)
    rate = step([make_batch()], (0, 0), stop=False).learning_rate
    for path, value in values_of(model).items():
        moved = np.abs(value - before[path]).max()
        if not path.endswith("key/bias"):  # it adds the same to all scores of a query: no gradient
            assert moved == pytest.approx(rate * 0.1 ** depth_of(path), rel=0.05), path
    assert (depth_of("head/kernel"), depth_of("encoder/pooler/bias"), depth_of("encoder/layer/output/kernel"),
            depth_of("encoder/embeddings/projection/kernel")) == (0, 0, 1, 2)


def test_every_variable_has_a_depth(tiny_config):
    model, _ = make_step(tiny_config, "tagging", head="crf", layers="sum")
    assert {depth_of(path) for path in named_variables(model)} == {0, 1, 2}


def test_a_loss_that_is_not_finite_is_skipped(tiny_config):
    model, step = make_step(tiny_config)
    before = values_of(model)
    batch = {**make_batch(), "weights": np.full([4, 1], np.inf, np.float32)}
    result = step([batch], (0, 0), stop=False)
    assert (result.skipped, result.bad_steps) == (1, 1)
    for path, value in values_of(model).items():
        np.testing.assert_array_equal(value, before[path])

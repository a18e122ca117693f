"""The model of a task: what its scores depend on, its heads, and windows of one text put together."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from albert_hvd.finetuning.batches import pad
from albert_hvd.finetuning.encoding import Rows
from albert_hvd.finetuning.heads import LinearHead
from albert_hvd.finetuning.scoring import Scorer
from albert_hvd.finetuning.task_model import TaskModel
from albert_hvd.finetuning.tasks import TASK_NAMES, task_class
from albert_hvd.finetuning.tasks.base import LAYERS, POOLINGS
from albert_hvd.model.encoder import Dropout, named_variables

LABELS = ["a", "b", "c"]
PAD = 0


def make_model(config, name, head="linear", seed=3, **choices):
    task = task_class(name)(LABELS, head, max_seq_length=16, **choices)
    model = TaskModel(config, task, seed)
    random = np.random.default_rng(seed)
    for path, variable in named_variables(model).items():
        if path.startswith("head/"):
            variable.assign(random.normal(0, 1, variable.shape))
    return model, task


def make_rows(one_slot, seed=0):
    """Seven rows of 3 to 16 pieces; the last two belong to one example."""
    random = np.random.default_rng(seed)
    ids = [np.int32([3, *random.integers(5, 50, n), 4]) for n in (1, 14, 5, 5, 9, 14, 3)]
    positions = [np.zeros(1, np.int32) if one_slot else
                 np.sort(random.choice(len(i) - 2, min(3, len(i) - 2), False) + 1).astype(np.int32) for i in ids]
    example = np.array([0, 1, 2, 3, 4, 5, 5])
    counts = np.array([len(p) for p in positions])
    first = example if one_slot else np.concatenate([[0], np.cumsum(counts)[:-1]])
    slots = np.ones(6, np.int64) if one_slot else np.bincount(example, counts).astype(np.int64)
    return Rows(ids, positions, first, example, slots, 16, 1, 0)


def test_a_third_task_is_one_file():
    assert {"classification", "emotion", "pos", "tagging"} <= set(TASK_NAMES)
    assert all(task_class(name).name == name for name in TASK_NAMES)


def test_a_task_has_a_pooling_of_its_own():
    assert [task_class(name)(LABELS).pooling for name in ("classification", "emotion", "tagging", "pos")] == [
        "first", "first", "mean", "mean"]
    assert task_class("pos")(LABELS, pooling="first").pooling == "first"


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("name, head", [("classification", "linear"), ("tagging", "linear"), ("tagging", "crf")])
def test_padding_and_neighbours_do_not_matter(tiny_config, name, head, pooling, layers):
    model, task = make_model(tiny_config, name, head, pooling=pooling, layers=layers)
    rows = make_rows(task.uses_pooler)
    together = Scorer(model, task, PAD, batch_size=7)(rows)
    alone = Scorer(model, task, PAD + 7, batch_size=1)(rows)
    np.testing.assert_array_equal(together.labels, alone.labels)
    np.testing.assert_allclose(together.probabilities, alone.probabilities, atol=1e-5)


def test_the_mean_is_that_of_the_real_pieces(tiny_config):
    model, _ = make_model(tiny_config, "classification", pooling="mean")
    input_ids, length = np.int32([[3, 7, 8, 4, PAD, PAD]]), 4
    mask = (np.arange(6) < length).astype(np.int32)[None]
    scores = model(input_ids, mask, np.zeros_like(input_ids), np.int32([[0]]))
    outputs, _ = model.encoder(input_ids, mask, np.zeros_like(input_ids))
    np.testing.assert_allclose(scores[:, 0], model.head(outputs[:, :length].numpy().mean(axis=1)), atol=1e-5)
    assert not any("pooler" in path for path in model.trained_variables())


def test_the_mean_of_a_word_ends_at_the_next_word_or_at_sep(tiny_config):
    model, _ = make_model(tiny_config, "tagging", pooling="mean")
    input_ids = np.int32([[3, 7, 8, 9, 10, 11, 4, PAD], [3, 5, 4, PAD, PAD, PAD, PAD, PAD]])
    mask = (np.arange(8) < [[7], [3]]).astype(np.int32)
    scores = model(input_ids, mask, np.zeros_like(input_ids), np.int32([[1, 2, 4], [1, 0, 0]]))
    outputs = model.encoder(input_ids, mask, np.zeros_like(input_ids))[0].numpy()
    for (row, word), (start, end) in {(0, 0): (1, 2), (0, 1): (2, 4), (0, 2): (4, 6), (1, 0): (1, 2)}.items():
        mean = outputs[row, start:end].mean(axis=0, keepdims=True)
        np.testing.assert_allclose(scores[row, word], model.head(mean)[0], atol=1e-5)


@pytest.mark.parametrize("name", ["classification", "tagging"])
def test_the_sum_of_layers_begins_with_the_embeddings(tiny_config, name):
    model, _ = make_model(tiny_config, name, layers="sum")
    weights = np.float32([3, *range(1, tiny_config.num_hidden_layers + 1)])
    np.testing.assert_array_equal(model.layers.weights, np.ones(len(weights)))
    model.layers.weights.assign(weights)
    input_ids = np.int32([[3, 7, 8, 4]])
    segments, mask = np.zeros_like(input_ids), np.ones_like(input_ids)
    first = model.encoder.embeddings(input_ids, segments, None, tf.float32, Dropout(0.0, None))
    states = [first, *model.encoder.hidden_states(input_ids, mask, segments)[1:]]
    total = sum(weight * state.numpy() for weight, state in zip(weights, states, strict=True))
    position = 0 if name == "classification" else 2
    read = total[:, position:position + 1]
    expected = model.head(model.encoder.pooled(read) if name == "classification" else read)
    np.testing.assert_allclose(model(input_ids, mask, segments, np.int32([[position]])), expected, atol=1e-4)
    assert "layers/weights" in model.trained_variables()


def test_windows_of_a_text_are_averaged(tiny_config):
    model, task = make_model(tiny_config, "classification")
    rows = make_rows(one_slot=True)
    scores = Scorer(model, task, PAD)(rows, np.array([0, 1, 2, 0, 1, 2]))
    apart = dataclasses.replace(rows, first_slot=np.arange(7), example=np.arange(7), num_slots=np.ones(7, np.int64))
    each = Scorer(model, task, PAD)(apart).probabilities
    np.testing.assert_allclose(scores.probabilities[:5], each[:5], atol=1e-6)
    np.testing.assert_allclose(scores.probabilities[5], each[5:].mean(axis=0), atol=1e-6)
    assert scores.loss == pytest.approx(-np.log(scores.probabilities[range(6), [0, 1, 2, 0, 1, 2]]).sum(), abs=1e-4)


@pytest.mark.parametrize("head", ["linear", "crf"])
def test_shares_of_ranks_add_up(tiny_config, head):
    model, task = make_model(tiny_config, "tagging", head)
    rows = make_rows(one_slot=False)
    gold = np.random.default_rng(2).integers(0, 3, rows.num_slots.sum())
    scorer = Scorer(model, task, PAD, batch_size=2)
    whole = scorer(rows, gold)
    shares = [scorer(rows, gold, rank, 3) for rank in range(3)]
    assert (np.sum([share.labels >= 0 for share in shares], axis=0) == 1).all()
    np.testing.assert_array_equal(np.max([share.labels for share in shares], axis=0), whole.labels)
    assert sum(share.loss for share in shares) == pytest.approx(whole.loss, abs=1e-4)


def test_a_slot_that_was_cut_off_has_no_label(tiny_config):
    model, task = make_model(tiny_config, "tagging")
    rows = make_rows(one_slot=False)
    rows = dataclasses.replace(rows, num_slots=rows.num_slots + np.array([0, 0, 0, 0, 0, 2]))
    scores = Scorer(model, task, PAD)(rows)
    assert list(np.flatnonzero(scores.labels < 0)) == [len(scores.labels) - 2, len(scores.labels) - 1]


def test_scoring_stops_when_asked(tiny_config):
    model, task = make_model(tiny_config, "classification")
    answers = iter([False, True])
    assert Scorer(model, task, PAD, batch_size=3)(make_rows(True), should_stop=lambda: next(answers)) is None


def test_the_model_is_traced_once(tiny_config):
    model, task = make_model(tiny_config, "tagging")
    scorer = Scorer(model, task, PAD)
    for seed in range(4):
        scorer(make_rows(one_slot=False, seed=seed))
    assert scorer._score.experimental_get_tracing_count() == 1


def test_a_task_trains_what_it_uses(tiny_config):
    tagging, _ = make_model(tiny_config, "tagging", "crf")
    assert set(named_variables(tagging)) - set(tagging.trained_variables()) == {
        "encoder/pooler/kernel", "encoder/pooler/bias"}
    assert {f"head/{name}" for name in ("kernel", "bias", "transitions", "start", "end")} <= set(
        tagging.trained_variables())
    classifier, _ = make_model(tiny_config, "classification")
    assert set(classifier.trained_variables()) == set(named_variables(classifier))


def test_a_crf_without_transitions_is_the_linear_head(tiny_config):
    crf, task = make_model(tiny_config, "tagging", "crf")
    linear, _ = make_model(tiny_config, "tagging")
    for path, variable in named_variables(linear).items():
        variable.assign(named_variables(crf)[path])
    for part in (crf.head.transitions, crf.head.start, crf.head.end):
        part.assign(tf.zeros_like(part))
    batch = pad(make_rows(one_slot=False), np.arange(7), PAD)
    logits = linear.logits(batch)
    np.testing.assert_allclose(crf.head.loss(logits, batch["labels"], batch["weights"]),
                               linear.head.loss(logits, batch["labels"], batch["weights"]), rtol=1e-5)
    is_slot = batch["weights"] > 0
    np.testing.assert_array_equal(crf.head.decode(logits, batch["weights"]).numpy()[is_slot],
                                  linear.head.decode(logits, batch["weights"]).numpy()[is_slot])


def test_the_linear_loss_by_hand():
    head = LinearHead(2, 3, tf.zeros)
    logits = tf.math.log(tf.constant([[[.5, .25, .25], [.1, .2, .7], [1., 1., 1.]]]))
    loss = head.loss(logits, tf.constant([[0, 2, 1]]), tf.constant([[1., 3., 0.]]))
    assert float(loss) == pytest.approx(-np.log(.5) - 3 * np.log(.7), abs=1e-6)
    assert head.decode(logits, None).numpy().tolist() == [[0, 2, 0]]


def test_dropout_is_for_training_and_follows_from_its_seed(tiny_config):
    task = task_class("classification")(LABELS)
    model = TaskModel(dataclasses.replace(tiny_config, hidden_dropout_prob=0.3), task, head_dropout=0.5)
    batch = pad(make_rows(one_slot=True), np.arange(7), PAD)
    plain, again = model.logits(batch), model.logits(batch)
    np.testing.assert_array_equal(plain, again)
    dropped = [model.logits(batch, tf.constant(seed)).numpy() for seed in ([1, 2], [1, 2], [1, 3])]
    np.testing.assert_array_equal(dropped[0], dropped[1])
    assert np.abs(dropped[0] - dropped[2]).max() > 1e-4 and np.abs(dropped[0] - plain).max() > 1e-4

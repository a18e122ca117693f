"""Scores of a model: padding and neighbours do not matter, windows of one text are put together, ranks share."""

import dataclasses

import numpy as np
import pytest
from small_tasks import make_task_model, make_task_rows

from albert_hvd.finetuning.evaluation import Scorer
from albert_hvd.finetuning.tasks import LAYERS, POOLINGS

PAD = 0


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("name, head", [("classification", "linear"), ("tagging", "linear"), ("tagging", "crf")])
def test_padding_and_neighbours_do_not_matter(tiny_config, name, head, pooling, layers):
    model, task = make_task_model(tiny_config, name, head, pooling=pooling, layers=layers)
    rows = make_task_rows(task.uses_pooler)
    together = Scorer(model, task, PAD, batch_size=7)(rows)
    alone = Scorer(model, task, PAD + 7, batch_size=1)(rows)
    np.testing.assert_array_equal(together.labels, alone.labels)
    np.testing.assert_allclose(together.probabilities, alone.probabilities, atol=1e-5)



def test_windows_of_a_text_are_averaged(tiny_config):
    model, task = make_task_model(tiny_config, "classification")
    rows = make_task_rows(one_slot=True)
    scores = Scorer(model, task, PAD)(rows, np.array([0, 1, 2, 0, 1, 2]))
    apart = dataclasses.replace(rows, first_slot=np.arange(7), example=np.arange(7), num_slots=np.ones(7, np.int64))
    each = Scorer(model, task, PAD)(apart).probabilities
    np.testing.assert_allclose(scores.probabilities[:5], each[:5], atol=1e-6)
    np.testing.assert_allclose(scores.probabilities[5], each[5:].mean(axis=0), atol=1e-6)
    assert scores.loss == pytest.approx(-np.log(scores.probabilities[range(6), [0, 1, 2, 0, 1, 2]]).sum(), abs=1e-4)



@pytest.mark.parametrize("head", ["linear", "crf"])
def test_shares_of_ranks_add_up(tiny_config, head):
    model, task = make_task_model(tiny_config, "tagging", head)
    rows = make_task_rows(one_slot=False)
    gold = np.random.default_rng(2).integers(0, 3, rows.num_slots.sum())
    scorer = Scorer(model, task, PAD, batch_size=2)
    whole = scorer(rows, gold)
    shares = [scorer(rows, gold, rank, 3) for rank in range(3)]
    assert (np.sum([share.labels >= 0 for share in shares], axis=0) == 1).all()
    np.testing.assert_array_equal(np.max([share.labels for share in shares], axis=0), whole.labels)
    assert sum(share.loss for share in shares) == pytest.approx(whole.loss, abs=1e-4)



def test_a_slot_that_was_cut_off_has_no_label(tiny_config):
    model, task = make_task_model(tiny_config, "tagging")
    rows = make_task_rows(one_slot=False)
    rows = dataclasses.replace(rows, num_slots=rows.num_slots + np.array([0, 0, 0, 0, 0, 2]))
    scores = Scorer(model, task, PAD)(rows)
    assert list(np.flatnonzero(scores.labels < 0)) == [len(scores.labels) - 2, len(scores.labels) - 1]



def test_scoring_stops_when_asked(tiny_config):
    model, task = make_task_model(tiny_config, "classification")
    answers = iter([False, True])
    assert Scorer(model, task, PAD, batch_size=3)(make_task_rows(True), should_stop=lambda: next(answers)) is None



def test_the_model_is_traced_once(tiny_config):
    model, task = make_task_model(tiny_config, "tagging")
    scorer = Scorer(model, task, PAD)
    for seed in range(4):
        scorer(make_task_rows(one_slot=False, seed=seed))
    assert scorer._score.experimental_get_tracing_count() == 1

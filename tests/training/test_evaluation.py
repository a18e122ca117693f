"""Which evaluation of a run counts as the best."""

import math

import pytest

from albert_hvd.training.evaluation import BestEvaluation, results_of


def test_the_lowest_loss_is_the_best_and_the_others_are_counted():
    best = BestEvaluation()
    seen = [best.add(step, loss) for step, loss in ((10, 3.0), (20, 2.0), (30, 2.0), (40, 2.5))]
    assert seen == [True, True, False, False]
    assert best == BestEvaluation(last_step=40, best_step=20, best_loss=2.0, evaluations_since_best=2)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_never_the_best(loss):
    best = BestEvaluation()
    assert not best.add(10, loss)
    assert best.add(20, 5.0)
    assert not best.add(30, loss)
    assert best.best_step == 20


def test_sums_are_divided_once():
    assert results_of([6.0, 1.0, 4.0, 3.0, 2.0, 2.0]) == {
        "loss": 3.0, "masked_lm_loss": 1.5, "masked_lm_accuracy": 0.25, "next_sentence_loss": 1.5,
        "next_sentence_accuracy": 1.0}

"""Accuracy, F1, the confusion matrix, what seeds come to, and the tables that are printed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albert_hvd.finetuning.metrics import (best_seed, confusion_of, confusion_table, label_table, metrics_of_confusion,
                                           metrics_of_values, summary, summary_table)


def test_by_hand():
    confusion = confusion_of([0, 0, 0, 1, 1], [0, 0, 1, 1, 2], 4)
    assert confusion.tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    metrics = metrics_of_confusion(confusion, list("abcd"))
    assert metrics["accuracy"] == 3 / 5 and metrics["count"] == 5
    assert metrics["labels"]["a"] == {"precision": 1.0, "recall": 2 / 3, "f1": 4 / 5, "support": 3}
    assert metrics["labels"]["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    # c is predicted once and counts; d never occurs and does not.
    assert metrics["macro_f1"] == pytest.approx((4 / 5 + 1 / 2 + 0) / 3)
    assert metrics["confusion"] == confusion.tolist()


def test_nothing_scored():
    metrics = metrics_of_confusion(np.zeros([2, 2], np.int64), ["a", "b"])
    assert (metrics["accuracy"], metrics["macro_f1"], metrics["count"]) == (0.0, 0.0, 0)


@settings(max_examples=50, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_equal_to_scikit_learn(pairs):
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    gold, predicted = map(list, zip(*pairs, strict=True))
    metrics = metrics_of_confusion(confusion_of(gold, predicted, 5), list("abcde"))
    assert metrics["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(gold, predicted))
    assert metrics["macro_f1"] == pytest.approx(sklearn_metrics.f1_score(gold, predicted, average="macro"))
    precision, recall, f1, support = sklearn_metrics.precision_recall_fscore_support(
        gold, predicted, labels=range(5), zero_division=0)
    for number, label in enumerate("abcde"):
        assert list(metrics["labels"][label].values()) == pytest.approx(
            [precision[number], recall[number], f1[number], support[number]])


def test_correlations_by_hand():
    metrics = metrics_of_values([1, 2, 3, 4], [1, 3, 2, 5])
    assert metrics == {"pearson": pytest.approx(5.5 / np.sqrt(5 * 8.75)), "spearman": pytest.approx(0.8),
                       "mse": pytest.approx(3 / 4), "count": 4}
    # Ranks 0, 1.5, 1.5, 3 and 0, 1, 2, 3.
    assert metrics_of_values([1, 2, 2, 9], [5, 6, 7, 8])["spearman"] == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert metrics_of_values([1, 2], [3, 3])["pearson"] == metrics_of_values([], [])["spearman"] == 0.0


@settings(max_examples=50, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=40))
def test_correlations_are_equal_to_scipys(pairs):
    scipy_stats = pytest.importorskip("scipy.stats")
    gold, predicted = map(list, zip(*pairs, strict=True))
    if len(set(gold)) > 1 and len(set(predicted)) > 1:
        metrics = metrics_of_values(gold, predicted)
        assert metrics["pearson"] == pytest.approx(scipy_stats.pearsonr(gold, predicted)[0], abs=1e-9)
        assert metrics["spearman"] == pytest.approx(scipy_stats.spearmanr(gold, predicted)[0], abs=1e-9)


def test_tables():
    figures = metrics_of_confusion([[8, 2], [1, 9]], ["NOUN", "X"])
    assert label_table(figures["labels"]) == ["      precision  recall      f1  support",
                                    "NOUN     0.8889  0.8000  0.8421       10",
                                    "X        0.8182  0.9000  0.8571       10"]
    assert confusion_table(figures) == ["true / predicted  NOUN  X",
                                        "NOUN                 8  2",
                                        "X                    1  9"]
    result = {"name": "tiny", "parameters": 70, "seeds": [1, 2],
              "summary": {"valid": {name: {"mean": 0.85, "spread": 0.012} for name in ("accuracy", "macro_f1")},
                          "test": None},
              "baselines": [{"name": "majority", "parameters": 1, "valid": {"accuracy": 0.5, "macro_f1": 1 / 3}}]}
    assert summary_table(result) == ["                 valid accuracy   valid macro-F1  parameters",
                                     "tiny (2 seeds)  0.8500 ± 0.0120  0.8500 ± 0.0120          70",
                                     "majority                 0.5000           0.3333           1"]


def test_mean_and_spread():
    metrics = [{"accuracy": a, "macro_f1": f} for a, f in ((0.5, 0.4), (0.7, 0.6), (0.9, 0.2))]
    found = summary(metrics)
    assert found["accuracy"] == {"mean": pytest.approx(0.7), "spread": pytest.approx(0.2)}
    assert found["macro_f1"] == {"mean": pytest.approx(0.4), "spread": pytest.approx(0.2)}
    assert summary(metrics[:1])["accuracy"] == {"mean": 0.5, "spread": None}


def test_the_best_seed_is_chosen_on_the_validation_part():
    results = [{"seed": seed, "valid": {"accuracy": a, "macro_f1": f}, "test": {"accuracy": 1 - a, "macro_f1": 1 - f}}
               for seed, a, f in ((3, 0.5, 0.6), (1, 0.7, 0.5), (2, 0.7, 0.4))]
    assert best_seed(results, "accuracy") == 1 and best_seed(results, "macro_f1") == 3

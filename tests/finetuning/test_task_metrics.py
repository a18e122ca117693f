"""Accuracy, F1 and the confusion matrix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albert_hvd.finetuning.metrics import confusion_of, metrics_of_confusion


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

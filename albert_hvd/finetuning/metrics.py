"""Figures of a confusion matrix; see `results.py` for where they are written."""

import numpy as np


def confusion_of(gold, predicted, num_labels):
    """Counts, int64 (L, L): rows are the true labels, columns the predicted ones.

    Args:
      gold, predicted: int arrays of the same shape with values in [0, L).
    """
    pairs = np.asarray(gold, np.int64) * num_labels + np.asarray(predicted, np.int64)
    return np.bincount(pairs.ravel(), minlength=num_labels ** 2).reshape(num_labels, num_labels)


def metrics_of_confusion(confusion, labels):
    """Accuracy, macro-F1, and precision, recall and F1 of each label.

    F1 is 2 TP / (2 TP + FP + FN). The macro-F1 is the plain mean over the labels that occur, as true or as
    predicted ones; a label that never occurs has figures of 0 and does not count.

    Args:
      confusion: int64 (L, L), rows are the true labels.
      labels: L names.

    Returns:
      dict with `accuracy`, `macro_f1`, `count`, `labels` ({name: {precision, recall, f1, support}}) and
      `confusion` as lists.
    """
    confusion = np.asarray(confusion, np.int64)
    hits, support, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = hits / np.maximum(predicted, 1), hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(support + predicted, 1)
    occurs = support + predicted > 0
    total = int(confusion.sum())
    return {
        "accuracy": float(hits.sum() / max(total, 1)),
        "macro_f1": float(f1[occurs].mean()) if occurs.any() else 0.0,
        "count": total,
        "labels": {name: {"precision": float(precision[i]), "recall": float(recall[i]), "f1": float(f1[i]),
                          "support": int(support[i])} for i, name in enumerate(labels)},
        "confusion": confusion.tolist(),
    }

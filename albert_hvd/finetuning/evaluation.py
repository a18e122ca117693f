"""Figures of one part of the data, over all ranks, each slot counted once."""

import numpy as np
import tensorflow as tf

from albert_hvd.finetuning.metrics import confusion_of, metrics_of_confusion
from albert_hvd.runtime import distributed


def evaluate(scorer, task, part, should_stop=None):
    """Score a part with all ranks together.

    Args:
      scorer: `scoring.Scorer`.
      task: `tasks.base.Task`.
      part: `task_data.Part`.
      should_stop: see `Scorer.__call__`.

    Returns:
      (metrics of the whole part, equal on all ranks: `metrics_of_confusion` with `loss`, nats a slot;
      this rank's `scoring.SlotScores`), or None when it was given up.
    """
    scores = scorer(part.rows, part.gold, distributed.rank(), distributed.size(), should_stop)
    if scores is None:
        return None
    scored = scores.labels >= 0
    confusion = confusion_of(part.gold[scored], scores.labels[scored], len(task.labels))
    sums = np.concatenate([confusion.ravel().astype(np.float64), [scores.loss]])
    *confusion, loss = distributed.sum_over_ranks(tf.constant(sums), name="task_evaluation").numpy()
    confusion = np.array(confusion).reshape(len(task.labels), -1).round().astype(np.int64)
    metrics = metrics_of_confusion(confusion, task.labels)
    return {"loss": float(loss) / max(metrics["count"], 1), **metrics}, scores


def prediction_records(task, part, scores):
    """All predictions of a part as JSON-able dicts, in its order, on rank 0; None on the others, which must ask too."""
    mine = np.flatnonzero(scores.labels >= 0)
    everywhere = distributed.gather_objects((mine, scores.labels[mine], scores.probabilities[mine]), "predictions")
    if distributed.rank() != 0:
        return None
    labels, probabilities = np.full_like(scores.labels, -1), np.zeros_like(scores.probabilities)
    for slots, labels_there, probabilities_there in everywhere:
        labels[slots], probabilities[slots] = labels_there, probabilities_there
    records, start = [], 0
    for example in part.examples:
        end = start + len(example.labels)
        names = [task.labels[label] if label >= 0 else None for label in labels[start:end]]
        records.append(task.record(example.inputs, names, probabilities[start:end], example.labels))
        start = end
    return records

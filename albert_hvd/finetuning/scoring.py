"""A model's labels for rows: windows of one text put together, every slot scored once."""

import dataclasses

import numpy as np
import tensorflow as tf

from albert_hvd.finetuning.batches import pad, scoring_batches, slot_numbers
from albert_hvd.finetuning.task_model import BATCH


@dataclasses.dataclass(frozen=True)
class SlotScores:
    """What a model says of the slots of all examples; see `encoding.Rows`.

    Attributes:
      labels: int32 (slots,): number of the predicted label; -1 where a slot was cut off or is another rank's.
      probabilities: float32 (slots, L), the mean of the windows' where a text has several; 0 where the label is
        -1. A CRF's labels are those of the likeliest sequence; these are the shares of its emissions.
      loss: negative log-likelihood of the gold labels in nats, summed over the scored slots; None without them.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    loss: float = None


class Scorer:
    """Runs one model over rows, compiled once.

    Args:
      model: `TaskModel`.
      task: its `tasks.base.Task`.
      pad_id: of the vocabulary.
      batch_size: rows of a batch of all ranks together.
    """

    def __init__(self, model, task, pad_id, batch_size=64):
        self._model, self._num_labels, self._head = model, len(task.labels), task.head
        self._pad_id, self._batch_size = pad_id, batch_size
        self._score = tf.function(self._scores_of, autograph=False, input_signature=[BATCH])

    def _scores_of(self, batch):
        logits = self._model.logits(batch)
        return (tf.nn.softmax(logits), self._model.head.decode(logits, batch["weights"]),
                self._model.head.loss(logits, batch["labels"], batch["weights"]))

    def __call__(self, rows, gold=None, rank=0, size=1, should_stop=None):
        """Score this rank's share of the examples: those whose number is `rank` modulo `size`.

        Args:
          rows: `encoding.Rows`.
          gold: int (slots,), the true labels; None: not known.
          should_stop: function without arguments with the same answer on all ranks, asked before each batch;
            once it is true, the result is None.

        Returns:
          `SlotScores`.
        """
        num_slots = int(rows.num_slots.sum())
        probabilities = np.zeros([num_slots, self._num_labels], np.float32)
        decoded = np.full(num_slots, -1, np.int32)
        windows = np.zeros(num_slots, np.int64)
        sequence_loss = 0.0
        for numbers in scoring_batches(rows.lengths, self._batch_size, size):
            if should_stop and should_stop():
                return None
            numbers = numbers[rows.example[numbers] % size == rank]
            if not len(numbers):
                continue
            batch = pad(rows, numbers, self._pad_id, gold)
            is_slot, slots = batch["weights"] > 0, slot_numbers(rows, numbers)
            shares, labels, loss = (tensor.numpy() for tensor in self._score(batch))
            np.add.at(probabilities, slots, shares[is_slot])
            np.add.at(windows, slots, 1)
            decoded[slots] = labels[is_slot]
            sequence_loss += float(loss)
        return self._put_together(probabilities, windows, decoded, gold, sequence_loss)

    def _put_together(self, probabilities, windows, decoded, gold, sequence_loss):
        """Divide by the number of windows; a CRF has one for each slot and knows its labels and loss already."""
        scored = windows > 0
        probabilities[scored] /= windows[scored, None]
        if self._head == "crf":
            return SlotScores(decoded, probabilities, None if gold is None else sequence_loss)
        labels = np.where(scored, probabilities.argmax(axis=1), -1).astype(np.int32)
        if gold is None:
            return SlotScores(labels, probabilities)
        likelihoods = probabilities[scored, np.asarray(gold)[scored]].astype(np.float64)
        return SlotScores(labels, probabilities, float(-np.log(np.maximum(likelihoods, 1e-30)).sum()))

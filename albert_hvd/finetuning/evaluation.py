"""What a model comes to: its labels for rows, the figures of a part of the data, and the final look at a seed's best.

Windows of one text are put together and every slot is scored once, over all ranks.
"""

import dataclasses
import json

import numpy as np
import tensorflow as tf

from albert_hvd.finetuning.batches import pad, slot_numbers
from albert_hvd.finetuning.entities import entity_counts, metrics_of_entities
from albert_hvd.finetuning.metrics import confusion_of, metrics_of_confusion, metrics_of_values
from albert_hvd.finetuning.task_model import TaskModel, read_weights
from albert_hvd.model.encoder import named_variables
from albert_hvd.runtime import distributed
from albert_hvd.runtime.files import whole_file
from albert_hvd.serving.packed_batches import batches_at_a_time, overlapped, packed_batches


@dataclasses.dataclass(frozen=True)
class SlotScores:
    """What a model says of the slots of all examples; see `encoding.Rows`.

    Attributes:
      labels: int32 (slots,): number of the predicted label; -1 where a slot was cut off or is another rank's.
      probabilities: float32 (slots, L), the mean of the windows' where a text has several; 0 where the label is
        -1. A CRF's labels are those of the likeliest sequence; these are the shares of its emissions. A regression has
        its values here, (slots, 1).
      loss: negative log-likelihood of the gold labels in nats, or squared errors, summed over the scored slots; None
        without gold labels.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    loss: float = None


class Scorer:
    """Runs one model over rows, compiled once.

    Args:
      model: `TaskModel`.
      task: its `tasks.Task`.
      pad_id: of the vocabulary.
      batch_size: rows of a batch of all ranks together.
    """

    def __init__(self, model, task, pad_id, batch_size=64):
        self._model, self._num_labels, self._head = model, len(task.labels), task.head
        self._pad_id, self._batch_size = pad_id, batch_size
        self._is_regression, self._at_a_time = task.is_regression, batches_at_a_time(model.config.hidden_size)
        layout = tf.TensorSpec([None, None], tf.int32, name="layout")
        self._score = tf.function(self._scores_of, autograph=False, input_signature=[
            {**model.batch_signature, "layout": layout}])

    def _scores_of(self, batch):
        logits = self._model.logits(batch)
        return (self._model.head.shares(logits), self._model.head.decode(logits, batch["weights"]),
                self._model.head.loss(logits, batch["labels"], batch["weights"]))

    def __call__(self, rows, gold=None, rank=0, size=1, should_stop=None):
        """Score this rank's share of the examples: those whose number is `rank` modulo `size`.

        Args:
          rows: `encoding.Rows`.
          gold: int (slots,), the true labels, or float32, the true values; None: not known.
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
        known = np.zeros(num_slots, np.float32) if gold is None and self._is_regression else gold
        interrupted = []

        def batches_before_a_stop():
            for batch in self._batches(rows, rank, size):
                if should_stop and should_stop():
                    interrupted.append(True)
                    return
                if batch is not None:
                    yield batch

        def compute(batch):
            padded = pad(rows, batch.numbers, self._pad_id, known)
            layout = batch.layout(padded["input_ids"].shape[1])
            shares, labels, loss = (tensor.numpy() for tensor in self._score({**padded, "layout": layout}))
            is_slot = padded["weights"] > 0
            return slot_numbers(rows, batch.numbers), shares[is_slot], labels[is_slot], float(loss)

        for slots, shares, labels, loss in overlapped(compute, batches_before_a_stop(), self._at_a_time):
            np.add.at(probabilities, slots, shares)
            np.add.at(windows, slots, 1)
            decoded[slots] = labels
            sequence_loss += loss
        if interrupted:
            return None
        return self._put_together(probabilities, windows, decoded, gold, sequence_loss)

    def _batches(self, rows, rank, size):
        """This rank's batches, then None for each that another rank has more: all ask `should_stop` equally often."""
        lengths, most_rows, batches = rows.lengths, -(-self._batch_size // size), []
        for other in range(size):
            numbers = np.flatnonzero(rows.example % size == other)
            packed = packed_batches(lengths[numbers], most_rows, at_a_time=self._at_a_time)
            batches.append([batch._replace(numbers=numbers[batch.numbers]) for batch in packed])
        return batches[rank] + [None] * (max(map(len, batches)) - len(batches[rank]))

    def _put_together(self, probabilities, windows, decoded, gold, sequence_loss):
        """Divide by the number of windows; a CRF has one for each slot and knows its labels and loss already."""
        scored = windows > 0
        probabilities[scored] /= windows[scored, None]
        if self._head == "crf":
            return SlotScores(decoded, probabilities, None if gold is None else sequence_loss)
        labels = np.where(scored, probabilities.argmax(axis=1), -1).astype(np.int32)
        if gold is None:
            return SlotScores(labels, probabilities)
        if self._is_regression:
            errors = probabilities[scored, 0].astype(np.float64) - np.asarray(gold)[scored]
            return SlotScores(labels, probabilities, float(np.square(errors).sum()))
        likelihoods = probabilities[scored, np.asarray(gold)[scored]].astype(np.float64)
        return SlotScores(labels, probabilities, float(-np.log(np.maximum(likelihoods, 1e-30)).sum()))


def evaluate(scorer, task, part, should_stop=None):
    """Score a part with all ranks together.

    Args:
      scorer: `Scorer`.
      task: `tasks.Task`.
      part: `task_data.Part`.
      should_stop: see `Scorer.__call__`.

    Returns:
      (metrics of the whole part, equal on all ranks: `metrics_of_confusion` with `loss`, nats a slot, and
      `metrics_of_entities` where tags mark some; or `metrics_of_values` with `loss`, the mean squared error; this
      rank's `SlotScores`), or None when it was interrupted.
    """
    scores = scorer(part.rows, part.gold, distributed.rank(), distributed.size(), should_stop)
    if scores is None:
        return None
    scored = scores.labels >= 0
    if task.is_regression:
        return _evaluate_values(part.gold[scored], scores.probabilities[scored, 0]), scores
    confusion = confusion_of(part.gold[scored], scores.labels[scored], len(task.labels))
    types = task.entity_types if task.is_tagging else ()
    entities = entity_counts(*_scored_tags(task, part, scores), types) if types else np.zeros([0, 3], np.int64)
    sums = np.concatenate([confusion.ravel(), entities.ravel(), [scores.loss]]).astype(np.float64)
    sums = distributed.sum_over_ranks(tf.constant(sums), name="task_evaluation").numpy()
    confusion, entities = (counts.round().astype(np.int64) for counts in np.split(sums[:-1], [confusion.size]))
    metrics = metrics_of_confusion(confusion.reshape(len(task.labels), -1), task.labels)
    if types:
        metrics.update(metrics_of_entities(entities.reshape(-1, 3), types))
    return {"loss": float(sums[-1]) / max(metrics["count"], 1), **metrics}, scores


def _scored_tags(task, part, scores):
    """The true and the predicted tags of each sentence of this rank, without words that were cut off."""
    gold, predicted, ends = [], [], np.cumsum(part.rows.num_slots)
    for start, end in zip(ends - part.rows.num_slots, ends, strict=True):
        slots = start + np.flatnonzero(scores.labels[start:end] >= 0)
        gold.append([task.labels[label] for label in part.gold[slots]])
        predicted.append([task.labels[label] for label in scores.labels[slots]])
    return gold, predicted


def _evaluate_values(gold, predicted):
    """The metrics of a regression over all ranks; each has its share of true and predicted values, float32 (n,)."""
    everywhere = distributed.gather_objects((gold, predicted), "values")
    metrics = metrics_of_values(*(np.concatenate(values) for values in zip(*everywhere, strict=True)))
    return {"loss": metrics["mse"], **metrics}


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


class FinalLook:
    """Evaluates the selected models of one job, compiled once: the figures of results.json and the predictions.

    The weights are read back from the folder that is kept and computed with in float32, as `bin/predict` does, so
    that the figures are those of the model that a user gets. The test part is looked at here and nowhere else.

    Args:
      job: `job.Job`.
    """

    def __init__(self, job):
        self._job = job
        self._model = TaskModel(job.first_weights.config, job.task, seed=None)
        self._scorer = Scorer(self._model, job.task, job.first_weights.tokenizer.pad_id, job.options.eval_batch_size)

    @property
    def num_parameters(self):
        """Of encoder and head."""
        return sum(variable.shape.num_elements() for variable in named_variables(self._model).values())

    def __call__(self, model_folder, predictions_file, should_stop):
        """Evaluate the model in `model_folder` and write what it predicts for the test, else the validation part.

        Returns:
          {"valid": metrics, "test": metrics or None}, equal on all ranks; None when it was interrupted.
        """
        job = self._job
        distributed.on_rank_0(lambda: read_weights(model_folder, self._model, "output_dir"), "read_best")
        distributed.broadcast_variables(list(named_variables(self._model).values()))
        metrics = {"test": None}
        for name in ("valid", "test"):
            part = getattr(job.data, name)
            if part is None:
                continue
            result = evaluate(self._scorer, job.task, part, should_stop)
            if result is None:
                return None
            metrics[name], scores = result
        records = prediction_records(job.task, part if part is not None else job.data.valid, scores)
        if records is not None:
            with whole_file(predictions_file, "output_dir") as file:
                file.writelines(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)
        return metrics

"""Held-out losses and accuracies, over all ranks, each record counted once.

Numerators and denominators are summed over the whole file and divided once: the figures do not
depend on the batch size nor on the number of ranks.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from albert_hvd.data.batches.rows import evaluation_batches
from albert_hvd.model.pretraining_model import LossSums
from albert_hvd.runtime import distributed

# Enough records to know the frequencies of the pieces to within a few per cent.
FREQUENCY_RECORDS = 20000


class Evaluator:
    """Evaluates one model, compiled once.

    Args:
      model: an `AlbertPretrainer`.
      dataset: a `dataset.RecordDataset`.
      eval_batch_size: rows of all ranks together; rounded up to a multiple of their number.
      max_eval_steps: batches to read at most; 0 reads the whole file.
      xla: compile it with XLA; the model must have static shapes then.
    """

    def __init__(self, model, dataset, eval_batch_size, max_eval_steps=0, xla=False):
        size = distributed.size()
        self._dataset = dataset
        self._eval_batch_size = -(-eval_batch_size // size) * size
        self._max_eval_steps = max_eval_steps or None
        # XLA compiles the whole for each width; the parts of a model that it compiles on a CPU take a second for all widths.
        self._width_step = 0 if xla else max(8, dataset.max_seq_length // 8)
        self._sums = tf.function(lambda batch, passes: tf.stack(model(batch, passes=passes)), jit_compile=xla or None,
                                 autograph=False, reduce_retracing=True)

    def __call__(self, should_stop=None, passes=None):
        """The results, equal on all ranks: dict with the keys of `eval_results.json` but the step.

        Args:
          should_stop: optional function without arguments, with the same answer on all ranks, asked before
            each batch; once it is true, the evaluation is interrupted and the result is None.
          passes: see `AlbertEncoder.hidden_states`.
        """
        total, last = np.zeros(len(LossSums._fields), np.float64), None
        for batch in evaluation_batches(self._dataset, self._eval_batch_size, distributed.rank(),
                                        distributed.size(), self._max_eval_steps, self._width_step):
            if should_stop and should_stop():
                return None
            # Read one batch late: a GPU goes on with the next one meanwhile.
            sums, last = last, self._sums({name: tf.constant(array) for name, array in batch.items()}, passes)
            total += 0.0 if sums is None else sums.numpy()
        total += 0.0 if last is None else last.numpy()
        total = distributed.sum_over_ranks(tf.constant(total), name="evaluation").numpy()
        return results_of(total)


def results_of(sums):
    """Divide the sums of `pretrainer.LossSums` into the figures of `eval_results.json`."""
    masked_lm_loss, masked_lm_hits, masked_lm_weight, sentence_loss, sentence_hits, sentence_weight = map(float, sums)
    masked_lm_weight, sentence_weight = max(masked_lm_weight, 1.0), max(sentence_weight, 1.0)
    results = {
        "masked_lm_accuracy": masked_lm_hits / masked_lm_weight,
        "masked_lm_loss": masked_lm_loss / masked_lm_weight,
        "next_sentence_accuracy": sentence_hits / sentence_weight,
        "next_sentence_loss": sentence_loss / sentence_weight,
    }
    return {"loss": results["masked_lm_loss"] + results["next_sentence_loss"], **results}


@dataclasses.dataclass
class BestEvaluation:
    """Which of a run's evaluations has had the lowest loss; part of a checkpoint's state.

    Attributes:
      last_step: step of the last evaluation; 0 before the first.
      best_step, best_loss: step and loss of the best; 0 and None before the first with a finite loss.
      evaluations_since_best: how many came after the best.
      passes: through the shared layer, in the last evaluation; those with fewer are no measure for it.
    """

    last_step: int = 0
    best_step: int = 0
    best_loss: float = None
    evaluations_since_best: int = 0
    passes: int = 0

    def add(self, step, loss, passes=0):
        """Enter an evaluation; returns whether it is the best so far with so many passes."""
        if passes != self.passes:
            self.best_step, self.best_loss, self.evaluations_since_best, self.passes = 0, None, 0, passes
        self.last_step = step
        if math.isfinite(loss) and (self.best_loss is None or loss < self.best_loss):
            self.best_step, self.best_loss, self.evaluations_since_best = step, loss, 0
            return True
        self.evaluations_since_best += 1
        return False


def unigram_loss(train_dataset, dataset, vocab_size, max_train_records=None):
    """Cross-entropy in nats of predicting masked pieces by their frequency in the training records.

    What a model must beat: it looks at no context.

    Args:
      max_train_records: look at so many of them only, as `unigram_log_probs` does.
    """
    counts = masked_piece_counts(dataset, vocab_size, np.arange(dataset.num_records))
    log_probs = unigram_log_probs(train_dataset, vocab_size, max_train_records)
    return float(-(counts * log_probs).sum() / max(counts.sum(), 1.0))


def unigram_log_probs(dataset, vocab_size, max_records=None):
    """Log frequencies of the masked pieces: float64 (V,).

    One is added to each count, so that a piece that was not seen has a finite loss.

    Args:
      max_records: look at so many records only, evenly spread over the data; None: at all.
    """
    num_records = min(max_records or dataset.num_records, dataset.num_records)
    numbers = np.linspace(0, dataset.num_records - 1, num_records).astype(np.int64)
    counts = masked_piece_counts(dataset, vocab_size, numbers) + 1.0
    return np.log(counts) - np.log(counts.sum())


def masked_piece_counts(dataset, vocab_size, record_numbers, rows_at_once=512):
    """How often each piece is a masked label in these records: float64 (V,)."""
    counts = np.zeros(vocab_size, np.float64)
    for start in range(0, len(record_numbers), rows_at_once):
        batch = dataset.read(record_numbers[start:start + rows_at_once])
        # A weight that is not finite spoils the update of its batch, which is skipped, and nothing else.
        weights = np.nan_to_num(batch["masked_lm_weights"].ravel(), nan=0.0, posinf=0.0, neginf=0.0)
        counts += np.bincount(batch["masked_lm_ids"].ravel(), weights, vocab_size)
    return counts

"""The sums of the steps between two lines of the log."""

from albert_hvd.model.pretraining_model import LossSums, SourceSums
from albert_hvd.training.evaluation import results_of


class MetricsWindow:
    """Adds up steps; `record` divides once and starts again.

    Speed is measured over whole steps, from asking for a batch to having its update, and without
    the first step of the process, which compiles the graph.

    Args:
      train_batch_size: rows of a step.
      sources: names of the sources of a mixture.
    """

    def __init__(self, train_batch_size, sources=()):
        self._train_batch_size, self._sources = train_batch_size, sources
        self._compiled = False
        self._clear()

    def _clear(self):
        self._sums = [0.0] * len(LossSums._fields)
        self._by_source = [0.0] * (len(SourceSums._fields) * len(self._sources))
        self._timed_steps = 0
        self._timed_sequences = self._timed_tokens = self._seconds = self._wait_seconds = 0.0
        self._checkpoint_stall_sec = 0.0
        self._last = None

    def add(self, result, seconds, wait_seconds):
        """Add a step.

        Args:
          result: `step.StepResult`.
          seconds, wait_seconds: duration of the step, and the part of it spent waiting for data.
        """
        self._sums = [total + value for total, value in zip(self._sums, result)]
        self._by_source = [total + value for total, value in zip(self._by_source, result.by_source)]
        self._last = result
        if self._compiled:
            self._timed_steps += 1
            self._timed_sequences += result.sentence_weight
            self._timed_tokens += result.real_tokens
            self._seconds += seconds
            self._wait_seconds += wait_seconds
        self._compiled = True

    def add_checkpoint_stall(self, seconds):
        """Add the time in which training stood still for a checkpoint; it is no part of a step."""
        self._checkpoint_stall_sec += seconds

    def record(self, step, max_seq_length, elapsed_sec):
        """The log record of the steps added since the last one; throughput is 0 when none was timed."""
        results = results_of(self._sums)
        rate = 1.0 / self._seconds if self._timed_steps else 0.0
        rows_per_sec = self._timed_steps * self._train_batch_size * rate
        record = {
            "step": step, "loss": results["loss"], "masked_lm_loss": results["masked_lm_loss"],
            "sentence_loss": results["next_sentence_loss"],
            "masked_lm_accuracy": results["masked_lm_accuracy"],
            "sentence_accuracy": results["next_sentence_accuracy"],
            "learning_rate": self._last.learning_rate, "grad_norm": self._last.grad_norm,
            "sequences_per_sec": self._timed_sequences * rate,
            "tokens_per_sec": rows_per_sec * max_seq_length,
            "real_tokens_per_sec": self._timed_tokens * rate,
            "data_wait_fraction": self._wait_seconds * rate, "elapsed_sec": elapsed_sec,
            "checkpoint_stall_sec": self._checkpoint_stall_sec,
        }
        if self._sources:
            record["sources"] = self._results_by_source()
        self._clear()
        return record

    def _results_by_source(self):
        """{name: its share of the records, and its losses}; a source without a record has the share 0 alone."""
        count, results = len(self._sources), {}
        columns = [self._by_source[start:start + count] for start in range(0, len(self._by_source), count)]
        for name, *sums in zip(self._sources, *columns):
            sums = SourceSums(*sums)
            results[name] = {"share": sums.sentence_weight / max(sum(columns[-1]), 1.0)}
            if sums.sentence_weight:
                masked_lm_loss = sums.masked_lm_loss / max(sums.masked_lm_weight, 1.0)
                sentence_loss = sums.sentence_loss / sums.sentence_weight
                results[name].update(loss=masked_lm_loss + sentence_loss, masked_lm_loss=masked_lm_loss,
                                     sentence_loss=sentence_loss)
        return results

"""The training loop of one seed: steps, log lines, an evaluation after each epoch, and checkpoints.

Every decision rests on values that are the same on all ranks, so that all evaluate, save and stop together.
"""

import os
import time

from albert_hvd.run_folder.layout import EVAL_LOG, TRAIN_LOG
from albert_hvd.run_folder.logs import JsonLines
from albert_hvd.runtime import distributed


class SeedLoop:
    """Trains one `SeedTraining` until its end or a signal.

    Args:
      training: `SeedTraining`.
      task: `tasks.base.Task`.
      log_every_steps, save_checkpoints_steps: the flags.
      stop_request: an entered `StopRequest`.
    """

    def __init__(self, training, task, log_every_steps, save_checkpoints_steps, stop_request):
        self._training, self._task, self._stop_request = training, task, stop_request
        self._log_every_steps, self._save_every_steps = log_every_steps, save_checkpoints_steps
        self._log = self._eval_log = None
        if distributed.rank() == 0:
            self._log, self._eval_log = (JsonLines(os.path.join(training.folder, name), training.position)
                                         for name in (TRAIN_LOG, EVAL_LOG))
        self._compiled = False
        self._clear_window()

    def _clear_window(self):
        self._loss = self._weight = self._tokens = self._positions = self._seconds = 0.0

    def run(self):
        """Returns whether a signal ended the training."""
        try:
            return self._train()
        finally:
            if self._log:
                self._log.close()
                self._eval_log.close()
            self._training.close()

    def _train(self):
        training = self._training
        began = time.monotonic() - training.elapsed_sec
        stopped = self._stop_request.agreed()
        # A signal may have interrupted the evaluation that was due at the step of the checkpoint.
        if not stopped and training.at_end_of_epoch and training.evaluations.last_step < training.position:
            stopped = not self._evaluate()
            training.save()
        while not stopped and not training.is_over():
            started = time.monotonic()
            result = training.run_step(bool(self._stop_request.name))
            self._add(result, time.monotonic() - started)
            training.elapsed_sec = time.monotonic() - began
            stopped = result.stop > 0
            ending = stopped or training.at_end_of_epoch
            saving = ending or training.position % self._save_every_steps == 0
            # A line wherever a checkpoint may be: a resumed run then has the same lines as one that never stopped.
            if saving or training.position % self._log_every_steps == 0:
                self._write_log(result)
            if training.at_end_of_epoch and not stopped:
                stopped = not self._evaluate()
            if saving:
                training.save()
        return stopped

    def _add(self, result, seconds):
        """Add a step to the window; the first of the process compiles the graph and is not timed."""
        self._loss += result.loss
        self._weight += result.weight
        if self._compiled:
            self._tokens += result.real_tokens
            self._positions += result.positions
            self._seconds += seconds
            self._training.real_tokens += result.real_tokens
            self._training.timed_sec += seconds
        self._compiled = True

    def _write_log(self, result):
        training = self._training
        rate = 1.0 / self._seconds if self._seconds else 0.0
        epochs = training.position / training.batches_per_epoch
        record = {"step": training.position, "epoch": epochs, "loss": self._loss / max(self._weight, 1e-6),
                  "learning_rate": result.learning_rate, "grad_norm": result.grad_norm,
                  "tokens_per_sec": self._positions * rate, "real_tokens_per_sec": self._tokens * rate,
                  "elapsed_sec": training.elapsed_sec}
        self._clear_window()
        if self._log:
            self._log.write(record)
            print(f"seed {training.seed}  {100 * training.position / training.num_train_steps:3.0f}%  "
                  f"step {record['step']}  epoch {epochs:.2f}  loss {record['loss']:.4f}  "
                  f"lr {record['learning_rate']:.3g}  {record['real_tokens_per_sec']:.0f} real tok/s", flush=True)

    def _evaluate(self):
        """Evaluate and log it; returns False when a signal interrupted it."""
        training = self._training
        result = training.evaluate(self._stop_request.agreed)
        if result is None:
            return False
        metrics, is_best = result
        epoch = training.position // training.batches_per_epoch
        record = {name: metrics[name] for name in ("loss", "accuracy", "macro_f1")}
        if self._log:
            self._eval_log.write({"step": training.position, "epoch": epoch, **record, "is_best": is_best})
            print(f"seed {training.seed}  epoch {epoch}: validation " +
                  "  ".join(f"{name} {value:.4f}" for name, value in record.items()) +
                  f"{'  (best ' + self._task.select_by + ' so far)' if is_best else ''}", flush=True)
        return True

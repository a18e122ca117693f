"""The seeds of one job, in turn: the training loop of each, and what all of them come to.

The loop makes steps, log lines, an evaluation after each epoch, and checkpoints. Every decision rests on values that
are the same on all ranks, so that all evaluate, save and stop together.
"""

import os
import socket
import time

from albert_hvd.errors import InputError, RunFailed, StoppedBySignal
from albert_hvd.finetuning import baselines
from albert_hvd.finetuning.evaluation import FinalLook
from albert_hvd.finetuning.metrics import TITLES, best_seed, figures, job_result, metric_lines, summary_table
from albert_hvd.finetuning.seed_training import SeedTraining
from albert_hvd.finetuning.task_model import copy_task_model
from albert_hvd.run_folder.layout import EVAL_LOG, TRAIN_LOG
from albert_hvd.run_folder.logs import JsonLines, write_status
from albert_hvd.run_folder.task_results import read_seed_result, write_result
from albert_hvd.runtime import distributed
from albert_hvd.runtime.files import make_folder


def _folder(job, seed):
    return os.path.join(job.options.output_dir, f"seed-{seed}")


def finished_seeds(job):
    """{seed: result} of those of a `job.Job` that were finished before.

    Raises: InputError for a result that cannot be read, or that lacks a figure which all of them must have.
    """
    found = {seed: read_seed_result(_folder(job, seed)) for seed in job.options.seeds}
    found = {seed: result for seed, result in found.items() if result is not None}
    for seed, result in found.items():
        lacking = [TITLES[name] for name in job.task.metric_names if name not in result.get("valid", ())]
        if lacking:
            raise InputError(f"seed {seed} was scored without {' and '.join(lacking)}, by an earlier version",
                             f"remove the folder {_folder(job, seed)} to train that seed again, or give another one",
                             name="output_dir", value=job.options.output_dir)
    return found


class Seeds:
    """The seeds of one job, in turn.

    Args:
      job: `job.Job`.
      stop_request: an entered `StopRequest`.
    """

    def __init__(self, job, stop_request):
        self._job, self._stop_request = job, stop_request
        self._final_look = FinalLook(job)

    def run(self):
        """Train what is not trained yet, then write the results; see `finetune.finetune`."""
        results = []
        finished = distributed.on_rank_0(lambda: finished_seeds(self._job), "read_seeds")
        for seed in self._job.options.seeds:
            result = finished.get(seed)
            if result is None:
                result = self._train_seed(seed, _folder(self._job, seed))
            else:
                self._say(f"seed {seed}: finished before")
            results.append(result)
        if distributed.rank() == 0:
            self._finish(results)
        distributed.barrier()

    def _train_seed(self, seed, folder):
        """Train a seed and look at its best model; returns its result, equal on all ranks."""
        options = self._job.options
        distributed.on_rank_0(lambda: make_folder(folder, "output_dir"), "make_seed_folder")
        training = SeedTraining(self._job, seed, folder)
        self._say(f"seed {seed}: {training.origin}")
        self._write_status(training, "running", "")
        try:
            stopped = SeedLoop(training, self._job.task, options.log_every_steps, options.save_checkpoints_steps,
                               self._stop_request).run()
            metrics = None if stopped else self._final_look(
                training.model_folder, os.path.join(folder, "predictions.jsonl"), self._stop_request.agreed)
        except BaseException as error:
            self._report_failure(training, error)
            raise
        if metrics is None:
            self._stop(training)
        return self._finish_seed(training, metrics)

    def _finish_seed(self, training, metrics):
        best_step = training.evaluations.best_step
        result = {"seed": training.seed, "best_epoch": best_step // training.batches_per_epoch,
                  "steps": training.position, "seconds": round(training.elapsed_sec, 1),
                  "real_tokens_per_sec": training.real_tokens / training.timed_sec if training.timed_sec else 0.0,
                  **metrics}
        if distributed.rank() == 0:
            write_result(training.folder, result)
        self._write_status(training, "finished", f"best epoch {result['best_epoch']}")
        names = self._job.task.metric_names
        scores = "; ".join(f"{part} {figures(metrics[part], names)}" for part in ("valid", "test") if metrics[part])
        self._say(f"seed {training.seed}: epoch {result['best_epoch']} is the best; {scores}")
        return distributed.broadcast_object(result, "seed_result")

    def _stop(self, training):
        name = self._stop_request.name
        self._write_status(training, "stopped", name or "signal to another rank")
        self._say(f"stopped in seed {training.seed} at step {training.position} by "
                  f"{name or 'a signal to another rank'}: run the same command to continue")
        distributed.barrier()
        raise StoppedBySignal

    def _finish(self, results):
        """Baselines, the best model and results.json (rank 0)."""
        job, folder = self._job, self._job.options.output_dir
        best = best_seed(results, job.task.select_by)
        copy_task_model(os.path.join(folder, f"seed-{best}", "model"), os.path.join(folder, "model"))
        data = job.data
        labels = None if job.task.is_regression else job.task.labels
        found = baselines.run(job.task.kind, labels, data.train.examples, data.valid.examples,
                              data.test.examples if data.test else None, job.baselines)
        result = job_result(job, results, found, self._final_look.num_parameters, distributed.size())
        write_result(folder, result)
        shown = "test" if data.test else "valid"
        metrics = next(one for one in results if one["seed"] == best)[shown]
        lines = [f"seed {best}, {shown} part, {metrics['count']} labels:", *metric_lines(metrics),
                 *summary_table(result)]
        print("\n".join(["", *lines, "", f"finished: {folder} (model of seed {best} in {folder}/model)"]), flush=True)
        write_status(folder, "finished", results[-1]["steps"], f"{len(results)} seeds")

    def _write_status(self, training, state, reason):
        if distributed.rank() == 0:
            write_status(training.folder, state, training.position, reason)
            if state != "finished":  # of the job, only `_finish` knows
                write_status(self._job.options.output_dir, state, training.position,
                             f"seed {training.seed}{': ' * bool(reason)}{reason}")

    def _report_failure(self, training, error):
        """Whichever rank fails leaves word of it; the launcher may end rank 0 before it knows."""
        reason = str(error) if isinstance(error, RunFailed) else f"{type(error).__name__}: {error}"
        place = f"seed {training.seed}, rank {distributed.rank()} on {socket.gethostname()}"
        try:
            write_status(self._job.options.output_dir, "failed", training.position, f"{place}: {reason}")
        except InputError:
            pass  # the disk may be full; what is being raised says more

    @staticmethod
    def _say(line):
        if distributed.rank() == 0:
            print(line, flush=True)


class SeedLoop:
    """Trains one `SeedTraining` until its end or a signal.

    Args:
      training: `SeedTraining`.
      task: `tasks.Task`.
      log_every_steps, save_checkpoints_steps: the flags.
      stop_request: an entered `StopRequest`.
    """

    def __init__(self, training, task, log_every_steps, save_checkpoints_steps, stop_request):
        self._training, self._task, self._stop_request = training, task, stop_request
        self._log_every_steps, self._save_every_steps = log_every_steps, save_checkpoints_steps
        self._log = self._eval_log = None
        if distributed.rank() == 0:
            self._log = JsonLines(os.path.join(training.folder, TRAIN_LOG), training.position)
            # An evaluation that is made up for may have been logged before, but not saved.
            self._eval_log = JsonLines(os.path.join(training.folder, EVAL_LOG),
                                       training.position - self._evaluation_is_missing())
        self._compiled = False
        self._clear_window()

    def _evaluation_is_missing(self):
        """Whether a signal has interrupted the one that was due at the step of the checkpoint."""
        training = self._training
        return training.at_end_of_epoch and training.evaluations.last_step < training.position

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
        if not stopped and self._evaluation_is_missing():
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
        record = {name: metrics[name] for name in ("loss", *self._task.metric_names)}
        if self._log:
            self._eval_log.write({"step": training.position, "epoch": epoch, **record, "is_best": is_best})
            print(f"seed {training.seed}  epoch {epoch}: validation " +
                  "  ".join(f"{name} {value:.4f}" for name, value in record.items()) +
                  f"{'  (best ' + self._task.select_by + ' so far)' if is_best else ''}", flush=True)
        return True

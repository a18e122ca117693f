"""The seeds of one job, in turn, and what all of them come to."""

import os
import socket

from albert_hvd.errors import InputError, RunFailed, StoppedBySignal
from albert_hvd.finetuning import baselines
from albert_hvd.finetuning.final_look import FinalLook
from albert_hvd.finetuning.results import best_seed, job_result, read_seed_result, write_result
from albert_hvd.finetuning.seed_loop import SeedLoop
from albert_hvd.finetuning.seed_training import SeedTraining
from albert_hvd.finetuning.tables import confusion_table, label_table, summary_table
from albert_hvd.finetuning.task_folder import copy_task_model
from albert_hvd.run_folder.logs import write_status
from albert_hvd.runtime import distributed
from albert_hvd.runtime.files import make_folder


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
        for seed in self._job.options.seeds:
            folder = os.path.join(self._job.options.output_dir, f"seed-{seed}")
            result = distributed.on_rank_0(lambda: read_seed_result(folder), "read_seed")
            if result is None:
                result = self._train_seed(seed, folder)
            else:
                self._say(f"seed {seed}: finished before")
            results.append(result)
        if distributed.rank() == 0:
            self._finish(results)
        distributed.barrier()

    def _train_seed(self, seed, folder):
        """Train a seed and look at its best model; returns its result, equal on all ranks."""
        options = self._job.options
        distributed.on_rank_0(lambda: make_folder(folder, "--output_dir"), "make_seed_folder")
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
        figures = "; ".join(f"{part} accuracy {metrics[part]['accuracy']:.4f}, macro-F1 {metrics[part]['macro_f1']:.4f}"
                            for part in ("valid", "test") if metrics[part])
        self._say(f"seed {training.seed}: epoch {result['best_epoch']} is the best; {figures}")
        return distributed.broadcast_object(result, "seed_result")

    def _stop(self, training):
        name = self._stop_request.name
        self._write_status(training, "stopped", name or "signal to another rank")
        self._say(f"stopped in seed {training.seed} at step {training.position} by "
                  f"{name or 'a signal to another rank'}: run the same command to go on")
        distributed.barrier()
        raise StoppedBySignal

    def _finish(self, results):
        """Baselines, the best model and results.json (rank 0)."""
        job, folder = self._job, self._job.options.output_dir
        best = best_seed(results, job.task.select_by)
        copy_task_model(os.path.join(folder, f"seed-{best}", "model"), os.path.join(folder, "model"))
        data = job.data
        found = baselines.run(job.task.kind, job.task.labels, data.train.examples, data.valid.examples,
                              data.test.examples if data.test else None, job.baselines)
        result = job_result(job, results, found, self._final_look.num_parameters, distributed.size())
        write_result(folder, result)
        shown = "test" if data.test else "valid"
        metrics = next(one for one in results if one["seed"] == best)[shown]
        lines = [f"seed {best}, {shown} part, {metrics['count']} labels:", *label_table(metrics), "",
                 *confusion_table(metrics), "", *summary_table(result)]
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

"""The training loop: steps, log lines, evaluations and checkpoints, until the end or a signal.

Every decision rests on values that are the same on all ranks (flags, the results of a step or of an
evaluation, a stop agreed upon), so that all ranks evaluate, save and leave together.
"""

import collections
import dataclasses
import socket

from albert_hvd.errors import InputError, RunFailed, StoppedBySignal, parameter
from albert_hvd.run_folder.corpus_facts import read_corpus_facts
from albert_hvd.run_folder.logs import write_status
from albert_hvd.runtime import distributed
from albert_hvd.training.console import TrainLog
from albert_hvd.training.plateau import PlateauWatch
from albert_hvd.training.profiling import StepProfiler, parse_profile_steps
from albert_hvd.training.reporters import open_reporters
from albert_hvd.training.schedule import is_due


class TrainingLoop:
    """Runs one `Training` to its end.

    Args:
      training: `setup.Training`.
      stop_request: an entered `StopRequest`.
      stall_watch: an entered `StallWatch`.
    """

    def __init__(self, training, stop_request, stall_watch):
        self._training, self._options = training, training.options
        self._stop_request, self._stall_watch = stop_request, stall_watch
        self._log = None
        if distributed.rank() == 0:
            total = (dict(total=self._options.train_minutes, unit="min") if training.schedule.by_time
                     else dict(total=self._options.num_train_steps, unit="step"))
            self._log = TrainLog(self._options.output_dir, training.step, training.share(), **total,
                                 reporters=open_reporters(self._options, dataclasses.asdict(self._options)),
                                 evaluation_is_missing=training.evaluation_is_missing())
            self._plateau = PlateauWatch(self._options, read_corpus_facts(self._options.output_dir))
        steps = parse_profile_steps(self._options.profile_steps, self._options.num_train_steps)
        self._profiler = StepProfiler(self._options.output_dir, steps, is_rank_0=distributed.rank() == 0)
        training.start_clock()

    def run(self):
        """Train until the last step, an early stop or a signal.

        Raises:
          StoppedBySignal: after SIGTERM, SIGUSR1 or SIGINT to any rank, with a checkpoint saved.
          RunFailed: the gradients were not finite `max_bad_steps` times in a row, or a checkpoint
            could not be written.
        """
        training = self._training
        if self._log:
            write_status(self._options.output_dir, "running", training.step)
        try:
            stopped = self._train()
            training.finish_saving()
        except BaseException as error:
            self._report_failure(error)
            raise
        finally:
            self._profiler.close()
            if self._log:
                self._log.close()
            training.close()
        self._finish(stopped)

    def _train(self):
        """Returns whether a signal ended the training."""
        training = self._training
        stopped = self._stop_request.agreed()
        # A signal may have interrupted the evaluation that was due at the step of the checkpoint.
        if not stopped and training.evaluation_is_missing():
            stopped = self._evaluate() is None
            if not stopped:
                training.save_evaluation()
        under_way, stopping = collections.deque(), stopped
        while True:
            while not stopping and self._may_start(under_way):
                self._profiler.before(training.step + len(under_way) + 1)
                under_way.append(training.start_step(bool(self._stop_request.name), len(under_way)))
            if not under_way:
                return stopped
            result = training.finish_step(under_way.popleft())
            self._stall_watch.progress(training.step)
            self._profiler.after(training.step)
            # A stop asked for in a skipped step is asked for again in the next one.
            stopping = result.stop > 0 and not result.skipped
            if result.skipped:
                self._report_skipped_update(result)
            else:
                # What the host does after an update belongs to the weights of that update: a step that is under
                # way comes to its end first.
                stopped = self._after_update(stopped=stopping and not under_way)
                stopping = stopping or stopped  # a signal may have interrupted the evaluation

    def _may_start(self, under_way):
        """Whether to start a step while those `under_way` have not been finished: one at most, and none that may
        make the last update, or one after which the run evaluates, saves or profiles, for those need its weights."""
        training, options = self._training, self._options
        if not under_way:
            return not training.is_over()
        if len(under_way) > 1:
            return False
        step = training.step + 1  # of the update under way, unless it is skipped
        return (options.overlap_steps and not training.ends_with(under_way[0])
                and not self._profiler.is_near(step) and not is_due(options.eval_every_steps, step)
                and not is_due(options.save_checkpoints_steps, step))

    def _after_update(self, stopped):
        """Log, evaluate and save what is due after an update; returns whether to stop by a signal."""
        training, options = self._training, self._options
        training.read_clock()
        saving = stopped or training.is_over() or is_due(options.save_checkpoints_steps, training.step)
        evaluating = not stopped and training.evaluation_is_due()
        # A line wherever a checkpoint may be: a resumed run then has the same lines as one that
        # never stopped.
        if saving or evaluating or training.step == 1 or training.step % options.log_every_steps == 0:
            training.cpu_sec = sum(distributed.gather_objects(training.own_cpu_sec(), "cpu_sec"))
            self._write_log()
        if self._log:
            self._log.advance(training.share())
        if evaluating:
            is_best = self._evaluate()
            stopped = is_best is None
            saving = saving or stopped or is_best or training.is_over()
        if saving:
            training.save()
        return stopped

    def _write_log(self):
        training = self._training
        if self._log:
            record = training.window.record(training.step, self._options.max_seq_length, training.elapsed_sec)
            self._log.write({**record, "cpu_sec": training.cpu_sec, "skipped_updates": training.skipped_updates,
                             "passes": training.passes()}, training.share())
            line = self._plateau.line(training.step, training.real_tokens, record["masked_lm_loss"])
            if line:
                self._log.say(f"warning: {line}")

    def _evaluate(self):
        """Evaluate; returns whether it was the best so far, or None when a signal interrupted it."""
        training = self._training
        results = training.evaluate(self._should_stop)
        if results is None:
            return None
        if self._log:
            self._log.write_evaluation(training.step, {**results, "passes": training.passes()})
        return training.evaluations.add(training.step, results["loss"], training.passes())

    def _should_stop(self):
        """Asked before each batch of an evaluation."""
        self._stall_watch.progress(self._training.step)
        return self._stop_request.agreed()

    def _report_skipped_update(self, result):
        """Say that an update was skipped; end the run, on all ranks, after `max_bad_steps` bad ones in a row."""
        training, count = self._training, int(result.bad_steps)
        if not count:
            if self._log:
                self._log.say(f"float16 overflow after step {training.step}: update skipped, "
                              f"loss scale now {result.loss_scale:g}")
            return
        if self._log:
            self._log.say(f"warning: gradients are not finite (norm {result.grad_norm}) after step {training.step}: "
                          f"update skipped, {count} in a row")
        if count >= self._options.max_bad_steps:
            training.finish_saving()
            raise RunFailed(f"training diverged: {count} updates in a row had gradients that are not finite; "
                            f"{training.last_checkpoint()}; lower {parameter('learning_rate')} or lengthen "
                            f"{parameter('num_warmup_steps')}")

    def _report_failure(self, error):
        """Whichever rank fails leaves word of it; the launcher may end rank 0 before it knows."""
        if self._log:
            self._log.failed = True
        reason = str(error) if isinstance(error, RunFailed) else f"{type(error).__name__}: {error}"
        place = f"rank {distributed.rank()} on {socket.gethostname()}"
        try:
            write_status(self._options.output_dir, "failed", self._training.step, f"{place}: {reason}")
        except InputError:
            pass  # the disk may be full; what is being raised says more

    def _finish(self, stopped):
        """Write the last status and leave together: a rank that exits early takes the others down."""
        options, training = self._options, self._training
        if distributed.rank() == 0:
            if stopped:
                name = self._stop_request.name
                write_status(options.output_dir, "stopped", training.step, name or "signal to another rank")
                print(f"stopped at step {training.step} by {name or 'a signal to another rank'}; "
                      f"{training.last_checkpoint()}: run the same command to continue", flush=True)
            else:
                write_status(options.output_dir, "finished", training.step, training.why_over())
                print(f"finished: step {training.step}, {training.why_over()}; {options.output_dir}", flush=True)
        distributed.barrier()
        if stopped:
            raise StoppedBySignal

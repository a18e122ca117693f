"""Model, optimizer, data and evaluator of one run; resume.py gives them the state to begin with."""

import collections
import dataclasses
import os
import platform
import time

import tensorflow as tf

from albert_hvd import __version__
from albert_hvd.data.batches.order import ORDER_VERSION
from albert_hvd.data.batches.training_batches import find_tokenizer, tokenizers_of, training_batches
from albert_hvd.errors import RunFailed, parameter
from albert_hvd.model.encoder import named_variables
from albert_hvd.model.precision import COMPUTE_DTYPES
from albert_hvd.model.pretraining_model import AlbertPretrainer
from albert_hvd.run_folder.checkpoint_writer import CheckpointWriter
from albert_hvd.run_folder.checkpoints import CheckpointFolder
from albert_hvd.runtime import distributed
from albert_hvd.training.batch_plan import smaller_micro_batches
from albert_hvd.training.evaluation import BestEvaluation, Evaluator
from albert_hvd.training.metrics import MetricsWindow
from albert_hvd.training.optimizers import OPTIMIZERS
from albert_hvd.training.resume import Start
from albert_hvd.training.schedule import Schedule, is_due
from albert_hvd.training.step import TrainingStep
from albert_hvd.training.summary import describe_run

# A step under way: `pending`, its `PendingStep`; `position`, records read by then; `began`, on the monotonic clock;
# `wait_seconds` spent on waiting for its batch.
_StartedStep = collections.namedtuple("_StartedStep", ["pending", "position", "began", "wait_seconds"])


# Updates from which on compiling the optimizer pays on a CPU: it takes 3 seconds, and 10 ms from each of tiny's.
_WORTH_COMPILING = 300


class Training:
    """Everything that a step needs, with the state that a checkpoint holds.

    Attributes:
      step: updates made so far.
      skipped_updates: how many had gradients that were not finite.
      elapsed_sec: time spent in training up to this step, over all resumptions.
      cpu_sec: processor time of all ranks up to the last log record, over all resumptions.
      used_sec: what of the time that the schedule counts had passed when the last finished step began.
      real_tokens: trained on so far, over all resumptions.
      evaluations: `BestEvaluation` of the evaluations in the loop.
      window: `MetricsWindow` of the steps since the last log record.
      tokenizer: the records' `Tokenizer`, or None when it is not known.
    """

    def __init__(self, options, config, dataset, plan, model, optimizer, held_out=None):
        self.options, self.config, self.plan = options, config, plan
        self._dataset, self._held_out = dataset, held_out
        self._tokenizers = list(tokenizers_of(dataset.paths))
        self.tokenizer = find_tokenizer(options, dataset.paths, config.vocab_size)
        self._model, self._optimizer = model, optimizer
        self._variables = named_variables(model)
        self.schedule = Schedule(options, config)
        self._checkpoints = CheckpointFolder(os.path.join(options.output_dir, "checkpoints"),
                                             options.keep_checkpoints)
        self._writer = CheckpointWriter(self._checkpoints)
        self.window = MetricsWindow(plan.train_batch_size, [source.name for source in dataset.sources])
        self.evaluations = BestEvaluation()
        self.step, self.elapsed_sec, self.cpu_sec, self.used_sec = 0, 0.0, 0.0, 0.0
        self._position = self.skipped_updates = 0
        self._order_version = ORDER_VERSION
        self.real_tokens = 0.0
        start = Start(options, config, dataset, self._checkpoints, self._variables, self._slots(), self._state())
        state, self._origin = start.restore()
        if state is not None:
            self._take_up(state)
        self._cpu_sec_before = self.cpu_sec
        self.used_sec = self.cpu_sec if options.lr_schedule == "cpu_time" else self.elapsed_sec
        self.start_clock()
        self._training_step = self._make_step()
        self._batches = self._open_batches(self._training_step.stage)
        self._last_end = 0.0
        self._evaluator = None

    def _open_batches(self, stage=None):
        return training_batches(self.options, self._dataset, self.tokenizer, distributed.rank(), distributed.size(),
                                start_record=self._position, stage=stage,
                                order_version=self._order_version)

    def _make_step(self):
        """The `TrainingStep`; on a GPU with micro-batches that have been seen to fit into its memory.

        Raises:
          RunFailed: not even one row fits.
        """
        if self.options.accumulation_steps or not self.options.xla or not tf.config.get_visible_devices("GPU"):
            return TrainingStep(self._model, self._optimizer, self.plan.accumulation_steps, self.options.xla,
                                len(self._dataset.sources))
        batches = self._open_batches()
        batch = next(batches)
        batches.close()
        return self._fitting_step(batch)

    def _fitting_step(self, batch):
        """The `TrainingStep` with the largest micro-batches, from those of the plan down, that all ranks can compute."""
        while True:
            step = TrainingStep(self._model, self._optimizer, self.plan.accumulation_steps, self.options.xla,
                                len(self._dataset.sources))
            if not distributed.any_rank(not step.try_memory(batch)):
                return step
            smaller = smaller_micro_batches(self.plan)
            if smaller is None:
                raise RunFailed(f"the GPU's memory does not hold one row of a batch: use {parameter('recompute')} or a "
                                "shorter max_seq_length")
            if distributed.rank() == 0:
                print(f"out of memory with micro-batches of {self.plan.micro_batch_size} rows: trying "
                      f"{smaller.micro_batch_size}", flush=True)
            self.plan = smaller

    def start_step(self, stop, under_way=0):
        """Begin to train on the next global batch, while others are under way; `finish_step` ends it.

        Raises:
          RunFailed: the checkpoint that is being written in the background cannot be (rank 0).
        """
        self._writer.check()
        began, waited = time.monotonic(), self._batches.wait_seconds
        batch = next(self._batches)
        # The position in the data, not the step, numbers the dropout masks: a skipped update counts.
        position = self._batches.position
        pending = self._training_step.start(
            batch, (self.options.seed, position + distributed.rank()), stop, self._used_sec(),
            lambda used_sec: self.schedule.place(self.schedule.share(self.step + under_way, used_sec)))
        return _StartedStep(pending, position, began, self._batches.wait_seconds - waited)

    def finish_step(self, started):
        """Wait for the end of the earliest step that was started and not finished; returns its `StepResult`."""
        result = started.pending.result()
        # Steps that overlap: each counts from the end of the one before.
        seconds = time.monotonic() - max(started.began, self._last_end)
        self._last_end = time.monotonic()
        self._position, self.used_sec = started.position, result.used_sec
        if result.skipped:
            self.skipped_updates += 1
        else:
            self.step += 1
            self.real_tokens += result.real_tokens
            self.window.add(result, seconds, started.wait_seconds)
        return result

    def ends_with(self, started):
        """Whether the run is over after the only step that is under way, unless its update is skipped."""
        return self.schedule.share(self.step + 1, started.pending.used_sec) >= 1.0

    def save(self):
        """Begin to write a checkpoint (rank 0): the state is copied now and written in the background.

        Training waits for the copy, and for the previous write if that has not ended.
        """
        if distributed.rank() == 0:
            began = time.monotonic()
            self._writer.wait()
            weights = {path: variable.numpy() for path, variable in self._variables.items()}
            slots = {path: variable.numpy() for path, variable in self._slots().items()}
            self._writer.start(self.step, weights, slots, self._state(), self.evaluations.best_step)
            self.window.add_checkpoint_stall(time.monotonic() - began)

    def finish_saving(self):
        """Wait until the last checkpoint is written (rank 0). Raises RunFailed when it cannot be."""
        self._writer.wait()

    def checkpoint_write_sec(self):
        """How long the thread took to write the last finished checkpoint (rank 0)."""
        return self._writer.write_sec

    def last_checkpoint(self):
        """Where a resumed run would start, in words."""
        steps = self._checkpoints.steps()
        return f"the last checkpoint is that of step {steps[-1]}" if steps else "there is no checkpoint yet"

    def is_over(self):
        """Whether the last step is made, or the held-out loss has not become lower for long enough."""
        limit = self.options.early_stop_evaluations
        return self.share() >= 1.0 or 0 < limit <= self.evaluations.evaluations_since_best

    def share(self):
        """How much of the run is behind it, from 0 to 1, the same on all ranks."""
        return self.schedule.share(self.step, self.used_sec)

    def start_clock(self):
        """Count the time spent in training from now on."""
        self._began = time.monotonic() - self.elapsed_sec

    def read_clock(self):
        """Bring `elapsed_sec` up to now."""
        self.elapsed_sec = time.monotonic() - self._began

    def own_cpu_sec(self):
        """This rank's part of `cpu_sec`: its process's, start-up and evaluations included; rank 0's has that of before."""
        return time.process_time() + (self._cpu_sec_before if distributed.rank() == 0 else 0.0)

    def _used_sec(self):
        """This rank's part of the time that the schedule counts; the sum over ranks is agreed on in each step."""
        if self.options.lr_schedule == "cpu_time":
            return self.own_cpu_sec()
        if self.options.lr_schedule == "time" and distributed.rank() == 0:
            return time.monotonic() - self._began
        return 0.0

    def evaluation_is_due(self):
        """Whether there is one to make after the last step."""
        return is_due(self.options.eval_every_steps, self.step)

    def evaluation_is_missing(self):
        """Whether the evaluation that was due after the last step has not been made: a signal interrupted it."""
        return self.evaluation_is_due() and self.evaluations.last_step < self.step

    def save_evaluation(self):
        """Enter an evaluation that was made up for into the checkpoint of this step (rank 0)."""
        if distributed.rank() == 0:
            self._checkpoints.update_state(self.step, self._state(), self.evaluations.best_step)

    def why_over(self):
        """In words, once `is_over`."""
        if self.share() >= 1.0:
            return (f"its {self.options.train_minutes:g} minutes are over" if self.schedule.by_time else
                    f"all {self.options.num_train_steps} steps made")
        best = self.evaluations
        return (f"stopped early: {best.evaluations_since_best} evaluations in a row without a lower held-out loss "
                f"than at step {best.best_step}")

    def evaluate(self, should_stop=None):
        """Held-out results of the weights as they are, equal on all ranks; see `Evaluator.__call__`."""
        if self._evaluator is None:
            options = self.options
            self._evaluator = Evaluator(self._model, self._held_out, options.eval_batch_size, options.max_eval_steps,
                                        xla=options.xla)
        return self._evaluator(should_stop, self.passes())

    def passes(self):
        """Passes through the shared layer of the last update made."""
        before = self.schedule.share(max(0, self.step - 1), self.used_sec)
        return self.schedule.passes(before)

    def close(self):
        """Stop the threads; a checkpoint that is being written is finished."""
        self._writer.close()
        self._batches.close()

    def description(self):
        """The run in a table; see `describe_run`."""
        parameters = sum(int(tf.size(variable)) for variable in self._variables.values())
        device = "GPU" if tf.config.get_visible_devices("GPU") else "CPU"
        return describe_run(self._origin, self.options, self.config, self.plan, self._dataset.num_records,
                            parameters, device, self._dataset.sources)

    def _state(self):
        return {
            "records_read": self._position, "epoch": self._position // self._dataset.records_per_epoch,
            "num_records": self._dataset.num_records, "records_fingerprint": self._dataset.fingerprint,
            "mixture": [[source.num_records, source.weight] for source in self._dataset.sources],
            "record_order": self._order_version, "tokenizers": self._tokenizers,
            "seed": self.options.seed, "dynamic_masking": self.options.dynamic_masking,
            "initialization": self.options.initialization, "optimizer": self.options.optimizer,
            "pack_sequences": self.options.pack_sequences,
            "config": self.config.to_dict(), "train_batch_size": self.plan.train_batch_size, "size": self.plan.size,
            "evaluations": dataclasses.asdict(self.evaluations), "skipped_updates": self.skipped_updates,
            "real_tokens": self.real_tokens, "elapsed_sec": self.elapsed_sec, "cpu_sec": self.cpu_sec,
            "loss_scale": self._optimizer.loss_scale.state(),
            "versions": {"albert_hvd": __version__, "tensorflow": tf.__version__,
                         "horovod": distributed.horovod_version(), "python": platform.python_version()},
        }

    def _slots(self):
        moments = ("first_moment", "second_moment")
        return {f"{path}/{moment}": slot for path, variable in self._variables.items()
                for moment, slot in zip(moments, self._optimizer.slots_of(variable))}

    def _take_up(self, state):
        """Go on from the state of a checkpoint."""
        if "initialization" not in state:  # it began before there were schedules of these two
            every_pass = dataclasses.replace(self.options, passes=f"0:{self.config.num_hidden_layers}",
                                             sentence_loss_weight="0:1")
            self.schedule = Schedule(every_pass, self.config)
        self.step, self._position = state["step"], state["records_read"]
        self._order_version = state.get("record_order", 1)
        self._optimizer.step.assign(self.step)
        self._optimizer.loss_scale.restore(state.get("loss_scale"))
        self.elapsed_sec, self.cpu_sec = state.get("elapsed_sec", 0.0), state.get("cpu_sec", 0.0)
        self.skipped_updates, self.real_tokens = state.get("skipped_updates", 0), state.get("real_tokens", 0.0)
        self.evaluations = BestEvaluation(**state.get("evaluations", {}))


def build_training(options, config, dataset, plan, held_out=None):
    """Make the `Training` of this rank; `held_out` are the records to evaluate on, a `RecordDataset`."""
    model = AlbertPretrainer(config, options.seed, COMPUTE_DTYPES[options.precision], static_shapes=options.xla,
                             recompute=options.recompute, compiled=not options.xla, attention=options.attention)
    # bfloat16 reaches as far as float32 and needs no scale.
    loss_scale = {} if options.precision != "float16" else {
        "initial_loss_scale": options.initial_loss_scale, "loss_scale_growth_steps": options.loss_scale_growth_steps}
    optimizer = distributed.distributed_optimizer(OPTIMIZERS[options.optimizer](
        options.learning_rate, options.num_train_steps, options.num_warmup_steps,
        weight_decay=options.weight_decay, clip_norm=options.clip_norm, **loss_scale), options.fp16_allreduce)
    optimizer.build(named_variables(model), options.xla or options.num_train_steps >= _WORTH_COMPILING)
    return Training(options, config, dataset, plan, model, optimizer, held_out)

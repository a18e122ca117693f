"""The training loop.

    horovodrun -np 3 bin/pretrain --input_file='data/train-*.tfrecord' --output_dir=runs/base ...

Set-up reads from top to bottom in `pretrain`, and so does the loop in `_train`. The same call on the
same folder resumes: the newest checkpoint holds the weights, the moments, and how many records have
been read, from which the order of all further ones follows.
"""

import dataclasses
import json
import os
import platform
import signal
import sys
import time

from albert_hvd import checkpointing, distributed
from albert_hvd.batch_plan import activation_bytes_per_row, cpu_memory_per_rank, plan_batch
from albert_hvd.config import AlbertConfig
from albert_hvd.errors import InputError, StoppedBySignal, RunFailed
from albert_hvd.files import make_folder
from albert_hvd.metrics_log import TrainLog, write_atomically, write_status
from albert_hvd.records import open_records


@dataclasses.dataclass(frozen=True)
class PretrainingOptions:
    """The flags of `bin/pretrain` that the library acts on; they are documented there."""

    input_file: str
    output_dir: str
    bert_config_file: str
    init_checkpoint: str = None
    max_seq_length: int = 512
    max_predictions_per_seq: int = 51
    pack_sequences: bool = False
    train_batch_size: int = 60
    accumulation_steps: int = 0
    optimizer: str = "lamb"
    learning_rate: float = 1.76e-3
    num_train_steps: int = 100000
    num_warmup_steps: int = 10
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    seed: int = 12345
    precision: str = "float32"
    xla: bool = False
    fp16_allreduce: bool = False
    deterministic: bool = False
    save_checkpoints_steps: int = 1000
    keep_checkpoints: int = 5
    log_every_steps: int = 100
    max_bad_steps: int = 10
    eval_input_file: str = None
    eval_every_steps: int = 0
    eval_batch_size: int = 60
    max_eval_steps: int = 0
    use_gpu: bool = None
    num_gpu_cores: int = 0


def pretrain(options):
    """Train until `num_train_steps`, from the start or from the newest checkpoint of `output_dir`.

    Raises:
      InputError: on every rank, before any training, when a flag or a file is not as it must be.
      StoppedBySignal: after SIGTERM or SIGUSR1 to any rank, with a checkpoint saved.
      RunFailed: the gradients were not finite `max_bad_steps` times in a row.
    """
    distributed.initialize(options.use_gpu)
    import tensorflow as tf

    from albert_hvd.training_setup import build_training
    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.random.set_seed(options.seed)
    config = distributed.on_rank_0(lambda: _check(options), "check_options")
    dataset = open_records(options.input_file, "--input_file", options, config.vocab_size)
    plan = plan_batch(options.train_batch_size, distributed.size(), options.accumulation_steps,
                      activation_bytes_per_row(config, options.max_seq_length),
                      None if tf.config.get_visible_devices("GPU") else cpu_memory_per_rank(distributed.local_size()))
    training = build_training(options, config, dataset, plan)
    if distributed.rank() == 0:
        _write_run_files(options, config)
        print(training.description(), flush=True)
    if training.step >= options.num_train_steps:
        if distributed.rank() == 0:
            write_status(options.output_dir, "finished", training.step)
            print(f"nothing to do: {options.output_dir} is at step {training.step} of {options.num_train_steps}")
        return
    _train(training)


def _check(options):
    """Rank 0 looks at everything that can be wrong before a model is made; returns the config."""
    config = AlbertConfig.from_json_file(options.bert_config_file)
    if options.max_seq_length > config.max_position_embeddings:
        raise InputError(f"--max_seq_length={options.max_seq_length} is longer than the config's "
                         f"max_position_embeddings = {config.max_position_embeddings}; shorten it or raise that")
    if options.num_gpu_cores > 1 and distributed.size() == 1:
        sys.stderr.write(f"warning: --num_gpu_cores={options.num_gpu_cores}, but this is one rank: start "
                         f"horovodrun -np {options.num_gpu_cores} bin/pretrain ... to use them all\n")
    elif options.num_gpu_cores and options.num_gpu_cores != distributed.size():
        raise InputError(f"--num_gpu_cores={options.num_gpu_cores}, but {distributed.size()} ranks were "
                         f"started; start that many (horovodrun -np {options.num_gpu_cores} ...) or leave it out")
    if options.num_warmup_steps > options.num_train_steps:
        raise InputError(f"--num_warmup_steps={options.num_warmup_steps} is more than "
                         f"--num_train_steps={options.num_train_steps}; make it smaller")
    if options.eval_every_steps and not options.eval_input_file:
        raise InputError(f"--eval_every_steps={options.eval_every_steps} needs --eval_input_file")
    for flag in ("input_file", "eval_input_file"):
        if getattr(options, flag):
            open_records(getattr(options, flag), f"--{flag}", options, config.vocab_size)
    make_folder(options.output_dir, "--output_dir")
    return config


def _write_run_files(options, config):
    folder = options.output_dir
    write_atomically(os.path.join(folder, "config.json"), json.dumps(config.to_dict(), indent=2) + "\n")
    flags = {**dataclasses.asdict(options), "size": distributed.size(), "python": platform.python_version()}
    write_atomically(os.path.join(folder, "flags.json"), json.dumps(flags, indent=2) + "\n")


class _StopRequest:
    """Turns SIGTERM and SIGUSR1 into a flag that the loop reads between steps."""

    def __init__(self):
        self.name = ""
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._note)

    def _note(self, number, _):
        self.name = signal.Signals(number).name


def _train(training):
    """Steps, log lines, checkpoints and evaluations until the end or a signal."""
    options, is_rank_0 = training.options, distributed.rank() == 0
    stop_request = _StopRequest()
    log = TrainLog(options.output_dir, training.step, options.num_train_steps) if is_rank_0 else None
    if is_rank_0:
        write_status(options.output_dir, "running", training.step)
    started = time.monotonic()
    stopped = False
    try:
        while training.step < options.num_train_steps and not stopped:
            result = training.run_step(stop=bool(stop_request.name))
            if result.bad_steps:
                _report_bad_step(training, result, log)
                continue
            # A stop asked for in a skipped step is asked for again in the next one.
            stopped = result.stop > 0
            step = training.step
            saving = stopped or step == options.num_train_steps or step % options.save_checkpoints_steps == 0
            # A line at every checkpoint as well: a resumed run then has the same lines as one that
            # never stopped.
            if is_rank_0:
                log.advance()
                if saving or step == 1 or step % options.log_every_steps == 0:
                    log.write(training.window.record(step, options.max_seq_length, time.monotonic() - started))
            if saving:
                training.save()
            if options.eval_every_steps and step % options.eval_every_steps == 0:
                results = training.evaluate()
                if is_rank_0:
                    log.write_evaluation(step, results)
    except Exception as error:
        if is_rank_0:
            write_status(options.output_dir, "failed", training.step, f"{type(error).__name__}: {error}")
        raise
    finally:
        if is_rank_0:
            log.close()
        training.close()
    _finish(training, stopped, stop_request.name)


def _report_bad_step(training, result, log):
    """Say that an update was skipped; give up, on all ranks, after `max_bad_steps` in a row."""
    options = training.options
    count = int(result.bad_steps)
    if log:
        log.say(f"warning: gradients are not finite (norm {result.grad_norm}) after step {training.step}: "
                f"update skipped, {count} in a row")
    if count >= options.max_bad_steps:
        steps = checkpointing.CheckpointFolder(os.path.join(options.output_dir, "checkpoints")).steps()
        last = f"the last good checkpoint is step {steps[-1]}" if steps else "there is no checkpoint yet"
        raise RunFailed(f"training diverged: {count} updates in a row had gradients that are not finite; "
                        f"{last}; lower --learning_rate or lengthen --num_warmup_steps")


def _finish(training, stopped, signal_name):
    """Write the last status and leave together: a rank that exits early takes the others down."""
    options = training.options
    if distributed.rank() == 0:
        if stopped:
            write_status(options.output_dir, "stopped", training.step, signal_name or "signal to another rank")
            print(f"stopped at step {training.step} by {signal_name or 'a signal to another rank'}; checkpoint "
                  f"saved: run the same command to go on", flush=True)
        else:
            write_status(options.output_dir, "finished", training.step)
            print(f"finished: step {training.step}, {options.output_dir}", flush=True)
    distributed.barrier()
    if stopped:
        raise StoppedBySignal

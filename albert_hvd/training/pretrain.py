"""Pre-training from the flags to the last checkpoint.

    horovodrun -np 3 bin/pretrain --input_file='data/train-*.tfrecord' --output_dir=runs/base ...

Set-up reads from top to bottom in `pretrain`; the loop is in loop.py. The same call on the
same folder resumes: the newest checkpoint holds the weights, the moments, and how many records have
been read, from which the order of all further ones follows.
"""

import dataclasses
import functools
import json
import math
import os
import platform
import sys

from albert_hvd.data.batches.training_batches import open_training_records
from albert_hvd.data.records.dataset import open_records
from albert_hvd.data.records.manifest import builds_of
from albert_hvd.errors import InputError, parameter, setting
from albert_hvd.model.config import AlbertConfig
from albert_hvd.run_folder.checkpoints import CheckpointFolder
from albert_hvd.run_folder.flags_history import note_flags
from albert_hvd.run_folder.layout import (CONFIG, EVAL_LOG, FLAGS, FLAGS_HISTORY, STATUS, TRAIN_LOG, VOCABULARY,
                                          write_model_files)
from albert_hvd.run_folder.lock import one_run_in
from albert_hvd.run_folder.logs import write_atomically, write_status
from albert_hvd.runtime import distributed
from albert_hvd.runtime.files import make_folder, remove_partial_files
from albert_hvd.runtime.signals import StopRequest
from albert_hvd.runtime.stall_watch import StallWatch
from albert_hvd.serving.formats.sources import kind_of
from albert_hvd.training.agreement import open_alike
from albert_hvd.training.batch_plan import cpu_memory_per_rank, gpu_memory_per_rank, plan_batch, row_bytes
from albert_hvd.training.device_options import resolve_device_options
from albert_hvd.training.profiling import parse_profile_steps
from albert_hvd.training.reporters import check_packages
from albert_hvd.training.schedule import Schedule
from albert_hvd.training.vocabularies import check_training_vocabulary


def pretrain(options):
    """Train until `num_train_steps`, from the start or from the newest checkpoint of `output_dir`.

    Args: `options`, `PretrainingOptions`.
    Raises:
      InputError: on every rank, before any training, when a flag or a file is not as it must be, or another run
        writes to `output_dir`.
      StoppedBySignal: after SIGTERM, SIGUSR1 or SIGINT to any rank, with a checkpoint saved.
      RunFailed: the gradients were not finite `max_bad_steps` times in a row, or a checkpoint could not
        be written.
    """
    with StopRequest() as stop_request:
        _set_up_and_train(options, stop_request)


def _set_up_and_train(options, stop_request):
    distributed.initialize(options.use_gpu, timeline=bool(options.profile_steps), share_gpus=options.share_gpus)
    import tensorflow as tf

    from albert_hvd.model.precision import use_precision
    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.random.set_seed(options.seed)
    config = distributed.on_rank_0(lambda: _check(options), "check_options")
    options = resolve_device_options(options, config, distributed.lowest_compute_capability())
    use_precision(options.precision)
    with one_run_in(options.output_dir), \
            StallWatch(options.output_dir, options.stall_warn_sec, options.stall_abort_sec,
                       functools.partial(write_status, options.output_dir, "failed")) as stall_watch:
        _train(options, config, stop_request, stall_watch)


def _train(options, config, stop_request, stall_watch):
    from albert_hvd.training.loop import TrainingLoop
    from albert_hvd.training.setup import build_training
    dataset = open_alike(lambda: open_training_records(options, config), "input_file")
    held_out = None
    if options.eval_every_steps:
        held_out = open_alike(
            lambda: open_records(options.eval_input_file, "eval_input_file", options, config.vocab_size),
            "eval_input_file")
    stall_watch.progress()
    plan = plan_batch(options.train_batch_size, distributed.size(), options.accumulation_steps,
                      row_bytes(options, config), _activation_memory(options))
    training = build_training(options, config, dataset, plan, held_out)
    if distributed.rank() == 0:
        changes = _write_run_files(options, config, training)
        print("\n".join(filter(None, [training.description(), changes])), flush=True)
    if training.is_over() and not training.evaluation_is_missing():
        if distributed.rank() == 0:
            write_status(options.output_dir, "finished", training.step, training.why_over())
            print(f"nothing to do: {options.output_dir} is at step {training.step} ({training.why_over()})")
        training.close()
        return
    stall_watch.progress()
    TrainingLoop(training, stop_request, stall_watch).run()


def _activation_memory(options):
    """Bytes for the activations of any rank, so that all cut their batch alike."""
    import tensorflow as tf

    gpus, ranks = tf.config.get_visible_devices("GPU"), distributed.local_size()
    if gpus:
        ranks_per_gpu = -(-ranks // len(tf.config.list_physical_devices("GPU"))) if options.share_gpus else 1
        own = gpu_memory_per_rank(gpus[0], ranks_per_gpu)
    else:
        own = cpu_memory_per_rank(ranks)
    return min(distributed.gather_objects(own, "activation_memory"))


def _check(options):
    """Rank 0 looks at everything that can be wrong before a model is made; returns the config."""
    config = AlbertConfig.from_json_file(options.bert_config_file)
    if options.max_seq_length > config.max_position_embeddings:
        raise InputError(f"{parameter('max_seq_length')}={options.max_seq_length} is longer than the config's "
                         f"max_position_embeddings = {config.max_position_embeddings}",
                         "shorten it or raise that")
    if options.num_gpu_cores > 1 and distributed.size() == 1:
        sys.stderr.write(f"warning: {setting('num_gpu_cores', options.num_gpu_cores)}, but this is one rank: start "
                         f"horovodrun -np {options.num_gpu_cores} bin/pretrain ... to use them all\n")
    elif options.num_gpu_cores and options.num_gpu_cores != distributed.size():
        raise InputError(f"{parameter('num_gpu_cores')}={options.num_gpu_cores}, but {distributed.size()} ranks were "
                         "started",
                         f"start that many (horovodrun -np {options.num_gpu_cores} ...) or leave it out")
    if options.num_warmup_steps > options.num_train_steps:
        raise InputError(f"{parameter('num_warmup_steps')}={options.num_warmup_steps} is more than "
                         f"{parameter('num_train_steps')}={options.num_train_steps}",
                         "make it smaller")
    if not math.log2(options.initial_loss_scale).is_integer():
        raise InputError(f"{parameter('initial_loss_scale')}={options.initial_loss_scale:g} is not a power of two",
                         f"use one, such as {2 ** round(math.log2(options.initial_loss_scale))}")
    Schedule(options, config)
    parse_profile_steps(options.profile_steps, options.num_train_steps)
    check_packages(options)
    if options.eval_every_steps and not options.eval_input_file:
        raise InputError(f"{parameter('eval_every_steps')}={options.eval_every_steps} needs "
                         f"{parameter('eval_input_file')}")
    if options.early_stop_evaluations and not options.eval_every_steps:
        raise InputError(f"{parameter('early_stop_evaluations')}={options.early_stop_evaluations} needs "
                         f"{parameter('eval_every_steps')}")
    paths = {}
    for option in ("input_file", "eval_input_file"):
        if getattr(options, option):
            dataset = open_records(getattr(options, option), option, options, config.vocab_size,
                                   mixed=option == "input_file")
            if option == "input_file" and options.pack_sequences:
                dataset.count_tokens()  # kept in the index, where the other ranks find it
            paths[option] = dataset.paths
            dataset.close()
    is_new = not CheckpointFolder(os.path.join(options.output_dir, "checkpoints")).steps()
    if options.init_checkpoint and is_new:
        kind_of(options.init_checkpoint, "init_checkpoint")  # read later, but refused before a folder is made
    tokenizer = check_training_vocabulary(options, config, paths, is_new)
    if options.dynamic_masking and tokenizer is None:
        raise InputError(f"{parameter('dynamic_masking')} needs the vocabulary that made the records of "
                         f"{parameter('input_file')}",
                         f"give it with {parameter('tokenizer')}")
    _say_that_the_records_decide(options, paths["input_file"])
    make_folder(options.output_dir, "output_dir")
    return config


def _say_that_the_records_decide(options, paths):
    """The old command line carries how it wants records to be masked, which they are already."""
    if options.dynamic_masking:
        return
    flags, facts = [], []
    for name in ("masked_lm_prob", "masking"):
        made_with = {str(build["options"][name]) for build in builds_of(paths)
                     if isinstance(build.get("options"), dict) and name in build["options"]}
        value = getattr(options, name)
        if value is not None and made_with - {str(value)}:
            flags.append(setting(name, value))
            facts.append(f"{name} = {', '.join(sorted(made_with))}")
    if flags:
        sys.stderr.write(f"note: no effect of {' and '.join(flags)}: the records of {parameter('input_file')} decide, "
                         f"which were masked with {' and '.join(facts)}; {parameter('dynamic_masking')} would mask "
                         "them anew\n")


def _write_run_files(options, config, training):
    """The run's folder is all that validation, export and inference need: it has the vocabulary too.

    Returns:
      What is different from the start before, in a line, or "".
    """
    for name in (CONFIG, VOCABULARY, FLAGS, FLAGS_HISTORY, STATUS, TRAIN_LOG, EVAL_LOG):
        remove_partial_files(options.output_dir, name)
    remove_partial_files(os.path.join(options.output_dir, "checkpoints"))
    write_model_files(options.output_dir, config, training.tokenizer)
    flags = {**dataclasses.asdict(options), "size": distributed.size(),
             "micro_batch_size": training.plan.micro_batch_size, "python": platform.python_version()}
    changes = note_flags(options.output_dir, training.step, flags)
    write_atomically(os.path.join(options.output_dir, FLAGS), json.dumps(flags, indent=2) + "\n")
    return changes

"""Fine-tuning from the flags to results.json: one seed after the other, then the baselines.

    horovodrun -np 2 bin/finetune --task=emotion --train_file=train.tsv --valid_file=valid.tsv \\
        --init_checkpoint=runs/base --output_dir=runs/emotion --seeds=1,2,3

The same call on the same folder continues where it was: finished seeds are not trained again, the one that was
interrupted resumes at its newest checkpoint.
"""

from albert_hvd.run_folder.lock import one_run_in
from albert_hvd.runtime import distributed
from albert_hvd.runtime.signals import StopRequest


def finetune(options):
    """Train and evaluate a task model for every seed.

    Args:
      options: `options.FineTuningOptions`.

    Raises:
      InputError: on every rank, before any training, when a flag or a file is not as it must be, or another run
        writes to `output_dir`.
      StoppedBySignal: after SIGTERM, SIGUSR1 or SIGINT to any rank, with a checkpoint saved.
      RunFailed: training diverged, or a checkpoint could not be written.
    """
    with StopRequest() as stop_request:
        distributed.initialize(options.use_gpu)
        import tensorflow as tf

        from albert_hvd.finetuning.job import describe, prepare
        from albert_hvd.finetuning.seeds import Seeds

        if options.deterministic:
            tf.config.experimental.enable_op_determinism()
        job = distributed.on_rank_0(lambda: prepare(options), "prepare")
        if distributed.rank() == 0:
            device = "GPU" if tf.config.get_visible_devices("GPU") else "CPU"
            print(describe(job, distributed.size(), device), flush=True)
        with one_run_in(options.output_dir):
            Seeds(job, stop_request).run()

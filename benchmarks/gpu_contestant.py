"""This program on a GPU, for `bin/benchmark train --device=gpu`: `TrainingStep` as bin/pretrain runs it there."""

import os
import tempfile
import time

from albert_hvd.data.batches.packed_rows import PackedTrainingBatches
from albert_hvd.data.batches.rows import TrainingBatches
from albert_hvd.runtime import distributed
from benchmarks.contestants import CLIP_NORM, LEARNING_RATE, SEED, WEIGHT_DECAY, open_dataset, work_of_batch
from benchmarks.gpu_round import GpuRound, Summary, read_tensorflow_trace
from benchmarks.model_flops import NO_WORK

_TRACED_UPDATES = 3


def play_own_on_gpu(setting, precision, attention="plain", packed=False, accumulation_steps=1, recompute=False,
                    xla_flags=""):
    """For `contest.run_by_turns`: rounds of one rank with Horovod, AdamW and the input pipeline.

    Args:
      setting: `contestants.Setting`.
      precision: "float32", "tf32", "bfloat16" or "float16".
      attention: "plain" or "cudnn".
      packed: whether rows hold several examples.
      xla_flags: settings of XLA for this process, such as "--xla_gpu_enable_triton_gemm=false".
    """
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {xla_flags}".strip()
    return _Own(setting, precision, attention, packed, accumulation_steps, recompute)


class _Own:
    """What `play_own_on_gpu` returns."""

    def __init__(self, setting, precision, attention, packed, accumulation_steps, recompute):
        distributed.initialize(use_gpu=setting.device == "gpu")
        import tensorflow as tf

        self._tf, self._setting = tf, setting
        self._step = make_step(setting.config, precision, attention, accumulation_steps, recompute)
        kind = PackedTrainingBatches if packed else TrainingBatches
        self._batches = kind(open_dataset(setting), setting.rows, 0, 1, SEED,
                             stage=lambda batch: (self._step.stage(batch), work_of_batch(batch)))
        began = time.perf_counter()
        self._updates(2)  # the first compiles
        self.setup_sec = time.perf_counter() - began
        self._on_gpu = setting.device == "gpu"
        if self._on_gpu:
            tf.config.experimental.reset_memory_stats("GPU:0")

    def _updates(self, count):
        """Train; the result of each update is read while the next one runs. Returns (work, the last loss)."""
        work, pending = NO_WORK, None
        for _ in range(count):
            batch, done = next(self._batches)
            started = self._step.start(batch, (0, self._batches.position), False)
            work += done
            if pending is not None:
                pending.result()
            pending = started
        result = pending.result()
        return work, (result.masked_lm_loss / result.masked_lm_weight + result.sentence_loss / result.sentence_weight)

    def __call__(self):
        waited, began = self._batches.wait_seconds, time.perf_counter()
        work, loss = self._updates(self._setting.steps)
        return GpuRound(time.perf_counter() - began, work, loss, self._batches.wait_seconds - waited)

    def finish(self):
        """`Summary` of the rounds."""
        versions = {"tensorflow": self._tf.__version__}
        if not self._on_gpu:
            return Summary(self.setup_sec, 0, [], versions)
        peak = self._tf.config.experimental.get_memory_info("GPU:0")["peak"]
        with tempfile.TemporaryDirectory(prefix="benchmark-trace-") as folder:
            self._tf.profiler.experimental.start(folder)
            self._updates(_TRACED_UPDATES)
            self._tf.profiler.experimental.stop()
            return Summary(self.setup_sec, peak, read_tensorflow_trace(folder), versions)


def make_step(config, precision, attention, accumulation_steps=1, recompute=False):
    """A `TrainingStep` with AdamW for GPUs: whole micro-steps under XLA, all shapes static."""
    from albert_hvd.model.encoder import named_variables
    from albert_hvd.model.precision import COMPUTE_DTYPES, use_precision
    from albert_hvd.model.pretraining_model import AlbertPretrainer
    from albert_hvd.training.optimizer import AdamW
    from albert_hvd.training.step import TrainingStep

    use_precision(precision)
    model = AlbertPretrainer(config, SEED, COMPUTE_DTYPES[precision], static_shapes=True, recompute=recompute,
                             attention=attention)
    optimizer = distributed.distributed_optimizer(
        AdamW(LEARNING_RATE, num_train_steps=10 ** 6, weight_decay=WEIGHT_DECAY, clip_norm=CLIP_NORM))
    optimizer.build(named_variables(model), compiled=True)
    return TrainingStep(model, optimizer, accumulation_steps, xla=True)

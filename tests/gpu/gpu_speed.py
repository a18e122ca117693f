"""A job of the GPU suite: milliseconds of a training step, MFU and peak memory.

    python gpu_speed.py CONFIG.json POSITIONS ROWS ATTENTION [PRECISION [STEPS]]

The step is the one of `bin/benchmark train --device=gpu`, on full rows of random pieces.
"""

import os
import sys
import tempfile

from albert_hvd.data.records.tfrecord import RecordWriter
from albert_hvd.model.config import AlbertConfig
from albert_hvd.runtime import tensorflow_import
from benchmarks.contestants import Setting
from benchmarks.gpu_contestant import play_own_on_gpu
from benchmarks.gpu_round import idle_share, longest_kernels
from benchmarks.gpu_train import GPU_PEAKS, card_name
from benchmarks.model_flops import training_flops
from benchmarks.random_rows import num_predictions, random_rows
from gpu_jobs import REHEARSAL, found

tensorflow_import.install()


def main(config_file, positions, rows, attention, precision="bfloat16", steps=20):
    positions, rows, steps = int(positions), int(rows), int(steps)
    config = AlbertConfig.from_json_file(config_file)
    card = "CPU" if REHEARSAL else card_name()
    peak = next((flops for name, flops in GPU_PEAKS.items() if name in card), float("nan"))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "random.tfrecord")
        with RecordWriter(path) as writer:
            writer.write_batch(random_rows(config, rows, positions))
        setting = Setting(config, path, positions, num_predictions(positions), rows, steps, 1,
                          "rehearsal" if REHEARSAL else "gpu")
        play = play_own_on_gpu(setting, precision, attention)
        case = dict(check="speed", config=os.path.basename(config_file), positions=positions, rows=rows,
                    attention=attention, precision=precision, card=card, setup_sec=play.setup_sec)
        for _ in range(2):  # the first warms up
            done = play()
        flops = training_flops(config, done.work) / done.seconds
        found(**case, ms_a_step=1e3 * done.seconds / steps, sequences_per_sec=done.work.examples / done.seconds,
              tflops=flops / 1e12, mfu_percent=100 * flops / peak, input_wait_percent=100 * done.wait_sec / done.seconds,
              loss=done.loss)
        summary = play.finish()
        idle = idle_share(summary.trace)
        found(check="memory and trace", config=case["config"], positions=positions, rows=rows, attention=attention,
              peak_gib=summary.peak_bytes / 2**30, idle_percent=None if idle is None else 100 * idle,
              longest_kernels=longest_kernels(summary.trace, 12))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A job of the GPU suite: what Horovod was built with, and a sum over ranks.

    python gpu_ranks.py gpu                     one rank: a tensor on the GPU, through NCCL
    horovodrun -np 2 python gpu_ranks.py cpu    two ranks: tensors in main memory, through MPI

NCCL refuses two ranks on one card, so that ranks that share one must sum in main memory.
"""

import sys

from albert_hvd.runtime import distributed, tensorflow_import
from gpu_jobs import REHEARSAL, found

tensorflow_import.install()


def main(place):
    on_gpu = place == "gpu" and not REHEARSAL
    distributed.initialize(use_gpu=on_gpu)
    import horovod.tensorflow as hvd
    import tensorflow as tf

    with tf.device("GPU:0" if on_gpu else "CPU:0"):
        total = hvd.allreduce(tf.range(4.0) * (hvd.rank() + 1.0), op=hvd.Sum, name="sum")
    expected = tf.range(4.0) * float(sum(range(1, hvd.size() + 1)))
    if hvd.rank() == 0:
        found(check="sum over ranks", size=hvd.size(), nccl=int(hvd.nccl_built()), cuda=bool(hvd.cuda_built()),
              mpi=bool(hvd.mpi_built()), device=total.device, ok=bool(tf.reduce_all(total == expected)))


if __name__ == "__main__":
    main(sys.argv[1])

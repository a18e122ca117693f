"""Run by bin/setup under horovodrun: are the ranks in one world, and do they add up?

    horovodrun -np 2 .venv/bin/python requirements/two_ranks.py             on the CPU
    horovodrun -np GPUS .venv/bin/python requirements/two_ranks.py --gpus   each rank on a GPU of its own
"""

import sys

import horovod.tensorflow as hvd
import tensorflow as tf

hvd.init()
on_gpus = sys.argv[1:] == ["--gpus"]
gpus = tf.config.list_physical_devices("GPU")
if on_gpus and len(gpus) <= hvd.local_rank():
    raise SystemExit(f"rank {hvd.rank()} finds no GPU of its own: TensorFlow sees {len(gpus)}")
tf.config.set_visible_devices([gpus[hvd.local_rank()]] if on_gpus else [], "GPU")

# mpi4py must speak through the same MPI library as Horovod, which has initialised it.
import mpi4py  # noqa: E402
mpi4py.rc.initialize = mpi4py.rc.finalize = False
from mpi4py import MPI  # noqa: E402

with tf.device("/GPU:0" if on_gpus else "/CPU:0"):
    total = hvd.allreduce(tf.constant([hvd.rank() + 1.0] * 1000), op=hvd.Sum)
ranks = MPI.COMM_WORLD.allgather(hvd.rank())
wanted = hvd.size() * (hvd.size() + 1) / 2
where = total.device.rsplit("/", 1)[-1]
if set(total.numpy()) != {wanted} or ranks != list(range(hvd.size())) or on_gpus != ("GPU" in where):
    raise SystemExit(f"{hvd.size()} ranks should add up to {wanted}: sum {total.numpy()[:3]}... on {where}, mpi4py's "
                     f"ranks {ranks}")
if hvd.rank() == 0:
    print(f"{hvd.size()} ranks add up on {where}; {MPI.Get_library_version().splitlines()[0]}")

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

# Several tensors at once, and a factor: on GPUs both are kernels of Horovod's own, beside NCCL.
with tf.device("/GPU:0" if on_gpus else "/CPU:0"):
    tensors = [tf.fill([length], hvd.rank() + 1.0) for length in (1000, 3, 70001)]
    totals = hvd.grouped_allreduce(tensors, op=hvd.Sum, prescale_factor=0.5)
ranks = MPI.COMM_WORLD.allgather(hvd.rank())
wanted = 0.5 * hvd.size() * (hvd.size() + 1) / 2
where = {total.device.rsplit("/", 1)[-1] for total in totals}
wrong = [total.numpy()[:3] for total in totals if set(total.numpy()) != {wanted}]
if wrong or ranks != list(range(hvd.size())) or where != {"device:GPU:0" if on_gpus else "device:CPU:0"}:
    raise SystemExit(f"{hvd.size()} ranks should add up to {wanted}: wrong sums {wrong} on {where}, mpi4py's ranks "
                     f"{ranks}")
if hvd.rank() == 0:
    print(f"{hvd.size()} ranks add up on {where.pop()}; {MPI.Get_library_version().splitlines()[0]}")

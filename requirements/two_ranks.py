"""Run by bin/setup under `horovodrun -np 2`: are the ranks in one world, and do they add up?"""

import horovod.tensorflow as hvd
import tensorflow as tf

hvd.init()
# Two ranks on one GPU are an error in NCCL, and a login node has none: then the CPU will do.
gpus = tf.config.list_physical_devices("GPU")
tf.config.set_visible_devices([gpus[hvd.local_rank()]] if len(gpus) >= hvd.size() else [], "GPU")

# mpi4py must speak through the same MPI library as Horovod, which has initialised it.
import mpi4py  # noqa: E402
mpi4py.rc.initialize = mpi4py.rc.finalize = False
from mpi4py import MPI  # noqa: E402

total = float(hvd.allreduce(tf.constant(hvd.rank() + 1.0), op=hvd.Sum))
ranks = MPI.COMM_WORLD.allgather(hvd.rank())
if (hvd.size(), total, ranks) != (2, 3.0, [0, 1]):
    raise SystemExit(f"2 ranks should add up to 3.0: size {hvd.size()}, sum {total}, mpi4py's ranks {ranks}")
if hvd.rank() == 0:
    print(f"two ranks add up; {MPI.Get_library_version().splitlines()[0]}")

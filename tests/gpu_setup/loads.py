"""Run under horovodrun by tests/gpu_setup/run: do the packages of the GPU kind load and add up on the CPU?"""

from importlib import metadata

import horovod.tensorflow as hvd
import numpy as np
import pynvml  # noqa: F401 - that it is there
import tensorflow as tf

hvd.init()
assert tf.test.is_built_with_cuda(), "TensorFlow is the CPU build"
assert hvd.cuda_built() and hvd.nccl_built() and hvd.mpi_built(), "Horovod was built without CUDA, NCCL or MPI"
total = hvd.allreduce(tf.constant(np.arange(5.0) + hvd.rank()), op=hvd.Sum).numpy()
wanted = hvd.size() * np.arange(5.0) + sum(range(hvd.size()))
assert (total == wanted).all(), f"{hvd.size()} ranks add up to {total}, not to {wanted}"
if hvd.rank() == 0:
    print(f"gpu-setup: TensorFlow {tf.__version__} and Horovod with NCCL {hvd.nccl_built()} load; {hvd.size()} rank(s) "
          f"add up; nvidia-ml-py {metadata.version('nvidia-ml-py')}", flush=True)

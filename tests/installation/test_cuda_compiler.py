"""Which CUDA compiler bin/setup --gpu takes: the decision alone, and what it learns from nvidia-smi and nvcc."""

import pathlib
import re
import shutil
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "requirements"))

import cuda_compiler  # noqa: E402
from cuda_compiler import Machine, choose  # noqa: E402
from stages import Refused  # noqa: E402

CUDA_11, CUDA_12, CUDA_13 = ("/opt/cuda11", (11, 8)), ("/opt/cuda12", (12, 4)), ("/opt/cuda13", (13, 1))
NEW, OLD, TOO_OLD = (580, 65, 6), (550, 54, 15), (520, 61, 5)
H100, T4, V100, P100, M40 = (9, 0), (7, 5), (7, 0), (6, 0), (5, 2)


def machine(driver, *capabilities, found=(), asked=None):
    return Machine(driver, len(capabilities), capabilities, asked, tuple(found))


@pytest.mark.parametrize("here, home, architectures, why", [
    (machine(NEW, H100), None, "75,80,90", "driver 580.65"),
    (machine(NEW, T4, found=[CUDA_12, CUDA_13]), None, "75,80,90", "driver 580.65"),
    (machine((580,), H100), None, "75,80,90", "driver 580"),
    (machine((579, 99), H100, found=[CUDA_12]), "/opt/cuda12", "60,70,80,90", "driver 579.99 is older than 580"),
    (machine(OLD, found=[CUDA_13, CUDA_11, CUDA_12]), "/opt/cuda12", "60,70,80,90", "driver 550.54 is older"),
    (machine(NEW, V100, found=[CUDA_12]), "/opt/cuda12", "60,70,80,90", "compute capability 7.0"),
    (machine(NEW, H100, P100, found=[CUDA_12]), "/opt/cuda12", "60,70,80,90", "compute capability 6.0"),
    # An old card for the screen beside the one that computes.
    (machine(NEW, H100, M40), None, "75,80,90", "driver 580.65"),
    (machine(None), None, "75,80,90", "no driver here.*needs driver 580.*load a CUDA 12"),
    (machine(None, found=[CUDA_13]), None, "75,80,90", "no driver here"),
    (machine(None, found=[CUDA_13, CUDA_12]), "/opt/cuda12", "60,70,80,90", "no driver here"),
    (machine(NEW, H100, asked=CUDA_13), "/opt/cuda13", "75,80,90", "HOROVOD_CUDA_HOME"),
    (machine(NEW, H100, asked=CUDA_12, found=[CUDA_13]), "/opt/cuda12", "60,70,80,90", "HOROVOD_CUDA_HOME"),
])
def test_choice(here, home, architectures, why):
    chosen = choose(here)
    assert (chosen.home, chosen.architectures) == (home, architectures)
    assert str(chosen).startswith(f"CUDA {chosen.version[0]}.{chosen.version[1]} "
                                  + (f"at {home} (" if home else "from pinned wheels ("))
    assert re.search(why, chosen.why)


@pytest.mark.parametrize("here, words", [
    (machine(TOO_OLD, H100, found=[CUDA_12]), "driver 525 or newer, and this machine has 520.61: .*--cpu"),
    (machine(NEW, M40, found=[CUDA_12]), "compute capability 6.0 or more, and the best one here has 5.2: use --cpu"),
    (machine(OLD, H100), r"driver 550.54 is older than 580.*CUDA 12.*found: none\): load one .module load cuda/12."),
    (machine(NEW, V100, found=[CUDA_13, CUDA_11]), "7.0.*found: 13.1 at /opt/cuda13; 11.8 at /opt/cuda11"),
    (machine(OLD, H100, found=[CUDA_12], asked=CUDA_13), "HOROVOD_CUDA_HOME=/opt/cuda13 is CUDA 13.1.*550.54.*name a"),
    (machine(NEW, H100, asked=CUDA_11), "HOROVOD_CUDA_HOME=/opt/cuda11 is CUDA 11.8.*CUDA 12 or 13"),
])
def test_what_cannot_work_is_refused_in_one_line(here, words):
    with pytest.raises(Refused, match=words) as refused:
        choose(here)
    assert "\n" not in str(refused.value) and str(refused.value).startswith("--gpu: ")


def stub(path, script):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def fake_nvcc(path, version, top):
    stub(path, f'case $1 in\n  --version) echo "Cuda compilation tools, release {version}, V{version}.88" ;;\n'
               f'  --dryrun) echo "#\\$ _CUDART_=cudart"; echo "#\\$ TOP={top}/bin/.." >&2 ;;\nesac')


@pytest.fixture
def path(monkeypatch, tmp_path):
    """The only folder on PATH, empty."""
    for name in ("CUDA_HOME", "HOROVOD_CUDA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cuda_compiler, "USUAL_PLACE", str(tmp_path / "usual"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    (tmp_path / "path").mkdir()
    return tmp_path / "path"


def test_a_machine_without_driver_and_compiler(path):
    assert cuda_compiler.this_machine() == Machine()


def test_what_nvidia_smi_says(path):
    stub(path / "nvidia-smi", 'case $1 in *compute_cap*) echo "580.65.06, 9.0"; echo "580.65.06, 8.0" ;; esac')
    assert cuda_compiler.this_machine() == Machine((580, 65, 6), 2, ((9, 0), (8, 0)))


def test_a_driver_that_does_not_know_compute_cap(path):
    stub(path / "nvidia-smi", 'case $1 in *compute_cap*) echo "Field is not a valid field to query"; exit 2 ;;\n'
                              '*) echo 470.57.02 ;; esac')
    assert cuda_compiler.this_machine() == Machine((470, 57, 2), 1, ())


@pytest.mark.parametrize("script", ['echo "No devices were found"; exit 6', 'echo "No devices were found"',
                                    "echo NVIDIA-SMI has failed because it could not communicate 9; exit 9"])
def test_a_driver_without_gpus(path, script):
    stub(path / "nvidia-smi", script)
    assert cuda_compiler.this_machine() == Machine()


def test_toolkits_in_the_order_in_which_they_are_found(path, tmp_path, monkeypatch):
    fake_nvcc(tmp_path / "cuda12/bin/nvcc", "12.4", tmp_path / "cuda12")
    fake_nvcc(tmp_path / "usual/bin/nvcc", "11.8", tmp_path / "usual")
    fake_nvcc(path / "nvcc", "13.0", tmp_path / "cuda13")  # a script that starts the nvcc of another folder
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "cuda12"))
    found = cuda_compiler.this_machine().found
    assert found == tuple((str(tmp_path / name), version) for name, version in
                          [("cuda12", (12, 4)), ("cuda13", (13, 0)), ("usual", (11, 8))])
    shutil.copytree(tmp_path / "cuda12", tmp_path / "asked")
    monkeypatch.setenv("HOROVOD_CUDA_HOME", str(tmp_path / "asked"))
    assert cuda_compiler.this_machine().asked == (str(tmp_path / "cuda12"), (12, 4))


def test_the_same_toolkit_is_named_once(path, tmp_path, monkeypatch):
    fake_nvcc(tmp_path / "cuda/bin/nvcc", "12.4", tmp_path / "cuda")
    (path / "nvcc").symlink_to(tmp_path / "cuda/bin/nvcc")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "cuda"))
    assert cuda_compiler.this_machine().found == ((str(tmp_path / "cuda"), (12, 4)),)


def test_an_nvcc_that_does_not_work_is_none(path):
    stub(path / "nvcc", "echo nvcc: command not found; exit 127")
    assert cuda_compiler.this_machine().found == ()


def test_a_wrong_horovod_cuda_home_is_refused(path, monkeypatch):
    monkeypatch.setenv("HOROVOD_CUDA_HOME", "/no/such/toolkit")
    with pytest.raises(Refused, match="HOROVOD_CUDA_HOME=/no/such/toolkit has no working bin/nvcc"):
        cuda_compiler.this_machine()


@pytest.mark.parametrize("named, count", [(None, 4), ("0", 1), ("2,3", 2), ("", 0), ("-1", 0), ("1,-1,2", 1),
                                          ("0,1,2,3,4,5", 4), ("GPU-8932f937, GPU-1", 2)])
def test_gpus_that_a_program_sees(named, count):
    environment = {} if named is None else {"CUDA_VISIBLE_DEVICES": named}
    assert cuda_compiler.visible_gpus(machine(NEW, H100, H100, H100, H100), environment) == count

"""The Horovod wheel: the key it is cached under, and how its sources are patched."""

import contextlib
import importlib.util
import pathlib
import subprocess
import sys
import types

import pytest

from conftest import ROOT, command_environment

sys.path.append(str(ROOT / "requirements"))

import build_environment  # noqa: E402
import cuda_compiler  # noqa: E402
import horovod_patches  # noqa: E402
import horovod_wheel  # noqa: E402
from stages import Failed  # noqa: E402

CMAKELISTS = '''list(APPEND TF_SOURCES "${PROJECT_SOURCE_DIR}/horovod/tensorflow/mpi_ops.cc")
list(APPEND TF_SOURCES "${PROJECT_SOURCE_DIR}/horovod/tensorflow/xla_mpi_ops.cc")
add_library(${TF_TARGET_LIB} SHARED ${SOURCES} ${TF_SOURCES})
'''
LAUNCHER_CHECKS = """import tensorflow

@_cache
def mpi_built(verbose=False):
    return tensorflow

@_cache
def gloo_built(verbose=False):
    return tensorflow
"""
PLAN = build_environment.Plan("cpu", "wheel")


def test_cache_key_changes_with_each_input():
    facts = horovod_wheel.wheel_facts(PLAN.lock.read_text(), "cpu", "wheel")
    assert {"horovod", "python", "tensorflow", "mpi", "compute", "platform", "recipe"} <= set(facts)
    key = horovod_wheel.cache_key(facts)
    assert key == horovod_wheel.cache_key(dict(facts))
    assert "/" not in key
    for name in facts:
        assert horovod_wheel.cache_key({**facts, name: facts[name] + "x"}) != key, name


def test_cache_key_tells_cpu_from_gpu_and_one_mpi_from_another():
    cpu, gpu = ((ROOT / f"requirements/{name}.txt").read_text() for name in ("cpu", "gpu"))
    wheels, own = (cuda_compiler.Compiler(home, version, "") for home, version in [(None, (13, 0)), ("/c", (13, 0))])
    older = cuda_compiler.Compiler("/c", (12, 4), "")
    kinds = [(cpu, "cpu", "wheel"), (gpu, "gpu", "wheel", wheels), (gpu, "gpu", "wheel", own),
             (gpu, "gpu", "wheel", older), (cpu, "cpu", "/a/mpicxx | 4.1.4"), (cpu, "cpu", "/a/mpicxx | 5.0.1")]
    assert len({horovod_wheel.cache_key(horovod_wheel.wheel_facts(*kind)) for kind in kinds}) == len(kinds)


def test_mending_takes_out_one_source_and_adds_the_properties():
    mended = horovod_patches.patched_cmakelists(CMAKELISTS, 'INSTALL_RPATH "$ORIGIN/.."')
    before, after = CMAKELISTS.splitlines(), mended.splitlines()
    assert after[:-1] == [before[0], before[2]]
    assert after[-1] == 'set_target_properties(${TF_TARGET_LIB} PROPERTIES INSTALL_RPATH "$ORIGIN/..")'


@pytest.mark.parametrize("text", [CMAKELISTS.replace("xla_mpi_ops", "other"), CMAKELISTS * 2, ""])
def test_mending_an_unknown_file_fails(text):
    with pytest.raises(Failed, match="names xla_mpi_ops.cc [02] times, not once"):
        horovod_patches.patched_cmakelists(text, "")


def test_the_mended_launcher_knows_what_the_wheel_is_built_with():
    mended = horovod_patches.patched_launcher_checks(LAUNCHER_CHECKS)
    assert mended.startswith(LAUNCHER_CHECKS)
    names = {"_cache": lambda function: function}
    exec(mended.replace("import tensorflow", ""), names)
    assert names["mpi_built"](verbose=True) is True and names["gloo_built"]() is False


@pytest.mark.parametrize("text", [LAUNCHER_CHECKS.replace("gloo_built", "other"), LAUNCHER_CHECKS * 2, ""])
def test_mending_an_unknown_launcher_fails(text):
    with pytest.raises(Failed, match="built.verbose=False. [02] times, not once"):
        horovod_patches.patched_launcher_checks(text)


START = "if ranks:\n    if local:\n" + horovod_patches.START_OF_MPIRUN


@pytest.mark.parametrize("installed", [True, False])
def test_mpirun_starts_behind_this_projects_launcher_where_it_is_installed(monkeypatch, installed):
    started = []
    launcher = types.SimpleNamespace(run_mpirun=lambda *arguments: started.append(("launcher", *arguments)))
    monkeypatch.setitem(sys.modules, "albert_hvd.runtime.launcher", launcher if installed else None)

    def execve(*arguments):
        started.append(("exec", *arguments))
        raise SystemExit  # it does not come back

    names = {"ranks": 2, "local": True, "mpirun_command": "mpirun -np 2", "env": {"A": "b"},
             "os": types.SimpleNamespace(execve=execve)}
    with contextlib.suppress(SystemExit):
        exec(horovod_patches.patched_start_of_mpirun(START), names)
    assert started == [("launcher", "mpirun -np 2", {"A": "b"}) if installed else
                       ("exec", "/bin/sh", ["/bin/sh", "-c", "mpirun -np 2"], {"A": "b"})]


@pytest.mark.parametrize("text, times", [("", 0), (START * 2, 2)])
def test_mending_an_unknown_start_of_mpirun_fails(text, times):
    with pytest.raises(Failed, match=f"starts mpirun {times} times, not once"):
        horovod_patches.patched_start_of_mpirun(text)


def test_the_installed_horovodrun_starts_mpirun_behind_the_launcher():
    installed = pathlib.Path(importlib.util.find_spec("horovod").origin).parent / "runner/mpi_run.py"
    assert horovod_patches.patched_start_of_mpirun(START).removeprefix(START[:START.index("        os.")]) in (
        installed.read_text())


def test_the_wheel_is_built_again_when_a_patch_changes(tmp_path, monkeypatch):
    key = horovod_wheel.cache_key(horovod_wheel.wheel_facts(PLAN.lock.read_text(), "cpu", "wheel"))
    changed = tmp_path / "horovod_patches.py"
    changed.write_text("# other patches\n")
    monkeypatch.setattr(horovod_patches, "__file__", str(changed))
    assert horovod_wheel.cache_key(horovod_wheel.wheel_facts(PLAN.lock.read_text(), "cpu", "wheel")) != key


def test_mending_the_gpu_stream_leaves_one_definition_and_no_declaration():
    calls = "auto stream = stream_executor::gpu::AsGpuStreamValue(device_context->stream());\n"
    mended = horovod_patches.patched_gpu_stream(f"#if HAVE_GPU\n{horovod_patches.OLD_STREAM}#endif\n{calls}")
    assert "inline GpuStreamHandle AsGpuStreamValue(Stream* stream) {" in mended
    assert "AsGpuStreamValue(Stream* stream);" not in mended and "tensorflow/compiler/xla" not in mended
    assert mended.startswith("#if HAVE_GPU\n") and mended.endswith(f"#endif\n{calls}")


@pytest.mark.parametrize("text, times", [("", 0), (horovod_patches.OLD_STREAM * 2, 2)])
def test_mending_unknown_operations_fails(text, times):
    with pytest.raises(Failed, match=f"declares AsGpuStreamValue {times} times, not once"):
        horovod_patches.patched_gpu_stream(text)


def test_the_compiler_of_a_gpu_build_comes_first_on_path(tmp_path):
    (tmp_path / "lib/python3.12/site-packages/nvidia/nccl/lib").mkdir(parents=True)
    work = tmp_path / "work"
    work.mkdir()
    variables = horovod_wheel._gpu_variables(tmp_path, work, "/opt/cuda", "75,80,90", "/usr/bin")
    assert variables["PATH"] == "/opt/cuda/bin:/usr/bin" and variables["HOROVOD_CUDA_HOME"] == "/opt/cuda"
    assert variables["HOROVOD_BUILD_CUDA_CC_LIST"] == "75,80,90"
    assert (work / "libnccl.so").readlink().name == "libnccl.so.2"


def test_horovodrun_starts_ranks_without_importing_tensorflow(tmp_path):
    stub = tmp_path / "tensorflow.py"
    stub.write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\n")
    result = subprocess.run(["horovodrun", "-np", "2", "echo", "started"], text=True, capture_output=True,
                            env={**command_environment(), "PYTHONPATH": str(tmp_path)}, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("started") == 2
    assert not (tmp_path / "imported").exists()


def test_a_cached_wheel_finds_its_libraries_relative_to_itself():
    for compute in ("cpu", "gpu"):
        assert str(ROOT) not in horovod_wheel.run_path(compute, "wheel")
        assert "$ORIGIN/../../../.." in horovod_wheel.run_path(compute, "wheel")
    for folder in ("nvidia/nccl/lib", "nvidia/cuda_runtime/lib"):
        assert folder in horovod_wheel.run_path("gpu", "wheel") and folder in horovod_wheel.run_path("gpu", "/a/mpicxx")
        assert folder not in horovod_wheel.run_path("cpu", "wheel")


def test_an_incomplete_wheel_is_not_taken_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    facts = horovod_wheel.wheel_facts(PLAN.lock.read_text(), "cpu", "wheel")
    shelf = tmp_path / "albert_hvd" / horovod_wheel.cache_key(facts)
    shelf.mkdir(parents=True)
    (shelf / "incomplete").touch()
    assert horovod_wheel.cached_wheel(facts) is None
    (shelf / "horovod-0.28.1-cp311-cp311-linux_x86_64.whl").touch()
    assert horovod_wheel.cached_wheel(facts).parent == shelf

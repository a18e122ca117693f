"""The check of Horovod's library after its build, on small libraries made here and on the installed one."""

import pathlib
import shutil
import subprocess
import sys
import sysconfig

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "requirements"))

import cuda_libraries  # noqa: E402
import elf  # noqa: E402
import linkage  # noqa: E402

SITE = pathlib.Path(sysconfig.get_path("purelib"))
HEADER = """namespace tensorflow { void Known(int); void Unknown(int); }
namespace stream_executor { namespace gpu { void* AsGpuStreamValue(void*); } }
namespace horovod { namespace tensorflow { void Own(); } }
extern "C" {
void ncclAllReduce(); void ncclOfALaterOne(); void cudaSetDevice(); void __cudaLaunchKernel(); void somebody_elses();
__attribute__((weak)) void may_stay_open();
}
"""

needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="no g++ to make small libraries with")


def library(path, source, *options):
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["g++", "-shared", "-fPIC", "-o", path, "-x", "c++", "-", "-x", "none", *options],
                   input=HEADER + source, text=True, check=True)
    return path


@pytest.fixture
def site(tmp_path):
    """A site-packages folder with a TensorFlow that defines tensorflow::Known, and an NCCL."""
    site = tmp_path / "site-packages"
    library(site / "tensorflow/libtensorflow_framework.so.2", "void tensorflow::Known(int) {} void cudaSetDevice() {}")
    library(site / "nvidia/nccl/lib/libnccl.so.2", "void ncclAllReduce() {}", "-Wl,-soname,libnccl.so.2")
    return site


def horovod(site, body, run_path="$ORIGIN/../../nvidia/nccl/lib"):
    return library(site / "horovod/tensorflow/mpi_lib.so",
                   f"void horovod::tensorflow::Own() {{ {body} ncclAllReduce(); somebody_elses(); may_stay_open(); }}",
                   site / "nvidia/nccl/lib/libnccl.so.2", f"-Wl,-rpath,{run_path}")


@needs_compiler
def test_a_library_that_finds_everything(site):
    assert linkage.problems_of(horovod(site, "::tensorflow::Known(1); cudaSetDevice();")) == []


@needs_compiler
@pytest.mark.parametrize("call, symbol", [
    ("::tensorflow::Unknown(1);", "_ZN10tensorflow7UnknownEi"),
    ("ncclOfALaterOne();", "ncclOfALaterOne"),
    ("__cudaLaunchKernel();", "__cudaLaunchKernel"),
    ("stream_executor::gpu::AsGpuStreamValue(nullptr);", "_ZN15stream_executor3gpu16AsGpuStreamValueEPv"),
])
def test_a_symbol_that_nothing_defines(site, call, symbol):
    problem, = linkage.problems_of(horovod(site, f"::tensorflow::Known(1); {call}"))
    assert "wants 1 symbol(s) that TensorFlow, NCCL and" in problem and symbol in problem


@needs_compiler
@pytest.mark.parametrize("runtime, problems", [("void cudaSetDevice() {}", 0), ("void cudaOther() {}", 1)])
def test_a_cuda_runtime_that_lacks_what_tensorflow_passes_on(site, runtime, problems):
    library(site / "nvidia/cuda_runtime/lib/libcudart.so.12", f'extern "C" {{ {runtime} }}')
    found = linkage.problems_of(horovod(site, "cudaSetDevice();"))
    assert len(found) == problems and all("cudaSetDevice for one" in problem for problem in found)


@needs_compiler
@pytest.mark.parametrize("run_path", ["$ORIGIN/elsewhere", "/no/such/folder"])
def test_a_library_out_of_reach(site, run_path):
    problem, = linkage.problems_of(horovod(site, "", run_path))
    assert problem == "mpi_lib.so wants libnccl.so.2, and its run path does not lead there"


@needs_compiler
def test_what_is_read_of_a_library(site):
    read = elf.read_library(horovod(site, "", "$ORIGIN/a:/b"))
    assert "libnccl.so.2" in read.needed and read.run_path == ("$ORIGIN/a", "/b")
    assert b"_ZN7horovod10tensorflow3OwnEv" in read.defined
    assert {b"ncclAllReduce", b"somebody_elses"} <= read.undefined
    assert b"may_stay_open" not in read.undefined | read.defined


@pytest.mark.parametrize("content", [b"", b"\x7fELF\x01\x01\x01", b"#!/bin/sh\nexit 0\n"])
def test_no_library(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="is no 64-bit little-endian ELF file"):
        elf.read_library(tmp_path / "file")


def test_the_installed_horovod_finds_everything():
    path, = SITE.glob("horovod/tensorflow/mpi_lib*.so")
    assert linkage.problems_of(path) == []
    read = elf.read_library(path)
    wanted = {symbol for symbol in read.undefined if linkage.OF_OTHERS.search(symbol)}
    assert len(wanted) > 50  # the check looks at something
    assert "libmpi.so.40" in read.needed


@pytest.mark.parametrize("before", ["nothing", "a dangling link", "the link"])
def test_cusolver_is_put_where_tensorflow_looks(tmp_path, before):
    for name in ("cusolver", "cusparse"):
        (tmp_path / f"nvidia/{name}/lib").mkdir(parents=True)
    (tmp_path / "nvidia/cusolver/lib/libcusolver.so.11").write_text("the library")
    link = tmp_path / "nvidia/cusparse/lib/libcusolver.so.11"
    if before == "a dangling link":
        link.symlink_to("/no/such/library")
    elif before == "the link":
        cuda_libraries.let_tensorflow_find_cusolver(tmp_path)
    cuda_libraries.let_tensorflow_find_cusolver(tmp_path)
    assert link.read_text() == "the library" and not link.readlink().is_absolute()


@pytest.mark.skipif(not (SITE / "nvidia/cusolver").exists(), reason="tensorflow-cpu: no CUDA libraries to be found")
def test_tensorflow_finds_its_cuda_libraries():
    assert cuda_libraries.not_found() == []

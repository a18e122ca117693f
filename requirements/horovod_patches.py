"""What bin/setup changes in Horovod's sources before it builds them."""

from stages import Failed


def _check_once(file, what, times, function):
    """Raise Failed unless what is to be changed is in the file exactly once: else it is not the file we know."""
    if times != 1:
        raise Failed(f"Horovod's {file} {what} {times} times, not once: requirements/horovod.txt and {function.__name__}() "
                     f"must be brought together")


def patched_cmakelists(text, properties):
    """horovod/tensorflow/CMakeLists.txt without the source that does not compile.

    xla_mpi_ops.cc wants XLA headers that moved in TensorFlow 2.16. Its operations are off unless
    HOROVOD_ENABLE_XLA_OPS=1, which this project does not use.

    Args:
      properties: CMake properties that the library gets on top.

    Raises:
      Failed: there is not exactly one such line, so this is not the file we know.
    """
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if "xla_mpi_ops.cc" not in line]
    _check_once("CMakeLists.txt", "names xla_mpi_ops.cc", len(lines) - len(kept), patched_cmakelists)
    return "".join(kept) + f"set_target_properties(${{TF_TARGET_LIB}} PROPERTIES {properties})\n"


def patched_launcher_checks(text):
    """horovod/common/util.py that knows what this wheel is built with.

    horovodrun asks it twice before it starts a rank, and it would answer by importing TensorFlow in a process
    of its own each time: seconds, for what `_build_variables` has settled.

    Raises:
      Failed: the two functions are not there, each once, so this is not the file we know.
    """
    for name in ("mpi_built", "gloo_built"):
        _check_once("common/util.py", f"defines {name}(verbose=False)",
                    text.count(f"\ndef {name}(verbose=False):\n"), patched_launcher_checks)
    return text.rstrip("\n") + """


# Set by albert_hvd's bin/setup, which built this wheel.
def mpi_built(verbose=False):
    return True


def gloo_built(verbose=False):
    return False
"""


START_OF_MPIRUN = "        os.execve('/bin/sh', ['/bin/sh', '-c', mpirun_command], env)\n"


def patched_start_of_mpirun(text):
    """horovod/runner/mpi_run.py that hands over to albert_hvd/runtime/launcher.py instead of turning into mpirun.

    Where albert_hvd is not installed, mpirun starts as it did.

    Raises:
      Failed: the line is not there exactly once, so this is not the file we know.
    """
    _check_once("runner/mpi_run.py", "starts mpirun", text.count(START_OF_MPIRUN), patched_start_of_mpirun)
    return text.replace(START_OF_MPIRUN, f"""\
        # Set by albert_hvd's bin/setup: Ctrl-C and SIGTERM let the ranks save.
        try:
            from albert_hvd.runtime.launcher import run_mpirun
        except ImportError:
    {START_OF_MPIRUN}\
        run_mpirun(mpirun_command, env)
""")


OLD_STREAM = """// Forward declaration of AsGpuStreamValue
namespace stream_executor {
namespace gpu {
GpuStreamHandle AsGpuStreamValue(Stream* stream);
} // namespace stream_executor
} // namespace gpu
#if TENSORFLOW_VERSION >= 2011000000
#include "tensorflow/compiler/xla/stream_executor/stream.h"
#else
#include "tensorflow/stream_executor/stream.h"
#endif // TENSORFLOW_VERSION >= 2011000000
"""
NEW_STREAM = """#include "xla/stream_executor/stream.h"
namespace stream_executor {
namespace gpu {
inline GpuStreamHandle AsGpuStreamValue(Stream* stream) {
  return static_cast<GpuStreamHandle>(stream->platform_specific_handle().stream);
}
} // namespace gpu
} // namespace stream_executor
"""


def patched_gpu_stream(text):
    """horovod/tensorflow/mpi_ops.cc that asks TensorFlow's own stream for its CUDA stream.

    It calls stream_executor::gpu::AsGpuStreamValue, which no library of the tensorflow 2.21 wheel defines: a
    library with that call compiles and links, and cannot be loaded. Only GPU builds read this part.

    Raises:
      Failed: the part is not there exactly once, so this is not the file we know.
    """
    _check_once("tensorflow/mpi_ops.cc", "declares AsGpuStreamValue", text.count(OLD_STREAM), patched_gpu_stream)
    return text.replace(OLD_STREAM, NEW_STREAM)

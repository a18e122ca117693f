"""The CUDA libraries that TensorFlow opens before it takes a GPU: one of them missing, and it takes none.

As a program, in an environment with the tensorflow of the gpu extra: opens them all, which needs no GPU, and exits with
1 and their names where some are not found.
"""

import ctypes
import pathlib
import sys

# What TensorFlow opens before it registers a GPU, and NCCL for its own collectives.
NAMES = ("CudaRuntime", "Cublas", "CublasLt", "Cufft", "Cusolver", "Cusparse", "Cudnn", "Nccl")
CUSOLVER = "libcusolver.so.11"


class _StatusOr(ctypes.Structure):
    """absl::StatusOr<void*>, returned by address: a status of 1 is OK."""

    _fields_ = [("status", ctypes.c_uint64), ("handle", ctypes.c_void_p), ("unused", ctypes.c_uint64)]


def let_tensorflow_find_cusolver(site):
    """Put a link to cuSOLVER into the folder of cuSPARSE.

    tensorflow 2.21 looks for CUDA libraries along the run path of its libtensorflow_framework, which names the folders
    of all others below nvidia/ and not that of cuSOLVER. Without the link it says "Cannot dlopen some GPU libraries"
    and trains on the CPU.

    Args:
      site: site-packages, a path.
    """
    link = site / "nvidia/cusparse/lib" / CUSOLVER
    if not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(pathlib.Path("../../cusolver/lib") / CUSOLVER)


def not_found(names=NAMES):
    """Those of `names` that TensorFlow's own loader does not find."""
    import tensorflow

    library = ctypes.CDLL(str(pathlib.Path(tensorflow.__file__).parent / "libtensorflow_framework.so.2"))
    missing = []
    for name in names:
        function = f"Get{name}DsoHandle"
        loader = getattr(library, f"_ZN3tsl8internal9DsoLoader{len(function)}{function}Ev")
        loader.restype, loader.argtypes = _StatusOr, []
        if loader().status != 1:
            missing.append(name)
    return missing


if __name__ == "__main__":
    missing_names = not_found()
    if missing_names:
        sys.exit(f"TensorFlow does not find {', '.join(missing_names)} and would take no GPU")
    print("TensorFlow finds its CUDA libraries")

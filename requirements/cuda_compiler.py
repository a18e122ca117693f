"""The CUDA compiler for Horovod's GPU part: which one fits this machine, and a whole toolkit from wheels."""

import pathlib

FOLDER = pathlib.Path(__file__).resolve().parent


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

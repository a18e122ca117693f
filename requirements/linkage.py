"""Does Horovod's library find all that it wants from TensorFlow, NCCL, CUDA and MPI? Asked before it is loaded.

A shared library links with symbols that nothing defines, and fails where it is first imported.
"""

import re

import elf

# What Horovod calls of others, in mangled names: ..10tensorflow4data.. is of tensorflow::data.
OF_OTHERS = re.compile(rb"(?:10tensorflow|15stream_executor|3xla|3tsl|4absl(?:12lts_\d+)?|6google8protobuf)(?=\d|L|C|D)"
                       rb"|^(?:TF|TFE|TSL)_|^nccl[A-Z]|^(?:__)?cuda[A-Z]")
OF_CUDA = re.compile(rb"^(?:__)?cuda[A-Z]")
# Beside the system's own, which the machine has in the places it knows.
CARRIED = re.compile(r"lib(?:nccl|cudart|nvrtc|cublas|cudnn)\.so")


def problems_of(library):
    """What `library`, a path of mpi_lib*.so in some site-packages, lacks: list of messages, empty when all is well."""
    site = library.parents[2]
    read = elf.read_library(library)
    places = {name: elf.places_of(library, read, name) for name in read.needed if CARRIED.match(name)}
    out_of_reach = [name for name, found in places.items() if not found]
    if out_of_reach:
        return [f"{library.name} wants {name}, and its run path does not lead there" for name in out_of_reach]
    wanted = {symbol for symbol in read.undefined - read.defined if OF_OTHERS.search(symbol)}
    others = [*(site / "tensorflow").glob("libtensorflow_*.so.2"), *(found[0] for found in places.values())]
    missing = wanted.difference(*(elf.read_library(path).defined for path in others))
    # The linker prefers TensorFlow's functions of these names, which pass the call on to its own CUDA runtime: an
    # older one than the compiler's may lack some of them.
    runtime = site / "nvidia/cuda_runtime/lib/libcudart.so.12"
    if runtime.exists():
        missing |= {symbol for symbol in wanted - elf.read_library(runtime).defined if OF_CUDA.search(symbol)}
    return [f"{library.name} wants {len(missing)} symbol(s) that TensorFlow, NCCL and the CUDA runtime do not define, "
            f"{min(missing).decode()} for one"] if missing else []

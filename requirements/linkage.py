"""Does Horovod's library find all that it wants from TensorFlow, NCCL, CUDA and MPI? Asked before it is loaded.

A shared library links with symbols that nothing defines, and fails where it is first imported.
"""

import re

import elf

# Of TensorFlow and what it is built from, in mangled names: N10tensorflow4data... is tensorflow::data...
FROM_TENSORFLOW = re.compile(rb"(?:10tensorflow|15stream_executor|3xla|3tsl|4absl(?:12lts_\d+)?|6google8protobuf)(?=\d|L|C|D)"
                             rb"|^TF_|^TFE_|^TSL_")
# Beside the system's own, which the machine has in the places it knows.
CARRIED = re.compile(r"lib(?:nccl|cudart|nvrtc|cublas|cudnn)\.so")


def problems(library):
    """What `library`, a path of mpi_lib*.so in some site-packages, lacks: list of messages, empty when all is well."""
    site = library.parents[2]
    read = elf.read_library(library)
    offered = frozenset().union(*(elf.read_library(path).defined
                                  for path in sorted((site / "tensorflow").glob("libtensorflow_*.so.2"))))
    missing = sorted(symbol.decode() for symbol in read.undefined - read.defined - offered
                     if FROM_TENSORFLOW.search(symbol))
    found = []
    if missing:
        found.append(f"TensorFlow does not define {len(missing)} of the symbols that {library.name} wants, {missing[0]} "
                     f"for one")
    found += [f"{library.name} wants {name}, and its run path does not lead there" for name in read.needed
              if CARRIED.match(name) and not elf.places_of(library, read, name)]
    return found

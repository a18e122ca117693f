"""The processes that share the work of a data command."""

import concurrent.futures
import dataclasses
import multiprocessing

from albert_hvd.errors import InputError, parameter, spelling, use_spelling
from albert_hvd.options import option


@dataclasses.dataclass(frozen=True)
class WorkerOptions:
    """What every data command with such processes has."""

    num_workers: int = option(0, "processes; 0: one per core")


def worker_pool(num_workers):
    """An executor of `num_workers` processes. Raises InputError when the machine has no room for its locks."""
    # Not fork: the parent may have threads (SentencePiece, NumPy), whose locks a child would inherit.
    context = multiprocessing.get_context("spawn")
    try:
        return concurrent.futures.ProcessPoolExecutor(num_workers, context, initializer=use_spelling,
                                                      initargs=(spelling(),))
    except OSError as error:
        raise InputError(f"the processes cannot be started ({error.strerror}): make room in /dev/shm, where their "
                         f"locks are, or use {parameter('num_workers')}=1", name="num_workers",
                         value=num_workers) from None

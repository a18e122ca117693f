"""Who shares the work of a data command: this process, a pool of processes, or the ranks of an MPI job."""

import collections
import concurrent.futures
import dataclasses
import functools
import multiprocessing
import os
import threading

from albert_hvd.errors import InputError, parameter, spelling, use_spelling
from albert_hvd.options import option

_shared = None  # in a process of a pool: what it was given once


@dataclasses.dataclass(frozen=True)
class WorkerOptions:
    """What every data command with such processes has."""

    num_workers: int = option(0, "processes; 0: one per core")


def worker_pool(num_workers, shared=None):
    """An executor of `num_workers` processes.

    Args:
      shared: what `call_with_shared` hands to each call; it travels to each process once.

    Raises: InputError when the machine has no room for its locks.
    """
    # Not fork: the parent may have threads (SentencePiece, NumPy), whose locks a child would inherit.
    context = multiprocessing.get_context("spawn")
    try:
        return concurrent.futures.ProcessPoolExecutor(num_workers, context, initializer=_begin,
                                                      initargs=(spelling(), shared))
    except OSError as error:
        raise InputError(f"the processes cannot be started ({error.strerror}): make room in /dev/shm, where their "
                         f"locks are, or use {parameter('num_workers')}=1", name="num_workers",
                         value=num_workers) from None


def _begin(prefix, shared):
    global _shared
    use_spelling(prefix)
    _shared = shared
    threading.Thread(target=_end_with_parent, name="parent watch", daemon=True).start()


def _end_with_parent():
    """A killed command's processes must not go on writing to where its next start works."""
    multiprocessing.parent_process().join()
    os._exit(1)


def call_with_shared(function, *arguments):
    """`function(shared, *arguments)`, in a process of a pool."""
    return function(_shared, *arguments)


class OneProcess:
    """A team of one: this process.

    Attributes: `rank` of `size` processes that each run the command; `width`, how many work at once.
    """

    rank, size, width = 0, 1, 1

    def __init__(self, shared):
        self._shared = shared

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def map(self, function, items):
        """Yield `function(shared, item)` for this rank's share of the items, in their order."""
        return (function(self._shared, item) for item in items)

    def stream(self, function, items):
        """Yield `function(shared, item)` for all items, however many, which this process alone reads."""
        return (function(self._shared, item) for item in items)

    def on_rank_0(self, function):
        """What `function()` returns on rank 0, on every rank; an InputError of it is raised on every rank too."""
        return function()

    def barrier(self):
        """Wait until all ranks have come here."""

    def end_workers(self):
        """Let the processes end that only did calls of `map`, with whatever files they hold open."""


class PoolTeam(OneProcess):
    """A pool of processes, to each of which `shared` is handed once."""

    def __init__(self, shared, num_workers):
        self.width = num_workers
        self._executor = worker_pool(num_workers, shared)

    def __exit__(self, *error):
        self.end_workers()

    def end_workers(self):
        self._executor.shutdown(cancel_futures=True)

    def map(self, function, items):
        return self._executor.map(functools.partial(call_with_shared, function), items)

    def stream(self, function, items):
        pending = collections.deque()
        for item in items:
            pending.append(self._executor.submit(call_with_shared, function, item))
            if len(pending) > 4 * self.width:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


class RankTeam(OneProcess):
    """The ranks of an MPI job: each does every size-th item, so that none does two more than another."""

    def __init__(self, shared):
        from mpi4py import MPI

        self._world, self._shared = MPI.COMM_WORLD, shared
        self.rank, self.size = self._world.rank, self._world.size
        self.width = self.size

    def map(self, function, items):
        return super().map(function, list(items)[self.rank::self.size])

    def on_rank_0(self, function):
        result, error = None, None
        if self.rank == 0:
            try:
                result = function()
            except InputError as found:
                error = found
        result, error = self._world.bcast((result, error))
        if error is not None:
            raise error
        return result

    def barrier(self):
        self._world.Barrier()


def make_team(shared, num_workers, use_mpi=False):
    """The team for a command's work, a context.

    Args:
      shared: the first argument of every call.
      num_workers: processes (0: one per core); under MPI each rank is one process.
    """
    num_workers = num_workers or len(os.sched_getaffinity(0))
    return RankTeam(shared) if use_mpi else PoolTeam(shared, num_workers) if num_workers > 1 else OneProcess(shared)

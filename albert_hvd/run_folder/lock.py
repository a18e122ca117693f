"""One run at a time in an output folder."""

import contextlib

from albert_hvd.runtime import distributed
from albert_hvd.runtime.lock import RunLock


@contextlib.contextmanager
def one_run_in(folder):
    """A context, entered by all ranks, in which no other run writes to an output folder.

    Raises:
      InputError: on every rank, naming `output_dir`, when another run does.
    """
    with contextlib.ExitStack() as held:
        distributed.on_rank_0(lambda: held.enter_context(RunLock(folder)).path, "run_lock")
        yield

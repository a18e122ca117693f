"""SIGTERM and SIGUSR1 as a wish that training honours between steps, on all ranks together."""

import signal

from albert_hvd.runtime import distributed

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """Within `with StopRequest() as request`, the signals set `request.name` instead of ending the process.

    Enter it before TensorFlow is loaded and MPI started, so that no signal of a scheduler is lost. It may
    come twice: a scheduler often signals both the launcher, which forwards it, and the ranks.

    Attributes:
      name: the signal that this rank received, such as "SIGTERM"; "" while there was none.
    """

    def __init__(self):
        self.name = ""

    def __enter__(self):
        self._handlers_before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *_):
        for number, handler in self._handlers_before.items():
            # The signal that comes again while the stopped process leaves must not change its exit code.
            signal.signal(number, signal.SIG_IGN if self.name else handler)

    def _note(self, number, _):
        self.name = signal.Signals(number).name

    def agreed(self):
        """Whether any rank was asked to stop; all ranks must call it, and all get the same answer."""
        return distributed.any_rank(bool(self.name))

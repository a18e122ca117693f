"""SIGTERM, SIGUSR1 and SIGINT (Ctrl-C) as a wish that training honours between steps, on all ranks together."""

import os
import signal
import threading
import time

from albert_hvd.errors import StoppedBySignal
from albert_hvd.runtime import distributed
from albert_hvd.runtime.launcher import SAME_PRESS_SEC, say

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)

_INTERRUPTED = 128 + signal.SIGINT  # a shell's exit code for it


class StopRequest:
    """Within `with StopRequest() as request`, the signals set `request.name` instead of ending the process.

    Enter it before TensorFlow is loaded and MPI started, so that no signal of a scheduler is lost. SIGTERM and SIGUSR1
    may come twice: a scheduler often signals both the launcher, which forwards it, and the ranks. A second Ctrl-C
    ends the process at once with exit code 130.

    Attributes:
      name: the signal that this rank received first, such as "SIGTERM"; "" while there was none.
    """

    def __init__(self):
        self.name = ""

    def __enter__(self):
        self._interrupts = _Interrupts()
        self._handlers_before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, kind, *_):
        # A signal that comes while the stopped process leaves must not change its exit code: the same once more, or
        # the one that another rank got first.
        leaving = self.name or kind is StoppedBySignal
        for number, handler in self._handlers_before.items():
            signal.signal(number, signal.SIG_IGN if leaving else handler)
        self._interrupts.close()

    def _note(self, number, _):
        self.name = self.name or signal.Signals(number).name

    def agreed(self):
        """Whether any rank was asked to stop; all ranks must call it, and all get the same answer."""
        return distributed.any_rank(bool(self.name))


class _Interrupts:
    """A thread that counts SIGINT as they arrive, for the main thread may be in a collective that never ends.

    Python's own handlers run in the main thread, and only when it comes back from C++.
    """

    def __init__(self):
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._watch, name="interrupts", daemon=True)
        self._thread.start()

    def _watch(self):
        last = None
        while numbers := os.read(self._reader, 64):
            if signal.SIGINT in numbers:
                now = time.monotonic()
                if last is None and distributed.rank() == 0:
                    say("Ctrl-C: stopping after this step, with a checkpoint; once more ends at once, without one")
                elif last is not None and now - last > SAME_PRESS_SEC:
                    say("Ctrl-C again: ended at once, without a checkpoint")
                    os._exit(_INTERRUPTED)
                last = now

    def close(self):
        """Stop counting."""
        signal.set_wakeup_fd(self._before)
        os.close(self._writer)
        self._thread.join()
        os.close(self._reader)

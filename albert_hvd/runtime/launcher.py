"""mpirun behind a process that answers Ctrl-C and SIGTERM by letting the ranks save.

mpirun itself answers both with SIGTERM to the ranks, and with SIGKILL a second later: too soon for a step and a
checkpoint. Here it runs with both blocked, and the process in front of it has it pass SIGUSR1 on to the ranks instead.
It stays in the process group of the terminal, so that it reads standard input and obeys Ctrl-Z as before. One signal
must be left that ends it at once: SIGHUP, which a closed terminal sends as well; after nohup, which mpirun alone would
not heed, SIGTERM.

horovodrun, as bin/setup builds it, calls `run_mpirun`. It must not wait for slow imports.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

# A terminal signals the whole process group, and a launcher may pass the signal on as well: that is one Ctrl-C.
SAME_PRESS_SEC = 0.2

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}
_SAVE = signal.SIGUSR1

# What mpirun is told before it has ranks is lost, so it is told again; each time later, since it prints a line.
_FIRST_REPEAT_SEC = 1.0

# mpirun would leave without its ranks if it were told twice within this time.
_ENDING_SEC = 5.0

_PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def run_mpirun(command, environment):
    """Run mpirun in the place of this process, which ends with its exit code.

    The first SIGINT, SIGTERM or SIGHUP to this process is passed on as SIGUSR1 to all ranks, the second ends them at
    once; SIGUSR1 and SIGUSR2 are passed on as they are. If this process is killed, mpirun ends its ranks.

    Args:
      command: "mpirun ...", as for a shell.
      environment: dict.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, AttributeError):  # it may lead nowhere, or be none
            stream.flush()
    # As after an exec, whatever else this process may still have to do is not done.
    os._exit(_Launcher(command, environment).wait())


class _Launcher:
    """A started mpirun.

    Signals are read from a pipe, which none of them can miss or interrupt.
    """

    def __init__(self, command, environment):
        self._stopped_by, self._last_stop = None, 0.0
        self._save_again_at, self._repeat_sec = None, _FIRST_REPEAT_SEC
        self._ended_at = None
        nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        self._end_signal = end_signal = signal.SIGTERM if nohup else signal.SIGHUP
        self._signals, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (*_NAMES, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD):
            if number != signal.SIGHUP or not nohup:
                signal.signal(number, _written_to_the_pipe)
        prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

        def end_with_parent():
            prctl(_PR_SET_PDEATHSIG, int(end_signal), 0, 0, 0)
            if os.getppid() != parent:  # it has ended meanwhile
                os._exit(1)

        before = signal.pthread_sigmask(signal.SIG_BLOCK, _NAMES.keys() - {end_signal})
        # mpirun inherits what is blocked, and unblocks it in its ranks. As with an exec, it gets open files too.
        self._mpirun = subprocess.Popen(["/bin/sh", "-c", f"exec {command}"], env=environment, close_fds=False,
                                        preexec_fn=end_with_parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def wait(self):
        """Answer signals until mpirun ends; returns its exit code as a shell would."""
        while (code := self._mpirun.poll()) is None:
            timeout = self._save_again_at and max(0.0, self._save_again_at - time.monotonic())
            if not select.select([self._signals], [], [], timeout)[0]:
                self._save()
                continue
            for number in os.read(self._signals, 64):
                if number in _NAMES:
                    self._stop(number)
                elif number != signal.SIGCHLD:
                    self._mpirun.send_signal(number)
        code = code if code >= 0 else 128 - code
        if self._stopped_by and code == 128 + _SAVE:
            return 128 + self._stopped_by  # of a program without a handler, which has not seen that signal itself
        return code

    def _stop(self, number):
        now = time.monotonic()
        if not self._stopped_by:
            self._stopped_by = number
            say(f"{_NAMES[number]}: training stops after this step, with a checkpoint; once more ends at once, "
                f"without one")
            self._save()
        elif now - self._last_stop > SAME_PRESS_SEC:
            self._end(number, now)
        self._last_stop = now

    def _save(self):
        self._mpirun.send_signal(_SAVE)
        self._save_again_at = time.monotonic() + self._repeat_sec
        self._repeat_sec *= 2

    def _end(self, number, now):
        self._save_again_at = None
        if self._ended_at is None:
            say(f"{_NAMES[number]} again: ended at once, without a checkpoint")
            self._mpirun.send_signal(self._end_signal)
            self._ended_at = now
        elif now - self._ended_at > _ENDING_SEC:
            self._mpirun.kill()


def _written_to_the_pipe(*_):
    """A signal's handler."""


def say(line):
    """Write a line to standard error past all buffers and locks: another thread may hold them."""
    try:
        os.write(2, f"{line}\n".encode())
    except OSError:
        pass  # it is closed or full

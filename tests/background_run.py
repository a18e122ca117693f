"""A run of bin/pretrain that the fault suite does something to while it goes on."""

import contextlib
import os
import subprocess
import tempfile
import time

import psutil

from conftest import command_environment, command_words
from pretraining_runs import ranks_of

LIMIT_SEC = 900  # for what must not hang, many times what it takes

# Ranks that wait leave the cores to others, as those of a node with more ranks than cores do.
PATIENT = {"OMPI_MCA_mpi_yield_when_idle": "1", "HOROVOD_CYCLE_TIME": "10"}


class BackgroundRun:
    """A started command; all its processes end with the `with` block.

    Args:
      ranks: how many; 0 starts it without a launcher.
      run_flags: dict of flag to value.
      words: the words of the command line, instead of those of `bin/pretrain` behind horovodrun.
      environment: dict, instead of a user's.
    """

    def __init__(self, ranks, run_flags, words=None, environment=None):
        self._words = words or command_words("pretrain", ranks, **run_flags)
        self._environment = {**(environment or command_environment()), **PATIENT}

    def __enter__(self):
        # Files, since a pipe that nobody reads would stop the run.
        self._output, self._errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self._process = subprocess.Popen(self._words, env=self._environment, stdin=subprocess.DEVNULL,
                                         stdout=self._output, stderr=self._errors, start_new_session=True)
        self.pid = self._process.pid
        return self

    def __exit__(self, *_):
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.wait()
        self._output.close()
        self._errors.close()

    def processes(self):
        """All that still run in its session; those whose launcher was killed are among them."""
        return [process for process in psutil.process_iter() if _session(process.pid) == self.pid]

    def ranks(self):
        """Those of its ranks that have started, by their rank."""
        return ranks_of(self._process)

    def launcher(self):
        """Its mpirun, whatever the program's own name is."""
        return next(process for process in self.processes() if process.cmdline()[:1] == ["mpirun"])

    def is_running(self):
        return self._process.poll() is None

    def wait(self):
        """The exit code."""
        return self._process.wait(LIMIT_SEC)

    def wait_for_all(self):
        """Wait some time for the end of all its processes; returns those that do not end."""
        return psutil.wait_procs(self.processes(), timeout=60)[1]

    def wait_until(self, condition, what, look_every_sec=0.01):
        """Poll `condition()` while the run goes on; returns its first true value."""
        deadline = time.monotonic() + LIMIT_SEC
        while self.is_running() and time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(look_every_sec)
        raise AssertionError(f"the run did not come to {what}:\n{self.output()}\n{self.errors()}")

    def output(self):
        """What it has written on standard output so far."""
        return _text(self._output)

    def errors(self):
        """What it has written on standard error so far."""
        return _text(self._errors)

    @property
    def stderr(self):
        return self.errors()


def _session(pid):
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _text(file):
    return os.pread(file.fileno(), 1 << 24, 0).decode(errors="replace")

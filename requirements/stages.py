"""Shows what bin/setup does: one line per stage, every command's output in a log, one line on failure."""

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
import time

TAIL_LINES = 15
FIRST_ERRORS = 5


class Refused(Exception):
    """Something is missing on this machine, and the message says what to do: exit code 2."""


class Failed(Exception):
    """A command failed, and the message says what to do: exit code 1."""


class Stages:
    """Runs commands in one environment.

    Args:
      log: path of the file that gets their output, appended.
      environment: the commands' environment variables.
      keep_open: a file descriptor that the commands inherit. bin/setup passes its lock: should it
        be killed, the lock stays taken until the pip that it left behind has ended too.
    """

    def __init__(self, log, environment, keep_open):
        self.log = log
        self.environment = environment
        self.keep_open = keep_open
        self.title = ""

    @contextlib.contextmanager
    def stage(self, title):
        """Print `title`, then the seconds that the block took, on one line."""
        self.title = title
        start = time.monotonic()
        print(f"setup: {title} ...", end="", flush=True)
        try:
            yield
        except BaseException:
            print(flush=True)
            raise
        if sys.stdout.isatty():
            print(f"\r\033[Ksetup: {title} ...", end="")
        print(f" {time.monotonic() - start:.0f} s", flush=True)

    def run(self, command, fix, cwd=None, timeout=None, **variables):
        """Run `command`; return its output.

        Args:
          fix: what the user can do about a failure, appended to the message.
          timeout: seconds until the command and its children are killed.
          **variables: added to the environment.

        Raises:
          Failed: the command failed or took too long; its last lines went to stderr.
        """
        lines = []
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(f"\n$ {' '.join(map(str, command))}\n")
            # A session of its own, so that all its children can be ended with it.
            child = subprocess.Popen(
                [str(part) for part in command], cwd=cwd, env={**self.environment, **variables},
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                errors="replace", start_new_session=True, pass_fds=(self.keep_open,))
            timer = threading.Timer(timeout or threading.TIMEOUT_MAX, _end, [child])
            timer.daemon = True
            timer.start()
            try:
                for line in child.stdout:
                    log.write(line)
                    log.flush()
                    lines.append(line)
                    self._show(line)
                code = child.wait()
            except BaseException:
                _end(child)
                raise
            finally:
                timer.cancel()
        if code:
            # The end of a compilation's output shows pip's trouble, the first errors of ours.
            errors = [line for line in lines[:-TAIL_LINES] if re.search("error: (?!subprocess)|CMake Error", line)]
            sys.stderr.write("\n" + "".join(errors[:FIRST_ERRORS] + lines[-TAIL_LINES:]))
            raise Failed(f"{self.title} failed (exit code {code}): {fix}; all of its output is in {self.log}")
        return "".join(lines)

    def _show(self, line):
        """On a terminal, show the command's latest line behind the title: downloads take minutes."""
        if sys.stdout.isatty() and line.strip():
            room = max(0, os.get_terminal_size().columns - len(self.title) - 13)
            print(f"\r\033[Ksetup: {self.title} ... {line.strip()[:room]}", end="", flush=True)


@contextlib.contextmanager
def only_one(path, waiting):
    """Hold an exclusive lock on the file `path`; print `waiting` when another process has it.

    Yields its file descriptor.
    """
    with open(path, "r+b") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"setup: {waiting}", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle.fileno()


def _end(child):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)

"""Standard input, output and error of a command, whatever the shell has made of them.

A shell can close a stream (`>&-`), put it on a full disk, or end the pipe that reads it (`| head -1`). What a command
says as it works must not end its work; what it is asked for on standard output must not get lost without a word.
"""

import errno
import io
import os
import sys

from albert_hvd.errors import InputError, RunFailed

_closed_at_start = set()


class OutputClosed(Exception):
    """Whoever reads the result has seen enough: a pipe's reader has ended. There is nothing left to do."""


class _Stream(io.TextIOWrapper):
    """Text to a file descriptor that may fail: then all that follows goes nowhere, and `lost` is called, once."""

    def __init__(self, descriptor, old, lost):
        raw = open(descriptor, "wb", closefd=False)  # the old stream keeps its own buffer, and may still be in use
        super().__init__(raw, encoding=old.encoding if old else "utf-8", errors="backslashreplace",
                         line_buffering=old is None or old.line_buffering)
        self._descriptor, self._lost = descriptor, lost

    def write(self, text):
        """Write as a file does, but never fail by itself."""
        return self._try(super().write, text)

    def flush(self):
        """Flush as a file does, but never fail by itself."""
        self._try(super().flush)

    def _try(self, action, *text):
        try:
            return action(*text)
        except OSError as error:
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, self._descriptor)  # also for C++, and for what is still in the buffer
            os.close(devnull)
            self._lost(error)
            return len(text[0]) if text else None


def install():
    """Make standard streams that never raise OSError: a closed one leads nowhere, one that fails is warned of once.

    Characters that their encoding lacks are written as escapes.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:  # Python's sign that it is closed
            _closed_at_start.add(name)
            _lead_nowhere(descriptor)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)
    for descriptor, name, lost in ((1, "stdout", _warn), (2, "stderr", lambda error: None)):
        old = getattr(sys, name)
        if old is not None:
            old.flush()
        setattr(sys, name, _Stream(descriptor, old, lost))


def _lead_nowhere(descriptor):
    """Open /dev/null under a number that is free; else the next file that is opened would get what is printed."""
    try:
        os.fstat(descriptor)
    except OSError:
        devnull = os.open(os.devnull, os.O_RDWR)
        if devnull != descriptor:
            os.dup2(devnull, descriptor)
            os.close(devnull)


def _warn(error):
    if error.errno != errno.EPIPE:
        sys.stderr.write(f"warning: cannot write to standard output ({error.strerror}): what is shown there gets "
                         "lost\n")


class ResultOnOutput:
    """Within the block, standard output is what the command is for: one that cannot be written ends it.

    Raises:
      InputError: at once, when standard output is closed.
      OutputClosed: the reader of the pipe has ended.
      RunFailed: a full disk and the like.
    """

    def __enter__(self):
        if "stdout" in _closed_at_start:
            raise InputError("standard output is closed", "let it go to a file, a pipe or a terminal")
        sys.stdout._lost = self._end

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                sys.stdout.flush()
        finally:
            sys.stdout._lost = _warn

    @staticmethod
    def _end(error):
        if error.errno == errno.EPIPE:
            raise OutputClosed
        raise RunFailed(f"cannot write to standard output ({error.strerror}); make room, then run the command again")


class StandardInput(io.RawIOBase):
    """Standard input as bytes, with errors of reading told as the user's. Wrap it in a BufferedReader.

    Raises: InputError when it is closed, or when reading fails (a folder).
    """

    def __init__(self):
        if "stdin" in _closed_at_start:
            raise InputError("standard input is closed", "give texts there, one on each line")

    def readable(self):
        """It is."""
        return True

    def readinto(self, buffer):
        """Read some bytes, as they arrive."""
        try:
            return os.readv(0, [buffer])
        except OSError as error:
            raise InputError(f"standard input cannot be read ({error.strerror})", "give a file or a pipe") from None


def standard_input():
    """Standard input as a binary stream; see `StandardInput`."""
    return io.BufferedReader(StandardInput())

"""The exceptions that an entry point turns into an exit code."""

EXIT_BAD_INPUT = 2
EXIT_STOPPED = 75


class InputError(Exception):
    """A flag, a file or a setting that the user can fix.

    The message is one line that names the flag or the file, the value found, and the fix.
    `bin/entry_point.py` prints it once, without a traceback, and exits with 2.
    """


class StoppedBySignal(Exception):
    """Training stopped on request, on all ranks, after saving a checkpoint and saying so (exit code 75)."""


class RunFailed(Exception):
    """The work cannot continue; the message is one line for the user (exit code 1, no traceback)."""

"""Ways out of a process that do not wait: for other ranks, or for a main thread that is stuck in a collective."""

import os
import sys


def exit_now(code):
    """Leave without MPI_Finalize, which would wait for ranks that are still in a collective."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def end_process(message):
    """Print `message` as one line on stderr under the command's name and exit with 1; the launcher ends the others."""
    sys.stderr.write(f"{os.path.basename(sys.argv[0])}: {message}\n")
    sys.stderr.flush()
    os._exit(1)

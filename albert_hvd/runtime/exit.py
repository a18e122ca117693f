"""The end of a process whose main thread cannot end it, as one that waits in a collective for ever."""

import os
import sys


def end_process(message):
    """Print `message` as one line on stderr under the command's name and exit with 1; the launcher ends the others."""
    sys.stderr.write(f"{os.path.basename(sys.argv[0])}: {message}\n")
    sys.stderr.flush()
    os._exit(1)

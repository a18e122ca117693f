"""How a benchmark starts ranks on this machine."""

import os
import shutil
import sys

from albert_hvd.errors import InputError


def launch_words(ranks):
    """`horovodrun -np RANKS` as words of a command, with this Python's commands on PATH.

    Raises:
      InputError: horovodrun is missing.
    """
    # An environment that was not activated is not on PATH, and horovodrun starts mpirun by its name.
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    if not shutil.which("horovodrun", path=path):
        raise InputError("horovodrun is missing: run bin/setup")
    return ["env", f"PATH={path}", "horovodrun", "-np", str(ranks)]

"""Time and memory of a command with all the processes that it starts, as the kernel counts them."""

import os
import resource
import subprocess
import tempfile
import time
from typing import NamedTuple

from albert_hvd.errors import RunFailed

_POLL_SEC = 0.02


class Usage(NamedTuple):
    """What one run took.

    `wall_sec`, from start to exit; `cpu_sec`, of all processes; `largest_mib`, peak resident size of the
    largest process; `sum_mib`, the most that all of them held at one moment (looked at every 20 ms;
    pages that processes share are counted in each).
    """

    wall_sec: float
    cpu_sec: float
    largest_mib: float
    sum_mib: float


def run_command(words, input_path=os.devnull):
    """Run a command to its end, its output held back; returns its `Usage`.

    Args: `input_path`, what it reads from its standard input.
    Raises: RunFailed with the last lines of its output when it ends with an error.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryFile() as output, open(input_path, "rb") as given:
        began = time.perf_counter()
        # A session of its own, by which its processes are known.
        process = subprocess.Popen(words, stdin=given, stdout=output, stderr=output,
                                   start_new_session=True)
        largest = most = 0
        while process.poll() is None:
            peaks, sizes = _resident_kib(process.pid)
            largest, most = max(largest, peaks), max(most, sizes)
            time.sleep(_POLL_SEC)
        wall_sec = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode:
            output.seek(0)
            tail = output.read()[-2000:].decode("utf-8", "replace")
            raise RunFailed(f"{os.path.basename(words[0])} ended with exit code {process.returncode}: {tail}")
    cpu_sec = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Usage(wall_sec, cpu_sec, largest / 1024, most / 1024)


def _resident_kib(session):
    """Of the processes of a session: the largest peak resident size, and the sum of the present ones, in KiB."""
    peak = total = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            # The command's name is in parentheses and may hold anything; the session is the 4th value after it.
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                if int(file.read().rpartition(")")[2].split()[3]) != session:
                    continue
            with open(f"/proc/{name}/status", encoding="utf-8", errors="replace") as file:
                sizes = {key: value for key, _, value in (line.partition(":") for line in file)}
        except (OSError, IndexError, ValueError):  # it has ended meanwhile
            continue
        peak = max(peak, int(sizes.get("VmHWM", "0").split()[0]))
        total += int(sizes.get("VmRSS", "0").split()[0])
    return peak, total

"""What Ctrl-C does to a process that trains: the first is noted, the second ends it wherever it is."""

import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT

PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from albert_hvd.runtime.signals import StopRequest
with StopRequest() as request:
    print("ready", flush=True)
    {work}
print(request.name)
"""
# In C, as a collective that never ends: Python's handlers do not run meanwhile.
STUCK = "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 2 ** 31 - 1)"
UNTIL_ASKED = "import time\n    while not request.name: time.sleep(0.01)\n    time.sleep(0.5)"


def start(work):
    process = subprocess.Popen([sys.executable, "-c", PROGRAM.format(root=str(ROOT), work=work)], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_second_ctrl_c_ends_a_process_that_is_stuck():
    process = start(STUCK)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith("Ctrl-C: stopping after this step, with a checkpoint")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert process.stderr.read() == "Ctrl-C again: ended at once, without a checkpoint\n"


def test_a_ctrl_c_that_a_launcher_passes_on_as_well_counts_once():
    process = start(UNTIL_ASKED)
    process.send_signal(signal.SIGINT)
    time.sleep(0.03)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    assert process.stdout.read() == "SIGINT\n"


def test_sigterm_may_come_again_and_the_first_signal_is_named():
    process = start(UNTIL_ASKED)
    for number in (signal.SIGUSR1, signal.SIGTERM):
        process.send_signal(number)
        time.sleep(0.3)
    assert process.wait(timeout=60) == 0
    assert (process.stdout.read(), process.stderr.read()) == ("SIGUSR1\n", "")


def test_a_rank_that_was_stopped_by_another_one_leaves_undisturbed():
    """The launcher may pass the signal on to it only then."""
    process = subprocess.Popen([sys.executable, "-c", f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from albert_hvd.errors import StoppedBySignal
from albert_hvd.runtime.signals import StopRequest
try:
    with StopRequest():
        raise StoppedBySignal
except StoppedBySignal:
    print("ready", flush=True)
    time.sleep(0.5)
    sys.exit(75)
"""], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    for number in (signal.SIGINT, signal.SIGTERM):
        process.send_signal(number)
    assert (process.wait(timeout=60), process.stderr.read()) == (75, "")

"""Two nodes, which are network namespaces, lose the link between them: the job ends by itself and goes on later."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
import uuid

import pytest

from albert_hvd.run_folder.checkpoints import CheckpointFolder
from background_run import BackgroundRun
from conftest import ROOT, command_environment
from pretraining_runs import flags, logged_lines

FOREVER = 1000000

# mpirun notices after eleven seconds, instead of eight minutes, that it has lost the other node.
KEEPALIVE = {"OMPI_MCA_oob_tcp_keepalive_time": "5", "OMPI_MCA_oob_tcp_keepalive_intvl": "2",
             "OMPI_MCA_oob_tcp_keepalive_probes": "3"}

pytestmark = [pytest.mark.parallel, pytest.mark.tier("all"), pytest.mark.timeout(3600)]

# What Open MPI starts instead of ssh: AGENT HOST COMMAND...
AGENT = """\
#!/bin/sh
host=$1
shift
exec ip netns exec {name}-"$host" unshare --uts sh -c "hostname $host; $*"
"""


class TwoNodes:
    """The namespaces of nodes called a and b, with one cable between them; removed when the `with` block ends.

    Args:
      folder: a place for the agent that starts processes on the nodes.
    """

    def __init__(self, folder):
        self._name = f"link-{uuid.uuid4().hex[:6]}"
        self._agent = folder / "agent.sh"
        self._agent.write_text(AGENT.format(name=self._name))
        self._agent.chmod(0o755)

    def __enter__(self):
        a, b = (f"{self._name}-{node}" for node in "ab")
        for node in (a, b):
            ip("netns", "add", node)
            ip("-n", node, "link", "set", "lo", "up")
        ip("link", "add", "cable", "netns", a, "type", "veth", "peer", "name", "cable", "netns", b)
        for number, node in enumerate((a, b), start=1):
            ip("-n", node, "address", "add", f"10.85.0.{number}/24", "dev", "cable")
            ip("-n", node, "link", "set", "cable", "up")
        return self

    def __exit__(self, *error):
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for node in "ab":
            ip("netns", "del", f"{self._name}-{node}")

    def cable(self, state):
        """Set it "down" or "up"."""
        ip("-n", f"{self._name}-a", "link", "set", "cable", state)

    def launch(self, *words):
        """The words that start `words` as one rank on each node."""
        mpirun = ["mpirun", "-np", "2", "-H", "a:1,b:1", "--bind-to", "none", "--mca", "btl", "tcp,self",
                  "--mca", "plm_rsh_agent", str(self._agent)]
        return [str(self._agent), "a", "exec", *mpirun, *map(str, words)]


    def processes(self):
        """Those that run on the nodes, once they have had some seconds to end."""
        deadline = time.monotonic() + 60
        while (left := self._pids()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left

    def _pids(self):
        return [int(pid) for node in "ab" for pid in ip("netns", "pids", f"{self._name}-{node}").split()]


def ip(*words):
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def why_not():
    """Why there can be no nodes here, in a few words, or None."""
    if os.geteuid() != 0:
        return "namespaces of two nodes need root"
    if not shutil.which("ip"):
        return "ip (iproute2) is not installed"
    if subprocess.run(["unshare", "--net", "--uts", "ip", "link", "add", "cable", "type", "veth"],
                      capture_output=True).returncode:
        return "this machine allows no new network namespaces or no veth"
    return None


@pytest.fixture
def nodes(tmp_path):
    if reason := why_not():
        pytest.skip(reason)
    with TwoNodes(tmp_path) as nodes:
        yield nodes


def run_on(nodes, training_files, output_dir, **changes):
    words = [f"--{flag}={value}" for flag, value in
             flags(training_files, output_dir, stall_warn_sec=3, stall_abort_sec=15, **changes).items()]
    environment = {**command_environment(), **KEEPALIVE, "OMPI_ALLOW_RUN_AS_ROOT": "1",
                   "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return BackgroundRun(2, {}, nodes.launch(ROOT / "bin" / "pretrain", *words), environment)


def test_a_link_that_is_lost_ends_the_job(nodes, training_files, tmp_path, fault_trials):
    for trial in fault_trials("network link between two nodes lost", "ends by itself, says so in one line, continues",
                              short=1, full=5):
        output_dir = tmp_path / str(trial)
        with run_on(nodes, training_files, output_dir, num_train_steps=FOREVER) as run:
            run.wait_until(lambda: logged_lines(output_dir) > 5, "its first checkpoint")
            nodes.cable("down")
            assert run.wait() not in (0, 2, 75)
            assert "one is slow, or the network between them is lost" in run.errors()
            assert "lost communication" in run.errors()
            assert nodes.processes() == []
        nodes.cable("up")
        step = CheckpointFolder(str(output_dir / "checkpoints")).newest_valid()["step"]
        with run_on(nodes, training_files, output_dir, num_train_steps=step + 1) as run:
            assert run.wait() == 0, run.errors()
            assert f"resuming at step {step}" in run.output()

"""A throw-away Slurm cluster on this machine: real daemons, nodes that are namespaces.

    with VirtualCluster(nodes=3, gpus=4) as cluster:
        job = cluster.submit("slurm/base.sh", "--nodes=3", cwd=..., env=...)
        cluster.wait(job)

Needs root, namespaces, and what install_slurm.sh installs; `why_not()` says what is missing.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HEAD = pathlib.Path(__file__).with_name("cluster_head.py")
NAMESPACES = ("--mount", "--net", "--uts", "--ipc", "--pid")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged", "ip", "nsenter")
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY"}


def why_not():
    """Why there can be no virtual cluster here, in a few words, or None."""
    if os.geteuid() != 0:
        return "a virtual Slurm cluster needs root"
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing:
        return f"{', '.join(missing)} not installed: run tests/integration/install_slurm.sh"
    if subprocess.run(["unshare", *NAMESPACES, "--fork", "true"], capture_output=True).returncode:
        return "this machine allows no new namespaces (unshare)"
    return None


class VirtualCluster:
    """A running cluster; it ends, with all its processes, when the `with` block does.

    Args:
      nodes: how many; they are called node1, node2, ...
      gpus: GPUs of each, which exist for Slurm only.
    """

    def __init__(self, nodes, gpus):
        self._nodes, self._gpus = nodes, gpus

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="virtual-cluster-"))
        self.folder.chmod(0o755)
        self._unshare = subprocess.Popen(
            ["unshare", *NAMESPACES, "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
             sys.executable, HEAD, self.folder, str(self._nodes), str(self._gpus)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        if self._unshare.stdout.readline() != "ready\n":
            self.__exit__()
            raise RuntimeError("the virtual cluster did not start, see above")
        children = pathlib.Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children").read_text()
        self._head = children.split()[0]
        return self

    def __exit__(self, *error):
        self._unshare.stdin.close()
        try:
            self._unshare.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._unshare.kill()
            self._unshare.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *words, cwd=None, env=None, node=None):
        """Run a command on the head, or on a node; returns the `CompletedProcess` with its output as text."""
        enter = ["nsenter", "--target", self._head, *NAMESPACES, f"--wd={cwd or '/'}"]
        if node:
            enter += ["nsenter", f"--net=/run/netns/{node}"]
        environment = {**os.environ, **(env or {}), "SLURM_CONF": str(self.folder / "slurm.conf")}
        return subprocess.run([*enter, *map(str, words)], env=environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120)

    def submit(self, *words, cwd, env):
        """`sbatch WORDS...`; returns the job's number."""
        result = self.run("sbatch", "--parsable", *words, cwd=cwd, env=env)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def job(self, number):
        """What `scontrol show job` says, as a dict of its words."""
        return dict(re.findall(r"(\S+?)=(\S*)", self.run("scontrol", "show", "job", number).stdout))

    def wait_for(self, condition, what, timeout):
        """Wait until `condition()` is true; fails with `what` and the queue after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come about in {timeout} s\n" \
                f"{self.run('squeue', '-l').stdout}\n{self.run('sinfo', '-N', '-l').stdout}"
            time.sleep(0.2)

    def wait(self, number, timeout=180):
        """Wait for a job's end, through all its requeues; returns (state, exit code)."""
        self.wait_for(lambda: self.job(number).get("JobState") in ENDED, f"the end of job {number}", timeout)
        job = self.job(number)
        return job["JobState"], int(job["ExitCode"].split(":")[0])

    def lose(self, node):
        """Kill everything that runs on a node, as if its power had gone."""
        namespace = self._namespace_of(node)
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(process / "ns" / "net") == namespace:
                    os.kill(int(process.name), signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError, PermissionError):  # gone, or the machine's own
                pass

    def _namespace_of(self, node):
        return self.run("readlink", "/proc/self/ns/net", node=node).stdout.strip()

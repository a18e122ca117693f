"""The inside of a `VirtualCluster`: process 1 of its namespaces, which makes the nodes and starts Slurm.

    unshare --mount --net --uts --ipc --pid --fork --kill-child --mount-proc cluster_head.py FOLDER NODES GPUS

Prints "ready" when all nodes are idle, then waits until its standard input is closed. Each node is a network
and a host-name namespace with its own /dev/shm; node N has the address 10.84.0.N on a bridge of the head.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

ADDRESS = "10.84.0"
CPUS, MEMORY_MB = 64, 4096
START_TIMEOUT_SEC = 60
PMIX_LIBRARIES = pathlib.Path("/usr/lib/x86_64-linux-gnu/pmix2/lib")

SLURM_CONF = """\
ClusterName=virtual
SlurmctldHost=head({address}.254)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# A requeued job starts again when its old credentials have expired; below 5 s the default of 120 s holds.
AuthInfo=cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=3
MinJobAge=3600
SlurmdTimeout=10
EnforcePartLimits=ALL
MailProg=/bin/true
GresTypes=gpu
NodeName=node[1-{nodes}] CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def run(*words, **options):
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, **options)


def make_head(folder, nodes):
    """Host names, private /run and /dev/shm, and the bridge."""
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    run("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/dev/shm")
    for name in ("netns", "munge", "pmix"):
        os.mkdir(f"/run/{name}")
    run("hostname", "head")
    hosts = ["127.0.0.1 localhost", f"{ADDRESS}.254 head", *(f"{ADDRESS}.{i} node{i}" for i in nodes)]
    (folder / "hosts").write_text("\n".join(hosts) + "\n")
    run("mount", "--bind", folder / "hosts", "/etc/hosts")
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "bridge", "type", "bridge")
    run("ip", "address", "add", f"{ADDRESS}.254/24", "dev", "bridge")
    run("ip", "link", "set", "bridge", "up")


def make_network(node):
    """A network namespace with one interface on the bridge."""
    name = f"node{node}"
    run("ip", "netns", "add", name)
    run("ip", "link", "add", f"to{node}", "type", "veth", "peer", "name", "eth0", "netns", name)
    run("ip", "link", "set", f"to{node}", "master", "bridge", "up")
    run("ip", "-n", name, "link", "set", "lo", "up")
    run("ip", "-n", name, "address", "add", f"{ADDRESS}.{node}/24", "dev", "eth0")
    run("ip", "-n", name, "link", "set", "eth0", "up")


def give_pmix_its_name(folder):
    """Slurm's plugin loads libpmix.so, a link that Debian ships with the headers only."""
    if not (PMIX_LIBRARIES / "libpmix.so.2").exists() or (PMIX_LIBRARIES / "libpmix.so").exists():
        return
    copy = folder / "pmix-libraries"
    shutil.copytree(PMIX_LIBRARIES, copy, symlinks=True)
    (copy / "libpmix.so").symlink_to("libpmix.so.2")
    run("mount", "--bind", copy, PMIX_LIBRARIES)


def configure(folder, nodes, gpus):
    """slurm.conf and its companions; the GPUs are device files that lead to /dev/null."""
    for gpu in range(gpus):
        os.mknod(folder / f"gpu{gpu}", 0o666 | 0o020000, os.makedev(1, 3))
    files = {
        "slurm.conf": SLURM_CONF.format(folder=folder, address=ADDRESS, nodes=len(nodes), gpus=gpus,
                                        cpus=CPUS, memory=MEMORY_MB),
        "gres.conf": f"AutoDetect=off\nName=gpu File={folder}/gpu[0-{gpus - 1}]\n",
        "cgroup.conf": "CgroupAutomount=no\nCgroupPlugin=cgroup/v1\n",
        "mpi.conf": "PMIxCliTmpDirBase=/run/pmix\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    for name in ("state", *(f"spool-node{node}" for node in nodes)):
        (folder / name).mkdir()


def start_munge(folder):
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    run("munged", f"--key-file={key}", "--socket=/run/munge/munge.socket.2", f"--pid-file={folder}/munge.pid",
        f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed")


def start_node(folder, node):
    """Start slurmd in a node's namespaces."""
    script = (f"hostname node{node} && mount -t tmpfs tmpfs /run/pmix && mount -t tmpfs -o mode=1777 tmpfs /dev/shm "
              f"&& exec slurmd")
    with open(folder / f"slurmd-node{node}.out", "w", encoding="utf-8") as output:
        run("nsenter", f"--net=/run/netns/node{node}", "unshare", "--uts", "--mount", "--propagation", "private",
            "sh", "-c", script, stdout=output, stderr=subprocess.STDOUT)


def wait_until_idle(number):
    deadline = time.monotonic() + START_TIMEOUT_SEC
    while time.monotonic() < deadline:
        answer = subprocess.run(["sinfo", "-h", "-t", "idle", "-o", "%D"], capture_output=True, text=True)
        if answer.stdout.strip() == str(number):
            return
        time.sleep(0.1)
    sys.exit(f"the nodes were not idle after {START_TIMEOUT_SEC} s")


def main(folder, number, gpus):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    nodes = range(1, number + 1)
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    make_head(folder, nodes)
    give_pmix_its_name(folder)
    for node in nodes:
        make_network(node)
    configure(folder, nodes, gpus)
    start_munge(folder)
    with open(folder / "slurmctld.out", "w", encoding="utf-8") as output:
        run("slurmctld", "-c", stdout=output, stderr=subprocess.STDOUT)
    for node in nodes:
        start_node(folder, node)
    wait_until_idle(number)
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

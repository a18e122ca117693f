#!/usr/bin/env python3
r"""Check the shape of the cost model's ring: ranks in network namespaces, each behind a link of a known rate.

    tests/integration/shaped_links.py --rate_mbit=200 --ranks=2,4,8

Every rank is a node of its own with a token bucket (`tc ... tbf`) before its network interface. bin/benchmark
allreduce measures; the link is fitted to the times of the fewest ranks, and the times of the others are predicted with
it. Needs root, namespaces, iproute2 and bin/setup; `why_not()` says what is missing. All of it lives in namespaces that
end with this program.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))

from albert_hvd.runtime.tables import aligned  # noqa: E402
from benchmarks.scaling import read_measurements  # noqa: E402
from benchmarks.scaling_model import fit_link, relative_residuals, ring_seconds  # noqa: E402

NAMESPACES = ("--mount", "--net", "--uts", "--pid")
NETWORK = "10.85.0"
# Enters a node: what mpirun calls in the place of ssh, with the node's name and the words to run there.
AGENT = '#!/bin/sh\nnode=$1; shift\nexec nsenter --net=/run/netns/$node unshare --uts sh -c "hostname $node; $*"\n'
# Of a model whose gradient is the largest message; its vocabulary follows from that.
SIZES = {"embedding_size": 32, "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1,
         "intermediate_size": 64, "max_position_embeddings": 16}
SMALLEST_BYTES = 2**14  # below, Horovod's cycle is measured, not the link
# With a ring, whatever Open MPI would choose for the size; waiting ranks hand their core on.
MPI_SETTINGS = {"OMPI_MCA_coll_tuned_use_dynamic_rules": "1", "OMPI_MCA_coll_tuned_allreduce_algorithm": "4",
                "OMPI_MCA_mpi_yield_when_idle": "1", "OMPI_MCA_btl": "self,tcp", "OMPI_MCA_pml": "ob1",
                "OMPI_MCA_btl_tcp_if_include": f"{NETWORK}.0/24", "OMPI_MCA_oob_tcp_if_include": f"{NETWORK}.0/24"}


def why_not():
    """Why this cannot run here, in a few words, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "tc", "nsenter", "setpriv", "unshare") if not shutil.which(name)]
    if missing:
        return f"{', '.join(missing)} not installed (iproute2, util-linux)"
    shaped = ["sh", "-c", "ip link add shaped type veth && tc qdisc add dev shaped root tbf rate 1mbit burst 10kb "
                          "latency 10ms"]
    result = subprocess.run(["unshare", *NAMESPACES, "--fork", *shaped], capture_output=True, text=True)
    return f"this machine has no namespaces or no tbf: {result.stderr.strip()}" if result.returncode else None


def measure(rate_mbit, ranks, largest_bytes, repeats):
    """Times of allreduces over links of one rate.

    Args:
      rate_mbit: of each rank's link, in 10^6 bits a second.
      ranks: list of how many.
      largest_bytes: about the largest message.

    Returns:
      {ranks: list of `Measurement`}.
    """
    with tempfile.TemporaryDirectory(prefix="shaped-links-") as folder:
        # Should this program be killed, unshare dies with it, and with that all that runs in the namespaces.
        subprocess.run(["setpriv", "--pdeathsig=KILL", "unshare", *NAMESPACES, "--fork", "--kill-child",
                        "--mount-proc", "--propagation", "private", sys.executable, __file__,
                        f"--inside={folder}", f"--rate_mbit={rate_mbit}", f"--repeats={repeats}",
                        f"--ranks={','.join(map(str, ranks))}", f"--largest_bytes={largest_bytes}"],
                       check=True, stdin=subprocess.DEVNULL)
        return {n: [m for m in read_measurements(os.path.join(folder, f"{n}.json"))
                    if m.message_bytes >= SMALLEST_BYTES] for n in ranks}


def run(*words, **options):
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, **options)


def make_nodes(count, rate_mbit):
    """A bridge with `count` nodes, node1 with the address 10.85.0.1 and so on, each sending at most at the rate."""
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    run("hostname", "head")
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "bridge", "type", "bridge")
    run("ip", "address", "add", f"{NETWORK}.254/24", "dev", "bridge")
    run("ip", "link", "set", "bridge", "up")
    for number in range(1, count + 1):
        node = f"node{number}"
        run("ip", "netns", "add", node)
        run("ip", "link", "add", f"to-{node}", "type", "veth", "peer", "name", "eth0", "netns", node)
        run("ip", "link", "set", f"to-{node}", "master", "bridge", "up")
        for words in (["link", "set", "lo", "up"], ["address", "add", f"{NETWORK}.{number}/24", "dev", "eth0"],
                      ["link", "set", "eth0", "up"]):
            run("ip", "-n", node, *words)
        run("tc", "-n", node, "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", f"{rate_mbit}mbit",
            "burst", "32kb", "latency", "100ms")


def measure_inside(folder, rate_mbit, ranks, largest_bytes, repeats):
    """In the namespaces: make the nodes, run the benchmark for each number of ranks, leave its JSON in the folder."""
    make_nodes(max(ranks), rate_mbit)
    (folder / "hosts").write_text("127.0.0.1 localhost\n" + f"{NETWORK}.254 head\n" + "".join(
        f"{NETWORK}.{number} node{number}\n" for number in range(1, max(ranks) + 1)))
    run("mount", "--bind", folder / "hosts", "/etc/hosts")
    (folder / "agent").write_text(AGENT)
    (folder / "agent").chmod(0o755)
    vocab_size = largest_bytes // 4 // (SIZES["embedding_size"] + 1)
    (folder / "model.json").write_text(json.dumps({**SIZES, "vocab_size": vocab_size}))
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = {**os.environ, **MPI_SETTINGS, "PATH": path, "VIRTUAL_ENV": sys.prefix,
                   "OMPI_MCA_plm_rsh_agent": str(folder / "agent"), "TMPDIR": str(folder)}
    for count in ranks:
        hosts = ",".join(f"node{number}" for number in range(1, count + 1))
        run("mpirun", "--allow-run-as-root", "--prefix", sys.prefix, "-np", str(count), "-H", hosts,
            "--bind-to", "none", *(word for name in MPI_SETTINGS for word in ("-x", name)), "-x", "PATH",
            ROOT / "bin" / "benchmark", "allreduce", f"--model={folder / 'model.json'}", f"--repeats={repeats}",
            f"--json={folder / f'{count}.json'}", env=environment, stdout=subprocess.DEVNULL)


def table(times):
    """Lines: each measured time beside the ring's, of the link that the fewest ranks were fitted with."""
    fewest = min(times)
    link = fit_link(times[fewest])
    rows = [["ranks", "bytes", "measured ms", "predicted ms", "deviation %"]]
    for ranks, measurements in times.items():
        for m, residual in zip(measurements, relative_residuals(measurements, link)):
            rows.append([str(ranks), str(m.message_bytes), f"{1e3 * m.seconds:.1f}",
                         f"{1e3 * ring_seconds(m.message_bytes, ranks, link):.1f}", f"{100 * residual:.1f}"])
    return [f"link fitted to {fewest} ranks: {8e-6 * link.bytes_per_sec:.1f} Mbit/s, "
            f"{1e6 * link.latency_sec:.0f} microseconds", *aligned(rows)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate_mbit", type=int, default=200, help="of each link, in 10^6 bits a second")
    parser.add_argument("--ranks", type=lambda text: [int(word) for word in text.split(",")], default=[2, 4, 8])
    parser.add_argument("--largest_bytes", type=int, default=4 * 10**6, help="about the largest message")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--inside", type=pathlib.Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        measure_inside(given.inside, given.rate_mbit, given.ranks, given.largest_bytes, given.repeats)
        return
    if reason := why_not():
        sys.exit(f"shaped_links.py: {reason}")
    times = measure(given.rate_mbit, given.ranks, given.largest_bytes, given.repeats)
    print(f"links of {given.rate_mbit} Mbit/s", *table(times), sep="\n")


if __name__ == "__main__":
    main()

"""Facts on the clusters that `bin/benchmark scaling` predicts: what their makers say, each with its source.

Bandwidths are the makers' peaks in one direction, so that predictions are what a cluster would do at best.
"""

from typing import NamedTuple

from benchmarks.cost_model import Cluster, Link

# What NCCL itself reckons with for one step of a ring with its simple protocol, in seconds (github.com/NVIDIA/nccl,
# src/graph/tuning.cc at commit 01afd20a, `hwLat`).
_NVLINK_STEP_SEC, _NETWORK_STEP_SEC = 3.4e-6, 9.6e-6


class System(NamedTuple):
    """`name`; its `Cluster`; `memory_bytes_per_sec` of a GPU; `sources` of the figures, lines."""

    name: str
    cluster: Cluster
    memory_bytes_per_sec: float
    sources: tuple


V100 = System(
    "8 V100 a node, 100 Gbit/s",
    Cluster(8, Link(_NVLINK_STEP_SEC, 150e9), Link(_NETWORK_STEP_SEC, 100e9 / 8)), 900e9,
    ("NVIDIA V100 data sheet: NVLink 300 GB/s in both directions, memory 900 GB/s",
     "Amazon EC2 P3 page, p3dn.24xlarge: 8 V100, network 100 Gbit/s, with EFA",
     "latencies: github.com/NVIDIA/nccl, src/graph/tuning.cc at commit 01afd20a"))

A100 = System(
    "8 A100 a node, 8 x 200 Gbit/s",
    Cluster(8, Link(_NVLINK_STEP_SEC, 300e9), Link(_NETWORK_STEP_SEC, 8 * 200e9 / 8)), 1555e9,
    ("NVIDIA A100 data sheet, 40 GB: NVLink 600 GB/s in both directions, memory 1555 GB/s",
     "NVIDIA DGX A100 data sheet: 8 ConnectX-6, InfiniBand 200 Gbit/s each",
     "latencies: github.com/NVIDIA/nccl, src/graph/tuning.cc at commit 01afd20a"))

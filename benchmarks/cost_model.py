"""What an update takes on many ranks: computation, one allreduce of the gradient, and a part that stays.

A link is a latency and a bandwidth (Hockney's model). A ring passes n pieces of the message to the neighbour 2 (n - 1)
times, which no algorithm undercuts in bytes (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters
of workstations", J. Parallel Distrib. Comput. 69, 2009; costs as in Thakur, Rabenseifner and Gropp, "Optimization of
collective communication operations in MPICH", Int. J. High Perform. Comput. Appl. 19, 2005). Nothing overlaps: this
trainer reduces one buffer after the last micro-batch.
"""

from typing import NamedTuple

import numpy as np


class Link(NamedTuple):
    """What a rank, or a node, sends by: seconds of a message of no length, and bytes a second in one direction."""

    latency_sec: float
    bytes_per_sec: float


class Cluster(NamedTuple):
    """`ranks_per_node`; `inside` a node, the `Link` of a rank; `between` nodes, that of a node."""

    ranks_per_node: int
    inside: Link
    between: Link


class UpdateCost(NamedTuple):
    """The seconds of an update on some ranks."""

    compute_sec: float
    allreduce_sec: float
    overhead_sec: float

    @property
    def seconds(self):
        return sum(self)


class Measurement(NamedTuple):
    """One measured allreduce: `ranks`, `message_bytes` of each, `seconds`."""

    ranks: int
    message_bytes: int
    seconds: float


def ring_seconds(message_bytes, ranks, link):
    """2 (n - 1) latencies, and 2 (n - 1) / n of the message over each link; 0.0 for one rank."""
    return 2 * (ranks - 1) * (link.latency_sec + message_bytes / ranks / link.bytes_per_sec)


def hierarchical_seconds(message_bytes, ranks, cluster):
    """An allreduce over full nodes: reduced inside, then a ring of the nodes, then gathered inside.

    The ranks of a node share its way out, so that the ring of nodes takes what one of whole messages would. Ranks
    that do not fill their nodes are taken as `ranks / nodes` a node.
    """
    nodes = num_nodes(ranks, cluster)
    return (ring_seconds(message_bytes, ranks / nodes, cluster.inside) +
            ring_seconds(message_bytes, nodes, cluster.between))


def num_nodes(ranks, cluster):
    """Nodes that so many ranks need."""
    return -(-ranks // cluster.ranks_per_node)


def predict_update(flops, flops_per_sec, message_bytes, ranks, cluster, overhead_sec=0.0):
    """The `UpdateCost` of a global batch.

    Args:
      flops: of the whole update, shared by all ranks (`model_flops.training_flops`).
      flops_per_sec: what a rank sustains.
      message_bytes: the gradient as it travels.
      ranks: how many.
      cluster: `Cluster`.
      overhead_sec: what every rank does once an update, such as the optimizer.
    """
    return UpdateCost(flops / ranks / flops_per_sec, hierarchical_seconds(message_bytes, ranks, cluster), overhead_sec)


def efficiency(one_rank, many, ranks):
    """Share of `ranks` times the speed of one rank, of two `UpdateCost`s of the same global batch."""
    return one_rank.seconds / (ranks * many.seconds)


def fit_link(measurements):
    """The `Link` whose ring comes closest to measured times: least squares of the relative errors.

    Relative, for else only the largest messages would count. A negative latency or bandwidth means nothing: such a
    term is left out (no latency, or a bandwidth without bound).

    Args:
      measurements: list of `Measurement`, of 2 ranks at least.

    Raises:
      ValueError: fewer than two measurements.
    """
    if len(measurements) < 2:
        raise ValueError(f"{len(measurements)} measurement: two are the least that latency and bandwidth follow from")
    ranks, sizes, seconds = (np.array(column, float) for column in zip(*measurements))
    terms = np.stack([2 * (ranks - 1), 2 * (ranks - 1) / ranks * sizes], axis=1) / seconds[:, None]
    scale = terms.max(axis=0)  # of bytes and of messages
    solutions = []
    for kept in ([0, 1], [0], [1]):
        solution = np.zeros(2)
        solution[kept] = np.linalg.lstsq(terms[:, kept] / scale[kept], np.ones(len(seconds)), rcond=None)[0]
        if (solution >= 0).all():
            solutions.append(solution)
    latency, seconds_per_byte = min(solutions, key=lambda s: np.linalg.norm(terms / scale @ s - 1)) / scale
    return Link(float(latency), float(1 / seconds_per_byte) if seconds_per_byte else float("inf"))


def relative_residuals(measurements, link):
    """(predicted - measured) / measured of each `Measurement`, as a list."""
    return [ring_seconds(m.message_bytes, m.ranks, link) / m.seconds - 1 for m in measurements]

"""What an update takes on many ranks: computation, one allreduce of the gradient, and the optimizer, which stays.

A link is a latency and a bandwidth (Hockney's model). A ring passes n pieces of the message to the neighbour 2 (n - 1)
times, which no algorithm undercuts in bytes (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters
of workstations", J. Parallel Distrib. Comput. 69, 2009; costs as in Thakur, Rabenseifner and Gropp, "Optimization of
collective communication operations in MPICH", Int. J. High Perform. Comput. Appl. 19, 2005). Nothing overlaps: this
trainer reduces one buffer after the last micro-batch. `published_scaling.py` holds it against published speeds.
"""

from typing import NamedTuple

import numpy as np

from albert_hvd.model.config import AlbertConfig
from benchmarks.model_flops import training_flops, work_of

GPU_COUNTS = (3, 8, 16, 32, 64, 128, 256, 512)

# How often LAMB as in `training/optimizer.py` reads or writes a float32 for each weight: the gradient for its norm and
# for the moments, both moments and the weight read and written, the direction written, and read twice with the weight
# for the trust ratio and the update.
_OPTIMIZER_BYTES = 12 * 4


class Link(NamedTuple):
    """What a rank, or a node, sends by: seconds of a message of no length, and bytes a second in one direction."""

    latency_sec: float
    bytes_per_sec: float


class Cluster(NamedTuple):
    """`ranks_per_node`; `inside` a node, the `Link` of a rank; `between` nodes, that of a node."""

    ranks_per_node: int
    inside: Link
    between: Link


class System(NamedTuple):
    """`name`; its `Cluster`; `memory_bytes_per_sec` of a GPU; `sources` of the figures, lines."""

    name: str
    cluster: Cluster
    memory_bytes_per_sec: float
    sources: tuple


class Training(NamedTuple):
    """What is trained.

    Attributes:
      config: sizes of the encoder, by which floating-point operations are counted.
      gradient_values: float values of the gradient.
      bytes_per_value: of such a value as it travels.
      max_seq_length, max_predictions_per_seq: of a row, which is full.
      train_batch_size: rows of an update on all ranks, the same for any number of them.
    """

    config: AlbertConfig
    gradient_values: int
    bytes_per_value: int
    max_seq_length: int
    max_predictions_per_seq: int
    train_batch_size: int

    @property
    def flops(self):
        """Floating-point operations of an update."""
        row = work_of(np.array([self.max_seq_length]), self.max_predictions_per_seq)
        return training_flops(self.config, row) * self.train_batch_size

    @property
    def message_bytes(self):
        return self.gradient_values * self.bytes_per_value


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


def predict_update(training, flops_per_sec, ranks, system):
    """The `UpdateCost` of a `Training` on ranks of a `System` that sustain `flops_per_sec` each.

    Every rank moves all weights and moments through its memory, whatever the number of ranks.
    """
    return UpdateCost(training.flops / ranks / flops_per_sec,
                      hierarchical_seconds(training.message_bytes, ranks, system.cluster),
                      training.gradient_values * _OPTIMIZER_BYTES / system.memory_bytes_per_sec)


def predict_models(trainings, speeds, missing_sec):
    """Speed of training on 1 to 512 GPUs.

    Args:
      trainings: dict of a model's name to its `Training`.
      speeds: dict of `System` to what one of its GPUs sustains, in floating-point operations a second.
      missing_sec: what the slower prediction adds to each update but that of one GPU.

    Returns:
      list of dicts; efficiency is against one GPU with the same batch.
    """
    rows = []
    for system, flops_per_sec in speeds.items():
        for name, training in trainings.items():
            alone = predict_update(training, flops_per_sec, 1, system).seconds
            for gpus in GPU_COUNTS:
                cost = predict_update(training, flops_per_sec, gpus, system)
                slower = cost.seconds + missing_sec
                rows.append({"system": system.name, "model": name, "GPUs": gpus, "updates/s": 1 / cost.seconds,
                             "sequences/s": training.train_batch_size / cost.seconds,
                             "allreduce ms": 1e3 * cost.allreduce_sec,
                             "efficiency %": 100 * alone / (gpus * cost.seconds),
                             "sequences/s, slower": training.train_batch_size / slower,
                             "efficiency %, slower": 100 * alone / (gpus * slower)})
    return rows


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

"""Measurements in which all ranks take part: the shared folder, the clocks, the allreduce."""

import os
import time

import numpy as np

from albert_hvd.runtime import distributed
from albert_hvd.runtime.files import whole_file

_CLOCK_ROUNDS = 5
_SMALLEST_BYTES, _GROWTH = 4, 8
_REPETITIONS = 5


def unseen_files(output_dir):
    """Let every node write a file and look for those of all others.

    Returns: lines such as "node2 does not see the file of node1"; the same on all ranks.
    """
    host = os.uname().nodename
    name = f".doctor-{host}-{distributed.rank()}"
    token = np.random.default_rng().bytes(16).hex()
    with whole_file(os.path.join(output_dir, name), "output_dir") as file:
        file.write(token.encode())
    written = distributed.gather_objects((host, name, token), "doctor_written")
    lines = []
    for other, other_name, other_token in written:
        try:
            with open(os.path.join(output_dir, other_name), encoding="utf-8") as file:
                seen = file.read() == other_token
        except OSError:
            seen = False
        if not seen:
            lines.append(f"{host} does not see the file of {other}")
    everywhere = distributed.gather_objects(lines, "doctor_seen")
    os.remove(os.path.join(output_dir, name))
    return sorted({line for lines in everywhere for line in lines})


def clock_skew_sec():
    """An upper bound of the largest difference between two clocks, in seconds.

    All ranks read their clock after a barrier, several times; the round with the least spread counts,
    since leaving the barrier late only adds to it.
    """
    spreads = []
    for _ in range(_CLOCK_ROUNDS):
        distributed.barrier()
        times = distributed.gather_objects(time.time(), "doctor_clock")
        spreads.append(max(times) - min(times))
    return min(spreads)


def allreduce_speed(max_bytes):
    """Time a sum over ranks of float32 messages from 4 bytes up to `max_bytes`.

    Returns:
      list of dicts: `bytes`; `seconds`, the median of some repetitions, of the slowest rank; `bus_bytes_per_sec`,
      2 (n - 1) / n x bytes / seconds, which a ring of n ranks moves over each link (nccl-tests' "busbw").
    """
    import tensorflow as tf

    size, rows, num_bytes = distributed.size(), [], _SMALLEST_BYTES
    while num_bytes <= max_bytes:
        tensor, name = tf.zeros([num_bytes // 4], tf.float32), f"doctor_{num_bytes}"
        seconds = slowest_median_sec(lambda: distributed.sum_over_ranks(tensor, name).numpy(), _REPETITIONS)
        rows.append({"bytes": num_bytes, "seconds": seconds,
                     "bus_bytes_per_sec": 2 * (size - 1) / size * num_bytes / seconds})
        num_bytes *= _GROWTH
    return rows


def slowest_median_sec(collective, repetitions):
    """The median seconds of calls of `collective()`, which all ranks make, of the rank where it is largest."""
    collective()  # the first opens connections
    times = []
    for _ in range(repetitions):
        started = time.perf_counter()
        collective()
        times.append(time.perf_counter() - started)
    return max(distributed.gather_objects(sorted(times)[repetitions // 2], "slowest_median"))

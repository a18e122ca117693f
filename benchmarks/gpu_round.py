"""What a contestant on a GPU measures, and how its device's trace is read."""

import collections
from typing import NamedTuple


class GpuRound(NamedTuple):
    """`seconds` of its updates with `work`; `loss` of the last one; `wait_sec`, in which it waited for input."""

    seconds: float
    work: object
    loss: float
    wait_sec: float


class Summary(NamedTuple):
    """After the rounds.

    `setup_sec`, mostly compilation; `peak_bytes` of the device's memory; `trace`, [name, start, length] of what the
    device did in some further updates, in microseconds, empty when nothing was traced; `versions`, a dict.
    """

    setup_sec: float
    peak_bytes: int
    trace: list
    versions: dict


NO_SUMMARY = Summary(None, None, [], {})  # of a contestant that failed after its rounds


def idle_share(trace):
    """Share of the time from the first to the last event in which the device did nothing; None for an empty trace.

    Args:
      trace: see `Summary`.
    """
    spans = sorted((start, start + length) for _, start, length in trace)
    if not spans:
        return None
    first, busy, end = spans[0][0], 0.0, spans[0][0]
    for start, stop in spans:
        busy += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return 1.0 - busy / (end - first) if end > first else 0.0


def longest_kernels(trace, count):
    """[(name, share of all the events' time, number of events)] of those that took longest in sum."""
    seconds, numbers = collections.Counter(), collections.Counter()
    for name, _, length in trace:
        seconds[name] += length
        numbers[name] += 1
    total = sum(seconds.values()) or 1.0
    return [(name, length / total, numbers[name]) for name, length in seconds.most_common(count)]


def read_tensorflow_trace(folder):
    """The events of the GPU's streams in a profile that `tf.profiler.experimental` wrote, as in `Summary`."""
    import glob
    import os

    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    trace = []
    for path in glob.glob(os.path.join(folder, "plugins", "profile", "*", "*.xplane.pb")):
        space = xplane_pb2.XSpace()
        with open(path, "rb") as file:
            space.ParseFromString(file.read())
        for plane in space.planes:
            if not plane.name.startswith("/device:GPU"):
                continue
            for line in plane.lines:
                if line.name.startswith("Stream"):
                    trace += [[plane.event_metadata[event.metadata_id].name,
                               line.timestamp_ns / 1e3 + event.offset_ps / 1e6, event.duration_ps / 1e6]
                              for event in line.events]
    return trace

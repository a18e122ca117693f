"""Where the time of a training update goes, by kind of operation, as TensorFlow's profiler sees it; on a CPU.

    bin/benchmark operations --bert_config_file=albert_config/albert_config_base.json --train_batch_size=16

The program of bin/benchmark train is profiled for some updates on random full rows. A line is a kind of operation:
"MatMul" and the like are TensorFlow's kernels, "compiled by XLA" are gelu, layer norm and the optimizer. Milliseconds are
those between an operation's begin and end, in which it may use all cores; two that run at the same time count twice.
"""

import collections
import dataclasses
import glob
import os
import tempfile

from albert_hvd.data.records.tfrecord import RecordWriter
from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.options import option
from benchmarks.contestants import Setting, play_own
from benchmarks.flag_checks import check_least, check_positions
from benchmarks.random_rows import num_predictions, random_rows
from benchmarks.report import Report

COMPILED = "compiled by XLA"
_OF_COMPILED = "CpuExecutable::ExecuteAsyncOnStream"
PRODUCTS = ("MatMul", "BatchMatMul", "Einsum")
_OWN_PREFIXES = ("_MklNative", "_Mkl", "_Fused")  # the same operation from oneDNN, or with the one after it


@dataclasses.dataclass(frozen=True)
class Options:
    """Flags of the benchmark."""

    bert_config_file: str = option("albert_config/albert_config_tiny.json", "JSON file of the model's sizes")
    max_seq_length: int = option(128, "positions of a row")
    train_batch_size: int = option(16, "rows of an update")
    precision: str = option("float32", "float32 or bfloat16", choices=["float32", "bfloat16"])
    steps: int = option(4, "updates that are profiled")
    least_share: float = option(0.005, "share of the time below which a kind goes to \"other kinds\"")


def run(options, command_folder):
    """Measure; returns a `Report`. Raises InputError for bad flags."""
    del command_folder  # it runs in this process
    config = AlbertConfig.from_json_file(options.bert_config_file)
    check_positions(options.max_seq_length, config)
    check_least(options, 1, "steps", "train_batch_size")
    report = Report("operations", dataclasses.asdict(options))
    with tempfile.TemporaryDirectory(prefix="benchmark-operations-") as folder:
        records, traces = os.path.join(folder, "records.tfrecord"), os.path.join(folder, "traces")
        with RecordWriter(records) as writer:
            writer.write_batch(random_rows(config, options.train_batch_size, options.max_seq_length))
        play = play_own(Setting(config, records, options.max_seq_length, num_predictions(options.max_seq_length),
                                options.train_batch_size, options.steps, len(os.sched_getaffinity(0))), options.precision)
        seconds = _profiled(play, traces)
        spent = time_by_kind(traces)
    total = sum(ms for ms, _ in spent.values())
    other = [kind for kind, (ms, _) in spent.items() if ms < options.least_share * total]
    shown = sorted(spent.keys() - set(other), key=lambda kind: -spent[kind][0])
    rows = [(kind, *spent[kind]) for kind in shown]
    rows.append((f"{len(other)} other kinds", *map(sum, zip((0.0, 0), *(spent[kind] for kind in other)))))
    report.rows = [{"operation": kind, "calls an update": calls / options.steps, "ms an update": ms / options.steps,
                    "share": ms / total} for kind, ms, calls in rows]
    products = sum(ms for kind, (ms, _) in spent.items() if kind.endswith(PRODUCTS))
    report.notes = [f"An update took {1e3 * seconds / options.steps:.1f} ms, its operations together "
                    f"{total / options.steps:.1f} ms; matrix products are {100 * products / total:.1f} % of these."]
    return report


def _profiled(play, folder):
    """Play a round without and one under the profiler, whose trace goes to `folder`; returns the seconds of the first."""
    from tensorflow import profiler

    seconds = play().seconds
    settings = profiler.experimental.ProfilerOptions(host_tracer_level=2, python_tracer_level=0, device_tracer_level=0)
    profiler.experimental.start(folder, settings)
    play()
    profiler.experimental.stop()
    return seconds


def time_by_kind(folder):
    """{kind of operation: [milliseconds, calls]} of the trace in a folder.

    Raises: InputError when TensorFlow wrote none.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    paths = glob.glob(os.path.join(folder, "**", "*.xplane.pb"), recursive=True)
    if not paths:
        raise InputError("TensorFlow's profiler wrote no trace; is another program profiling here?")
    space = xplane_pb2.XSpace()
    with open(paths[0], "rb") as file:
        space.ParseFromString(file.read())
    spent = collections.defaultdict(lambda: [0.0, 0])
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                kind = kind_of(plane.event_metadata[event.metadata_id].name)
                if kind:
                    spent[kind][0] += event.duration_ps / 1e9
                    spent[kind][1] += 1
    return dict(spent)


def kind_of(name):
    """The kind of an event: "layer/MatMul_1:_MklMatMul" is a MatMul; None for what is no operation of a graph."""
    if name == _OF_COMPILED:
        return COMPILED
    place, colon, kind = name.rpartition(":")
    if not colon or place.endswith(":") or " " in kind or kind.startswith("__inference"):
        return None
    for prefix in _OWN_PREFIXES:
        kind = kind.removeprefix(prefix)
    return kind.removesuffix("V2")

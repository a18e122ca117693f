"""Where the time of a training update goes, by kind of operation, as TensorFlow's profiler sees it; on a CPU.

    bin/benchmark operations --bert_config_file=albert_config/albert_config_base.json --train_batch_size=16

The program of bin/benchmark train is profiled for some updates on random full rows. A line is a kind of operation:
"MatMul" and the like are TensorFlow's kernels, "compiled by XLA" are gelu, layer norm and the optimizer. Milliseconds are
those between an operation's begin and end, in which it may use all cores; two that run at the same time count twice.

With --one_core operations run one after the other, on one core first, and a line says how many times as fast its kind
is on all. Two yardsticks are measured alike: a product of matrices, which is bound by arithmetic, and a copy of
memory, which is bound by bandwidth. A kind that gains like the copy waits for memory, or has work for one thread
alone.
"""

import collections
import concurrent.futures
import dataclasses
import glob
import os
import tempfile
import time

import numpy as np

from albert_hvd.data.records.tfrecord import RecordWriter
from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.options import option
from benchmarks.contest import in_own_process
from benchmarks.contestants import Setting, play_own
from benchmarks.flag_checks import check_least, check_positions
from benchmarks.matrix_products import play_products
from benchmarks.random_rows import num_predictions, random_rows
from benchmarks.report import Report

COMPILED = "compiled by XLA"
_OF_COMPILED = "CpuExecutable::ExecuteAsyncOnStream"
PRODUCTS = ("MatMul", "BatchMatMul", "Einsum")
_COPIED_BYTES = 1 << 28  # far more than any cache
_COPIES = 5
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
    one_core: bool = option(False, "measure on one core too, and say how many times as fast each kind is on all")


@dataclasses.dataclass(frozen=True)
class Profile:
    """What one process saw: `seconds` of all updates, `spent`, {kind: [milliseconds, calls]}, and of the yardsticks
    `flops` and `copied`, operations and bytes a second (None without --one_core)."""

    seconds: float
    spent: dict
    flops: float = None
    copied: float = None


def run(options, command_folder):
    """Measure; returns a `Report`. Raises InputError for bad flags."""
    del command_folder  # it needs no command
    config = AlbertConfig.from_json_file(options.bert_config_file)
    check_positions(options.max_seq_length, config)
    check_least(options, 1, "steps", "train_batch_size")
    report = Report("operations", dataclasses.asdict(options))
    cores = len(os.sched_getaffinity(0))
    alone = in_own_process(_profile, options, config, 1) if options.one_core else None
    profile = in_own_process(_profile, options, config, cores)
    report.rows = rows_of(options, profile, alone)
    total = sum(ms for ms, _ in profile.spent.values())
    products = sum(ms for kind, (ms, _) in profile.spent.items() if kind.endswith(PRODUCTS))
    report.notes = [f"An update took {1e3 * profile.seconds / options.steps:.1f} ms, its operations together "
                    f"{total / options.steps:.1f} ms; matrix products are {100 * products / total:.1f} % of these."]
    if alone:
        report.sections[f"the same on 1 and on {cores} cores"] = [
            {"": name, "one core": one / scale, f"{cores} cores": all_cores / scale, "times as fast": all_cores / one}
            for name, one, all_cores, scale in (
                ("matrix product, GFLOP/s", alone.flops, profile.flops, 1e9),
                ("copying memory, GB/s", alone.copied, profile.copied, 1e9),
                ("whole updates a second", options.steps / alone.seconds, options.steps / profile.seconds, 1.0))]
    return report


def rows_of(options, profile, alone=None):
    """The table, a list of dicts: the kinds by their time, the small ones together.

    Args:
      options: `Options`.
      profile: `Profile` of all cores.
      alone: that of one core, or None.
    """
    spent, total = profile.spent, sum(ms for ms, _ in profile.spent.values())
    other = [kind for kind, (ms, _) in spent.items() if ms < options.least_share * total]
    shown = sorted(spent.keys() - set(other), key=lambda kind: -spent[kind][0])
    rows = []
    for name, kinds in (*((kind, [kind]) for kind in shown), *([(f"{len(other)} other kinds", other)] if other else [])):
        ms, calls = (sum(spent[kind][place] for kind in kinds) for place in (0, 1))
        row = {"operation": name, "calls an update": calls / options.steps, "ms an update": ms / options.steps,
               "share": ms / total}
        if alone:
            row["ms on one core"] = sum(alone.spent.get(kind, (0.0, 0))[0] for kind in kinds) / options.steps
            row["times as fast"] = row["ms on one core"] / row["ms an update"]
        rows.append(row)
    return rows


def _profile(options, config, cores):
    """The `Profile` on so many of the cores; in a process of its own, for TensorFlow's threads are made once in each."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    if options.one_core:
        _run_operations_one_by_one()
    with tempfile.TemporaryDirectory(prefix="benchmark-operations-") as folder:
        records, traces = os.path.join(folder, "records.tfrecord"), os.path.join(folder, "traces")
        with RecordWriter(records) as writer:
            writer.write_batch(random_rows(config, options.train_batch_size, options.max_seq_length))
        setting = Setting(config, records, options.max_seq_length, num_predictions(options.max_seq_length),
                          options.train_batch_size, options.steps, cores)
        seconds = _profiled(play_own(setting, options.precision), traces)
        spent = time_by_kind(traces)
        if not options.one_core:
            return Profile(seconds, spent)
        multiply = play_products("tensorflow", setting, options.precision)
        return Profile(seconds, spent, max(multiply() for _ in range(_COPIES)), _bytes_copied_a_second(cores))


def _run_operations_one_by_one():
    """Before TensorFlow's threads are made: of two operations that share a core each would seem to take twice as long."""
    from tensorflow import config

    set_threads = config.threading.set_inter_op_parallelism_threads
    config.threading.set_inter_op_parallelism_threads = lambda _: set_threads(1)


def _bytes_copied_a_second(threads):
    """Bytes read and written a second when all threads copy a part each; the fastest of some turns."""
    source = np.ones((threads, _COPIED_BYTES // threads // 8))
    target = np.empty_like(source)
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        def copy():
            began = time.perf_counter()
            list(pool.map(np.copyto, target, source))  # numpy lets go of Python while it copies
            return time.perf_counter() - began

        copy()  # the first maps the pages
        return 2 * source.nbytes / min(copy() for _ in range(_COPIES))


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

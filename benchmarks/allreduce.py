r"""The allreduce of gradients: latency and bandwidth by message size, over the ranks of a launcher.

    horovodrun -np 2 bin/benchmark allreduce --json=allreduce.json --plot=allreduce.png
    horovodrun -np 2 bin/benchmark allreduce --model=albert_config/albert_config_large.json

Messages grow from 4 bytes to the gradient of --model, in float32 and cast to float16 and back as with
--fp16_allreduce; bytes are those that travel. Then the gradient as it comes, a tensor of each variable: joined into
one buffer, as training does it, and every tensor alone, which Horovod may fuse (not with
HOROVOD_FUSION_THRESHOLD=0). Times are medians, of the slowest rank. Bandwidths are those of nccl-tests
(doc/PERFORMANCE.md): algorithm bandwidth is bytes by seconds, bus bandwidth 2 (n - 1) / n of it, what each of n links
of a ring carries.
"""

import dataclasses

from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.options import option
from albert_hvd.runtime import distributed
from albert_hvd.runtime.files import check_place
from benchmarks.flag_checks import check_least
from benchmarks.gradients import gradient_shapes, num_gradient_values
from benchmarks.report import Report

FLOAT32 = "float32"
_GROWTH = 4


@dataclasses.dataclass(frozen=True)
class Options:
    """Flags of the benchmark."""

    model: str = option("albert_config/albert_config_base.json",
        "JSON file of the sizes of the model whose gradient is the largest message")
    repeats: int = option(9, "calls of which the median is taken")
    plot: str = option(None, "draw the figures into this PNG file")


def run(options, command_folder):
    """Measure, on all ranks of a launcher.

    Returns:
      `Report` on rank 0, None on the others.

    Raises:
      InputError: bad flags, or a single rank.
    """
    del command_folder  # it runs in these processes
    config = AlbertConfig.from_json_file(options.model, "model")
    check_least(options, 1, "repeats")
    if options.plot:
        check_place(options.plot, "plot")
    distributed.initialize()
    if distributed.size() == 1:
        raise InputError("a single rank has nobody to sum with: start it with horovodrun -np 2 or more")
    report = Report("allreduce", {**dataclasses.asdict(options), "ranks": distributed.size()})
    report.rows += _by_size(num_gradient_values(config), options.repeats)
    report.sections["the gradient as it comes"] = _joined_or_not(gradient_shapes(config), options.repeats)
    if distributed.rank() != 0:
        return None
    if options.plot:
        _draw(report.rows, options.plot)
    return report


def message_sizes(largest):
    """Numbers of values of the messages: 1, then ever more up to `largest`, which is one of them."""
    sizes = []
    while not sizes or sizes[-1] < largest:
        sizes.append(min(sizes[-1] * _GROWTH, largest) if sizes else 1)
    return sizes


def _by_size(largest, repeats):
    """Rows of one buffer, of every size in both types."""
    import tensorflow as tf

    from albert_hvd.doctor.probes import slowest_median_sec

    def compressed(tensor, name):
        return tf.cast(distributed.sum_over_ranks(tf.cast(tensor, tf.float16), name), tf.float32)

    rows = []
    for values in message_sizes(largest):
        tensor = tf.ones([values])
        plain_sec = slowest_median_sec(
            lambda: distributed.sum_over_ranks(tensor, f"float32_{values}").numpy(), repeats)
        compressed_sec = slowest_median_sec(lambda: compressed(tensor, f"float16_{values}").numpy(), repeats)
        rows += [_row(FLOAT32, 4 * values, plain_sec), _row("float16", 2 * values, compressed_sec)]
    return rows


def _row(message, num_bytes, seconds):
    size = distributed.size()
    bandwidth = num_bytes / seconds
    return {"message": message, "bytes": num_bytes, "microseconds": 1e6 * seconds,
            "algorithm MB/s": bandwidth / 1e6, "bus MB/s": 2 * (size - 1) / size * bandwidth / 1e6}


def _joined_or_not(shapes, repeats):
    """Rows of the tensors of a gradient: as one buffer, joined and split again, and each alone."""
    import tensorflow as tf

    from albert_hvd.doctor.probes import slowest_median_sec

    tensors, sizes = [tf.ones(shape) for shape in shapes], [shape.num_elements() for shape in shapes]

    @tf.function
    def joined():
        flat = distributed.sum_over_ranks(tf.concat([tf.reshape(t, [-1]) for t in tensors], axis=0), "joined")
        return [tf.reshape(part, shape) for part, shape in zip(tf.split(flat, sizes), shapes)]

    @tf.function
    def separate():
        return [distributed.sum_over_ranks(tensor, f"separate_{i}") for i, tensor in enumerate(tensors)]

    seconds = {"1 buffer of them": slowest_median_sec(joined, repeats),
               "each alone": slowest_median_sec(separate, repeats)}
    return [_row(f"{len(shapes)} tensors, {how}", 4 * sum(sizes), sec) for how, sec in seconds.items()]


def _draw(rows, path):
    """The plot: microseconds and bus bandwidth over bytes, a line of each type."""
    from albert_hvd.reporting.drawing import write_png
    from benchmarks.panels import Line, Panel, PanelChart, draw_panels

    panels = []
    for column, label in (("microseconds", "microseconds"), ("bus MB/s", "bus bandwidth, MB/s")):
        lines = [Line(message, [row["bytes"] for row in rows if row["message"] == message],
                      [row[column] for row in rows if row["message"] == message])
                 for message in dict.fromkeys(row["message"] for row in rows)]
        panels.append(Panel(label, True, lines))
    chart = PanelChart("allreduce", f"Allreduce over {distributed.size()} ranks", "bytes that travel", panels)
    write_png(chart, draw_panels, path, "plot")

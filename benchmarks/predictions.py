"""The cost model applied: to published speeds, and to models on clusters that nobody here has."""

import statistics

import numpy as np

from benchmarks.cost_model import efficiency, predict_update
from benchmarks.model_flops import training_flops, work_of
from benchmarks.published_scaling import TABLES

GPU_COUNTS = (3, 8, 16, 32, 64, 128, 256, 512)

# How often LAMB as in `optimization.py` reads or writes a float32 for each weight: the gradient for its norm and for
# the moments, both moments and the weight read and written, the direction written, and read twice with the weight
# for the trust ratio and the update.
_OPTIMIZER_BYTES = 12 * 4


def full_row_flops(config, max_seq_length, max_predictions_per_seq):
    """Floating-point operations that a full row adds to an update."""
    return training_flops(config, work_of(np.array([max_seq_length]), max_predictions_per_seq))


def optimizer_seconds(system, gradient_values):
    """The optimizer's share of an update: every GPU moves all weights and moments through its memory."""
    return gradient_values * _OPTIMIZER_BYTES / system.memory_bytes_per_sec


def sustained_flops_per_sec(published):
    """The one free constant: the speed of a GPU with which the model meets the table's first figure exactly."""
    gpus, updates_per_sec = next(iter(published.updates_per_sec.items()))
    rest = _predict_published(published, gpus, 1.0)
    return rest.compute_sec / (1 / updates_per_sec - rest.allreduce_sec - rest.overhead_sec)


def _predict_published(published, gpus, flops_per_sec):
    row = full_row_flops(published.config, published.max_seq_length, published.max_predictions_per_seq)
    return predict_update(row * published.train_batch_size, flops_per_sec,
                          published.gradient_values * published.bytes_per_value, gpus, published.system.cluster,
                          optimizer_seconds(published.system, published.gradient_values))


def compare_published():
    """Rows: every published figure beside its prediction. Efficiency is that of the table, against its first row."""
    rows = []
    for table in TABLES:
        flops_per_sec = sustained_flops_per_sec(table)
        first, first_rate = next(iter(table.updates_per_sec.items()))
        first_seconds = _predict_published(table, first, flops_per_sec).seconds
        for gpus, rate in table.updates_per_sec.items():
            seconds = _predict_published(table, gpus, flops_per_sec).seconds
            rows.append({"published": table.name, "GPUs": gpus, "updates/s": rate, "predicted": 1 / seconds,
                         "deviation %": 100 * (1 / seconds / rate - 1), "missing ms": 1e3 * (1 / rate - seconds),
                         "efficiency %": 100 * rate / first_rate * first / gpus,
                         "predicted efficiency %": 100 * first_seconds / seconds * first / gpus})
    return rows


def missing_seconds(rows):
    """Median of what the published updates took longer than predicted, of the rows that nothing was fitted to."""
    first = {table.name: next(iter(table.updates_per_sec)) for table in TABLES}
    return statistics.median(row["missing ms"] / 1e3 for row in rows if row["GPUs"] != first[row["published"]])


def predict_models(models, train_batch_size, max_seq_length, max_predictions_per_seq, missing_sec):
    """Speed of training on 1 to 512 GPUs, on every system that there is a published table of.

    Args:
      models: dict of name to (`AlbertConfig`, float values of its gradient); it travels in float32.
      train_batch_size: rows of an update over all GPUs.
      max_seq_length, max_predictions_per_seq: of a row.
      missing_sec: `missing_seconds`; the other efficiency has it in each update.

    Returns:
      list of dicts; efficiency is against one GPU with the same batch.
    """
    rows = []
    for system in dict.fromkeys(table.system for table in TABLES):
        flops_per_sec = sustained_flops_per_sec(_nearest_table(system, max_seq_length))
        for name, (config, values) in models.items():
            flops = train_batch_size * full_row_flops(config, max_seq_length, max_predictions_per_seq)
            costs = {gpus: predict_update(flops, flops_per_sec, 4 * values, gpus, system.cluster,
                                          optimizer_seconds(system, values)) for gpus in (1, *GPU_COUNTS)}
            for gpus in GPU_COUNTS:
                slower = costs[gpus].seconds + missing_sec
                rows.append({"system": system.name, "model": name, "GPUs": gpus,
                             "updates/s": 1 / costs[gpus].seconds,
                             "sequences/s": train_batch_size / costs[gpus].seconds,
                             "allreduce ms": 1e3 * costs[gpus].allreduce_sec,
                             "efficiency %": 100 * efficiency(costs[1], costs[gpus], gpus),
                             "sequences/s, slower": train_batch_size / slower,
                             "efficiency %, slower": 100 * costs[1].seconds / (gpus * slower)})
    return rows


def _nearest_table(system, max_seq_length):
    """The published table of a system with the most similar rows."""
    return min((table for table in TABLES if table.system == system),
               key=lambda table: abs(table.max_seq_length - max_seq_length))

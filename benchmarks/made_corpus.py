"""The input pipeline on a corpus of hundreds of millions of records that takes a few gigabytes of disk.

The first records of the file at hand are repeated. The indexes are there in full, 16 bytes a record; the shards are
sparse: of their records only those are written that the measurement reads, which the order of the epoch tells.
"""

import os
import tempfile
import time

import numpy as np

from albert_hvd.data.batches.order import RecordOrder
from albert_hvd.data.batches.packed_rows import WINDOW, PackedTrainingBatches
from albert_hvd.data.batches.rows import TrainingBatches
from albert_hvd.data.records.dataset import RecordDataset
from albert_hvd.data.records.tfrecord import INDEX_DTYPE, index_path, load_index
from albert_hvd.errors import InputError
from benchmarks.contest import in_own_process, peak_bytes

TEMPLATE_RECORDS = 4096  # of the file at hand
SHARDS = 64
_READ_WINDOWS = 6  # windows of records that are read from a place on
_SLACK_WINDOWS = 6  # and what is read ahead
_MIB = 2**20


def measure_made(paths, num_records, options, seed):
    """Rows of the report: a corpus of `TEMPLATE_RECORDS` and one of `num_records`, unpacked and packed.

    Args:
      paths: shards to take records from.
      options: of the benchmark.

    Raises:
      InputError: the first shard is too short, or the disk is.
    """
    rows = []
    for count in (TEMPLATE_RECORDS, num_records):
        with tempfile.TemporaryDirectory() as folder:
            made = make_corpus(paths[0], count, folder, seed)
            for kind in (TrainingBatches, PackedTrainingBatches):
                rows.append(in_own_process(_measure, made, kind, count, options, seed))
    for small, large in zip(rows[:2], rows[2:]):
        large["MiB above small"] = large["peak MiB"] - small["peak MiB"]
    return rows


def make_corpus(path, num_records, folder, seed):
    """Write the made corpus into `folder`; returns its shards."""
    template = load_index(path)[:TEMPLATE_RECORDS + 1]
    if len(template) <= TEMPLATE_RECORDS or template["num_tokens"][0] < 0:
        raise InputError(f"fewer than {TEMPLATE_RECORDS} records, or without an index", "give a larger shard", value=path)
    with open(path, "rb") as file:
        data = file.read(int(template["offset"][-1]))
    made = _Made(template, data, num_records, folder)
    made.write_indexes()
    order = RecordOrder(num_records, seed)
    for start in places(num_records):
        count = (_READ_WINDOWS + _SLACK_WINDOWS) * WINDOW
        made.write_records(order.take(start, count)[0])
    made.write_records(np.zeros(1, np.int64))  # which is read at the start
    return made.paths


def places(num_records):
    """Positions from which on the measurement reads: the beginning, and shortly before the second epoch."""
    return 0, max(0, (num_records // WINDOW - _READ_WINDOWS // 2) * WINDOW)


class _Made:
    """A corpus whose record n is record n % T of a template of T."""

    def __init__(self, template, data, num_records, folder):
        self._offsets, self._rows, self._data = template["offset"], template[:-1], data
        cycles = -(-num_records // len(self._rows))
        self._per_shard = -(-cycles // SHARDS) * len(self._rows)
        self._starts = list(range(0, num_records, self._per_shard))
        self._num_records = num_records
        self.paths = [os.path.join(folder, f"made.tfrecord-{number:05d}") for number in range(len(self._starts))]

    def write_indexes(self):
        length, cycle = len(self._rows), int(self._offsets[-1])
        for path, start in zip(self.paths, self._starts):
            count = min(self._per_shard, self._num_records - start)
            with open(index_path(path), "wb") as file:
                for first in range(0, count, length):
                    rows = self._rows[:min(length, count - first)].copy()
                    rows["offset"] += first // length * cycle
                    rows.tofile(file)
                end = np.zeros(1, INDEX_DTYPE)
                end["offset"] = self._offset(count)
                end.tofile(file)
            with open(path, "wb") as file:
                file.truncate(self._offset(count))

    def write_records(self, numbers):
        files = [os.open(path, os.O_WRONLY) for path in self.paths]
        for number in numbers.tolist():
            shard, row = divmod(number, self._per_shard)
            start, end = self._offsets[row % len(self._rows):][:2].tolist()
            os.pwrite(files[shard], self._data[start:end], self._offset(row))
        for file in files:
            os.close(file)

    def _offset(self, row):
        cycles, row = divmod(row, len(self._rows))
        return cycles * int(self._offsets[-1]) + int(self._offsets[row])


def _measure(paths, kind, num_records, options, seed):
    """The figures of one pipeline, in a process that has done nothing else."""
    import tensorflow as tf  # reads ids out of records; a rank has it before it begins to read

    tf.constant(0)
    # glibc's malloc keeps large blocks once one has been given back, as happens when a rank makes its first weights. Before,
    # each array of a batch is mapped anew, which costs a third of the packed pipeline's speed.
    np.ones(_MIB * 30 // 8)
    began = time.perf_counter()
    dataset = RecordDataset(paths, options.max_seq_length, options.max_predictions_per_seq)
    dataset.fingerprint  # noqa: B018  every rank compares it at its start
    batches = kind(dataset, options.batch_rows, 0, 1, seed)
    next(batches)
    start_sec = time.perf_counter() - began
    began, rows = time.perf_counter(), 0
    while batches.position < _READ_WINDOWS * WINDOW:
        rows += len(next(batches)["input_mask"])
    rows_per_sec = rows / (time.perf_counter() - began)
    batches.close()
    batches = kind(dataset, options.batch_rows, 0, 1, seed, start_record=places(num_records)[1])
    next(batches)
    longest = 0.0
    while batches.position < places(num_records)[1] + _READ_WINDOWS * WINDOW:
        began = time.perf_counter()
        next(batches)
        longest = max(longest, time.perf_counter() - began)
    batches.close()
    return {"records": num_records, "what": "packed" if kind is PackedTrainingBatches else "unpacked",
            "start s": start_sec, "rows/s": rows_per_sec, "longest wait at the seam s": longest,
            "peak MiB": peak_bytes() / _MIB}

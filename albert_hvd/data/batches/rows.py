"""Which records each rank trains on or evaluates, in which order.

Training: epoch e reads all records in an order drawn from (seed, e); a global batch is the next
`train_batch_size` of them and rank r takes its r-th part. So the records of a step do not depend on the
number of ranks, each record is read once per epoch by one rank, and the number of records consumed is
the whole resume state. Evaluation: each record once over all ranks, the last batch padded with rows
of weight 0.
"""

import numpy as np

from albert_hvd.data.batches.mixture import MixedOrder
from albert_hvd.data.batches.order import ORDER_VERSION, RecordOrder
from albert_hvd.data.batches.prefetch import Prefetched
from albert_hvd.data.records.example import SEQUENCE_FIELDS
from albert_hvd.errors import InputError

_SORTED_RECORDS = 2048  # of a rank at once, 15 MB at 512 positions


def rows_per_rank(global_batch_size, size, option):
    """A rank's share of a global batch; InputError naming `option` when the ranks do not divide it."""
    if global_batch_size <= 0 or global_batch_size % size:
        raise InputError(f"must be a positive multiple of the {size} ranks",
                         f"try {max(global_batch_size // size, 1) * size}", name=option, value=global_batch_size)
    return global_batch_size // size


def record_order(dataset, seed, version):
    """The `RecordOrder` or `MixedOrder` of a `RecordDataset`, which reads ahead from now on where that pays."""
    order = (MixedOrder(dataset.sources, seed, version) if dataset.sources else
             RecordOrder(dataset.num_records, seed, version))
    if order.is_in_stretches:
        dataset.read_stretches()
    return order


def source_numbers(dataset, record_numbers):
    """Which of a mixture's sources each record is of, int32 (B,)."""
    firsts = [source.first for source in dataset.sources]
    return (np.searchsorted(firsts, record_numbers, side="right") - 1).astype(np.int32)


class BatchIterator:
    """What both kinds of training batches share; they set `_order`, `_batches` (`Prefetched`) and `position`."""

    def __iter__(self):
        return self

    @property
    def epoch(self):
        """Number of the epoch that the next record belongs to, from 0."""
        return self.position // self._order.epoch_size

    @property
    def wait_seconds(self):
        """Seconds in which the consumer has waited for input so far."""
        return self._batches.wait_seconds

    def close(self):
        """Stop reading ahead."""
        self._batches.close()


class TrainingBatches(BatchIterator):
    """Iterator of this rank's part of each global batch, without end.

    Attributes: `position`, records of all ranks consumed by the batches handed out so far (give it as
    `start_record` to go on with the next one); `epoch`; `wait_seconds`.
    """

    def __init__(self, dataset, train_batch_size, rank, size, seed, start_record=0, prefetch=2,
                 transform=None, stage=None, order_version=ORDER_VERSION):
        """Args:
          dataset: a `RecordDataset`.
          train_batch_size: rows of the global batch; `size` must divide it (InputError).
          prefetch: batches read ahead by a background thread.
          transform: optional function (batch, epochs (B,), record_numbers (B,)) -> batch, called in that
            thread (`DynamicMasking`); `epochs` says how often each record was read before.
          stage: optional function (batch) -> what to hand out in its place, called in that thread, such as a copy on
            a GPU.
          order_version: see `order.py`; that of the run's first start.
        """
        rows_per_rank(train_batch_size, size, "train_batch_size")
        self._dataset, self._transform, self._stage = dataset, transform, stage or (lambda batch: batch)
        self._train_batch_size, self._rank, self._size = train_batch_size, rank, size
        self._order = record_order(dataset, seed, order_version)
        self._start, self.position = start_record, start_record
        self._batches = Prefetched(self._read, prefetch)

    def _read(self, number):
        rows = self._train_batch_size // self._size
        first = self._start + number * self._train_batch_size + self._rank * rows
        record_numbers, epochs = self._order.take(first, rows)
        batch = self._dataset.read(record_numbers)
        if self._transform:
            batch = self._transform(batch, epochs, record_numbers)
        if self._dataset.sources:
            batch["source_numbers"] = source_numbers(self._dataset, record_numbers)[:, None]
        return self._stage(batch)

    def __next__(self):
        """The next batch: dict of arrays as `RecordDataset.read` gives them, train_batch_size / size rows.

        Of a mixture it has `source_numbers` too, int32 (B, 1).
        """
        batch = self._batches.next()
        self.position += self._train_batch_size
        return batch


def evaluation_batches(dataset, eval_batch_size, rank, size, max_batches=None, width_step=0, prefetch=2):
    """Yield this rank's batches of eval_batch_size / size rows; all ranks yield equally many.

    Each record is in one row of one rank (of the first `max_batches` global batches, when given); the
    rows that fill up the last batch repeat record 0 with `masked_lm_weights` and `sentence_weights` 0.

    Args:
      width_step: above 0, records of similar length come together, and a batch has only as many positions as its
        longest record, rounded up to a multiple of this; 0: `max_seq_length` of them, in the order of the file.
    """
    rows = rows_per_rank(eval_batch_size, size, "eval_batch_size")
    num_batches = -(-dataset.num_records // eval_batch_size)
    num_batches = min(num_batches, max_batches) if max_batches else num_batches
    at_once = max(1, _SORTED_RECORDS // rows) if width_step else 1

    def read(first):
        batches = np.arange(first, min(first + at_once, num_batches))
        numbers = (batches[:, None] * eval_batch_size + rank * rows + np.arange(rows)).ravel()
        real = numbers < dataset.num_records
        batch = dataset.read(np.where(real, numbers, 0))
        for weights in ("masked_lm_weights", "sentence_weights"):
            batch[weights] = batch[weights] * real[:, None].astype(np.float32)
        return _cut_by_length(batch, len(batches), width_step) if width_step else [batch]

    windows = Prefetched(lambda number: read(number * at_once) if number * at_once < num_batches else None, prefetch)
    try:
        for _ in range(-(-num_batches // at_once)):
            yield from windows.next()
    finally:
        windows.close()


def _cut_by_length(batch, num_parts, width_step):
    """The rows in parts of the same number, shortest first, each without the columns that are padding in all its rows."""
    mask = batch["input_mask"]
    lengths = ((mask > 0) * np.arange(1, mask.shape[1] + 1)).max(axis=1)
    parts = []
    for rows in np.split(np.argsort(lengths, kind="stable"), num_parts):
        width = max(1, -(-int(lengths[rows[-1]]) // width_step)) * width_step
        parts.append({name: array[rows, :width] if name in SEQUENCE_FIELDS else array[rows]
                      for name, array in batch.items()})
    return parts

"""Several short examples in one row: a plan from the examples' lengths, and rows laid out by it.

Tweets fill a tenth of 512 positions; packed, more than 95 %. An epoch's record order (the same as
without packing) is cut into windows of `WINDOW` records, and each window is packed on its own by best fit,
longest first. So the rows of any place in any epoch are known from the seed and the lengths alone, the
cost of a resume is one window, and the number of records consumed is still the whole resume state. The lengths
of a window are looked up in the index.
"""

import numpy as np

from albert_hvd.data.batches.best_fit import pack, sums_before, token_places
from albert_hvd.data.batches.order import ORDER_VERSION
from albert_hvd.data.batches.prefetch import Prefetched
from albert_hvd.data.batches.rows import BatchIterator, record_order, rows_per_rank, source_numbers
from albert_hvd.errors import InputError, parameter

WINDOW = 4096
SAMPLE, _STRETCH = 1 << 16, 256  # records


def lay_out_rows(batch, rows, num_rows, max_predictions, max_examples):
    """Put examples into rows.

    Args:
      batch: dict as `RecordDataset.read` gives it, n examples.
      rows: int (n,), the row of each example; ascending.
    Returns: dict of, with B = `num_rows`, S positions, E = `max_examples`:
      input_ids segment_ids int32 (B, S);
      input_mask int32 (B, S), the number 1 ... E of the example within its row, 0 for padding;
      position_ids int32 (B, S), from 0 in each example;
      cls_positions next_sentence_labels int32 and sentence_weights float32 (B, E), 0 for absent examples;
      masked_lm_positions masked_lm_ids int32 and masked_lm_weights float32 (B, max_predictions).
    """
    seq = batch["input_ids"].shape[1]
    lengths = batch["input_mask"].sum(axis=1)
    number, before = sums_before(rows, np.ones_like(lengths)), sums_before(rows, lengths)  # place of each example
    example, place, at = token_places(rows, before, lengths)
    packed = {name: np.zeros((num_rows, seq), np.int32)
              for name in ("input_ids", "segment_ids", "input_mask", "position_ids")}
    for name in ("input_ids", "segment_ids"):
        packed[name][at] = batch[name][example, place]
    packed["input_mask"][at] = number[example] + 1
    packed["position_ids"][at] = place
    for name, values in (("cls_positions", before), ("next_sentence_labels", batch["next_sentence_labels"][:, 0]),
                         ("sentence_weights", batch["sentence_weights"][:, 0])):
        packed[name] = np.zeros((num_rows, max_examples), np.float32 if "weights" in name else np.int32)
        packed[name][rows, number] = values
    example, slot = np.nonzero(batch["masked_lm_weights"])
    target_rows = rows[example]
    rank = sums_before(target_rows, np.ones_like(target_rows))
    kept = rank < max_predictions  # masks drawn anew may be one more than planned for: those are not predicted
    example, slot, at = example[kept], slot[kept], (target_rows[kept], rank[kept])
    for name in ("masked_lm_positions", "masked_lm_ids", "masked_lm_weights"):
        packed[name] = np.zeros((num_rows, max_predictions), batch[name].dtype)
        packed[name][at] = batch[name][example, slot]
    packed["masked_lm_positions"][at] += before[example].astype(np.int32)
    return packed


def row_limits(dataset, sampled):
    """E and P of a packed row, from the data: enough that they hardly ever bind, small enough to be cheap.

    Args:
      dataset: a `RecordDataset`.
      sampled: look at `SAMPLE` records, evenly spread in stretches, not at all of them; P then has room for any record.
    """
    seq, most = dataset.max_seq_length, 0
    tokens = np.zeros(seq + 1, np.int64)  # how many records have so many
    num_predictions = 0
    for lengths, predictions in _counts(dataset, sampled):
        tokens += np.bincount(lengths, minlength=seq + 1)
        num_predictions += int(predictions.sum(dtype=np.int64))
        most = dataset.max_predictions_per_seq if sampled else max(most, int(predictions.max()))
    share = num_predictions / max(int(tokens @ np.arange(seq + 1)), 1)
    predictions = max(int(np.ceil(1.25 * share * seq)), most)
    return -(-seq // max(int(_tenth(tokens)), 8)), -(-predictions // 8) * 8


def _counts(dataset, sampled):
    """Yield tokens and predictions of all records, or of a sample of them, in arrays."""
    if not sampled:
        for shard in range(len(dataset.paths)):
            for rows in dataset.counted_pieces(shard):
                yield rows["num_tokens"], rows["num_predictions"]
        return
    for start in np.linspace(0, dataset.num_records - _STRETCH, SAMPLE // _STRETCH).astype(np.int64):
        yield dataset.counts(start + np.arange(_STRETCH))


def _tenth(counts):
    """The 10th percentile of values that occur counts[value] times, as `np.percentile` of the values gives it."""
    place = 0.1 * (counts.sum() - 1)
    below, above = np.searchsorted(np.cumsum(counts), [np.floor(place), np.ceil(place)], side="right")
    share = place - np.floor(place)
    return below + (above - below) * share if share < 0.5 else above - (above - below) * (1 - share)


class PackedTrainingBatches(BatchIterator):
    """Like `TrainingBatches`, with packed rows; `train_batch_size` counts rows.

    Each record is read once per epoch. Attributes: `position`, records of all ranks consumed by the
    batches handed out so far, the whole resume state as without packing (a batch holds a varying number
    of records); `epoch`; `wait_seconds`; `max_examples` and `max_predictions`, E and P of a row.
    """

    def __init__(self, dataset, train_batch_size, rank, size, seed, start_record=0, prefetch=2, transform=None,
                 stage=None, order_version=ORDER_VERSION):
        """As for `TrainingBatches`. Raises InputError when no row begins at `start_record`."""
        self._rows_per_rank = rows_per_rank(train_batch_size, size, "train_batch_size")
        self._dataset, self._transform, self._seed = dataset, transform, seed
        self._stage = stage or (lambda batch: batch)
        self._train_batch_size, self._rank = train_batch_size, rank
        self._order = record_order(dataset, seed, order_version)
        dataset.count_tokens()
        self.max_examples, self.max_predictions = row_limits(dataset, sampled=self._order.is_in_stretches)
        self._window, self._rows = self._first_rows(start_record)
        self._position, self.position = start_record, start_record
        self._batches = Prefetched(self._read, prefetch)

    def _pack_window(self, window):
        """The rows of a window (counted over all epochs), each int64 (2, n): record numbers, and how often each came."""
        size = self._order.epoch_size
        epoch, number = divmod(window, -(-size // WINDOW))
        count = min(WINDOW, size - number * WINDOW)
        records = np.stack(self._order.take(epoch * size + number * WINDOW, count))
        rows = pack(*self._dataset.counts(records[0]), self._dataset.max_seq_length, self.max_predictions,
                    self.max_examples)
        # Best fit leaves the emptiest rows last.
        order = np.random.Generator(np.random.PCG64([self._seed, epoch, number])).permutation(len(rows))
        return [records[:, rows[i]] for i in order.tolist()]

    def _first_rows(self, start_record):
        """The window that holds the global position, and its rows from there on."""
        epoch, offset = divmod(start_record, self._order.epoch_size)
        window = epoch * -(-self._order.epoch_size // WINDOW) + offset // WINDOW
        rows, skipped = self._pack_window(window), offset % WINDOW
        while skipped > 0:
            skipped -= rows.pop(0).shape[1]
        if skipped:
            raise InputError(f"the checkpoint's place in the data ({start_record} records) is not between two packed "
                             "rows",
                             f"resume with the records, {parameter('seed')} and {parameter('max_seq_length')} of the "
                             "run that wrote it", name="pack_sequences")
        return window, rows

    def _read(self, _):
        while len(self._rows) < self._train_batch_size:
            self._window += 1
            self._rows += self._pack_window(self._window)
        rows, self._rows = self._rows[:self._train_batch_size], self._rows[self._train_batch_size:]
        own = rows[self._rank * self._rows_per_rank:][:self._rows_per_rank]
        record_numbers, epochs = np.concatenate(own, axis=1)
        batch = self._dataset.read(record_numbers)
        if self._transform:
            batch = self._transform(batch, epochs, record_numbers)
        self._position += sum(row.shape[1] for row in rows)
        of_row = np.repeat(np.arange(len(own)), [row.shape[1] for row in own])
        packed = lay_out_rows(batch, of_row, len(own), self.max_predictions, self.max_examples)
        if self._dataset.sources:
            packed["source_numbers"] = np.zeros((len(own), self.max_examples), np.int32)
            number = sums_before(of_row, np.ones_like(of_row))
            packed["source_numbers"][of_row, number] = source_numbers(self._dataset, record_numbers)
        return self._stage(packed), self._position

    def __next__(self):
        """The next batch, as `lay_out_rows` describes it; of a mixture with `source_numbers` too, int32 (B, E)."""
        batch, self.position = self._batches.next()
        return batch

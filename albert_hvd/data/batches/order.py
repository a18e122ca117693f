"""The order in which training reads its records: drawn for each epoch, found again by arithmetic.

Up to `TABLE` records an epoch's order is a permutation of all. Beyond, a table of them would take 8 bytes a record and
half a minute an epoch, and each record would be a read at a random place. There the order is made of `LANES` lanes, read
side by side: the records, counted from a place that is drawn, are cut into chunks of neighbours, `CHUNK` at most, equally
many for each lane; the chunks are shuffled and dealt out to the lanes; each lane begins at a place that is drawn, goes
through its chunks and comes round to where it began. Position after position the next lane gives its next record. So

- any `LANES` positions in a row hold records of different chunks: neighbours do not come into one batch together, unless
  the batch is larger than that;
- each lane reads on where it read before;
- chunks begin all the time, not all at once.

What is left over when lanes are equally long, less than a hundredth, comes last, in an order drawn record by record.
"""

import numpy as np

TABLE = 1 << 20  # records; those of a run that began with version 1 are never too many
LANES = 4096
CHUNK = 256

# 1: a permutation of all records, whatever their number. 2: see above.
ORDER_VERSION = 2


def epoch_order(seed, epoch, num_records):
    """The order of one epoch: a permutation of the record numbers, int64 (num_records,)."""
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(num_records)


class _TableEpoch:
    """One epoch's order of all records, as a table."""

    def __init__(self, seed, epoch, num_records):
        self._order = epoch_order(seed, epoch, num_records)

    def records(self, offsets):
        """The record numbers at these places of the epoch, int64 arrays (n,)."""
        return self._order[offsets]


class _LanesEpoch:
    """One epoch's order in lanes; 16 bytes for a chunk and 8 for a record that is left over are all that it holds."""

    def __init__(self, seed, epoch, num_records):
        generator = np.random.Generator(np.random.PCG64([seed, epoch]))
        self._num_records = num_records
        chunks, self._chunk = lane_size(num_records)
        self._lane = chunks * self._chunk
        self._in_lanes = LANES * self._lane
        self._chunks = generator.permutation(LANES * chunks)
        self._begins = generator.integers(0, self._lane, LANES)
        self._rest = self._in_lanes + generator.permutation(num_records - self._in_lanes)
        self._shift = int(generator.integers(num_records))

    def records(self, offsets):
        """The record numbers at these places of the epoch, int64 arrays (n,)."""
        rows, lanes = np.divmod(np.minimum(offsets, self._in_lanes - 1), LANES)
        chunks, places = np.divmod((rows + self._begins[lanes]) % self._lane, self._chunk)
        numbers = self._chunks[lanes * (self._lane // self._chunk) + chunks] * self._chunk + places
        last = offsets >= self._in_lanes
        numbers[last] = self._rest[offsets[last] - self._in_lanes]
        return (numbers + self._shift) % self._num_records


def lane_size(num_records):
    """(chunks of a lane, records of a chunk) of at least `LANES` records."""
    per_lane = num_records // LANES
    chunks = -(-per_lane // CHUNK)
    return chunks, per_lane // chunks


class RecordOrder:
    """The endless sequence of record numbers: epoch after epoch, each in its own order.

    Args:
      num_records: N, at least 1.
      seed: int.
      version: see `ORDER_VERSION`; the same sequence for ever for the same three.

    Attributes:
      epoch_size: positions of an epoch, N.
      is_in_stretches: whether a record is followed by its neighbours soon, so that reading ahead pays.
    """

    def __init__(self, num_records, seed, version=ORDER_VERSION):
        self.epoch_size, self._seed = num_records, seed
        self.is_in_stretches = version > 1 and num_records > TABLE
        self._kind = _LanesEpoch if self.is_in_stretches else _TableEpoch
        self._epochs = {}

    def take(self, position, count):
        """What stands at global positions position ... position + count - 1.

        Returns:
          (record numbers, how many times each has come before), int64 (count,) each.
        """
        epochs, offsets = np.divmod(np.arange(position, position + count, dtype=np.int64), self.epoch_size)
        wanted = np.unique(epochs).tolist()
        # One at a time: the order before is let go first.
        self._epochs = {epoch: order for epoch, order in self._epochs.items() if epoch in wanted}
        numbers = np.empty(count, np.int64)
        for epoch in wanted:
            if epoch not in self._epochs:
                self._epochs[epoch] = self._kind(self._seed, epoch, self.epoch_size)
            here = epochs == epoch
            numbers[here] = self._epochs[epoch].records(offsets[here])
        return numbers, epochs

"""The order in which training reads its records: drawn for each epoch, found again by arithmetic."""

import numpy as np


def epoch_order(seed, epoch, num_records):
    """The order of one epoch: a permutation of the record numbers, int64 (num_records,)."""
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(num_records)


class RecordOrder:
    """The endless sequence of record numbers: epoch after epoch, each in its own order."""

    def __init__(self, num_records, seed):
        self.num_records, self._seed = num_records, seed
        self._epochs = {}

    def take(self, position, count):
        """Record numbers at global positions position ... position + count - 1, int64 (count,)."""
        positions = np.arange(position, position + count, dtype=np.int64)
        epochs, offsets = np.divmod(positions, self.num_records)
        wanted = np.unique(epochs).tolist()
        self._epochs = {e: self._epochs[e] if e in self._epochs else
                        epoch_order(self._seed, e, self.num_records) for e in wanted}
        numbers = np.empty(count, np.int64)
        for epoch in wanted:
            here = epochs == epoch
            numbers[here] = self._epochs[epoch][offsets[here]]
        return numbers

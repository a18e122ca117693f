"""The order of a mixture: each corpus in an order of its own, and which of them is next.

An epoch has `per_epoch` records of each corpus, spread as evenly as whole records can be: of any n positions in a row,
the k-th corpus has its share of n to within 2 k. Each corpus is read on where the epoch before left it, in passes of its
own: half of its records now, the other half in the next epoch. All of it follows from the position alone.
"""

import numpy as np

from albert_hvd.data.batches.order import ORDER_VERSION, RecordOrder


class MixedOrder:
    """As `RecordOrder`, of a mixture.

    Args:
      sources: list of `Source`.
      seed: int.
      version: see `RecordOrder`.

    Attributes:
      epoch_size: positions of an epoch, the sum of what each source has in it.
      is_in_stretches: see `RecordOrder`.
    """

    def __init__(self, sources, seed, version=ORDER_VERSION):
        self._sources = sources
        self._orders = [RecordOrder(source.num_records, _seed_of(seed, number), version)
                        for number, source in enumerate(sources)]
        self.epoch_size = sum(source.per_epoch for source in sources)
        self.is_in_stretches = any(order.is_in_stretches for order in self._orders)

    def take(self, position, count):
        """What stands at global positions position ... position + count - 1.

        Returns:
          (record numbers, how many times each has come before), int64 (count,) each.
        """
        epochs, offsets = np.divmod(np.arange(position, position + count, dtype=np.int64), self.epoch_size)
        numbers, passes = np.empty(count, np.int64), np.empty(count, np.int64)
        for source, order, (which, places) in zip(self._sources, self._orders, self._split(offsets)):
            if len(which):
                # Positions that follow one another are the same within a source.
                first = int(epochs[which[0]]) * source.per_epoch + int(places[0])
                numbers[which], passes[which] = order.take(first, len(which))
                numbers[which] += source.first
        return numbers, passes

    def _split(self, offsets):
        """For each source: which of these places of an epoch are its own, and the how-manieth of its own each is."""
        which, left, parts = np.arange(len(offsets)), self.epoch_size, []
        for source in self._sources:
            before = offsets * source.per_epoch // left
            own = (offsets + 1) * source.per_epoch // left > before
            parts.append((which[own], before[own]))
            which, offsets, left = which[~own], (offsets - before)[~own], left - source.per_epoch
        return parts


def _seed_of(seed, number):
    """Another order for each source, also for two of the same size."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])

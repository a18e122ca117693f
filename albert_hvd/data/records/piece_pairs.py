"""Which piece stands next to which, counted on a bounded sample of the records.

What a model's first weights are made from (`model/word_vectors.py`), and what it has to beat: the loss of predicting
masked pieces from the pieces beside them.
"""

import dataclasses

import numpy as np

# Bounds of the sample. Reading and counting 8 million tokens takes 4 to 10 seconds and 300 MB.
MAX_TOKENS = 8_000_000
_ROWS_AT_ONCE = 1024
_HELD_OUT_SHARE, _MAX_HELD_OUT = 0.05, 1000

# Records that share so many pieces in a row with a held-out one repeat its text, as `dupe_factor` makes them.
_REPEATED_PIECES = 8

_DISCOUNT = 0.75
_MAX_MASKS = 3000  # to measure on: the loss is then known to within about 0.05


@dataclasses.dataclass(frozen=True)
class PiecePairs:
    """Counts of adjacent pieces; pair number i stands `counts[i]` times in the sample.

    Attributes:
      vocab_size: number of pieces V.
      left, right: int32 (N,), sorted by left, then right.
      counts: int64 (N,).
      num_tokens, num_records: of the sample.
      held_out: dict of arrays, rows of records that were kept out of the counts, as `RecordDataset.read` gives them.
    """

    vocab_size: int
    left: np.ndarray
    right: np.ndarray
    counts: np.ndarray
    num_tokens: int
    num_records: int
    held_out: dict


def count_pairs(dataset, vocab_size, max_tokens=MAX_TOKENS):
    """Count the adjacent pieces of a sample of the records, evenly spread over the data.

    Masked pieces count as what they were. Part of the sample is kept out, with every record that repeats its text, to
    measure on it. The same on all machines and for any number of ranks.

    Args:
      dataset: a `RecordDataset`.
      max_tokens: about how many tokens to read at most.

    Returns:
      `PiecePairs`.
    """
    numbers = _sampled_records(dataset, max_tokens)
    num_held_out = min(int(len(numbers) * _HELD_OUT_SHARE), _MAX_HELD_OUT)
    chosen = np.linspace(0, len(numbers) - 1, num_held_out).astype(np.int64)
    held_out = dataset.read(numbers[chosen])
    repeated = np.unique(_runs(*_original_ids(held_out))[0])
    keys, num_tokens = [], 0
    counted = np.delete(numbers, chosen)
    for start in range(0, len(counted), _ROWS_AT_ONCE):
        ids, real = _original_ids(dataset.read(counted[start:start + _ROWS_AT_ONCE]))
        hashes, rows = _runs(ids, real)
        real[np.unique(rows[np.isin(hashes, repeated)])] = False
        beside = real[:, :-1] & real[:, 1:]
        keys.append(ids[:, :-1][beside] * np.int64(vocab_size) + ids[:, 1:][beside])
        num_tokens += int(real.sum())
    keys, counts = np.unique(np.concatenate(keys) if keys else np.zeros(0, np.int64), return_counts=True)
    return PiecePairs(vocab_size, (keys // vocab_size).astype(np.int32), (keys % vocab_size).astype(np.int32), counts,
                      num_tokens, len(numbers), held_out)


def _sampled_records(dataset, max_tokens):
    """Numbers of the records to read, in increasing order."""
    first = np.unique(np.linspace(0, dataset.num_records - 1, 1000).astype(np.int64))
    tokens_per_record = max(1.0, float((dataset.read(first)["input_mask"] > 0).sum(axis=1).mean()))
    wanted = max(1, min(dataset.num_records, int(max_tokens / tokens_per_record)))
    return np.unique(np.linspace(0, dataset.num_records - 1, wanted).astype(np.int64))


def _original_ids(batch):
    """int64 (B, S) ids without masks, and bool (B, S), where they are real."""
    ids = batch["input_ids"].astype(np.int64)
    ids[_masked_places(batch)] = batch["masked_lm_ids"][batch["masked_lm_weights"] > 0]
    return ids, batch["input_mask"] > 0


def _masked_places(batch):
    """Rows and positions of the masked pieces, in the order of their slots."""
    rows, slots = np.nonzero(batch["masked_lm_weights"] > 0)
    return rows, batch["masked_lm_positions"][rows, slots]


def _runs(ids, real):
    """A hash of each run of `_REPEATED_PIECES` real pieces, uint64 (R,), and the row it stands in, int64 (R,)."""
    length = ids.shape[1] - _REPEATED_PIECES + 1
    if length <= 0:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    hashes, complete = np.zeros((len(ids), length), np.uint64), np.ones((len(ids), length), bool)
    for offset in range(_REPEATED_PIECES):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + ids[:, offset:offset + length].astype(np.uint64) + np.uint64(1)
        complete &= real[:, offset:offset + length]
    rows = np.nonzero(complete)[0]
    return hashes[complete], rows


def neighbour_loss(pairs):
    """What the frequencies of pieces, and the visible neighbours of a mask, explain: two losses in nats.

    The second is the cross-entropy of P(w) P(w|l)/P(w) P(w|r)/P(w), normalised, with l and r the pieces left and right
    of w where they are not masked themselves, and conditional frequencies by absolute discounting (Ney et al., "On
    Structuring Probabilistic Dependences in Stochastic Language Modelling", 1994).

    Args:
      pairs: `PiecePairs`.

    Returns:
      (loss of frequencies alone, loss of frequencies and neighbours), averaged over the held-out records' masks; None
      when the sample holds too little for them.
    """
    batch = pairs.held_out
    if not len(pairs.counts) or not np.any(batch["masked_lm_weights"] > 0):
        return None
    after, before = _Conditional(pairs, pairs.left, pairs.right), _Conditional(pairs, pairs.right, pairs.left)
    rows, slots = (part[:_MAX_MASKS] for part in np.nonzero(batch["masked_lm_weights"] > 0))
    positions, labels = batch["masked_lm_positions"][rows, slots], batch["masked_lm_ids"][rows, slots]
    ids, visible = _original_ids(batch)
    visible[_masked_places(batch)] = False
    losses = [0.0, 0.0]
    for row, position, label in zip(rows.tolist(), positions.tolist(), labels.tolist()):
        scores = after.log_frequencies.copy()
        losses[0] -= scores[label]
        for place, conditional in ((position - 1, after), (position + 1, before)):
            if 0 <= place < ids.shape[1] and visible[row, place]:
                scores += conditional.log_ratios(ids[row, place])
        losses[1] -= scores[label] - np.logaddexp.reduce(scores)
    return losses[0] / len(rows), losses[1] / len(rows)


class _Conditional:
    """P(piece | the piece on one side)."""

    def __init__(self, pairs, given, piece):
        order = np.lexsort((piece, given))
        self._piece, self._counts = piece[order], pairs.counts[order].astype(np.float64)
        self._bounds = np.searchsorted(given[order], np.arange(pairs.vocab_size + 1))
        totals = np.bincount(pairs.right, pairs.counts, pairs.vocab_size) + 1.0
        self._frequencies = totals / totals.sum()
        self.log_frequencies = np.log(self._frequencies)

    def log_ratios(self, given):
        """log P(w | given) - log P(w) for all pieces w, float64 (V,)."""
        part = slice(*self._bounds[given:given + 2])
        counts = self._counts[part]
        total = counts.sum()
        if not total:
            return np.zeros(len(self._frequencies))
        ratios = np.full(len(self._frequencies), _DISCOUNT * len(counts) / total)
        ratios[self._piece[part]] += (counts - _DISCOUNT) / total / self._frequencies[self._piece[part]]
        return np.log(ratios)

"""Masked-language-model targets, drawn for a whole batch of rows at once.

The rows' maskable positions are grouped into units: words (a piece with U+2581 and those that follow
it), runs of 1 to 3 words (ALBERT, arXiv:1909.11942 section 4.1: p(n) proportional to 1/n), or single
tokens. Units are taken in random order as long as they fit the row's budget of `masked_lm_prob` of its
tokens. Of the chosen tokens 80 % become <mask>, 10 % stay, 10 % become a random ordinary piece (BERT).
"""

import functools
from typing import NamedTuple

import numpy as np

MASKINGS = ("whole_word", "ngram", "token")
MAX_NGRAM = 3
MASK_SHARE, KEEP_SHARE = 0.8, 0.1

STARTS_WORD, ALONE, SPECIAL = 1, 2, 4  # kinds of pieces
NEVER = np.int32(1 << 30)  # the size of a unit that fits no budget
UNITS_AT_ONCE = 64


class Masked(NamedTuple):
    """The masked batch: `input_ids` int32 (N, S); `positions`, `ids` int32 and `weights` float32 (N, P),
    in ascending position, 0 beyond a row's predictions; `num_units` int32 (N,), units chosen;
    `num_predictions` int64 (N,), whose sum is M; `originals`, `replaced` int32 (M,), all chosen tokens and
    what stands in their places."""

    input_ids: np.ndarray
    positions: np.ndarray
    ids: np.ndarray
    weights: np.ndarray
    num_units: np.ndarray
    num_predictions: np.ndarray
    originals: np.ndarray
    replaced: np.ndarray


def draw_bits(generator, num_rows, max_seq_length, max_predictions_per_seq, masking):
    """The random bits that `mask_batch` uses up: uint32 (num_rows, 2 P + S), or 2 P + 2 S for n-grams.

    They are drawn apart from the masking so that a caller can take each row's from a generator of its
    own (masks that depend on the record alone, not on its batch).
    """
    width = 2 * max_predictions_per_seq + (2 if masking == "ngram" else 1) * max_seq_length
    return generator.integers(0, 1 << 32, (num_rows, width), dtype=np.uint32)


def mask_batch(input_ids, lengths, tokenizer, bits, masking, masked_lm_prob, max_predictions_per_seq):
    """Choose and replace the tokens to predict.

    Args:
      input_ids: int32 (N, S), `<cls> A <sep> B <sep>` and padding; special ids are never chosen.
      lengths: int (N,), tokens of each row with its special ones.
      tokenizer: gives `is_special`, `starts_word`, `mask_id`, `unk_id`.
      bits: from `draw_bits`.
      masking: one of `MASKINGS`.
    Returns: `Masked`. A row whose budget is smaller than each of its units gets its smallest one, if
      that has at most P tokens: a short tweet of long words would else never be predicted.
    """
    (num_rows, seq), most = input_ids.shape, max_predictions_per_seq
    kinds = _kinds(tokenizer).take(input_ids)
    maskable = (kinds & SPECIAL) == 0
    maskable &= np.arange(seq) < np.asarray(lengths)[:, None]
    units = _Units(_unit_starts(kinds, masking, bits[:, 2 * most + seq:]), maskable)
    budget = np.clip(np.rint(np.asarray(lengths) * masked_lm_prob), 1, most).astype(np.int32)
    chosen = _choose_units(units.sizes, budget, bits[:, 2 * most:2 * most + seq], most)  # (N, U)
    places = units.places(chosen)
    places = places[maskable.ravel()[places]]

    rows = places // seq
    counts = np.bincount(rows, minlength=num_rows)
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape, slots = (num_rows, most), rows * most + rank
    positions, ids, weights = np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    masked = np.array(input_ids, np.int32, order="C")
    originals = masked.ravel()[places]
    positions.ravel()[slots], ids.ravel()[slots], weights.ravel()[slots] = places - rows * seq, originals, 1.0
    replaced = _replacements(originals, bits[rows, rank], bits[rows, most + rank], tokenizer)
    masked.ravel()[places] = replaced
    return Masked(masked, positions, ids, weights, np.count_nonzero(chosen, axis=1).astype(np.int32), counts,
                  originals, replaced)


class _Units:
    """The units of a batch, whose first positions are True in `starts`, bool (N, S), as the first of each row is.

    Attributes:
      sizes: int32 (N, U), maskable tokens of each unit; 0 beyond a row's units.
    """

    def __init__(self, starts, maskable):
        num_rows, seq = starts.shape
        self._starts = np.flatnonzero(starts)  # of all rows, in one array
        self._ends = np.append(self._starts[1:], starts.size)
        firsts = np.searchsorted(self._starts, np.arange(num_rows + 1) * seq)  # units before each row
        self._firsts, numbers = firsts[:-1], np.diff(firsts)
        self.sizes = np.zeros((num_rows, int(numbers.max())), np.int32)
        until = np.cumsum(maskable, dtype=np.int32)[self._ends - 1]
        self.sizes[np.arange(self.sizes.shape[1]) < numbers[:, None]] = np.diff(until, prepend=np.int32(0))

    def places(self, chosen):
        """The positions of chosen units, bool (N, U), in ascending order, as N * S are numbered."""
        numbers = np.flatnonzero(chosen)
        rows = numbers // chosen.shape[1]
        numbers += self._firsts[rows] - rows * chosen.shape[1]
        starts = self._starts[numbers]
        lengths = self._ends[numbers] - starts
        ends = np.cumsum(lengths)
        return np.arange(lengths.sum()) + np.repeat(starts - ends + lengths, lengths)


def unmask(input_ids, positions, ids, weights):
    """The rows as they were before masking: int32 (N, S)."""
    original = np.array(input_ids, np.int32)
    rows, columns = np.nonzero(weights > 0)
    original[rows, positions[rows, columns]] = ids[rows, columns]
    return original


@functools.lru_cache(maxsize=4)
def _kinds(tokenizer):
    """What each piece is, uint8 (V,): the sum of `STARTS_WORD`, `ALONE` and `SPECIAL`."""
    alone = tokenizer.is_special.copy()
    alone[tokenizer.unk_id] = False
    return (STARTS_WORD * tokenizer.starts_word + ALONE * alone + SPECIAL * tokenizer.is_special).astype(np.uint8)


@functools.lru_cache(maxsize=4)
def _ordinary(tokenizer):
    """The ids that may be drawn as replacements."""
    return np.flatnonzero(~tokenizer.is_special)


def _unit_starts(kinds, masking, ngram_bits):
    """True (N, S) where a unit begins.

    `<cls>`, `<sep>` and padding stand alone and what follows them begins anew: without that, the first
    U+2581-less piece of segment B would belong to the last word of A. `<unk>` is part of its word.
    """
    if masking == "token":
        return np.ones(kinds.shape, bool)
    alone = (kinds & ALONE) != 0
    forced = alone.copy()
    forced[:, 1:] |= alone[:, :-1]
    forced[:, 0] = True
    starts = (kinds & STARTS_WORD) != 0
    starts |= forced
    if masking == "whole_word":
        return starts
    # Cut each row's words into runs of 1 to 3: run k begins at word n_0 + ... + n_(k-1).
    shares = np.cumsum(1 / np.arange(1, MAX_NGRAM + 1))
    limits = (shares[:-1] / shares[-1] * (1 << 32)).astype(np.uint32)
    run_lengths = 1 + np.searchsorted(limits, ngram_bits, side="right")  # (N, S)
    run_starts = np.zeros((len(starts), starts.shape[1] * MAX_NGRAM + 1), bool)
    np.put_along_axis(run_starts, np.cumsum(run_lengths, axis=1), True, axis=1)
    word_of = np.cumsum(starts, axis=1) - 1
    return starts & (forced | np.take_along_axis(run_starts, word_of, axis=1))


def _choose_units(sizes, budget, key_bits, max_predictions_per_seq):
    """Bool (N, U): units in random order, each taken when it still fits the row's budget."""
    num_rows, width = sizes.shape
    # The low bits of each sort key hold the unit's number, so that one plain sort gives the order;
    # units without a maskable token go last.
    low = np.uint32((1 << max(width - 1, 1).bit_length()) - 1)
    keys = key_bits[:, :width] & ~low
    keys |= np.arange(width, dtype=np.uint32)
    keys.ravel()[np.flatnonzero(sizes == 0)] |= ~low
    keys.sort(axis=1)
    keys &= low
    chosen, row_starts = np.zeros(sizes.shape, bool), np.arange(num_rows)[:, None] * width
    remaining = budget.copy()
    for start in range(0, width, UNITS_AT_ONCE):  # mostly the first ones use the budget up
        order = row_starts + keys[:, start:start + UNITS_AT_ONCE]
        taken = _take_in_turn(sizes.ravel()[order], remaining)
        chosen.ravel()[order[taken]] = True
        if not remaining.any():
            break
    empty = np.flatnonzero(remaining == budget)
    if empty.size:
        _give_smallest(chosen, sizes, keys, empty, max_predictions_per_seq)
    return chosen


def _take_in_turn(sizes, remaining):
    """Bool (N, U): of units in the order of their columns, those that fit what is left, int32 (N,), which shrinks."""
    columns = np.ascontiguousarray(sizes.T)  # (U, N): the loop below walks along units
    columns[columns == 0] = NEVER
    taken, used = np.zeros(columns.shape, bool), np.empty_like(remaining)
    for size, fits in zip(columns, taken):
        np.less_equal(size, remaining, out=fits)
        np.multiply(size, fits, out=used)
        np.subtract(remaining, used, out=remaining)
    return np.ascontiguousarray(taken.T)


def _give_smallest(chosen, sizes, order, empty, max_predictions_per_seq):
    """In rows where nothing fitted the budget, choose the smallest unit (the first drawn of them)."""
    order = order[empty].astype(np.intp)
    in_order = np.take_along_axis(sizes[empty], order, axis=1)
    in_order[in_order == 0] = NEVER
    smallest = in_order.argmin(axis=1)
    fits = in_order.min(axis=1) <= max_predictions_per_seq
    chosen[empty[fits], order[fits, smallest[fits]]] = True


def _replacements(originals, action_bits, id_bits, tokenizer):
    """What stands at the chosen positions: <mask>, the token itself, or a random ordinary piece."""
    replaced = originals.copy()
    replaced[action_bits < MASK_SHARE * (1 << 32)] = tokenizer.mask_id
    random = np.flatnonzero(action_bits >= (MASK_SHARE + KEEP_SHARE) * (1 << 32))
    ordinary = _ordinary(tokenizer)
    drawn = id_bits[random].astype(np.uint64) * np.uint64(len(ordinary)) >> np.uint64(32)
    replaced[random] = ordinary[drawn.astype(np.intp)]
    return replaced

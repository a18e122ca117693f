"""Masked-language-model targets, drawn for a whole batch of rows at once.

The rows' maskable positions are grouped into units: words (a piece with U+2581 and those that follow
it), runs of 1 to 3 words (ALBERT, arXiv:1909.11942 section 4.1: p(n) proportional to 1/n), or single
tokens. Units are taken in random order as long as they fit the row's budget of `masked_lm_prob` of its
tokens. Of the chosen tokens 80 % become <mask>, 10 % stay, 10 % become a random ordinary piece (BERT).
"""

from typing import NamedTuple

import numpy as np

MASKINGS = ("whole_word", "ngram", "token")
MAX_NGRAM = 3
MASK_SHARE, KEEP_SHARE = 0.8, 0.1


class Masked(NamedTuple):
    """The masked batch: `input_ids` int32 (N, S); `positions`, `ids` int32 and `weights` float32 (N, P),
    in ascending position, 0 beyond a row's predictions; `num_units` int32 (N,), units chosen."""

    input_ids: np.ndarray
    positions: np.ndarray
    ids: np.ndarray
    weights: np.ndarray
    num_units: np.ndarray


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
    num_rows, seq = input_ids.shape
    most = max_predictions_per_seq
    action_bits, id_bits, key_bits, ngram_bits = np.split(bits, [most, 2 * most, 2 * most + seq], axis=1)
    pieces = input_ids.astype(np.intp)  # as indices: NumPy would convert them at each use
    special = tokenizer.is_special[pieces]
    maskable = ~special & (np.arange(seq) < np.asarray(lengths)[:, None])
    starts = _unit_starts(pieces, special, tokenizer, masking, ngram_bits)
    unit_of, width = _number_units(starts)
    sizes = np.bincount(unit_of[maskable], minlength=num_rows * width).reshape(num_rows, width).astype(np.int32)
    budget = np.clip(np.rint(np.asarray(lengths) * masked_lm_prob), 1, max_predictions_per_seq)
    chosen = _choose_units(sizes, budget.astype(np.int32), key_bits, max_predictions_per_seq)  # (N, U)
    selected = chosen.ravel()[unit_of] & maskable

    rows, columns = np.divmod(np.flatnonzero(selected), seq)
    counts = np.bincount(rows, minlength=num_rows)
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (num_rows, max_predictions_per_seq)
    positions, ids, weights = np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    originals = input_ids[rows, columns]
    positions[rows, rank], ids[rows, rank], weights[rows, rank] = columns, originals, 1.0
    masked = input_ids.astype(np.int32)
    masked[rows, columns] = _replacements(originals, action_bits[rows, rank], id_bits[rows, rank], tokenizer)
    return Masked(masked, positions, ids, weights, chosen.sum(axis=1, dtype=np.int32))


def unmask(input_ids, positions, ids, weights):
    """The rows as they were before masking: int32 (N, S)."""
    original = np.array(input_ids, np.int32)
    rows, columns = np.nonzero(weights > 0)
    original[rows, positions[rows, columns]] = ids[rows, columns]
    return original


def _unit_starts(input_ids, special, tokenizer, masking, ngram_bits):
    """True (N, S) where a unit begins.

    `<cls>`, `<sep>` and padding stand alone and what follows them begins anew: without that, the first
    U+2581-less piece of segment B would belong to the last word of A. `<unk>` is part of its word.
    """
    if masking == "token":
        return np.ones(input_ids.shape, bool)
    alone = special & (input_ids != tokenizer.unk_id)
    forced = alone.copy()
    forced[:, 1:] |= alone[:, :-1]
    forced[:, 0] = True
    starts = tokenizer.starts_word[input_ids] | forced
    if masking == "whole_word":
        return starts
    # Cut each row's words into runs of 1 to 3: run k begins at word n_0 + ... + n_(k-1).
    shares = np.cumsum(1 / np.arange(1, MAX_NGRAM + 1))
    limits = (shares[:-1] / shares[-1] * (1 << 32)).astype(np.uint32)
    run_lengths = 1 + np.searchsorted(limits, ngram_bits, side="right")  # (N, S)
    run_starts = np.zeros((len(starts), input_ids.shape[1] * MAX_NGRAM + 1), bool)
    np.put_along_axis(run_starts, np.cumsum(run_lengths, axis=1), True, axis=1)
    word_of = np.cumsum(starts, axis=1) - 1
    return starts & (forced | np.take_along_axis(run_starts, word_of, axis=1))


def _number_units(starts):
    """Each position's unit (N, S), numbered row * U + 0, 1, ...; and U, the most units of a row."""
    unit_of = np.cumsum(starts, axis=1) - 1  # position 0 is always a start
    width = int(unit_of[:, -1].max()) + 1
    unit_of += np.arange(len(starts))[:, None] * width
    return unit_of, width


def _choose_units(sizes, budget, key_bits, max_predictions_per_seq):
    """Bool (N, U): units in random order, each taken when it still fits the row's budget."""
    num_rows, width = sizes.shape
    # The low bits of each sort key hold the unit's number, so that one plain sort gives the order;
    # units without a maskable token go last.
    low = np.uint32((1 << max(width - 1, 1).bit_length()) - 1)
    numbers = np.arange(width, dtype=np.uint32)
    keys = np.where(sizes > 0, key_bits[:, :width], np.uint32(0xFFFFFFFF)) & ~low | numbers
    keys.sort(axis=1)
    order = (keys & low).astype(np.intp) + np.arange(num_rows)[:, None] * width  # as in `_number_units`
    in_order = sizes.ravel()[order]
    columns = np.ascontiguousarray(in_order.T)  # (U, N): the loop below walks along units
    taken = np.zeros(columns.shape, bool)
    remaining = budget.copy()
    for column in range(width):
        size = columns[column]
        fits = (size <= remaining) & (size > 0)
        taken[column] = fits
        remaining -= size * fits
        if column % 16 == 15 and not remaining.any():
            break
    taken = np.ascontiguousarray(taken.T)
    _give_smallest(taken, in_order, max_predictions_per_seq)
    chosen = np.zeros((num_rows, width), bool)
    chosen.ravel()[order[taken]] = True
    return chosen


def _give_smallest(taken, in_order, max_predictions_per_seq):
    """Where nothing fitted the budget, take the row's smallest unit (the first drawn of them)."""
    empty = np.flatnonzero(~taken.any(axis=1))
    if empty.size:
        sizes = np.where(in_order[empty] > 0, in_order[empty], np.iinfo(np.int32).max)
        smallest = sizes.argmin(axis=1)
        fits = sizes.min(axis=1) <= max_predictions_per_seq
        taken[empty[fits], smallest[fits]] = True


def _replacements(originals, action_bits, id_bits, tokenizer):
    """What stands at the chosen positions: <mask>, the token itself, or a random ordinary piece."""
    ordinary = np.flatnonzero(~tokenizer.is_special)
    drawn = ordinary[(id_bits.astype(np.uint64) * np.uint64(len(ordinary)) >> np.uint64(32)).astype(np.int64)]
    share = action_bits / float(1 << 32)
    return np.where(share < MASK_SHARE, tokenizer.mask_id,
                    np.where(share < MASK_SHARE + KEEP_SHARE, originals, drawn)).astype(np.int32)

"""Adjacent pieces of a sample: counts, what is kept out, and what neighbours explain."""

import numpy as np
import pytest

from albert_hvd.data.records.piece_pairs import PiecePairs, count_pairs, neighbour_loss

VOCAB = 40


class Records:
    """Rows in memory in the place of a `RecordDataset`: texts of ids, with masks at given places."""

    def __init__(self, texts, masks=(), length=16, mask_id=1):
        count, slots = len(texts), 4
        self.num_records = count
        self._fields = {"input_ids": np.zeros((count, length), np.int32), "input_mask": np.zeros((count, length), np.int32),
                        "masked_lm_positions": np.zeros((count, slots), np.int32),
                        "masked_lm_ids": np.zeros((count, slots), np.int32),
                        "masked_lm_weights": np.zeros((count, slots), np.float32)}
        for row, text in enumerate(texts):
            self._fields["input_ids"][row, :len(text)] = text
            self._fields["input_mask"][row, :len(text)] = 1
        for slot, (row, position) in enumerate(masks):
            self._fields["masked_lm_positions"][row, slot % slots] = position
            self._fields["masked_lm_ids"][row, slot % slots] = texts[row][position]
            self._fields["masked_lm_weights"][row, slot % slots] = 1
            self._fields["input_ids"][row, position] = mask_id

    def read(self, numbers):
        return {name: array[numbers] for name, array in self._fields.items()}


def as_dict(pairs):
    return {(left, right): count for left, right, count in zip(pairs.left.tolist(), pairs.right.tolist(),
                                                               pairs.counts.tolist())}


def test_adjacent_pieces_are_counted_and_masked_ones_as_what_they_were():
    pairs = count_pairs(Records([[2, 5, 6, 3], [2, 5, 6, 3], [2, 7]], masks=[(1, 2)]), VOCAB)
    assert as_dict(pairs) == {(2, 5): 2, (5, 6): 2, (6, 3): 2, (2, 7): 1}
    assert (pairs.num_tokens, pairs.num_records) == (10, 3)


def test_the_sample_is_bounded_and_spread_over_the_data():
    texts = [[2, 10 + number % 20] for number in range(1000)]
    pairs = count_pairs(Records(texts), VOCAB, max_tokens=200)
    assert pairs.num_records == 100
    assert len(pairs.counts) > 5


def test_held_out_records_and_those_that_repeat_them_are_not_counted():
    generator = np.random.default_rng(0)
    texts = [generator.integers(4, VOCAB, 12).tolist() for _ in range(50)]
    pairs = count_pairs(Records(texts + texts), VOCAB)
    held_out = {tuple(row[:12]) for row in pairs.held_out["input_ids"].tolist()}
    assert len(held_out) == 3  # of five, two are repeated by others
    expected = {}
    for text in texts + texts:
        for pair in zip(text, text[1:]) if tuple(text) not in held_out else ():
            expected[pair] = expected.get(pair, 0) + 1
    assert as_dict(pairs) == expected


def reference_loss(pairs, contexts):
    """The definition, piece by piece: contexts are (left or None, right or None, label)."""
    counts = np.zeros((pairs.vocab_size, pairs.vocab_size))
    counts[pairs.left, pairs.right] = pairs.counts
    frequencies = counts.sum(axis=0) + 1.0
    frequencies /= frequencies.sum()

    def conditional(row):
        if not row.sum():
            return frequencies
        return (np.maximum(row - 0.75, 0) + 0.75 * np.count_nonzero(row) * frequencies) / row.sum()

    losses = []
    for left, right, label in contexts:
        scores = np.log(frequencies)
        scores = scores + (np.log(conditional(counts[left]) / frequencies) if left is not None else 0)
        scores = scores + (np.log(conditional(counts[:, right]) / frequencies) if right is not None else 0)
        losses.append((-np.log(frequencies[label]), np.log(np.exp(scores).sum()) - scores[label]))
    return np.mean(losses, axis=0)


def test_the_loss_of_neighbours_follows_its_definition():
    held_out = Records([[2, 5, 6, 7, 3]], masks=[(0, 1), (0, 3), (0, 4)]).read(np.arange(1))
    generator = np.random.default_rng(1)
    keys = np.unique(generator.integers(2, 9, (20, 2)), axis=0)
    pairs = PiecePairs(VOCAB, keys[:, 0], keys[:, 1], generator.integers(1, 9, len(keys)), 0, 1, held_out)
    # Of the second and third mask, one neighbour is a mask itself or missing.
    expected = reference_loss(pairs, [(2, 6, 5), (6, None, 7), (None, None, 3)])
    assert neighbour_loss(pairs) == pytest.approx(tuple(expected))


def test_a_sample_without_pairs_or_masks_explains_nothing():
    assert neighbour_loss(count_pairs(Records([[5]] * 40), VOCAB)) is None
    assert neighbour_loss(count_pairs(Records([[5, 6]] * 40), VOCAB)) is None

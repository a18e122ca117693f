"""The masker: units, budgets, replacements; hypothesis draws the rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albert_hvd.data.records import masking

UNK, CLS, SEP, MASK, PAD = range(5)
VOCAB = 40


class Pieces:
    """What masks need of a tokenizer."""

    unk_id, mask_id, is_special = UNK, MASK, np.arange(VOCAB) < 5
    starts_word = (np.arange(VOCAB) >= 5) & (np.arange(VOCAB) % 3 != 0)


TOKENIZER = Pieces()
SEQ, MOST = 32, 6


@st.composite
def batches(draw):
    """Rows `<cls> A <sep> B <sep>` of random pieces (some unknown), and a seed."""
    pieces = st.lists(st.one_of(st.just(UNK), st.integers(5, VOCAB - 1)), min_size=1, max_size=(SEQ - 3) // 2)
    rows = draw(st.lists(st.tuples(pieces, pieces), min_size=1, max_size=6))
    ids = np.full((len(rows), SEQ), PAD, np.int32)
    lengths = []
    for row, (first, second) in zip(ids, rows):
        tokens = [CLS, *first, SEP, *second, SEP]
        row[:len(tokens)] = tokens
        lengths.append(len(tokens))
    return ids, np.array(lengths), draw(st.integers(0, 2**32))


def mask(ids, lengths, seed, how="whole_word", probability=0.15, most=MOST):
    bits = masking.draw_bits(np.random.default_rng(seed), len(ids), ids.shape[1], most, how)
    return masking.mask_batch(ids, lengths, TOKENIZER, bits, how, probability, most)


def words_of(row, length):
    """The maskable positions of each word, by a plain reading of the definition."""
    words, previous = [], None
    for position in range(length):
        token = row[position]
        if token in (CLS, SEP):
            previous = None
            continue
        if previous is None or TOKENIZER.starts_word[token]:
            words.append([])
        previous = token
        if token != UNK:
            words[-1].append(position)
    return [word for word in words if word]


@settings(derandomize=True, max_examples=100, deadline=None)
@given(batches(), st.sampled_from(masking.MASKINGS), st.sampled_from([0.0, 0.15, 0.5, 1.0]))
def test_masks_keep_the_rules(batch, how, probability):
    ids, lengths, seed = batch
    masked = mask(ids, lengths, seed, how, probability)
    assert (masking.unmask(masked.input_ids, masked.positions, masked.ids, masked.weights) == ids).all()
    for row, length, new, positions, labels, weights in zip(ids, lengths, masked.input_ids, masked.positions,
                                                            masked.ids, masked.weights):
        count = int(weights.sum())
        chosen = positions[:count]
        assert set(weights[:count]) <= {1.0} and not weights[count:].any()
        assert not positions[count:].any() and not labels[count:].any()
        assert (np.diff(chosen) > 0).all() and (chosen < length).all()
        assert not TOKENIZER.is_special[row[chosen]].any()
        assert (labels[:count] == row[chosen]).all()
        replaced = new[chosen]
        assert ((replaced == MASK) | ~TOKENIZER.is_special[replaced]).all()
        words = words_of(row, length)
        sizes = [1] * sum(map(len, words)) if how == "token" else list(map(len, words))
        budget = min(max(round(length * probability), 1), MOST)
        # A run of words may be up to three words long, and the smallest one is taken when none fits.
        smallest = min(sizes, default=0) if how != "ngram" else sum(sorted(sizes)[-masking.MAX_NGRAM:])
        assert count <= max(budget, smallest) and count <= MOST
        if how != "token":
            assert all(set(word) <= set(chosen) or not set(word) & set(chosen) for word in words)
        if how != "ngram" and any(size <= MOST for size in sizes):
            assert count > 0
            if how == "token":
                assert count == min(budget, len(sizes))


def test_a_word_does_not_cross_sep():
    """Segment B may begin in the middle of a word: its first piece must not join A's last word."""
    middle = 6  # no U+2581
    assert not TOKENIZER.starts_word[middle]
    ids = np.array([[CLS, 5, middle, SEP, middle, middle, SEP, PAD]], np.int32)
    seen = {tuple(mask(ids, [7], seed, probability=0.3, most=2).positions[0].tolist()) for seed in range(40)}
    assert seen == {(1, 2), (4, 5)}


@pytest.mark.parametrize("how", masking.MASKINGS)
def test_shares_are_80_10_10_and_independent_of_the_other_rows(how):
    generator = np.random.default_rng(5)
    ids = generator.integers(5, VOCAB, (2000, 64)).astype(np.int32)
    ids[:, 0], ids[:, 30], ids[:, -1] = CLS, SEP, SEP
    lengths = np.full(2000, 64)
    bits = masking.draw_bits(generator, 2000, 64, 20, how)
    masked = masking.mask_batch(ids, lengths, TOKENIZER, bits, how, 0.15, 20)
    rows, columns = np.nonzero(masked.weights)
    new = masked.input_ids[rows, masked.positions[rows, columns]]
    assert abs((new == MASK).mean() - 0.8) < 0.01
    assert abs((new == masked.ids[rows, columns]).mean() - 0.1 - 0.1 / 35) < 0.01
    assert abs(masked.weights.sum() / lengths.sum() - 0.15) < 0.01
    part = masking.mask_batch(ids[7:9], lengths[7:9], TOKENIZER, bits[7:9], how, 0.15, 20)
    assert (part.input_ids == masked.input_ids[7:9]).all() and (part.positions == masked.positions[7:9]).all()


def test_ngrams_are_mostly_single_words():
    """p(n) is proportional to 1/n: 6/11, 3/11 and 2/11 of the runs, 1.64 words a run."""
    ids = np.full((3000, 64), 7, np.int32)  # each piece a word
    ids[:, 0], ids[:, -1] = CLS, SEP
    masked = mask(ids, np.full(3000, 64), 3, "ngram", 0.15, 20)
    assert abs(masked.weights.sum() / masked.num_units.sum() - 18 / 11) < 0.1

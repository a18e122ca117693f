"""The instance builder: nothing lost, segments within their document, labels balanced."""

import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albert_hvd.data.records import segments

VOCAB = 50
STARTS_WORD = np.arange(VOCAB) % 2 == 0
TOKENIZER = types.SimpleNamespace(cls_id=1, sep_id=2, pad_id=3)

DOCUMENTS = st.lists(st.lists(st.lists(st.integers(4, VOCAB - 1), max_size=40), max_size=6), max_size=8)


def encode(documents):
    return segments.encode_documents([[np.array(ids, np.int32) for ids in document] for document in documents])


def test_empty_documents_and_sentences_vanish():
    encoded = encode([[[]], [[5, 6], [], [7]], [], [[8]]])
    assert encoded.tokens.tolist() == [5, 6, 7, 8]
    assert encoded.sentence_starts.tolist() == [0, 2, 3, 4] and encoded.document_starts.tolist() == [0, 3, 4]


@settings(derandomize=True, max_examples=200, deadline=None)
@given(DOCUMENTS, st.integers(8, 48), st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 2**32))
def test_sop_uses_every_token_once(documents, max_seq_length, short_seq_prob, seed):
    encoded = encode(documents)
    spans = segments.build_instances(encoded, STARTS_WORD, np.random.default_rng(seed), max_seq_length,
                                     short_seq_prob, "sop")
    both = np.sort(np.concatenate([np.stack(spans[:2], 1), np.stack(spans[2:4], 1)]), axis=0)
    covered = np.zeros(len(encoded.tokens), int)
    for start, end in zip([*spans.first_start, *spans.second_start], [*spans.first_end, *spans.second_end]):
        covered[start:end] += 1
    assert (covered == 1).all() and len(both) == 2 * len(spans.labels)
    assert ((spans.first_end - spans.first_start) + (spans.second_end - spans.second_start)
            <= max_seq_length - 3).all()
    in_order = spans.first_end == spans.second_start
    swapped = spans.second_end == spans.first_start
    assert (in_order | swapped).all()
    if len(encoded.tokens) > 1:
        assert (spans.first_end > spans.first_start).all() and (spans.second_end > spans.second_start).all()
        assert (spans.labels == swapped).all()
    # No chunk reaches over the end of a document, except of one that is a single token.
    joined = segments.join_documents(encoded, 2).document_starts
    lowest = np.minimum(spans.first_start, spans.second_start)
    highest = np.maximum(spans.first_end, spans.second_end)
    assert (np.searchsorted(joined, lowest, "right") == np.searchsorted(joined, highest, "left")).all()


@settings(derandomize=True, max_examples=100, deadline=None)
@given(DOCUMENTS, st.integers(8, 48), st.integers(0, 2**32))
def test_nsp_takes_label_1_from_another_document(documents, max_seq_length, seed):
    encoded = encode(documents)
    spans = segments.build_instances(encoded, STARTS_WORD, np.random.default_rng(seed), max_seq_length, 0.1, "nsp")
    used = np.zeros(len(encoded.tokens), bool)
    for start, end in zip([*spans.first_start, *spans.second_start], [*spans.first_end, *spans.second_end]):
        used[start:end] = True
        assert end - start <= max_seq_length - 3
    assert used.all()
    assert ((spans.first_end - spans.first_start) + (spans.second_end - spans.second_start)
            <= max_seq_length - 3).all()
    starts = segments.join_documents(encoded, 2).document_starts
    same = (np.searchsorted(starts, spans.first_start, "right") == np.searchsorted(starts, spans.second_start, "right"))
    follows = spans.first_end == spans.second_start
    assert (same & follows)[spans.labels == 0].all() if len(encoded.tokens) > 1 else True
    assert not same[spans.labels == 1].any()


@pytest.mark.parametrize("objective", segments.OBJECTIVES)
@pytest.mark.parametrize("sentences", [1, 7])
def test_labels_are_balanced_even_for_tweets(objective, sentences):
    """The old project gave all one-sentence documents label 1."""
    encoded = encode([[list(range(4, 16))] * sentences] * 3000)
    labels = segments.build_instances(encoded, STARTS_WORD, np.random.default_rng(1), 128, 0.1, objective).labels
    assert abs(labels.mean() - 0.5) < 0.03


def test_splits_are_at_sentences_else_between_words():
    generator = np.random.default_rng(0)
    many = encode([[[4, 5, 7], [9, 11], [13, 6, 8, 10]]] * 50)
    spans = segments.build_instances(many, STARTS_WORD, generator, 64, 0.0)
    assert np.isin(np.maximum(spans.first_start, spans.second_start), many.sentence_starts).all()
    one = encode([[[4, 5, 6, 7, 9, 8, 5]]] * 50)
    spans = segments.build_instances(one, STARTS_WORD, generator, 64, 0.0)
    middles = np.maximum(spans.first_start, spans.second_start)
    assert STARTS_WORD[one.tokens[middles]].all() and len(set(middles % 7)) == 2


@settings(derandomize=True, deadline=None)
@given(DOCUMENTS, st.integers(0, 60))
def test_joined_documents_have_enough_tokens(documents, least):
    encoded = encode(documents)
    starts = segments.join_documents(encoded, least).document_starts
    assert starts[0] == 0 and starts[-1] == len(encoded.tokens) and set(starts) <= set(encoded.document_starts)
    assert (np.diff(starts) >= least).all() or len(starts) == 2


def test_rows_are_laid_out_with_the_vocabularys_padding():
    ids, mask, types, lengths = segments.lay_out(np.array([10, 11, 12, 20, 21]), np.array([2, 1]),
                                                  np.array([1, 1]), TOKENIZER, 8)
    assert ids.tolist() == [[1, 10, 11, 2, 12, 2, 3, 3], [1, 20, 2, 21, 2, 3, 3, 3]]
    assert mask.sum(1).tolist() == lengths.tolist() == [6, 5]
    assert types.astype(int).tolist() == [[0, 0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 0, 0, 0]]

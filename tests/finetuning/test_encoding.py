"""Rows of pieces: words stay whole, every word is read at its first piece, long texts are cut or divided."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpus import WORDS, make_tokenizer

from albert_hvd.finetuning.batches import pad
from albert_hvd.finetuning.encoding import encode_pairs, encode_sentences, encode_texts, longest_first


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def body(ids):
    return list(ids[1:-1])


def test_texts(tokenizer):
    texts = ["saya makan", "kereta besar di rumah"]
    rows = encode_texts(texts, tokenizer, 32, "truncate")
    assert [body(ids) for ids in rows.input_ids] == [list(ids) for ids in tokenizer.encode_lines(texts)]
    assert all(ids[0] == tokenizer.cls_id and ids[-1] == tokenizer.sep_id for ids in rows.input_ids)
    assert [list(positions) for positions in rows.positions] == [[0], [0]]
    assert list(rows.first_slot) == list(rows.example) == [0, 1] and list(rows.num_slots) == [1, 1]
    assert (rows.num_long, rows.num_cut_slots) == (0, 0)


def test_long_texts_are_cut_or_become_windows_of_one_slot(tokenizer):
    texts = ["saya", "kereta besar " * 5, "dia"]
    (_, pieces, _) = tokenizer.encode_lines(texts)
    cut = encode_texts(texts, tokenizer, 10, "truncate")
    assert cut.num_long == 1 and body(cut.input_ids[1]) == list(pieces[:8])
    windows = encode_texts(texts, tokenizer, 10, "window")
    assert windows.num_long == 1 and list(windows.first_slot) == [0, *[1] * (len(windows.input_ids) - 2), 2]
    middle = [body(ids) for ids in windows.input_ids[1:-1]]
    assert sum(middle, []) == list(pieces)
    assert max(map(len, middle)) <= 8 and max(map(len, middle)) - min(map(len, middle)) <= 1


def test_pairs_are_two_segments_with_their_separators(tokenizer):
    pairs = [("saya makan", "dia di rumah"), ("kereta", "bola")]
    rows = encode_pairs(pairs, tokenizer, 32)
    first, second = (list(ids) for ids in tokenizer.encode_lines(list(pairs[0])))
    assert list(rows.input_ids[0]) == [tokenizer.cls_id, *first, tokenizer.sep_id, *second, tokenizer.sep_id]
    batch = pad(rows, np.arange(2), tokenizer.pad_id)
    length = len(first) + len(second) + 3
    # Segment 0: <cls>, the first text and its <sep>; 1: the second and its <sep>; padding is 0.
    assert list(batch["segment_ids"][0]) == [0] * (len(first) + 2) + [1] * (len(second) + 1) + [0] * (
        batch["input_ids"].shape[1] - length)
    assert batch["segment_ids"].dtype == np.int32
    assert list(batch["segment_ids"][1]).index(1) == len(tokenizer.encode_lines(["kereta"])[0]) + 2
    assert (rows.num_long, list(rows.num_slots), [list(p) for p in rows.positions]) == (0, [1, 1], [[0], [0]])


def test_texts_and_sentences_are_one_segment(tokenizer):
    for rows in (encode_texts(["saya makan"], tokenizer, 32, "truncate"),
                 encode_sentences([("saya", "makan")], tokenizer, 32, "window")):
        assert pad(rows, np.arange(1), tokenizer.pad_id)["segment_ids"].sum() == 0


@pytest.mark.parametrize("first, second, room, kept", [
    (3, 4, 7, (3, 4)), (3, 9, 7, (3, 4)), (9, 3, 7, (4, 3)), (9, 1, 7, (6, 1)), (0, 9, 7, (0, 7)), (9, 9, 8, (4, 4)),
    (20, 9, 7, (4, 3)), (9, 20, 7, (3, 4)), (9, 9, 7, (3, 4)), (4, 4, 7, (3, 4)), (20, 8, 8, (4, 4))])
def test_the_longer_text_of_a_pair_is_cut_first(first, second, room, kept):
    assert longest_first(first, second, room) == kept


@given(first=st.integers(0, 60), second=st.integers(0, 60), room=st.integers(2, 60))
def test_cutting_one_piece_of_the_longer_text_at_a_time_comes_to_the_same(first, second, room):
    kept = longest_first(first, second, room)
    a, b = first, second
    while a + b > room:
        a, b = (a - 1, b) if a > b or a == b and first <= second else (a, b - 1)
    assert kept == (a, b)


def test_a_long_pair_is_cut_and_counted(tokenizer):
    pair = ("kereta besar di rumah saya", "bola")
    rows = encode_pairs([pair, ("dia", "saya")], tokenizer, 12)
    first, second = tokenizer.encode_lines(list(pair))
    kept = longest_first(len(first), len(second), 9)
    assert len(first) + len(second) > 9 and rows.num_long == 1 and rows.lengths[0] == 12
    assert list(rows.input_ids[0][1:kept[0] + 1]) == list(first[:kept[0]])
    assert list(rows.input_ids[0][rows.second_segment[0]:-1]) == list(second[:kept[1]])


def test_words_are_read_at_their_first_piece(tokenizer):
    words = ("pertandingan", "di", "kejohanan")
    rows = encode_sentences([words], tokenizer, 64, "window")
    bodies = tokenizer.encode_lines(list(words))
    assert body(rows.input_ids[0]) == [i for ids in bodies for i in ids]
    assert [rows.input_ids[0][position] for position in rows.positions[0]] == [ids[0] for ids in bodies]
    assert [tokenizer.piece(rows.input_ids[0][p])[0] for p in rows.positions[0]] == ["▁"] * 3


def test_a_word_without_pieces_is_unknown_and_a_long_one_is_cut(tokenizer):
    rows = encode_sentences([("\u200b", "saya")], tokenizer, 16, "window")
    assert len(tokenizer.encode_lines(["\u200b"])[0]) == 0
    assert rows.input_ids[0][rows.positions[0][0]] == tokenizer.unk_id
    rows = encode_sentences([("saya", "kan" * 40, "dia")], tokenizer, 16, "window")
    assert rows.num_slots[0] == 3 == sum(map(len, rows.positions))
    assert max(rows.lengths) == 16 and rows.num_long == 1


def test_words_that_are_cut_off_are_counted(tokenizer):
    sentences = [["saya"] * 3, ["kejohanan"] * 9, ["dia"]]
    rows = encode_sentences(sentences, tokenizer, 12, "truncate")
    assert len(rows.input_ids) == 3 and rows.num_long == 1
    assert list(rows.first_slot) == [0, 3, 12] and list(rows.num_slots) == [3, 9, 1]
    assert rows.num_cut_slots == 9 - len(rows.positions[1]) > 0


@settings(deadline=None, max_examples=60)
@given(sentences=st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12), min_size=1, max_size=5),
       max_seq_length=st.integers(14, 40))
def test_windows_score_every_word_once(tokenizer, sentences, max_seq_length):
    rows = encode_sentences(sentences, tokenizer, max_seq_length, "window")
    slots = [first + j for first, positions in zip(rows.first_slot, rows.positions, strict=True)
             for j in range(len(positions))]
    assert slots == list(range(sum(map(len, sentences))))
    pieces = [ids[0] for words in sentences for ids in tokenizer.encode_lines(words)]
    read = [ids[p] for ids, positions in zip(rows.input_ids, rows.positions, strict=True) for p in positions]
    assert read == pieces
    assert max(rows.lengths) <= max_seq_length
    assert np.array_equal(np.bincount(rows.example, weights=[len(p) for p in rows.positions]), rows.num_slots)

"""Vectors of texts and filled-in masks from Python."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from trained_models import TEXTS, make_config, write_kinds, write_run

import albert_hvd
from albert_hvd.data.text.masked_text import MaskedTextTokenizer, fill
from albert_hvd.errors import InputError
from albert_hvd.model.encoder import named_variables
from albert_hvd.model.pretraining_model import AlbertPretrainer
from albert_hvd.serving.formats.sources import read_model
from albert_hvd.serving.formats.vocabulary import fitting_tokenizer
from albert_hvd.serving.saved_model import write_saved_model


@pytest.fixture(scope="module", params=["albert", "brightmart"])
def folders(request, tmp_path_factory):
    return write_kinds(tmp_path_factory.mktemp(request.param), make_config(request.param))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"), make_config())


@pytest.fixture(scope="module")
def model(run):
    return albert_hvd.load(run)


@pytest.fixture(scope="module")
def tokenizer(run):
    return fitting_tokenizer(read_model(run, "model"))


def plain_outputs(run, ids):
    """sequence_output (S, H), pooled_output (H,) and masked-LM logits (S, V) of one row, without padding."""
    source = read_model(run, "model")
    pretrainer = AlbertPretrainer(source.config)
    for path, variable in named_variables(pretrainer).items():
        variable.assign(source.arrays[path])
    row = tf.constant([ids], tf.int32)
    sequence_output, pooled_output = pretrainer.encoder(row, tf.ones_like(row), tf.zeros_like(row))
    logits = pretrainer.masked_lm_logits(sequence_output[0])
    return sequence_output[0].numpy(), pooled_output[0, 0].numpy(), logits.numpy()


def row_of(tokenizer, *parts):
    """<cls>, the ids of each text or the id given, <sep>."""
    ids = [tokenizer.cls_id]
    for part in parts:
        ids.extend(tokenizer.encode_lines([part])[0] if isinstance(part, str) else [part])
    return [*map(int, ids), tokenizer.sep_id]


def test_every_kind_of_folder_gives_the_same(folders):
    first, *others = (albert_hvd.load(folder) for folder in folders)
    for pooling in ("mean", "cls", "pooler"):
        for other in others:
            np.testing.assert_array_equal(other.encode(TEXTS, pooling), first.encode(TEXTS, pooling))
    for other in others:
        assert other.fill_mask("saya <mask> nasi") == first.fill_mask("saya <mask> nasi")


def test_poolings_are_those_of_the_plain_model(run, model, tokenizer):
    vectors = {pooling: model.encode(TEXTS, pooling) for pooling in ("mean", "cls", "pooler")}
    assert vectors["mean"].shape == (len(TEXTS), 16) and vectors["mean"].dtype == np.float32
    for number in (0, 1, 2, 4):  # without the one that has a mask
        sequence_output, pooled_output, _ = plain_outputs(run, row_of(tokenizer, TEXTS[number]))
        np.testing.assert_allclose(vectors["mean"][number], sequence_output.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(vectors["cls"][number], sequence_output[0], atol=1e-6)
        np.testing.assert_allclose(vectors["pooler"][number], pooled_output, atol=1e-6)


def test_padding_and_order_do_not_matter(model):
    together = model.encode(TEXTS)
    np.testing.assert_allclose(together, np.concatenate([model.encode([text]) for text in TEXTS]), atol=1e-6)
    np.testing.assert_allclose(together[::-1], model.encode(TEXTS[::-1]), atol=1e-6)
    many = TEXTS * 40  # more than one batch
    np.testing.assert_allclose(model.encode(many), np.tile(together, (40, 1)), atol=1e-6)


def test_no_texts(model):
    assert model.encode([]).shape == (0, 16) and model.fill_masks([]) == []


def test_the_model_is_traced_once(run):
    model = albert_hvd.load(run)
    for length in range(1, 12):
        model.encode(["saya "] * length + ["makan " * length])
        model.fill_masks(["makan " * length + "<mask>"] * length)
    assert model._model.vectors["mean"].experimental_get_tracing_count() == 1
    assert model._model.fill_mask_packed.experimental_get_tracing_count() == 1


def test_candidates_are_those_of_the_plain_model(run, model, tokenizer):
    (candidates,) = model.fill_mask("saya makan <mask> di rumah", top_k=4)
    _, _, logits = plain_outputs(run, ids := row_of(tokenizer, "saya makan", tokenizer.mask_id, "di rumah"))
    row = logits[ids.index(tokenizer.mask_id)].astype(np.float64)
    probabilities = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
    best = np.argsort(-probabilities)[:4]
    assert [piece for piece, _, _ in candidates] == [tokenizer.piece(i) for i in best]
    np.testing.assert_allclose([probability for _, probability, _ in candidates], probabilities[best], atol=1e-6)


def test_each_mask_has_its_candidates(model):
    text = "saya <mask> di [MASK] sekolah"
    both = model.fill_mask(text, top_k=110)
    assert len(both) == 2 and all(len(candidates) == 110 for candidates in both)
    for number, candidates in enumerate(both):
        assert sum(probability for _, probability, _ in candidates) == pytest.approx(1, abs=1e-5)
        assert all(filled == fill(text, number, piece) for piece, _, filled in candidates)
    assert model.fill_masks(["<mask> pagi", text], top_k=110)[1][1][0][0] == both[1][0][0]


def test_equally_likely_pieces_come_in_the_order_of_the_vocabulary(model, tokenizer, monkeypatch):
    log_probs = np.full([1, 1, tokenizer.vocab_size], -5.0, np.float32)
    log_probs[0, 0, [30, 7]] = -1.0
    monkeypatch.setattr(model._model, "fill_mask_packed", lambda *rows: tf.constant(log_probs))
    (candidates,) = model.fill_mask("<mask>", top_k=1000)  # more than there are
    others = [i for i in range(tokenizer.vocab_size) if i not in (7, 30)]
    assert [piece for piece, _, _ in candidates] == [tokenizer.piece(i) for i in (7, 30, *others)]


@pytest.mark.parametrize("text, expected", [
    ("saya <mask> rumah", ["saya", None, "rumah"]), ("saya<mask> rumah", ["saya", None, "rumah"]),
    ("saya   [MASK]   rumah ", ["saya", None, "rumah"]), ("<mask>", [None]), (" <mask> <mask>", [None, None]),
    ("", []), ("saya", ["saya"])])
def test_ids_around_a_mask(tokenizer, text, expected):
    wanted = [tokenizer.mask_id if part is None else part for part in expected]
    assert [tokenizer.cls_id, *MaskedTextTokenizer(tokenizer).encode_lines([text])[0], tokenizer.sep_id] == row_of(
        tokenizer, *wanted)


def test_each_of_several_lines_has_its_ids(tokenizer):
    texts = MaskedTextTokenizer(tokenizer)
    lines = ["saya <mask> rumah", "", "<mask>an", "di [MASK] <mask>", "saya"]
    for line, ids in zip(lines, texts.encode_lines(lines), strict=True):
        assert ids.dtype == np.int32 and ids.tolist() == texts.encode_lines([line])[0].tolist()
    assert texts.encode_lines([]) == []


def test_a_word_end_behind_a_mask_has_no_blank(tokenizer):
    (ids,) = MaskedTextTokenizer(tokenizer).encode_lines(["saya <mask>an di rumah"])
    start = list(ids).index(tokenizer.mask_id) + 1
    pieces = [tokenizer.piece(i) for i in ids[start:]]
    assert "".join(pieces) == "an▁di▁rumah"


@pytest.mark.parametrize("text, piece, filled", [
    ("ibu <mask> Malaysia", "▁negara", "ibu negara Malaysia"), ("ibu <mask> Malaysia", "nya", "ibunya Malaysia"),
    ("<mask> ini", "▁Hari", "Hari ini"), ("di<mask>kan", "▁", "di kan"), ("x <mask>.", "▁y", "x y.")])
def test_filling_in(text, piece, filled):
    assert fill(text, 0, piece) == filled


@settings(max_examples=50, deadline=None)
@given(words=st.lists(st.sampled_from(["saya", "makan", "<mask>", "[MASK]", "Malaysia"]), max_size=8))
def test_a_filled_mask_is_one_mask_less(tokenizer, words):
    text, number = " ".join(words), sum(word in ("<mask>", "[MASK]") for word in words)
    texts = MaskedTextTokenizer(tokenizer)
    assert list(texts.encode_lines([text])[0]).count(tokenizer.mask_id) == number
    for mask in range(number):
        assert list(texts.encode_lines([fill(text, mask, "▁di")])[0]).count(tokenizer.mask_id) == number - 1


def test_a_long_text_is_cut_at_the_end(run, model, tokenizer):
    text = "saya makan di rumah " * 40
    ids = row_of(tokenizer, text)
    sequence_output, _, _ = plain_outputs(run, [*ids[:47], tokenizer.sep_id])
    assert len(ids) > 48
    np.testing.assert_allclose(model.encode([text], "cls")[0], sequence_output[0], atol=1e-6)


@pytest.mark.parametrize("flags, positions", [
    ({"max_seq_length": 20}, 20), ({"max_seq_length": 100}, 48), ({}, 48), ({"max_seq_length": "20"}, 48)])
def test_positions_that_were_never_trained_are_left_alone(run, tokenizer, tmp_path, flags, positions):
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / "flags.json").write_text(json.dumps(flags))
    model = albert_hvd.load(str(folder))
    assert model.max_seq_length == positions
    words = "saya makan di rumah " * 40
    body = row_of(tokenizer, words)[1:-1]
    sequence_output, _, _ = plain_outputs(run, [tokenizer.cls_id, *body[:positions - 2], tokenizer.sep_id])
    np.testing.assert_allclose(model.encode([words], "cls")[0], sequence_output[0], atol=1e-6)
    (candidates,) = model.fill_mask(f"<mask> {words}", top_k=1)
    _, _, logits = plain_outputs(run, [tokenizer.cls_id, tokenizer.mask_id, *body[:positions - 3], tokenizer.sep_id])
    assert candidates[0][0] == tokenizer.piece(logits[1].argmax())


@pytest.mark.parametrize("before, behind", [(0, 40), (40, 0), (40, 40)])
def test_a_long_text_is_seen_around_its_mask(run, model, tokenizer, before, behind):
    words = "saya makan di rumah "
    (candidates,) = model.fill_mask(f"{words * before}<mask> {words * behind}", top_k=1)
    body = row_of(tokenizer, words * before, tokenizer.mask_id, words * behind)[1:-1]
    position = body.index(tokenizer.mask_id)
    start = min(max(position - 23, 0), len(body) - 46)
    row = [tokenizer.cls_id, *body[start:start + 46], tokenizer.sep_id]
    _, _, logits = plain_outputs(run, row)
    assert candidates[0][0] == tokenizer.piece(logits[row.index(tokenizer.mask_id)].argmax())


def test_refusals_name_the_mend(run, model, tmp_path):
    for call, message in (
            (lambda: model.encode(["a"], "max"), "pooling='max'.*mean, cls, pooler"),
            (lambda: model.fill_mask("tiada"), "no mask in 'tiada': write <mask>"),
            (lambda: model.fill_mask("a <mask>", top_k=0), "top_k=0"),
            (lambda: albert_hvd.load(str(tmp_path / "nowhere")), "path=.*nowhere"),
            (lambda: albert_hvd.load(write_run(tmp_path / "bare", make_config(), tokenizer=False)),
             "name the SentencePiece model with tokenizer"),
            (lambda: albert_hvd.load(write_run(tmp_path / "other", make_config(vocab_size=111))),
             "110 pieces, the model has 111")):
        with pytest.raises(InputError, match=message):
            call()


def test_the_vocabulary_may_lie_elsewhere(run, model, tmp_path):
    bare = write_run(tmp_path / "bare", make_config(), tokenizer=False)
    vocabulary = shutil.copy(f"{run}/spiece.model", tmp_path / "mine.model")
    np.testing.assert_array_equal(albert_hvd.load(bare, tokenizer=vocabulary).encode(TEXTS), model.encode(TEXTS))


def test_a_model_without_heads(run, tmp_path):
    import dataclasses

    from albert_hvd.serving.text_model import TextModel

    source = read_model(run, "model")
    lacking = [path for path in source.arrays if path.startswith(("encoder/pooler", "masked_lm_head", "sentence_head"))]
    trunk = dataclasses.replace(source, missing=lacking,
                                arrays={path: source.arrays[path] for path in source.arrays if path not in lacking})
    model = TextModel(trunk, fitting_tokenizer(trunk))
    np.testing.assert_array_equal(model.encode(TEXTS), TextModel(source, fitting_tokenizer(source)).encode(TEXTS))
    with pytest.raises(InputError, match="no masked-LM head"):
        model.fill_mask("saya <mask>")
    with pytest.raises(InputError, match="no pooler"):
        model.encode(["saya"], "pooler")
    write_saved_model(trunk, str(tmp_path / "saved"))
    signatures = tf.saved_model.load(str(tmp_path / "saved")).signatures
    assert list(signatures) == ["encode"] and list(signatures["encode"].structured_outputs) == ["sequence_output"]

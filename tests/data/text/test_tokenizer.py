"""Vocabularies: training, special pieces, and the refusals."""

import numpy as np
import pytest
from conftest import SHARED
from small_corpus import make_documents, make_tokenizer

from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.data.text.tokenizer_training import (MAX_SENTENCE_BYTES, coverage_report, split_long_line,
                                                     train_tokenizer)
from albert_hvd.errors import InputError

LINES = [line for document in make_documents(40) for line in document]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return make_tokenizer(tmp_path_factory.mktemp("vocabulary"))


def test_special_ids_are_found_by_name(tokenizer):
    assert [tokenizer.piece(i) for i in (tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id, tokenizer.pad_id,
                                         tokenizer.unk_id)] == ["<cls>", "<sep>", "<mask>", "<pad>", "<unk>"]
    special = {tokenizer.piece(i) for i in np.flatnonzero(tokenizer.is_special)}
    assert special == {"<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"}
    assert tokenizer.starts_word.dtype == bool and len(tokenizer.starts_word) == tokenizer.vocab_size == 110


def test_encoding_and_decoding_agree(tokenizer):
    encoded = tokenizer.encode_lines(["saya makan di rumah", "", "kanak-kanak membaca buku."])
    assert [ids.dtype for ids in encoded] == [np.int32] * 3 and len(encoded[1]) == 0
    assert tokenizer.decode(encoded[2]) == "kanak-kanak membaca buku."
    assert tokenizer.encode_lines([]) == []


def test_training_is_reproducible(tmp_path):
    first = train_tokenizer(LINES, str(tmp_path / "a"), vocab_size=105)
    second = train_tokenizer(LINES, str(tmp_path / "deep" / "b"), vocab_size=105)
    assert first.sha256 == second.sha256
    assert (tmp_path / "a.vocab").read_bytes() == (tmp_path / "deep" / "b.vocab").read_bytes()


def test_a_too_large_vocabulary_names_the_largest_that_works(tmp_path):
    with pytest.raises(InputError, match="largest that works is ([0-9]+)") as refusal:
        train_tokenizer(LINES, str(tmp_path / "a"), vocab_size=32000)
    assert not list(tmp_path.iterdir())
    largest = int(str(refusal.value).split("works is ")[1].split(":")[0])
    assert train_tokenizer(LINES, str(tmp_path / "a"), vocab_size=largest).vocab_size == largest


@pytest.mark.parametrize("lines, message", [([], "no text"), (["", "  "], "no text")])
def test_empty_text_is_refused(tmp_path, lines, message):
    with pytest.raises(InputError, match=message):
        train_tokenizer(lines, str(tmp_path / "a"), vocab_size=100)


def test_no_line_is_too_long_for_sentencepiece():
    line = "perkataan " * 100_000 + "x" * 10_000 + "é" * 5000
    pieces = split_long_line(line)
    assert max(len(piece.encode()) for piece in pieces) <= MAX_SENTENCE_BYTES
    assert "".join(pieces).replace(" ", "") == line.replace(" ", "")
    assert split_long_line("pendek") == ["pendek"] and split_long_line("") == []


def test_bad_model_files_are_named(tmp_path):
    with pytest.raises(InputError, match="^tokenizer=.*missing.model: no such file"):
        Tokenizer.from_file(str(tmp_path / "missing.model"))
    (tmp_path / "bad.model").write_bytes(b"not a model")
    with pytest.raises(InputError, match="not a SentencePiece model"):
        Tokenizer.from_file(str(tmp_path / "bad.model"))
    with pytest.raises(InputError, match="no <cls> piece"):
        train_tokenizer(LINES, str(tmp_path / "plain"), vocab_size=80, control_symbols=(), user_defined_symbols=())


def test_coverage_report_counts(tokenizer):
    report = coverage_report(tokenizer, ["saya makan", "Ω"])
    assert report["words"] == 3 and report["bytes"] == 12
    assert 0 < report["unknown_rate"] < 1 and report["pieces_per_word"] == report["tokens"] / 3


def test_the_old_projects_vocabulary():
    path = SHARED / "data" / "tokenizer" / "sp10m.cased.v8.model"
    if not path.exists():
        pytest.skip("the old project's vocabulary is not on this machine (../shared/data/tokenizer)")
    tokenizer = Tokenizer.from_file(str(path))
    assert (tokenizer.vocab_size, tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id, tokenizer.mask_id) == (
        32000, 3, 4, 5, 6)
    assert tokenizer.is_special[:9].all() and not tokenizer.is_special[9:].any()

"""Blocks of text: every document in exactly one block, wherever the cuts fall."""

import gzip
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpus import make_documents, write_documents

from albert_hvd.data.text import corpus, tokenizer_training
from albert_hvd.errors import InputError
from albert_hvd.runtime.files import expand_input_files


def read_all(path, block_bytes):
    documents, invalid = [], 0
    for block in corpus.plan_blocks([str(path)], block_bytes):
        found, bad = corpus.read_block(block)
        documents += found
        invalid += bad
    return documents, invalid


@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.integers(1, 400), st.integers(0, 5))
def test_blocks_lose_and_repeat_nothing(tmp_path_factory, block_bytes, seed):
    documents = make_documents(8, seed, most_sentences=4, most_words=6)
    path = write_documents(tmp_path_factory.mktemp("text") / "a.txt", documents)
    assert read_all(path, block_bytes) == (documents, 0)


@pytest.mark.parametrize("text, documents", [
    ("", []), ("\n\n \n", []), ("satu", [["satu"]]), ("satu\n", [["satu"]]),
    ("\n\nsatu\n\n\n \t\ndua\n", [["satu"], ["dua"]]),
    ("satu\r\n\r\ndua\r\n", [["satu"], ["dua"]]), ("a\u2028b\x0cc\n", [["a\u2028b\x0cc"]]), ("a\0b", [["a b"]])])
def test_what_separates_documents(tmp_path, text, documents):
    (tmp_path / "a.txt").write_bytes(text.encode())
    for block_bytes in (1, 3, 1000):
        assert read_all(tmp_path / "a.txt", block_bytes)[0] == documents


@pytest.mark.parametrize("separator", [b"\n", b" ", b""])
def test_endless_documents_are_cut(tmp_path, monkeypatch, separator):
    """A file without blank lines, spaces or even line ends is read in bounded pieces all the same."""
    monkeypatch.setattr(corpus, "MAX_OVERRUN_BYTES", 64)
    text = separator.join(["é".encode() * 5] * 400)
    (tmp_path / "a.txt").write_bytes(text)
    documents, invalid = read_all(tmp_path / "a.txt", 100)
    lines = [line for document in documents for line in document]
    assert invalid == 0 and "".join(lines).replace(" ", "") == "é" * 2000
    assert max(sum(map(len, document)) for document in documents) < 200 and len(documents) > 10


def test_invalid_bytes_are_counted_and_compressed_files_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"ba\xffik \xef\xbf\xbd\n\nsatu")
    assert read_all(tmp_path / "a.txt", 1000) == ([["ba\ufffdik \ufffd"], ["satu"]], 1)
    (tmp_path / "a.txt.gz").write_bytes(b"")
    with pytest.raises(InputError, match="run bin/preprocess on it first"):
        corpus.plan_blocks([str(tmp_path / "a.txt.gz")])
    with pytest.raises(InputError, match="^input_file=.*compressed"):
        tokenizer_training.train(str(tmp_path / "a.txt.gz"), str(tmp_path / "v"))
    with pytest.raises(InputError, match="^coverage_file=.*compressed"):
        tokenizer_training.train(str(tmp_path / "a.txt"), str(tmp_path / "v"), str(tmp_path / "a.txt.gz"))


def test_lines_come_in_bounded_parts(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"satu dua\n\n" + b"x" * 50 + b"\ntiga")
    assert list(corpus.read_lines([str(tmp_path / "a.txt")], 20)) == ["satu dua", "x" * 20, "x" * 20, "x" * 10, "tiga"]


def test_a_pipe_is_read_for_a_vocabulary_and_refused_for_records(tmp_path):
    """Records are cut out of a file at any place; a vocabulary reads it from its beginning, twice."""
    documents = make_documents(60)
    write_documents(tmp_path / "a.txt", documents)
    os.mkfifo(tmp_path / "pipe")
    for data, problem in (((tmp_path / "a.txt").read_bytes(), None), (gzip.compress(b"satu"), "pipe: compressed; run")):
        writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
        writer.start()
        if problem:
            with pytest.raises(InputError, match=problem):
                tokenizer_training.train(str(tmp_path / "pipe"), str(tmp_path / "v"), vocab_size=80)
        else:
            lines = []
            piped = tokenizer_training.train(str(tmp_path / "pipe"), str(tmp_path / "v"), report=lines.append,
                                             vocab_size=80)
            assert piped.sha256 == tokenizer_training.train(
                str(tmp_path / "a.txt"), str(tmp_path / "w"), report=lines.append, vocab_size=80).sha256
            assert lines[1] == lines[3]
        writer.join()
    with pytest.raises(InputError, match="pipe: is a pipe, which can be read once only"):
        expand_input_files(str(tmp_path / "pipe"))


@pytest.mark.parametrize("name, data, problem", [
    ("a.txt", b'{"text": "satu"}\n{"text": "dua"}\n', "JSON; run bin/preprocess"),
    ("a.csv", b"id,text\n", "a table; run"),
    ("a", b'<doc id="1" title="x">\nx\n', "WikiExtractor's output; run"), ("a", b"\xff\xfea\0", "utf-16-le text; run"),
    ("a.txt", b"%PDF-1.4", "a PDF, no text")])
def test_what_is_no_plain_text_is_refused(tmp_path, name, data, problem):
    (tmp_path / name).write_bytes(data)
    for option in ("input_file", "coverage_file"):
        with pytest.raises(InputError, match=f"^{option}=.*{name}: {problem}"):
            corpus.check_is_plain(str(tmp_path / name), option)

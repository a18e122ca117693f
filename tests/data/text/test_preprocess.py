"""bin/preprocess's job: formats in, clean documents out, duplicates gone, any number of workers."""

import bz2
import dataclasses
import gzip
import hashlib
import json
import lzma
import random
import re
import zlib

import datasketch
import numpy as np
import pytest
from small_corpus import make_documents, write_documents

from albert_hvd.data.text import duplicates, preprocess_units
from albert_hvd.data.text import preprocess as preprocess_job
from albert_hvd.data.text.cleaning import STEPS
from albert_hvd.data.text.documents import expand_with_folders, read_documents
from albert_hvd.data.text.duplicates import (BYTES_OF_A_SIGNATURE, EXACT, KEPT, NEAR, SignatureIndex, exact_key,
                                             mark_exact, mark_near, signature)
from albert_hvd.data.text.preprocess import CleaningOptions, clean_batch, preprocess
from albert_hvd.data.text.preprocess_units import plan_units, size_of, write_unit
from albert_hvd.errors import InputError
from albert_hvd.runtime import lock

TEXT = "Ini ayat satu. Ini ayat dua.\n\nDokumen kedua di sini.\n"
CLEAN = "Ini ayat satu.\nIni ayat dua.\n\nDokumen kedua di sini.\n"


def clean(path, output, options=CleaningOptions(), **settings):
    counts = preprocess(str(path), str(output), options, report=lambda line: None, **settings)
    return output.read_text(encoding="utf-8"), counts


def test_the_number_of_workers_does_not_matter(tmp_path, monkeypatch):
    monkeypatch.setattr("albert_hvd.data.text.preprocess.BATCH_CHARACTERS", 3000)
    documents = make_documents(100, 3) + make_documents(10, 3)
    path = write_documents(tmp_path / "a.txt", documents)
    results = [clean(path, tmp_path / f"out{n}.txt", num_workers=n) for n in (1, 2)]
    assert results[0] == results[1] and results[0][1]["exact_duplicate"] >= 10
    assert results[0][1]["documents_in"] == 110
    assert results[0][0].count("\n\n") + 1 == results[0][1]["documents_out"] <= 100


@pytest.fixture
def small_units(monkeypatch):
    """Many units, as a large corpus has them (in this process)."""
    monkeypatch.setattr(preprocess_units, "LEAST_UNIT_BYTES", 500)
    monkeypatch.setattr(preprocess_units, "READ_BYTES", 300)
    monkeypatch.setattr(preprocess_units, "_LONGEST_BLANK", 20)


@pytest.mark.parametrize("seed", range(5))
def test_documents_do_not_depend_on_where_files_are_cut(tmp_path, small_units, seed):
    luck = random.Random(seed)
    blanks = ["\n\n", "\r\n\r\n", "\n \t\n", "\n\n\n\n", "\n" + " " * 50 + "\n", "\r\r", "\n\u2028\n"]
    text = "\ufeff" * (seed % 2) + "".join(
        luck.choice(["\n", "\r\n", "\r"]).join(document) + luck.choice(blanks) for document in make_documents(60, seed))
    data = text.encode() + b"\xff\n\n" + b"x" * 2000 + luck.choice([b"", b"\n", b"\n\n"])
    (tmp_path / "a.txt").write_bytes(data)
    units = plan_units([str(tmp_path / "a.txt")], "utf-8")
    assert len(units) > 20 and [part.start for unit in units for part in unit][0] == 0
    assert all(one[-1].end == other[0].start for one, other in zip(units, units[1:])) and units[-1][-1].end == len(data)
    parts = [document for unit in units for part in unit
             for document in read_documents(part.path, span=(part.start, part.end))]
    assert parts == list(read_documents(str(tmp_path / "a.txt")))


@pytest.mark.parametrize("name, encoding, num_units", [
    ("a.txt", "UTF8", 10), ("a.txt", "cp1252", 1), ("a.txt", "unknown", 1), ("a.jsonl", "utf-8", 1),
    ("a.txt.gz", "utf-8", 1), ("utf16.txt", "utf-8", 1), ("many", "utf-8", 4)])
def test_what_is_cut_into_units(tmp_path, small_units, name, encoding, num_units):
    text = ("satu dua tiga empat lima enam\n" * 10 + "\n") * 20
    data = {"a.jsonl": '{"text": "satu"}\n' * 300, "a.txt.gz": gzip.compress(text.encode(), 0),
            "utf16.txt": text.encode("utf-16")}.get(name, text)
    paths = [tmp_path / name] if name != "many" else [tmp_path / str(number) for number in range(30)]
    for path in paths:
        path.write_bytes((data if isinstance(data, bytes) else data.encode())[:60 if name == "many" else None])
    units = plan_units(list(map(str, paths)), encoding)
    assert len(units) == num_units and [part.path for part in units[0]][0] == str(paths[0])
    assert sum(size_of(part) for unit in units for part in unit) == sum(path.stat().st_size for path in paths)


def three_files(folder):
    """Files of some kinds with duplicates within and between them; their names."""
    documents = make_documents(100, 3)
    write_documents(folder / "a.txt", documents + documents[:10])
    (folder / "b.txt.gz").write_bytes(gzip.compress("\n\n".join(map("\n".join, documents[5:20])).encode()))
    (folder / "c.jsonl").write_text("".join(json.dumps({"text": "\n".join(document)}) + "\n"
                                            for document in documents[50:60] + make_documents(30, 9)))
    return ",".join(str(folder / name) for name in ("a.txt", "b.txt.gz", "c.jsonl"))


@pytest.mark.parametrize("settings", [{}, {"num_workers": 2}, {"memory_gb": 1e-6}])
def test_the_output_is_what_one_reader_would_write(tmp_path, small_units, settings):
    """Against a plain loop over the documents with a set and a list of what was kept."""
    files = three_files(tmp_path)
    seen, kept, expected = set(), [], []
    for path in files.split(","):
        for document in read_documents(path):
            (sentences, key, values), = clean_batch([document], CleaningOptions())[0]
            if key in seen:
                continue
            seen.add(key)
            if values is not None:
                if any((values == other).mean() >= 0.8 for other in kept):
                    continue
                kept.append(values)
            expected.append("\n".join(sentences) + "\n")
    preprocess(files, str(tmp_path / "out.txt"), CleaningOptions(), report=lambda line: None, **settings)
    assert (tmp_path / "out.txt").read_text() == "\n".join(expected) and 100 < len(expected) < 150
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt.gz", "c.jsonl", "out.txt"]


@pytest.mark.parametrize("number", [2, 5, 400])
def test_shards_are_of_about_the_same_size(tmp_path, small_units, number):
    files = three_files(tmp_path)
    counts = preprocess(files, str(tmp_path / "one.txt"), CleaningOptions(), report=lambda line: None)
    same = preprocess(files, f"{tmp_path}/out.txt@{number}", CleaningOptions(), report=lambda line: None)
    whole = (tmp_path / "one.txt").read_text()
    texts = [path.read_text() for path in sorted(tmp_path.glob("out.txt-*"))]
    assert len(texts) == number and same == counts
    assert "\n".join(filter(None, texts)) == whole
    longest = max(map(len, whole.split("\n\n")))
    assert max(abs(len(text) - len(whole) / number) for text in texts) <= longest + 2


@pytest.mark.parametrize("name, fail_at", [("write_unit", 4), ("decide", 1), ("write_shard", 2)])
def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, small_units, monkeypatch, name, fail_at):
    files = three_files(tmp_path)
    function, calls = getattr(preprocess_job, name), []
    preprocess(files, f"{tmp_path}/whole@3", CleaningOptions(), report=lambda line: None)

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) == fail_at:
            raise KeyboardInterrupt
        return function(*arguments)

    monkeypatch.setattr(preprocess_job, name, failing)
    with pytest.raises(KeyboardInterrupt):
        preprocess(files, f"{tmp_path}/again@3", CleaningOptions(), report=lambda line: None)
    assert len(list(tmp_path.glob("again*"))) == (1 if name == "write_shard" else 0)
    lines = []
    preprocess(files, f"{tmp_path}/again@3", CleaningOptions(), report=lines.append)
    for shard in range(3):
        other = tmp_path / f"whole-0000{shard}-of-00003"
        assert (tmp_path / f"again-0000{shard}-of-00003").read_bytes() == other.read_bytes()
    needed = {"write_unit": len(plan_units(files.split(","), "utf-8")), "decide": 1, "write_shard": 3}[name]
    assert len(calls) == needed + 1 and lines[0].startswith("documents in") and not list(tmp_path.glob(".*"))


def test_a_changed_file_is_read_again(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text(TEXT)
    monkeypatch.setattr(preprocess_job, "write_shard", None)
    with pytest.raises(TypeError):
        clean(tmp_path / "a.txt", tmp_path / "out.txt")
    assert (tmp_path / ".out.txt.preprocessing" / "unit-000000.text").read_text() == CLEAN + "\n"
    monkeypatch.undo()
    (tmp_path / "a.txt").write_text("Lain.\n")
    assert clean(tmp_path / "a.txt", tmp_path / "out.txt")[0] == "Lain.\n"


def test_a_second_run_on_the_same_output_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_ENDING_SEC", 0.0)
    (tmp_path / "a.txt").write_text(TEXT)
    refused = []

    def at_work(*arguments):
        with pytest.raises(InputError, match="^output_file=.*out.txt: another run writes there: process") as error:
            clean(tmp_path / "a.txt", tmp_path / "out.txt")
        refused.append(error)
        return write_unit(*arguments)

    monkeypatch.setattr(preprocess_job, "write_unit", at_work)
    assert clean(tmp_path / "a.txt", tmp_path / "out.txt")[0] == CLEAN and len(refused) == 1


def test_a_damaged_file_leaves_nothing_behind(tmp_path, small_units):
    files = three_files(tmp_path)
    (tmp_path / "b.txt.gz").write_bytes((tmp_path / "b.txt.gz").read_bytes()[:-20])
    for workers in (1, 2):
        with pytest.raises(InputError, match="b.txt.gz: damaged"):
            preprocess(files, str(tmp_path / "out.txt"), CleaningOptions(), workers, report=lambda line: None)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt.gz", "c.jsonl"]


@pytest.mark.parametrize("name, compress", [("a.txt", bytes), ("a.txt.gz", gzip.compress), ("a.txt.xz", lzma.compress),
                                            ("a.txt.bz2", bz2.compress), ("a.txt.zst", None)])
def test_compressed_files(tmp_path, name, compress):
    compress = compress or pytest.importorskip("zstandard", reason="zstandard is not installed").compress
    (tmp_path / name).write_bytes(compress(b"\xef\xbb\xbf" + TEXT.encode()))
    assert clean(tmp_path / name, tmp_path / "out.txt")[0] == CLEAN
    if name not in ("a.txt", "a.txt.zst"):
        (tmp_path / name).write_bytes(compress(TEXT.encode())[:20])
        with pytest.raises(InputError, match=f"{name}: damaged"):
            clean(tmp_path / name, tmp_path / "out2.txt")
        assert not (tmp_path / "out2.txt").exists()


@pytest.mark.parametrize("name, content, field", [
    ("a.json", json.dumps(["satu\ndua", "tiga"]), "text"),
    ("a.json", json.dumps([{"text": "satu\ndua"}, {"text": ""}, {"text": "tiga"}]), "text"),
    ("a.json", json.dumps([{"a": {"b": ["satu", "dua"]}}, {"a": {"b": "tiga"}}]), "a.b"),
    ("a.json", json.dumps({"isi": ["satu\ndua", "tiga"]}), "isi"),
    ("a.json", json.dumps([["satu", "dua"], ["tiga", 0]], indent=2), "text"),
    ("a.jsonl", '{"text": "satu\\ndua"}\n\n{"text": "tiga"}\n', "text"),
    ("a.jsonl", '["satu", "dua"]\n["tiga"]', "text"),
    ("a.json", '{"text": "satu\\ndua"}\n{"text": "tiga"}\n', "text"),
    ("a.csv", 'id,text\n1,"satu\ndua"\n2,tiga\n', "text"),
    ("a.tsv", "text\tid\nsatu\t1\n", "text"), ("a.txt.gz", "satu\ndua\n\ntiga", "text"),
    ("a.txt", "satu\ndua\n \ntiga", "text"), ("a.unknown", "satu\r\ndua\r\n\r\ntiga\r\n", "text")])
def test_formats(tmp_path, monkeypatch, name, content, field):
    (tmp_path / name).write_text(content, newline="")
    expected = [["satu"]] if name == "a.tsv" else [["satu", "dua"], ["tiga"]]
    for characters in (1, 7, 1 << 20):
        for module in ("documents", "json_documents"):
            monkeypatch.setattr(f"albert_hvd.data.text.{module}.READ_CHARACTERS",
                                characters if not name.startswith("a.txt") else 1 << 20)
        if name != "a.unknown" or characters > 7:
            assert list(read_documents(str(tmp_path / name), field)) == expected


@pytest.mark.parametrize("name, content, message", [
    ("a.json", '[{"isi": "satu"}]', "text_field=text: nothing in .* its keys are isi"),
    ("a.csv", "id,isi\n1,satu\n", "text_field=text: .* no such column; its columns are id, isi"),
    ("a.json", '["satu", ', "cut short"), ("a.json", '["satu" oops]', "not valid JSON near 'oops]'"),
    ("a.jsonl", '{"text": "satu"}\n{oops', "not valid JSON near"), ("a.txt", "", "no text is left"),
    ("a.json", "", "no text is left"), ("a.csv", "", "no text is left"),
    ("a.txt", "...\n\n!!!", None)])
def test_bad_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message or "no text is left"):
        clean(tmp_path / name, tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()


def names_of(paths, folder):
    return [path.removeprefix(f"{folder}/") for path in paths]


def test_folders_and_patterns(tmp_path):
    (tmp_path / "deep" / "AA").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    for name in ("b.txt", "a.jsonl.gz", "deep/c.csv", "notes.md", ".hidden.txt", "deep/AA/wiki_00",
                 "deep/AA/wiki_01.bz2", "README", "d.png", "e.ndjson", "f.json.nested", "g.srt",
                 "h.part.3", ".git/x.txt"):
        (tmp_path / name).write_bytes(b"")
    left_out = []
    found = expand_with_folders(f"{tmp_path},{tmp_path}/notes.md", left_out)
    assert names_of(found, tmp_path) == ["a.jsonl.gz", "b.txt", "deep/AA/wiki_00", "deep/AA/wiki_01.bz2", "deep/c.csv",
                                         "e.ndjson", "f.json.nested", "g.srt",
                 "h.part.3", "notes.md"]
    assert names_of(left_out, tmp_path) == ["d.png", "notes.md"]
    for pattern in ("", f"{tmp_path}/missing", f"{tmp_path}/*.zip"):
        with pytest.raises(InputError, match="^input_file"):
            expand_with_folders(pattern)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no file in this folder"):
        expand_with_folders(str(tmp_path / "empty"))


def test_what_was_left_out_of_a_folder_is_said(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text(TEXT)
    (tmp_path / "in" / "foto.png").write_bytes(b"")
    lines = []
    preprocess(str(tmp_path / "in"), str(tmp_path / "out.txt"), CleaningOptions(), report=lines.append)
    assert lines[0] == f"left out of the folders: 1 with other endings, such as {tmp_path}/in/foto.png"


def test_links_to_folders_are_followed_once(tmp_path):
    for folder in ("in/a", "out/b"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "in" / "a" / "x.txt").write_text("satu")
    (tmp_path / "out" / "b" / "y.txt").write_text("dua")
    (tmp_path / "in" / "link").symlink_to("../out")
    (tmp_path / "in" / "a" / "loop").symlink_to("..")
    (tmp_path / "out" / "b" / "back").symlink_to(tmp_path / "in")
    assert names_of(expand_with_folders(str(tmp_path / "in")), tmp_path / "in") == ["a/x.txt", "link/b/y.txt"]
    assert len(expand_with_folders(f"{tmp_path}/in/**/*.txt")) == 2
    (tmp_path / "in" / "gone.txt").symlink_to("nowhere")
    with pytest.raises(InputError, match="gone.txt: cannot be read"):
        expand_with_folders(str(tmp_path / "in"))


def test_a_name_that_exists_is_that_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "k[2020]").mkdir()
    for name in ("a,b.txt", "berita[2020].txt", "c.txt", "k[2020]/d, e.txt", "k[2020]/f.txt", "berita2.txt"):
        (tmp_path / name).write_bytes(b"")
    for pattern, paths in (("a,b.txt", ["a,b.txt"]), ("berita[2020].txt", ["berita[2020].txt"]),
                           ("c.txt,a,b.txt", ["c.txt", "a,b.txt"]), ("a,b.txt, c.txt,", ["a,b.txt", "c.txt"]),
                           ("k[2020]/d, e.txt,c.txt", ["k[2020]/d, e.txt", "c.txt"]),
                           ("k[2020]/*.txt", ["k[2020]/d, e.txt", "k[2020]/f.txt"]), ("k[2020]", ["k[2020]/d, e.txt",
                                                                                                 "k[2020]/f.txt"]),
                           ("berita[12].txt", ["berita2.txt"]), ("c.txt,berita[12].txt", ["c.txt", "berita2.txt"])):
        assert expand_with_folders(pattern) == paths, pattern
    with pytest.raises(InputError, match="input_file=x: no such file"):
        expand_with_folders("c.txt,x,y.txt")


ARTICLES = """<doc id="10" url="https://ms.wikipedia.org/wiki?curid=10" title="Tajuk">
Tajuk

Ayat satu.

Sejarah.
Ayat dua.

</doc>
<doc id="11" url="https://ms.wikipedia.org/wiki?curid=11" title="Lain">
Lain

Ayat tiga.
</doc>
"""


def test_an_article_of_wikiextractor_is_a_document(tmp_path):
    (tmp_path / "AA").mkdir()
    (tmp_path / "AA" / "wiki_00").write_text(ARTICLES)
    (tmp_path / "AA" / "wiki_01.bz2").write_bytes(bz2.compress(ARTICLES.replace("Tajuk", "Baharu").encode()))
    (tmp_path / "AA" / "wiki_02").write_text('{"id": "3", "title": "T", "text": "T\\n\\nAyat empat."}\n' * 2)
    documents = [document for path in expand_with_folders(str(tmp_path)) for document in read_documents(path)]
    first, second = ["Tajuk", "Ayat satu.", "Sejarah.", "Ayat dua."], ["Lain", "Ayat tiga."]
    assert documents == [first, second, ["Baharu", *first[1:]], second, ["T", "Ayat empat."], ["T", "Ayat empat."]]


def test_bad_lines_are_counted(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "satu"}\n{"text": "du\n{"text": "tiga"}\n')
    lines = []
    options = dataclasses.replace(CleaningOptions(), skip_bad_lines=True)
    counts = preprocess(str(tmp_path / "a.jsonl"), str(tmp_path / "out.txt"), options, report=lines.append)
    assert counts["bad_lines"] == 1 and counts["documents_out"] == 2
    assert any(line.startswith("bad lines") and "1 lines that are no JSON left out" in line for line in lines)


def test_the_output_must_not_be_an_input(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    with pytest.raises(InputError, match="^output_file=.*is one of the input files"):
        clean(tmp_path / "a.txt", tmp_path / "a.txt")


def test_switches(tmp_path):
    (tmp_path / "a.txt").write_text("Lihat www.a.com! @ali ya. Dan lagi.\n\nThe end of it is that.\n\nsatu\n")
    off = dataclasses.replace(CleaningOptions(), split_sentences=False, **{name: "keep" for name, _ in STEPS})
    assert clean(tmp_path / "a.txt", tmp_path / "out.txt", off)[0] == (tmp_path / "a.txt").read_text()
    strict = dataclasses.replace(CleaningOptions(), malay_only=True, min_words=2)
    text, counts = clean(tmp_path / "a.txt", tmp_path / "out.txt", strict)
    assert text == "Lihat ya.\nDan lagi.\n".replace("Lihat ya", "Lihat ! ya") or "Dan lagi." in text
    assert counts["not_malay"] == 1 and counts["empty_after_cleaning"] == 1 and counts["lines_links"] == 1


def test_endless_lines_are_cut_between_words(tmp_path, monkeypatch):
    monkeypatch.setattr("albert_hvd.data.text.documents.READ_CHARACTERS", 16)
    words = ["satu", "dua", "sepuluh"] * 20
    (tmp_path / "a.txt").write_text(" ".join(words) + "\n\n" + "x" * 40)
    text, solid = read_documents(str(tmp_path / "a.txt"))
    assert " ".join(text).split() == words and max(map(len, text)) <= 32
    assert "".join(solid) == "x" * 40

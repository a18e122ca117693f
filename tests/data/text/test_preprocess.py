"""bin/preprocess's job: formats in, clean documents out, duplicates gone, any number of workers."""

import bz2
import dataclasses
import gzip
import json
import lzma

import numpy as np
import pytest
from small_corpus import make_documents, write_documents

from albert_hvd.data.text.cleaning import STEPS
from albert_hvd.data.text.documents import expand_with_folders, read_documents
from albert_hvd.data.text.duplicates import DuplicateFilter, SignatureIndex, exact_key, signature
from albert_hvd.data.text.preprocess import CleaningOptions, preprocess
from albert_hvd.errors import InputError

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


def test_near_duplicates():
    document = [line for lines in make_documents(8, 5) for line in lines]
    edited = [*document[:-1], document[-1] + " Baca juga: berita lain."]
    other = [line for lines in make_documents(8, 6) for line in lines]
    duplicates = DuplicateFilter()
    verdicts = [duplicates.check(exact_key(lines), signature(lines, 20))
                for lines in (document, [line.upper() for line in document], edited, other, ["pendek"], ["Pendek!"])]
    assert verdicts == [None, "exact_duplicate", "near_duplicate", None, None, "exact_duplicate"]
    assert signature(["pendek sahaja"], 20) is None and exact_key(["😀"]) != exact_key(["😂"])
    lenient = DuplicateFilter(exact=False, near=False)
    assert [lenient.check(exact_key(document), None) for _ in range(2)] == [None, None]


def test_the_index_finds_what_shares_a_band():
    """Against a plain reading of the definition, over several growths of its table, in bounded memory."""
    random = np.random.default_rng(0)
    signatures = random.integers(0, 1 << 16, (2000, 64)).astype(np.uint16)
    signatures[1::2, :24] = signatures[::2, :24]  # neighbours share three bands
    signatures[::100, :8] = 7  # and some share one with many
    index = SignatureIndex()
    for number, values in enumerate(signatures):
        bands = signatures[:number].reshape(-1, 8, 8)
        near = (bands == values.reshape(8, 8)).all(axis=2).any(axis=1)
        expected = (signatures[:number][near] == values).mean(axis=1)
        found = index.similarities(values)
        # Bands that only fall into the same bucket may be found as well; their similarity is low.
        assert np.sort(found[found >= 0.1]).tolist() == np.sort(expected).tolist()
        index.add(values)
    assert len(index) == 2000 and index.num_bytes < 400 * 2000


def test_endless_lines_are_cut_between_words(tmp_path, monkeypatch):
    monkeypatch.setattr("albert_hvd.data.text.documents.READ_CHARACTERS", 16)
    words = ["satu", "dua", "sepuluh"] * 20
    (tmp_path / "a.txt").write_text(" ".join(words) + "\n\n" + "x" * 40)
    text, solid = read_documents(str(tmp_path / "a.txt"))
    assert " ".join(text).split() == words and max(map(len, text)) <= 32
    assert "".join(solid) == "x" * 40

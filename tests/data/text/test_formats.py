"""What files hold is seen by their content: archives and encodings are read, what is no text is refused by its name."""

import bz2
import codecs
import gzip
import io
import json
import lzma
import os
import pickle
import sqlite3
import sys
import tarfile
import threading
import zipfile

import numpy as np
import pytest
import safetensors.numpy
import zstandard
from conftest import ROOT
from small_corpus import make_tokenizer

from albert_hvd.data.text import content, corpus, documents, streams
from albert_hvd.errors import InputError

TEXT = "Saya pergi ke pasar.\nDia tidur.\n\nMereka makan.\n"
DOCUMENTS = [["Saya pergi ke pasar.", "Dia tidur."], ["Mereka makan."]]
TRAP = b"Saya pergi ke pasar pagi tadi. " * 8
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(40)


def read(path, *options):
    return list(documents.read_documents(str(path), *options))


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def tarred(members, mode="w"):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


MEMBERS = {"dalam/a.txt": TEXT.encode(), "b.csv": b"id,text\n1,tiga\n", "c.ndjson": b'{"text": "empat"}\n',
           "__MACOSX/._a.txt": b"\0\5\x16\7", ".DS_Store": b"\0\0", "README.md": b"tentang fail ini"}


@pytest.mark.parametrize("data", [
    zipped(MEMBERS), tarred(MEMBERS), gzip.compress(tarred(MEMBERS)), tarred(MEMBERS, "w:xz"),
    bz2.compress(zipped(MEMBERS)),
    zstandard.compress(tarred(MEMBERS)), zipped({"dalam.tar.gz": gzip.compress(tarred(MEMBERS))})])
@pytest.mark.parametrize("name", ["korpus", "korpus.txt", "korpus.json"])
def test_archives_are_read_member_by_member(tmp_path, data, name):
    (tmp_path / name).write_bytes(data)
    assert read(tmp_path / name) == [*DOCUMENTS, ["tiga"], ["empat"]]
    with pytest.raises(InputError, match="run bin/preprocess on it first"):
        corpus.check_is_plain(str(tmp_path / name))


@pytest.mark.parametrize("data, what", [
    (zipped({"gambar/foto.png": PNG}), "a: gambar/foto.png: a PNG picture"),
    (tarred({"x.dat": bytes(99)}), "a: x.dat: binary"),
    (zipped({"[Content_Types].xml": "x", "word/document.xml": "x"}), "a: a Word document"),
    (zipped({"[Content_Types].xml": "x", "xl/a.xml": "x"}), "a: an Excel table"),
    (zipped({"mimetype": "x", "content.xml": "x"}), "a: an OpenDocument file"),
    (zipped({"m/data.pkl": "x", "m/data/0": "x"}), "a: a PyTorch file"), (zipped({"a.npy": "x"}), "a: NumPy arrays"),
    (PNG, "a PNG picture"), (gzip.compress(PNG), "a PNG picture"), (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG picture"),
    (b"%PDF-1.7\n%\xe2\xe3", "a PDF"), (b"RIFF\0\0\0\0WAVEfmt ", "a WAV recording"),
    (b"\0\0\0\x18ftypmp42\0", "an MP4 film"), (pickle.dumps({"a": [1]}), "a Python pickle"),
    (safetensors.numpy.save({"a": np.zeros(3)}), "a safetensors file"), (b"ARROW1\0\0" + bytes(9), "an Arrow file"),
    (b"7z\xbc\xaf'\x1c\0\4", "a 7z archive, no text; unpack it first"), (np.arange(999).tobytes(), "binary data"),
    (np.random.default_rng(0).bytes(999), "binary data"),
    (np.random.default_rng(0).random(99, "f4").tobytes(), "binary data"),
    (zstandard.compress(np.random.default_rng(0).bytes(999)), "binary data"), (bytes(999), "binary data"),
    (b"\x7fELF\2\1", "a program"), (b"{\\rtf1\\ansi Hai}", "an RTF document"),
    (b"<!DOCTYPE html>\n<html>", "an HTML page"), (b"<?xml version='1.0'?>\n<rss>", "an XML document"),
    (b'<mediawiki xmlns="x" version="0.1">', "a MediaWiki dump, no text; make text of it with WikiExtractor"),
    (bz2.compress(b"<?xml version='1.0'?>\n<mediawiki>"), "a MediaWiki dump"),
    (b"[Script Info]\n", "subtitles of a format"),
    (b"version https://git-lfs.github.com/spec/v1\n", "the pointer of Git LFS"), (b"WARC/1.0\r\n", "a WARC archive"),
    (TEXT.encode("utf-16-le"), "UTF-16 text without a byte order mark; set encoding to what it is, such as utf-16-le"),
    (TEXT.encode("utf-16-be"), "such as utf-16-be"),
    ("بهاس ملايو اداله بهاس".encode("cp1256"), "not utf-8 text; set encoding to what it is, such as cp1252")])
def test_what_is_no_text_is_refused_by_its_name(tmp_path, data, what):
    for name in ("a", "a.txt", "a.jsonl"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError) as caught:
            read(tmp_path / name)
        line = str(caught.value)
        assert line.startswith(f"input_file={tmp_path}/{name}: ") and "\n" not in line
        assert what in line.replace(f"/{name}: ", "/a: ")
        with pytest.raises(InputError):
            corpus.check_is_plain(str(tmp_path / name))


def test_files_of_this_project_are_no_text(tmp_path):
    from albert_hvd.data.records.tfrecord import RecordWriter

    make_tokenizer(tmp_path)
    with pytest.raises(InputError, match="a SentencePiece model"):
        read(tmp_path / "small.model")
    with RecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        writer.write_batch({"input_ids": np.ones((2, 8), int), "input_mask": np.ones((2, 8), int),
                            "segment_ids": np.ones((2, 8), int), "masked_lm_positions": np.ones((2, 2), int),
                            "masked_lm_ids": np.ones((2, 2), int), "masked_lm_weights": np.ones((2, 2), np.float32),
                            "next_sentence_labels": np.ones((2, 1), int)})
    with pytest.raises(InputError, match="a.tfrecord: TFRecords, no text"):
        read(tmp_path / "a.tfrecord")
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("create table t (a text)")
    with pytest.raises(InputError, match="an SQLite database"):
        read(tmp_path / "a.db")


@pytest.mark.parametrize("text", [
    "MZ Abidin hadir.", "BM ialah bahasa kita.", "ORC dan PARE.", "[Gambar] Ayam.", "[1] Nota kaki.", "{dia} pergi",
    '["satu", dua kata dia', "PK dan BZh91", "\"satu\", kata dia", "ID3 nombor itu.", "satu\0dua tiga empat lima",
    "<b>Ayam</b> goreng", "BMW, WAVE dan AVI", "1\nyang berjaya", "From dia kepada saya", "12:30 --> 1:30"])
def test_text_is_text_however_it_begins(tmp_path, text):
    (tmp_path / "a.txt").write_text(text + "\n" + TRAP.decode())
    assert read(tmp_path / "a.txt") == [[*text.split("\n"), TRAP.decode().strip()]]
    corpus.check_is_plain(str(tmp_path / "a.txt"))


@pytest.mark.parametrize("mark, encoding", [(mark, encoding) for mark, encoding in content.BYTE_ORDER_MARKS])
def test_a_byte_order_mark_decides_the_encoding(tmp_path, mark, encoding):
    for name, text, expected in (("a.txt", TEXT, DOCUMENTS), ("a.csv", 'text,id\n"satu, dua",1\n', [["satu, dua"]]),
                                 ("a.jsonl", '{"text": "satu"}\n{"text": "dua"}\n', [["satu"], ["dua"]]),
                                 ("b.txt", "بهاس ملايو\r\n\r\nڤاڬي", [["بهاس ملايو"], ["ڤاڬي"]])):
        (tmp_path / name).write_bytes(mark + text.encode(encoding))
        for given in ("utf-8", "cp1252"):
            assert read(tmp_path / name, "text", given) == expected
    if encoding != "utf-8":
        with pytest.raises(InputError, match=f"{encoding} text; run bin/preprocess"):
            corpus.check_is_plain(str(tmp_path / "a.txt"))


def test_a_byte_order_mark_is_never_part_of_a_word(tmp_path):
    """Files that were joined have them inside."""
    (tmp_path / "a.txt").write_bytes(b"".join(codecs.BOM_UTF8 + part for part in (b"satu\n", b"dua\n\n", b"tiga\n")))
    (tmp_path / "a.jsonl").write_text('\ufeff{"text": "\\ufeffsatu"}\n\ufeff{"text": "dua"}\n')
    assert read(tmp_path / "a.txt") == [["satu", "dua"], ["tiga"]]
    assert read(tmp_path / "a.jsonl") == [["satu"], ["dua"]]
    assert list(corpus.read_lines([str(tmp_path / "a.txt")])) == ["satu", "dua", "tiga"]
    block, = corpus.plan_blocks([str(tmp_path / "a.txt")])
    assert corpus.read_block(block)[0] == [["satu", "dua"], ["tiga"]]


def test_zstd_of_long_windows_and_several_frames(tmp_path):
    long = zstandard.ZstdCompressionParameters.from_level(3, window_log=28, write_content_size=False)
    sound = zstandard.ZstdCompressor(compression_params=long).compressobj()
    data = sound.compress(TEXT.encode()) + sound.flush()
    (tmp_path / "a.zst").write_bytes(b"\x50*M\x18\4\0\0\0abcd" + data + zstandard.compress(b"\nLagi satu.\n"))
    assert read(tmp_path / "a.zst") == [*DOCUMENTS, ["Lagi satu."]]
    for cut in (data[:-3], data + data[:20]):
        (tmp_path / "b.zst").write_bytes(cut)
        with pytest.raises(InputError, match="b.zst: damaged or cut short"):
            read(tmp_path / "b.zst")


@pytest.mark.parametrize("data", [zipped(MEMBERS), tarred(MEMBERS), lzma.compress(TEXT.encode() * 99),
                                  gzip.compress(tarred(MEMBERS))])
def test_a_cut_archive_is_damaged(tmp_path, data):
    (tmp_path / "a").write_bytes(data[:len(data) * 2 // 3 if not content.archive(data) == "tar" else 700])
    with pytest.raises(InputError, match="a: damaged or cut short"):
        read(tmp_path / "a")


def test_archives_within_archives_have_a_limit(tmp_path):
    data = TEXT.encode()
    for _ in range(streams.MOST_LAYERS + 1):
        data = zipped({"a": data})
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(InputError, match="too many archives"):
        read(tmp_path / "a")


def test_a_locked_zip_is_named(tmp_path):
    data = bytearray(zipped({"a.txt": TEXT}))
    data[6] |= 1  # the flags of the member and of its entry in the table: encrypted
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(InputError, match="a.zip: a.txt: cannot be unpacked .*password"):
        read(tmp_path / "a.zip")


def test_parquet(tmp_path, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    table = pyarrow.table({"text": ["satu\ndua", None, "tiga"], "meta": [{"isi": "a"}, {"isi": "b"}, {"isi": None}],
                           "c.d": ["x", "y", "z"], "bytes": [b"ba", b"bi", b"bu"], "id": [1, 2, 3]})
    parquet.write_table(table, tmp_path / "a.dat")
    assert read(tmp_path / "a.dat") == [["satu", "dua"], ["tiga"]]
    assert read(tmp_path / "a.dat", "konten,meta.isi") == [["a"], ["b"]]
    assert read(tmp_path / "a.dat", "c.d") == [["x"], ["y"], ["z"]]
    assert read(tmp_path / "a.dat", "bytes") == [["ba"], ["bi"], ["bu"]]
    with pytest.raises(InputError, match="text_field=isi: .* no such column; its columns are text, meta, c.d, by"):
        read(tmp_path / "a.dat", "isi")
    data = (tmp_path / "a.dat").read_bytes()
    (tmp_path / "b.zip").write_bytes(zipped({"a.parquet": data}))
    assert read(tmp_path / "b.zip") == [["satu", "dua"], ["tiga"]]
    (tmp_path / "cut.parquet").write_bytes(data[:-9])
    with pytest.raises(InputError, match="cut.parquet: damaged or cut short"):
        read(tmp_path / "cut.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"a.dat: reading Parquet needs the package pyarrow; install it"):
        read(tmp_path / "a.dat")


def test_pyarrow_is_imported_for_parquet_alone(tmp_path):
    import subprocess

    (tmp_path / "a.jsonl").write_text('{"text": "satu"}\n')
    program = ("import sys; from albert_hvd.data.text.documents import read_documents; "
               f"assert list(read_documents({str(tmp_path / 'a.jsonl')!r})) == [['satu']]; "
               "assert 'pyarrow' not in sys.modules")
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


@pytest.mark.parametrize("data", [TEXT.encode(), gzip.compress(TEXT.encode()), zipped({"a.txt": TEXT}),
                                  TEXT.encode("utf-16"), json.dumps([{"text": "\n".join(lines)}
                                                                     for lines in DOCUMENTS]).encode()])
def test_pipes_are_read_once(tmp_path, data):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(data))
    writer.start()
    path, = documents.expand_with_folders(str(tmp_path / "pipe"))
    assert read(path) == DOCUMENTS
    writer.join()

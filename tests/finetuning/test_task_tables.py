"""Tables of every kind: how cells are quoted and encoded, and which column is which."""

import codecs
import csv
import io
import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albert_hvd.errors import InputError
from albert_hvd.finetuning.columns import Columns
from albert_hvd.finetuning.labelled_data import read_sentences, read_texts

PAIRS = [("gembira", "Saya gembira hari ini"), ("sedih", "Dia menangis semalam"), ("gembira", "Kami seronok bercuti"),
         ("sedih", "Hari yang malang"), ("gembira", "Syukur semuanya lancar"), ("sedih", "Hatinya hancur")]


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return str(path)


def lines(rows, separator="\t"):
    return "".join(separator.join(row) + "\n" for row in rows)


def read(path, **columns):
    """[(label, text)]"""
    return [(*example.labels, example.inputs) for example in read_texts(path, "train_file", Columns(**columns))]


def test_quoted_tsv_as_pandas_and_excel_write_it(tmp_path):
    path = write(tmp_path, "a.tsv", 'label\ttext\ngembira\t"katanya ""ya"", lagi"\nsedih\tbiasa\nsedih\t"dua\nbaris"\n')
    assert read(path) == [("gembira", 'katanya "ya", lagi'), ("sedih", "biasa"), ("sedih", "dua\nbaris")]
    assert [example.line for example in read_texts(path, "train_file")] == [2, 3, 4]


@pytest.mark.parametrize("text", ['dia kata "ya"', '"ya" katanya', '"tidak tutup', 'tutup sahaja"', '"', '5" tinggi'])
def test_quotes_of_a_tsv_that_was_not_quoted_belong_to_the_text(tmp_path, text):
    rows = [*PAIRS, ("sedih", text), ("gembira", '"begini"'), *PAIRS]
    assert read(write(tmp_path, "a.tsv", lines(rows))) == rows


def test_csv(tmp_path):
    path = write(tmp_path, "a.csv", 'label,text\r\ngembira,"Saya gembira, ya"\r\n\r\nsedih,"kata ""dia"""\r\n')
    assert read(path) == [("gembira", "Saya gembira, ya"), ("sedih", 'kata "dia"')]
    path = write(tmp_path, "b.csv", 'label;text\ngembira;Saya gembira, ya\n')
    assert read(path) == [("gembira", "Saya gembira, ya")]
    path = write(tmp_path, "c.csv", "label,text\rgembira,saya\rsedih,dia\r")
    assert read(path) == [("gembira", "saya"), ("sedih", "dia")]
    assert read(write(tmp_path, "d.csv", lines(PAIRS, ","))) == PAIRS


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff") | st.sampled_from('",;\t\n'), min_size=1, max_size=8)


@settings(deadline=None)
@given(texts=st.lists(TEXT.filter(lambda text: text == text.strip()), min_size=1, max_size=5),
       kind=st.sampled_from([("a.csv", ","), ("a.tsv", "\t")]))
def test_what_the_csv_module_writes_is_read(tmp_path_factory, texts, kind):
    name, delimiter = kind
    if delimiter == "\t":
        texts = [text.replace("\t", " ").strip() or "x" for text in texts]
    rows = [("label", "text"), *(("x", text) for text in texts)]
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    assert read(write(tmp_path_factory.mktemp("csv"), name, file.getvalue())) == rows[1:]


@pytest.mark.parametrize("encoding, mark", [
    ("utf-8", codecs.BOM_UTF8), ("utf-16-le", codecs.BOM_UTF16_LE), ("utf-16-be", codecs.BOM_UTF16_BE),
    ("utf-32-le", codecs.BOM_UTF32_LE), ("utf-32-be", codecs.BOM_UTF32_BE)])
@pytest.mark.parametrize("name, separator", [("a.tsv", "\t"), ("a.csv", ",")])
def test_a_byte_order_mark_says_the_encoding(tmp_path, encoding, mark, name, separator):
    path = write(tmp_path, name, mark + lines([("label", "text"), *PAIRS], separator).encode(encoding))
    assert read(path) == PAIRS


@pytest.mark.parametrize("name, separator", [("a.tsv", "\t"), ("a.csv", ",")])
def test_marks_of_files_behind_one_another_are_no_part_of_a_label(tmp_path, name, separator):
    parts = ["\ufeff" + lines([pair], separator) for pair in PAIRS]
    assert read(write(tmp_path, name, "".join(parts))) == PAIRS


def test_utf_16_without_a_mark_is_no_text(tmp_path):
    with pytest.raises(InputError, match=r"a.tsv:1: not UTF-8; convert the file first"):
        read(write(tmp_path, "a.tsv", lines(PAIRS).encode("utf-16-le")))


@pytest.mark.parametrize("header, order", [
    (("label", "text"), "lt"), (("text", "label"), "tl"), (("sentiment", "tweet"), "lt"),
    (("Tweet", "Sentiment"), "tl"), (("kategori", "ayat"), "lt"),
    (("id", "label", "text"), "ilt"), (("", "text", "label"), "itl"),
    (("tweet_id", "tweet_text", "sentiment_label"), "itl"), (("perasaan", "nota"), "lt"), (("apa", "emosi"), "tl"),
    (("label", "text", "label_text"), "lti")])
@pytest.mark.parametrize("name, separator", [("a.tsv", "\t"), ("a.csv", ",")])
def test_a_header_is_recognised(tmp_path, name, separator, header, order):
    rows = [tuple({"l": label, "t": text, "i": str(number)}[column] for column in order)
            for number, (label, text) in enumerate(PAIRS)]
    assert read(write(tmp_path, name, lines([header, *rows], separator))) == PAIRS


@pytest.mark.parametrize("columns", [dict(text="3", label="2"), dict(text="nota", label="jenis"),
                                     dict(text="NOTA", label="2"), dict(text="3", label="2", header="yes")])
def test_columns_by_name_or_number(tmp_path, columns):
    rows = [("nombor", "jenis", "nota"), *((str(i), *pair) for i, pair in enumerate(PAIRS))]
    path = write(tmp_path, "a.tsv", lines(rows))
    if columns.get("header") or not all(map(str.isdigit, columns.values())):
        assert read(path, **columns) == PAIRS
    else:
        with pytest.raises(InputError, match=r"a.tsv:1: .* may be the names of the columns; say header=yes"):
            read(path, **columns)
    assert read(write(tmp_path, "b.tsv", lines(rows[1:])), text="3", label="2") == PAIRS


def test_a_first_row_that_may_be_names_is_refused(tmp_path):
    path = write(tmp_path, "a.tsv", lines([("jenis", "nota"), *PAIRS]))
    with pytest.raises(InputError, match=r"a.tsv:1: 'jenis' and 'nota' may be the names of the columns; say header=yes "
                                         "or header=no, or name the columns with text_column and label_column"):
        read(path)
    assert read(path, header="yes") == PAIRS and read(path, header="no") == [("jenis", "nota"), *PAIRS]


@pytest.mark.parametrize("first", [("sedih", "aduh"), ("gembira", "text"), ("label", "Saya tidak pasti apa ini"),
                                   ("sedih", "3")])
def test_a_first_row_that_is_a_text_is_none(tmp_path, first):
    assert read(write(tmp_path, "a.tsv", lines([first, *PAIRS]))) == [first, *PAIRS]


@pytest.mark.parametrize("content, columns, named", [
    (lines([("id", "jenis", "nota"), *(("1", *pair) for pair in PAIRS)]), {}, "may be the names|is not known"),
    (lines([("1", *pair) for pair in PAIRS]), {}, r"columns \(3 without names\) holds the label is not known; name it "
                                                  "with label_column"),
    (lines([("text", "sentiment", "emotion"), *((*pair, "x") for pair in PAIRS)]), {},
     "several of its columns may hold the label: sentiment, emotion; name one with label_column"),
    (lines([("label", "nota", "lain"), *((*pair, "x") for pair in PAIRS)]), {},
     r"columns \(label, nota, lain\) holds the text is not known; name it with text_column"),
    (lines(PAIRS), dict(text="0", label="1"), "text_column=0: columns are counted from 1"),
    (lines(PAIRS), dict(text="3", label="1"), "text_column=3: no such column; .*a.tsv has 2 without names"),
    (lines([("label", "text"), *PAIRS]), dict(text="nota"), "text_column=nota: no such column; .* has label, text"),
    (lines([("label", "text"), *PAIRS]), dict(text="label", label="1"), "label and text are read from the same column"),
    (lines([("label", "text"), *PAIRS, ("label", "text"), *PAIRS]), {}, "a.tsv:8: the names of the columns again"),
])
def test_what_is_not_certain_is_refused(tmp_path, content, columns, named):
    with pytest.raises(InputError, match=named) as error:
        read(write(tmp_path, "a.tsv", content), **columns)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json"])
def test_keys_of_json(tmp_path, name):
    rows = [{"tweet": text, "sentiment": label, "id": i} for i, (label, text) in enumerate(PAIRS)]
    path = write(tmp_path, name, "".join(json.dumps(row) + "\n" for row in rows))
    assert read(path) == PAIRS == read(path, text="tweet", label="sentiment")
    assert read(path, text="tweet", label="id") == [(str(i), text) for i, (_, text) in enumerate(PAIRS)]
    assert read(write(tmp_path, f"list-{name}", json.dumps(rows, indent=1))) == PAIRS
    with pytest.raises(InputError, match="label_column=mood: no such column; .* has tweet, sentiment, id"):
        read(path, label="mood")


def test_words_and_tags_under_other_keys(tmp_path):
    path = write(tmp_path, "a.jsonl", json.dumps({"tokens": ["saya", "makan"], "ner_tags": [0, 1]}))
    example, = read_sentences(path, "train_file")
    assert (example.inputs, example.labels) == (("saya", "makan"), ("0", "1"))
    path = write(tmp_path, "b.jsonl", json.dumps({"perkataan": ["saya"], "jenis": ["PRON"], "lain": 1}))
    example, = read_sentences(path, "train_file", Columns(text="perkataan", label="jenis"))
    assert (example.inputs, example.labels) == (("saya",), ("PRON",))


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra: parquet)")
    from pyarrow import parquet

    labels, texts = zip(*PAIRS)
    parquet.write_table(pyarrow.table({"text": texts, "label": [float(label == "sedih") for label in labels]}),
                        tmp_path / "a.parquet")
    assert read(str(tmp_path / "a.parquet")) == [(str(int(label == "sedih")), text) for label, text in PAIRS]
    parquet.write_table(pyarrow.table({"tokens": [["saya"]], "ner_tags": [[2]]}), tmp_path / "b.parquet")
    example, = read_sentences(str(tmp_path / "b.parquet"), "train_file")
    assert (example.inputs, example.labels) == (("saya",), ("2",))
    with pytest.raises(InputError, match="^train_file=.*c.parquet: not a readable Parquet file"):
        read(write(tmp_path, "c.parquet", "label\ttext\n"))


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"^train_file=.*a.parquet: Parquet files are read with pyarrow, .* "
                                         r"pip install 'albert_hvd\[parquet\]'"):
        read(write(tmp_path, "a.parquet", b"PAR1"))

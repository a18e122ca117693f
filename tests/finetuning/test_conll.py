"""Files of tokens: comments, documents, CoNLL-U and its kin, and what separates columns."""

import pytest

from albert_hvd.errors import InputError
from albert_hvd.finetuning.columns import Columns
from albert_hvd.finetuning.labelled_data import read_sentences

CONLLU = "# sent_id = 1\n# text = Saya\tsuka 0\n#text_en=I like 0\n" + "".join(
    f"{i}\t{word}\t{word.lower()}\t{tag}\t{tag[0]}\t_\t0\troot\t_\t_\n"
    for i, word, tag in ((1, "Saya", "PRON"), (2, "suka", "VERB"), (3, "0", "NUM")))
CONLL_2003 = "-DOCSTART- -X- -X- O\n\nSaya PRON B-NP O\nsuka VERB B-VP O\nnasi NOUN B-NP B-LOC\n\n"


@pytest.mark.parametrize("content, sentences", [
    (CONLLU, ["Saya/PRON suka/VERB 0/NUM"]),
    (CONLLU + "\n" + CONLLU, ["Saya/PRON suka/VERB 0/NUM"] * 2),
    # Whatever a comment holds: as many tabs as a token has, a number, a bare sign.
    ("#\t\t\t\t\t\t\t\t\t\n#1\n#" + "\tx" * 9 + "\n" + CONLLU, ["Saya/PRON suka/VERB 0/NUM"]),
    ("# global.columns = ID FORM UPOS MISC\n# a\tb\tc\td\n1\tSaya\tPRON\tSpaceAfter=No\n2\tsuka\tVERB\t_\n",
     ["Saya/PRON suka/VERB"]),
    ("# global.columns = UPOS FORM\nPRON\tSaya\nVERB\tsuka\n", ["Saya/PRON suka/VERB"]),
    ("# global.columns = ID UPOS FORM\n1-2\t_\tSayasuka\n1\tPRON\tSaya\n2\tVERB\tsuka\n2.1\tX\tx\n",
     ["Saya/PRON suka/VERB"]),
    ("1\tSaya\tPRON\n2\tsuka\tVERB\n\n1\tDia\tPRON\n", ["Saya/PRON suka/VERB", "Dia/PRON"]),
    ("# ayat\n1 Saya PRON\n2 suka VERB\n", ["Saya/PRON suka/VERB"]),
    # A blank line is missing, or sentences are counted on.
    ("1\tSaya\tPRON\n2\tsuka\tVERB\n1\tDia\tPRON\n", ["Saya/PRON suka/VERB Dia/PRON"]),
    ("7\tsaya\t_\tPRON\t_\t_\t_\t_\t_\t_\n8\tsuka\t_\tVERB\t_\t_\t_\t_\t_\t_\n", ["saya/PRON suka/VERB"]),
    # A number is a word where lines are not counted.
    ("3\tx\tNUM\n4\ty\tNUM\n", ["3/NUM 4/NUM"]),
    ("1\tNUM\n2\tNUM\n", ["1/NUM 2/NUM"]),
    (CONLL_2003 * 2, ["Saya/O suka/O nasi/B-LOC"] * 2),
    ("-DOCSTART-\tO\nSaya\tO\n-DOCSTART-\tO\nDia\tO\n", ["Saya/O", "Dia/O"]),
    ("-DOCSTART- (1)\tO\n\nSaya\tO\n-DOCSTART-X\tO\n", ["Saya/O -DOCSTART-X/O"]),
    ("\ufeffSaya O\n\n\ufeffDia O\n", ["Saya/O", "Dia/O"]),
    ("10\u00a0000 NUM\nkuih\u00a0raya\tNOUN\nke\u202f2 NUM\n", ["10\u00a0000/NUM kuih\u00a0raya/NOUN ke\u202f2/NUM"]),
    # A # is a word too.
    ("saya PRON\n# SYM\n#malaysia NOUN\n", ["saya/PRON #/SYM #malaysia/NOUN"]),
    ("# NOUN\nsaya NOUN\n", ["#/NOUN saya/NOUN"]),
    ("#malaysia\tNOUN\nsaya\tPRON\n", ["#malaysia/NOUN saya/PRON"]),
    # Also at the beginning of a sentence, with a tag of its own.
    ("#sukan HASH\nsaya PRON\n\n#klia B-LOC\nsaya O\n", ["#sukan/HASH saya/PRON", "#klia/B-LOC saya/O"]),
    ("#sukan hash\nsaya pron\n#bola hash\n", ["#sukan/hash saya/pron #bola/hash"]),
    ("#komen pendek\nsaya PRON\n", ["saya/PRON"]),
    ("# newdoc\n# text = a b\tc\n#text_en=I like\nsaya\tPRON\n", ["saya/PRON"]),
    ("# dokumen 1\nsaya PRON\n\n# text = saya\nsaya PRON\n", ["saya/PRON", "saya/PRON"]),
], ids=str)
def test_sentences(tmp_path, content, sentences):
    (tmp_path / "a.conll").write_text(content, encoding="utf-8")
    examples = read_sentences(str(tmp_path / "a.conll"), "train_file")
    assert [" ".join(f"{word}/{tag}" for word, tag in zip(e.inputs, e.labels, strict=True))
            for e in examples] == sentences


@pytest.mark.parametrize("content, columns, tags", [
    (CONLLU, dict(label="XPOS"), ("P", "V", "N")), (CONLLU, dict(label="xpos", text="LEMMA"), ("P", "V", "N")),
    (CONLLU, dict(label="4"), ("PRON", "VERB", "NUM")), (CONLL_2003, dict(label="2"), ("PRON", "VERB", "NOUN")),
    ("1\tSaya\tsaya\tPRON\n", dict(text="2", label="4"), ("PRON",))])
def test_columns_by_name_or_number(tmp_path, content, columns, tags):
    (tmp_path / "a.conllu").write_text(content, encoding="utf-8")
    example, = read_sentences(str(tmp_path / "a.conllu"), "train_file", Columns(**columns))
    assert example.labels == tags


@pytest.mark.parametrize("columns, named", [
    (dict(label="NER"), "label_column=NER: no such column; .* has ID, FORM, LEMMA"),
    (dict(text="11"), "text_column=11: no such column")])
def test_a_column_that_there_is_not(tmp_path, columns, named):
    (tmp_path / "a.conllu").write_text(CONLLU, encoding="utf-8")
    with pytest.raises(InputError, match=named):
        read_sentences(str(tmp_path / "a.conllu"), "train_file", Columns(**columns))

"""Reading labelled texts and tagged sentences, and what is said of files that are not as they must be."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albert_hvd.errors import InputError
from albert_hvd.finetuning.labelled_data import Example, read_sentences, read_texts


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return str(path)


def test_tsv_with_and_without_a_header(tmp_path):
    path = write(tmp_path, "a.tsv", "label\ttext\nmarah\tsaya  marah\tbetul\r\nsedih\tdia\n\n")
    assert read_texts(path, "train_file") == [Example("saya  marah\tbetul", ("marah",), path, 2),
                                                Example("dia", ("sedih",), path, 3)]
    path = write(tmp_path, "b.tsv", "\ufeffmarah\ta\u2028b")
    assert read_texts(path, "train_file") == [Example("a\u2028b", ("marah",), path, 1)]


def test_json_lines(tmp_path):
    path = write(tmp_path, "a.jsonl",
                 '{"label": "marah", "text": "saya", "id": 3}\n{"text": "dia", "label": "sedih"}\n')
    assert [(e.inputs, e.labels) for e in read_texts(path, "train_file")] == [("saya", ("marah",)),
                                                                                ("dia", ("sedih",))]
    path = write(tmp_path, "b.jsonl", '{"words": ["saya", "makan"], "tags": ["PRON", "VERB"]}')
    assert read_sentences(path, "train_file") == [Example(("saya", "makan"), ("PRON", "VERB"), path, 1)]


@pytest.mark.parametrize("content, sentences", [
    ("saya\tPRON\nmakan\tVERB\n\n\ndia\tPRON\n", [("saya/PRON", "makan/VERB"), ("dia/PRON",)]),
    ("saya PRON\n\ndia PRON", [("saya/PRON",), ("dia/PRON",)]),
    ("#\tSYM\n#malaysia NOUN\n", [("#/SYM", "#malaysia/NOUN")]),
    ("# text = saya\n1-2\tsayamakan\t_\t_\t_\t_\t_\t_\t_\t_\n1\tsaya\tsaya\tPRON\tPR\t_\t2\tnsubj\t_\t_\n"
     "2\tmakan\tmakan\tVERB\tVB\t_\t0\troot\t_\t_\n2.1\tx\tx\tX\t_\t_\t_\t_\t_\t_\n",
     [("saya/PRON", "makan/VERB")]),
    ("saya\tlemma\tPRON\n", [("saya/PRON",)]),
], ids=["tabs", "spaces", "hashes", "conllu", "three_columns"])
@pytest.mark.parametrize("extension", ["conll", "txt"])
def test_conll(tmp_path, content, sentences, extension):
    examples = read_sentences(write(tmp_path, f"a.{extension}", content), "train_file")
    assert [tuple(f"{word}/{tag}" for word, tag in zip(e.inputs, e.labels, strict=True))
            for e in examples] == sentences


@pytest.mark.parametrize("read, name, content, place, problem", [
    (read_texts, "a.tsv", "marah\tsaya\nsedih dia\n", ":2:", "one column"),
    (read_texts, "a.tsv", "marah\tsaya\n\nsedih\tdia\n", ":2:", "one column"),
    (read_texts, "a.tsv", "marah\tsaya\nsedih\t \n", ":2:", "the text is empty"),
    (read_texts, "a.tsv", "\tsaya\n", ":1:", "the label is empty"),
    (read_texts, "a.tsv", "", "a.tsv", "no example"),
    (read_texts, "a.tsv", "label\ttext\n", "a.tsv", "no example"),
    (read_texts, "a.tsv", b"marah\tsaya\nmarah\t\xff\n", ":2:", "not UTF-8"),
    (read_texts, "a.docx", "marah,saya", "a.docx", ".tsv, .csv, .jsonl"),
    (read_texts, "a.jsonl", '{"label": "a", "text": "b"}\n{"label"', ":2:", "not a JSON object"),
    (read_texts, "a.jsonl", "[1]", ":1:", "found list"),
    (read_texts, "a.jsonl", '{"label": ["a"], "text": "b"}', ":1:", "the label ['a'] is not a string or a whole"),
    (read_texts, "a.jsonl", '{"label": 0.5, "text": "b"}', ":1:", "the label 0.5 is not a string or a whole number"),
    (read_texts, "a.jsonl", '{"label": "a", "text": 3}', ":1:", "the text 3 is not a string"),
    (read_texts, "a.jsonl", '{"label": "a", "text": "b"}\n{"label": "a"}', ":2:", "the text is empty"),
    (read_texts, "a.csv", 'label,text\na,"b\nc', ":2:", "not a row of cells"),
    (read_texts, "a.csv", 'label,text\na,"b" c\n', ":2:", "close its quotes"),
    (read_texts, "a.csv", "label,text\na,b, c\n", ":2:", "3 columns where 2 are wanted; put a text"),
    (read_texts, "a.tsv", b"marah\tsa\0ya\n", ":1:", "not UTF-8"),
    (read_texts, "a.jsonl", '{"label": "a", "text": ""}', ":1:", "the text is empty"),
    (read_sentences, "a.jsonl", '{"words": ["a"], "tags": ["X", "Y"]}', ":1:", "1 words and 2 tags"),
    (read_sentences, "a.jsonl", '{"words": [], "tags": []}', ":1:", "the sentence is empty"),
    (read_sentences, "a.jsonl", '{"words": [" "], "tags": ["X"]}', ":1:", "an empty word"),
    (read_sentences, "a.jsonl", '{"words": "a", "tags": ["X"]}', ":1:", "two lists"),
    (read_sentences, "a.conll", "saya\tPRON\nmakan\n", ":2:", "one column"),
    (read_sentences, "a.conll", "saya\tPRON\n\tVERB\n", ":2:", "an empty word"),
    (read_sentences, "a.conll", "saya\t\n", ":1:", "an empty tag"),
    (read_sentences, "a.conll", "# text = a\n\n", "a.conll", "no example"),
    (read_sentences, "a.conll", "saya\tPRON\n#nota\n", ":2:", "one column"),
    (read_sentences, "a.conllu", "1\tsaya\tPRON\n\n1\tdia\tPRON\n\nkami\tk\tPRON\n", ":5:", "no number of the"),
    (read_sentences, "a.conllu", "# global.columns = ID FORM UPOS\n1\tsaya\n", ":2:", "2 columns where 3 are"),
    (read_sentences, "a.conllu", "# global.columns = ID FORM MISC\n1\tsaya\t_\n", "a.conllu", "is UPOS is not known"),
    (read_sentences, "a.conllu", "1\tsaya\tsaya\tPRON\n", "a.conllu", "is FORM is not known; name it with text_col"),
])
def test_bad_files_are_named_with_their_line(tmp_path, read, name, content, place, problem):
    path = write(tmp_path, name, content)
    with pytest.raises(InputError) as error:
        read(path, "valid_file")
    assert path.removesuffix(name) in str(error.value)
    assert place in str(error.value) and problem in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="^valid_file=.*nowhere.tsv: no such file"):
        read_texts(str(tmp_path / "nowhere.tsv"), "valid_file")


TOKEN = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=6)


@settings(deadline=None)
@given(sentences=st.lists(st.lists(st.tuples(TOKEN, TOKEN), min_size=1, max_size=5), min_size=1, max_size=4))
def test_conll_holds_what_was_written(tmp_path_factory, sentences):
    content = "\n".join("".join(f"{word}\t{tag}\n" for word, tag in sentence) for sentence in sentences)
    examples = read_sentences(write(tmp_path_factory.mktemp("conll"), "a.conll", content), "train_file")
    assert [list(zip(e.inputs, e.labels, strict=True)) for e in examples] == sentences

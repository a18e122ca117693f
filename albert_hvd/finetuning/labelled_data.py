"""Labelled texts and sentences from TSV, JSON lines and CoNLL files.

    .tsv            label<TAB>text, with or without a line "label<TAB>text" at the top
    .jsonl          {"label": ..., "text": ...} or {"words": [...], "tags": [...]}, one object a line
    .conll, .txt    token and tag in two columns, a blank line between sentences; CoNLL-U with ten columns
                    (FORM and UPOS are read); lines that begin with "# " are comments
"""

import dataclasses
import json
import os
import re

from albert_hvd.errors import InputError
from albert_hvd.runtime.files import check_readable

_CONLLU_COLUMNS = 10
_CONLLU_ID = re.compile(r"\d+([-.]\d+)?$")


@dataclasses.dataclass(frozen=True)
class Example:
    """One labelled text, or one sentence with a tag for each word.

    Attributes:
      inputs: the text, a str; or the words, a tuple of str.
      labels: tuple of str: the text's one label, or one tag for each word.
      file, line: where it stands, lines counted from 1.
    """

    inputs: object
    labels: tuple
    file: str
    line: int


def read_texts(path, option):
    """The `Example`s of a file of labelled texts.

    Raises:
      InputError: naming file and line, for what cannot be read, too few columns, or an empty text or label.
    """
    return _read(path, option, {".tsv": _read_tsv, ".jsonl": _read_json_texts}, "labelled texts")


def read_sentences(path, option):
    """The `Example`s of a file of sentences with a tag for each word; raises like `read_texts`."""
    return _read(path, option, {".conll": _read_conll, ".conllu": _read_conll, ".txt": _read_conll,
                              ".jsonl": _read_json_sentences}, "tagged sentences")


def _read(path, option, readers, what):
    extension = os.path.splitext(path)[1].lower()
    if extension not in readers:
        raise InputError(f"files of {what} end in {', '.join(readers)}", "convert or rename it", name=option,
                         value=path)
    if not os.path.isfile(path):
        raise InputError("no such file", f"give one with {what}", name=option, value=path)
    check_readable(path, option)
    examples = list(readers[extension](path, _lines(path, option)))
    if not examples:
        raise InputError("it holds no example", f"give a file with {what}", name=option, value=path)
    return examples


def _lines(path, option):
    """(number, line without its end) of a UTF-8 file; blank lines at the end are left out."""
    with open(path, "rb") as file:
        content = file.read()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: not UTF-8", "convert the file first", name=option, value=path) from None
    # Not splitlines(): a text may hold U+2028 and its like.
    lines = text.rstrip("\r\n").split("\n")
    return [(number, line.rstrip("\r")) for number, line in enumerate(lines, 1)] if text.strip() else []


def _error(path, line, problem):
    return InputError(f"{path}:{line}: {problem}")


def _read_tsv(path, lines):
    for number, line in lines:
        if number == 1 and line.lower().split("\t") == ["label", "text"]:
            continue
        label, tab, text = line.partition("\t")
        if not tab:
            raise _error(path, number, f"{line[:40]!r} has one column; write label<TAB>text")
        yield _text_example(path, number, label, text)


def _read_json_texts(path, lines):
    for number, values in _json_objects(path, lines):
        label, text = values.get("label"), values.get("text")
        if not isinstance(label, str) or not isinstance(text, str):
            raise _error(path, number, 'two strings are wanted, {"label": ..., "text": ...}')
        yield _text_example(path, number, label, text)


def _text_example(path, number, label, text):
    label, text = label.strip(), text.strip()
    if not label:
        raise _error(path, number, "the label is empty; write label<TAB>text")
    if not text:
        raise _error(path, number, "the text is empty; remove the line")
    return Example(text, (label,), path, number)


def _read_json_sentences(path, lines):
    for number, values in _json_objects(path, lines):
        words, tags = values.get("words"), values.get("tags")
        if not _is_list_of_str(words) or not _is_list_of_str(tags):
            raise _error(path, number, 'two lists of strings are wanted, {"words": [...], "tags": [...]}')
        if len(words) != len(tags):
            raise _error(path, number, f"{len(words)} words and {len(tags)} tags; give one tag for each word")
        if not words:
            raise _error(path, number, "the sentence is empty; remove the line")
        yield _sentence_example(path, [(number, word, tag) for word, tag in zip(words, tags, strict=True)])


def _is_list_of_str(value):
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _json_objects(path, lines):
    for number, line in lines:
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _error(path, number, f"not a JSON object ({error}); write one on each line") from None
        if not isinstance(values, dict):
            raise _error(path, number, f"a JSON object is wanted, found {type(values).__name__}")
        if "\\u" in line and not _is_text(values):
            raise _error(path, number, "it has half of a surrogate pair, such as \\ud83d; write the whole character")
        yield number, values


def _is_text(values):
    """Whether all strings of a JSON value have a UTF-8 form."""
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_conll(path, lines):
    tokens = []
    for number, line in [*lines, (None, "")]:
        if line.strip():
            tokens.extend(_conll_token(path, number, line))
        elif tokens:
            yield _sentence_example(path, tokens)
            tokens = []


def _conll_token(path, number, line):
    """[(line number, token, tag)] of one line; [] for comments, and for CoNLL-U's ranges and empty nodes."""
    columns = line.split("\t")
    if len(columns) == 1:
        if line.startswith("# ") or line == "#":
            return []
        columns = line.split()
    if len(columns) == _CONLLU_COLUMNS and _CONLLU_ID.match(columns[0]):
        return [(number, columns[1], columns[3])] if columns[0].isdigit() else []
    if len(columns) < 2:
        raise _error(path, number, f"{line[:40]!r} has one column; write token<TAB>tag")
    return [(number, columns[0], columns[-1])]


def _sentence_example(path, tokens):
    for number, word, tag in tokens:
        if not word.strip() or not tag.strip():
            raise _error(path, number, f"an empty {'tag' if word.strip() else 'word'}; give both")
    return Example(tuple(word.strip() for _, word, _ in tokens), tuple(tag.strip() for _, _, tag in tokens),
                   path, tokens[0][0])

"""Labelled texts, pairs of texts and tagged sentences from files of tables and of CoNLL's kind.

    .tsv .csv .jsonl .ndjson .json .parquet    see `tables.py` and `columns.py`; without names the order is label, text,
                                               second text; sentences are lists of words and of tags (JSON, Parquet)
    .conll .conllu .conllup .txt               see `conll.py`
"""

import dataclasses
import math

from albert_hvd.errors import InputError
from albert_hvd.finetuning.columns import LABEL, PAIR, TAGS, TEXT, WORDS, Columns, locate
from albert_hvd.finetuning.conll import read_tokens
from albert_hvd.finetuning.tables import READERS, check_file, read_content, read_table, row_error

_CONLL = (".conll", ".conllu", ".conllup", ".txt")
_SENTENCES = (*_CONLL, ".jsonl", ".ndjson", ".json", ".parquet")


@dataclasses.dataclass(frozen=True)
class Example:
    """One labelled text, pair of texts, or sentence with a tag for each word.

    Attributes:
      inputs: the text, a str; the words, a tuple of str; or a pair of texts, a `TextPair`.
      labels: tuple of str: the one label, or one tag for each word; of a regression a tuple of one float.
      file, line: where it stands, lines counted from 1.
    """

    inputs: object
    labels: tuple
    file: str
    line: int


class TextPair(tuple):
    """Two texts, str, that are read as two segments of one row."""

    __slots__ = ()


def read_texts(path, option, columns=Columns(), label=None):
    """The `Example`s of a file of labelled texts.

    Args:
      path: of the file.
      option: what it is given with, for messages.
      columns: `columns.Columns`.
      label: how a cell becomes a label, `label_of` or `number_of`; None: `label_of`.

    Raises:
      InputError: naming file and line, for what cannot be read, too few columns, or an empty text or label.
    """
    return _read_table(path, option, columns, (LABEL, TEXT), label or label_of, "labelled texts")


def read_pairs(path, option, columns=Columns(), label=None):
    """The `Example`s of a file of labelled pairs of texts; arguments and errors as of `read_texts`."""
    return _read_table(path, option, columns, (LABEL, TEXT, PAIR), label or label_of, "labelled pairs of texts")


def read_sentences(path, option, columns=Columns()):
    """The `Example`s of a file of sentences with a tag for each word; arguments and errors as of `read_texts`."""
    what = "tagged sentences"
    extension = check_file(path, option, _SENTENCES, what)
    if extension in _CONLL:
        examples = [_sentence_example(path, tokens)
                    for tokens in read_tokens(path, read_content(path, option), columns)]
    else:
        table = READERS[extension](path, option)
        places, _, rows = locate(table, columns, (WORDS, TAGS))
        examples = [_sentence_of_lists(path, row, *(row.cells[places[role]] for role in (WORDS, TAGS)))
                    for row in rows]
    return _not_empty(examples, path, option, what)


def label_of(cell):
    """The name of a label: a str, or a whole number or bool as text; None for what is none."""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)  # pandas writes whole numbers with a gap among them as 1.0
    return str(cell).strip() if isinstance(cell, (str, int)) else None


def number_of(cell):
    """A finite float; None for what is none."""
    try:
        value = math.nan if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def _not_empty(examples, path, option, what):
    if not examples:
        raise InputError("it holds no example", f"give a file with {what}", name=option, value=path)
    return examples


def _read_table(path, option, columns, roles, label, what):
    table = read_table(path, option, what)
    places, width, rows = locate(table, columns, roles)
    examples = [_text_example(path, row.line, _cells(table, row, places, width), label) for row in rows]
    return _not_empty(examples, path, option, what)


def _cells(table, row, places, width):
    """{role: cell} of a row; InputError when it has too few or too many."""
    cells = row.cells
    if len(cells) > width and table.is_open and width - 1 in (places.get(TEXT), places.get(PAIR)):
        cells = [*cells[:width - 1], "\t".join(cells[width - 1:])]
    if len(cells) == width:
        return {role: cells[place] for role, place in places.items()}
    if len(cells) == 1:
        wanted = "label<TAB>text" + "<TAB>second text" * (PAIR in places)
        raise row_error(table.path, row.line, f"{cells[0][:40]!r} has one column; write {wanted}")
    raise row_error(table.path, row.line, f"{len(cells)} columns where {width} are wanted; put a text that holds what "
                                          "separates columns in quotes")


def _text_example(path, line, cells, label):
    texts = [_text(path, line, cells[role], name) for role, name in ((TEXT, "text"), (PAIR, "second text"))
             if role in cells]
    value = None if cells[LABEL] is None else label(cells[LABEL])
    if value is None:
        raise row_error(path, line, f"the label {cells[LABEL]!r:.40} is not {_WANTED[label]}")
    if value == "":
        raise row_error(path, line, "the label is empty; write label<TAB>text")
    return Example(TextPair(texts) if PAIR in cells else texts[0], (value,), path, line)


_WANTED = {label_of: "a string or a whole number", number_of: "a number"}


def _text(path, line, cell, name):
    if not isinstance(cell, (str, type(None))):
        raise row_error(path, line, f"the {name} {cell!r:.40} is not a string")
    text = (cell or "").strip()
    if not text:
        raise row_error(path, line, f"the {name} is empty; remove the line")
    return text


def _sentence_of_lists(path, row, words, tags):
    names = [label_of(tag) for tag in tags] if isinstance(tags, list) else [None]
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words) or None in names:
        raise row_error(path, row.line, 'two lists are wanted, of strings and of tags, such as {"words": [...], '
                                        '"tags": [...]}')
    if len(words) != len(names):
        raise row_error(path, row.line, f"{len(words)} words and {len(names)} tags; give one tag for each word")
    if not words:
        raise row_error(path, row.line, "the sentence is empty; remove the line")
    return _sentence_example(path, [(row.line, word, tag) for word, tag in zip(words, names, strict=True)])


def _sentence_example(path, tokens):
    for number, word, tag in tokens:
        if not word.strip() or not tag.strip():
            raise row_error(path, number, f"an empty {'tag' if word.strip() else 'word'}; give both")
    return Example(tuple(word.strip() for _, word, _ in tokens), tuple(tag.strip() for _, _, tag in tokens),
                   path, tokens[0][0])

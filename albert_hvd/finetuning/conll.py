"""Tokens and tags of files with a token on each line and a blank line between sentences.

A file is of one of three kinds:

    word, tag                 two or more columns: the word is the first, the tag the last. Between tabs, else blanks
    ID, FORM, ...             lines begin with the token's number in its sentence: CoNLL-U's ten columns (FORM and
                              UPOS are read), or the three ID, FORM, UPOS. Ranges (1-2), empty nodes (1.1) are no tokens
    # global.columns = ...    CoNLL-U Plus: the names of the columns; FORM and UPOS are read

`-DOCSTART-` begins a document and is no sentence. A comment begins with # and stands before a sentence's first token;
where tokens have no number, it is told from a token by its columns.
"""

import re

from albert_hvd.errors import InputError, parameter
from albert_hvd.finetuning.columns import Columns
from albert_hvd.finetuning.tables import lines_of, row_error

_CONLLU = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
_SHORT = ("ID", "FORM", "UPOS")
_ID = re.compile(r"\d+([-.]\d+)?")
_GLOBAL = re.compile(r"#\s*global\.columns\s*=\s*(.*)")
_KEY_AND_VALUE = re.compile(r"#\s*[\w.:-]+\s*=")
_TAG = re.compile(r"[A-Z]+(?:[-_]\S+)?")  # what tags look like: NOUN, B-LOC
_DOCUMENT = re.compile(r"-DOCSTART-(?:\s|$)")


def read_tokens(path, text, columns=Columns()):
    """The sentences of a file.

    Args:
      path: of the file, for messages.
      text: what it holds.
      columns: `columns.Columns`, whose `text` and `label` name or number the columns of word and tag; None: as above.

    Yields:
      lists of (line number, word, tag).

    Raises:
      InputError: naming the line, for one that lacks a column; or a column that the file does not have.
    """
    lines = [(number, line) for number, line in lines_of(text)]
    plus = next((_GLOBAL.match(line) for _, line in lines if line.startswith("#") and _GLOBAL.match(line)), None)
    names = tuple(plus[1].split()) if plus else _names_of_numbered(lines)
    is_comment = _is_comment_of_numbered if names and "ID" in names else _comments_of_words(lines)
    word, tag = _places(path, columns, names, _width(lines))
    tokens = []
    for number, line in [*lines, (None, "")]:
        cells = split_cells(line)
        if not line.strip() or _begins_document(line):
            if tokens:
                yield tokens
            tokens = []
        elif not is_comment(line, cells, not tokens):
            tokens.extend(_token(path, number, line, cells, names, word, tag))


def split_cells(line):
    """The cells of a line: between tabs where it has one, else between blanks; a no-break space is part of a word."""
    return line.split("\t") if "\t" in line else re.split(" +", line.strip(" "))


def _begins_document(line):
    return bool(_DOCUMENT.match(line))  # "-DOCSTART- (1)", too


def _names_of_numbered(lines):
    """The names of the columns of a file whose lines begin with the token's number in its sentence; else None.

    It is one when most of its sentences count 1, 2, ..., or when its lines have CoNLL-U's ten columns.
    """
    sentences, width = [[]], 0
    for _, line in lines:
        cells = split_cells(line)
        if not line.strip():
            sentences.append([])
        elif not line.startswith("#") and not _begins_document(line):
            width = width or len(cells)
            sentences[-1].append(cells[0])
    sentences = [ids for ids in sentences if ids]
    counted = sum(_counts_up(ids) for ids in sentences)
    is_conllu = width == len(_CONLLU) and sum(bool(_ID.fullmatch(ids[0])) for ids in sentences) * 2 > len(sentences)
    if not is_conllu and (width < len(_SHORT) or counted * 2 <= len(sentences)):
        return None
    return _CONLLU if is_conllu else _SHORT if width == len(_SHORT) else ("ID",)


def _counts_up(ids):
    """Whether the whole numbers among some tokens' are 1, 2, ..., as often as it begins again."""
    before = 0
    for number in ids:
        if not _ID.fullmatch(number):
            return False
        if number.isdigit():
            if int(number) not in (1, before + 1):
                return False
            before = int(number)
    return before > 0


def _width(lines):
    """The columns of the first line that is no comment for sure."""
    sure = (split_cells(line) for _, line in lines if line.strip() and not line.startswith("#"))
    return len(next(sure, ()))


def _is_comment_of_numbered(line, cells, is_first):
    return line.startswith("#")


def _comments_of_words(lines):
    """A function of (line, its cells, whether it is before the sentence's first token): whether it is a comment."""
    tokens = list(_certain_tokens(lines))
    width, tags = (len(tokens[0]) if tokens else 0), {cells[-1] for cells in tokens}

    def is_comment(line, cells, is_first):
        if not line.startswith("#"):
            return False
        if "\t" in line:
            # A word of a table has no blank; a comment may hold a tab.
            return is_first and (" " in cells[0] or width not in (0, len(cells)))
        if _KEY_AND_VALUE.match(line) and len(cells) != width or len(cells) == 1:
            return is_first or line == "#"
        is_wide = len(cells) == (width or 2)
        is_tag = cells[-1] in tags or not tags or line[1] != " " and bool(_TAG.fullmatch(cells[-1]))
        return not (is_wide and is_tag) if is_first else line.startswith("# ") and not is_wide

    return is_comment


def _certain_tokens(lines):
    """The cells of lines that are no comments for sure; behind a sentence's first token #tags are such, too."""
    width = 0
    for _, line in lines:
        cells = split_cells(line)
        if not line.strip() or _begins_document(line):
            width = 0
        elif not line.startswith("#") or len(cells) == width and not line.startswith("# "):
            width = len(cells)
            yield cells


def _places(path, columns, names, width):
    """(column of the word, of the tag) as indexes; without names and flags the first and the last one."""
    places = []
    for given, usual, parameter_name, default in ((columns.text, "FORM", "text_column", 0),
                                                  (columns.label, "UPOS", "label_column", -1)):
        count = len(names) if names and len(names) > 1 else width
        if given and names and given.upper() in map(str.upper, names):
            places.append([name.upper() for name in names].index(given.upper()))
        elif given and given.isascii() and given.isdigit() and 1 <= int(given) <= count:
            places.append(int(given) - 1)
        elif given:
            raise InputError("no such column", f"{path} has {', '.join(names) if names else f'{count} columns'}",
                             name=parameter_name, value=given)
        elif names and usual in names:
            places.append(names.index(usual))
        elif names:
            raise InputError(f"which of its columns ({', '.join(names) if len(names) > 1 else f'{count} columns'}) "
                             f"is {usual} is not known", f"name it with {parameter(parameter_name)}", value=path)
        else:
            places.append(default)
    return places


def _token(path, number, line, cells, names, word, tag):
    """[(line number, word, tag)] of one line; [] for CoNLL-U's ranges and empty nodes."""
    if names and len(names) > 1 and len(cells) != len(names):
        raise row_error(path, number, f"{len(cells)} columns where {len(names)} are wanted ({' '.join(names)})")
    if names and "ID" in names and not _ID.fullmatch(cells[names.index("ID")]):
        raise row_error(path, number, f"{line[:40]!r} has no number of the token where the others have it")
    if names and "ID" in names and not cells[names.index("ID")].isdigit():
        return []
    if len(cells) < 2:
        raise row_error(path, number, f"{line[:40]!r} has one column; write token<TAB>tag")
    if max(word, tag) >= len(cells):
        raise row_error(path, number, f"{len(cells)} columns where {max(word, tag) + 1} are wanted")
    return [(number, cells[word], cells[tag])]

"""Files of labelled data as rows of cells: TSV, CSV, JSON lines and Parquet.

    .tsv                    cells between tabs; quotes belong to the text, unless all of the file are those of cells
                            that are quoted as CSV quotes ("..." with inner quotes doubled)
    .csv                    RFC 4180; commas separate cells, or semicolons or tabs if the first line has those
    .jsonl, .ndjson, .json  an object on each line, or one list of objects; its keys are the names of the columns
    .parquet                the columns of the file, with pyarrow

Text files are UTF-8, or UTF-16 and UTF-32 with a byte order mark.
"""

import csv
import dataclasses
import io
import json
import os
import re

from albert_hvd.data.text.content import marked_encoding
from albert_hvd.errors import InputError
from albert_hvd.runtime.files import check_readable

# A cell of a quoted TSV: a quoted one, or one without any quote; then what ends it.
_TSV_CELL = re.compile(r'(?:"((?:[^"]|"")*)"|[^"\t\n]*)(\t|\r?\n|\Z)')
_LIST_OF_OBJECTS = re.compile(r"\s*\[\s*\{")
_LONGEST_CELL = 1 << 30


@dataclasses.dataclass(frozen=True)
class Row:
    """One row: the `line` it begins at, counted from 1, and its `cells`; None where there is no value."""

    line: int
    cells: list


@dataclasses.dataclass(frozen=True)
class Table:
    """The rows of a file.

    Attributes:
      path: of the file.
      names: of the columns, a tuple of str; None for TSV and CSV, whose first row may hold them.
      rows: list of `Row`. Those of TSV and CSV have as many cells as their lines.
      is_open: whether a text in the last column may hold what separates cells, as an unquoted TSV's may hold tabs.
    """

    path: str
    names: tuple
    rows: list
    is_open: bool = False


def read_table(path, option, what):
    """The `Table` of a file, whose ending says what it is.

    Args:
      path: of the file.
      option: what it is given with, for messages.
      what: what it should hold, for messages.

    Raises:
      InputError: no such file, another ending, or a file that is damaged; names the line where there is one.
    """
    extension = check_file(path, option, READERS, what)
    return READERS[extension](path, option)


def check_file(path, option, endings, what):
    """The ending of a file that can be read, one of `endings`; InputError naming `option`."""
    extension = os.path.splitext(path)[1].lower()
    if extension not in endings:
        raise InputError(f"files of {what} end in {', '.join(endings)}", "convert or rename it", name=option,
                         value=path)
    if not os.path.isfile(path):
        raise InputError("no such file", f"give one with {what}", name=option, value=path)
    check_readable(path, option)
    return extension


def read_content(path, option):
    """The text of a file, without byte order marks; InputError naming its line when it is no text."""
    with open(path, "rb") as file:
        content = file.read()
    encoding, mark_bytes = marked_encoding(content)
    try:
        text = content[mark_bytes:].decode(encoding or "utf-8")
        zero = text.find("\0")
        line = text.count("\n", 0, zero) + 1
    except UnicodeDecodeError as error:
        zero, line = 0, content.count(b"\n", 0, mark_bytes + error.start) + 1
    if zero >= 0:
        named = "-".join((encoding or "utf-8").upper().split("-")[:2])  # without the order of its bytes
        raise InputError(f"{path}:{line}: not {named}", "convert the file first", name=option, value=path)
    return text.replace("\ufeff", "")  # files with a mark each, one behind the other, have some within, too


def lines_of(text):
    """(number, line without its end) of a text; blank lines at the end are left out."""
    # Not splitlines(): a text may hold U+2028 and its like.
    lines = text.rstrip("\r\n").split("\n")
    return [(number, line.removesuffix("\r")) for number, line in enumerate(lines, 1)] if text.strip() else []


def row_error(path, line, problem):
    """`InputError` about a line of a file."""
    return InputError(f"{path}:{line}: {problem}")


def _read_tsv(path, option):
    text = read_content(path, option)
    if '"' in text and _is_quoted(text):
        return Table(path, None, [Row(line, cells or [""]) for line, cells in _quoted_rows(path, text, "\t")])
    return Table(path, None, [Row(number, line.split("\t")) for number, line in lines_of(text)], is_open=True)


def _is_quoted(text):
    """Whether each quote of a TSV is part of a quoted cell; one of several lines has no tab, or it would be rows."""
    place = 0
    while place < len(text):
        cell = _TSV_CELL.match(text, place)
        if cell is None or cell[1] and "\n" in cell[1] and "\t" in cell[1]:
            return False
        place = cell.end()
    return True


def _read_csv(path, option):
    text = read_content(path, option)
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(",;\t", key=lambda sign: (first.count(sign) > 0, sign == ",", first.count(sign)))
    return Table(path, None, [Row(line, cells) for line, cells in _quoted_rows(path, text, delimiter) if cells])


def _quoted_rows(path, text, delimiter):
    """(line, cells) of a text with quoted cells; of a blank line, no cells."""
    csv.field_size_limit(_LONGEST_CELL)
    text = text.rstrip("\r\n")
    if "\n" not in text:
        text = text.replace("\r", "\n")  # as old Macs wrote
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    begin = 1
    try:
        for cells in reader:
            yield begin, cells
            begin = reader.line_num + 1
    except csv.Error as error:
        raise row_error(path, begin, f"not a row of cells ({error}); close its quotes, and double those within a "
                                     "quoted cell") from None


def _read_json(path, option):
    text = read_content(path, option)
    objects = list(_listed_objects(path, text) if _LIST_OF_OBJECTS.match(text) else json_objects(path, lines_of(text)))
    names = tuple(dict.fromkeys(name for _, values in objects for name in values))
    return Table(path, names, [Row(number, [values.get(name) for name in names]) for number, values in objects])


def _listed_objects(path, text):
    """(number, object) of a JSON list; a number is an item's, counted from 1."""
    try:
        items = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise row_error(path, getattr(error, "lineno", 1), f"not a JSON list ({error})") from None
    for number, values in enumerate(items, 1):
        yield number, _checked_object(path, number, values, text)


def json_objects(path, lines):
    """(number, object) of lines of JSON; InputError naming the line that is none."""
    for number, line in lines:
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise row_error(path, number, f"not a JSON object ({error}); write one on each line") from None
        yield number, _checked_object(path, number, values, line)


def _checked_object(path, number, values, source):
    if not isinstance(values, dict):
        raise row_error(path, number, f"a JSON object is wanted, found {type(values).__name__}")
    if "\\u" in source and not _is_text(values):
        raise row_error(path, number, "it has half of a surrogate pair, such as \\ud83d; write the whole character")
    return values


def _is_text(values):
    """Whether all strings of a JSON value have a UTF-8 form."""
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_parquet(path, option):
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError("Parquet files are read with pyarrow, which is not installed",
                         "pip install 'albert_hvd[parquet]', or convert the file to .jsonl", name=option,
                         value=path) from None
    try:
        table = parquet.read_table(path)
        columns = [column.to_pylist() for column in table.columns]
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(f"not a readable Parquet file ({error})", "write it again", name=option,
                         value=path) from None
    rows = zip(*columns, strict=True)
    return Table(path, tuple(table.column_names), [Row(number, list(cells)) for number, cells in enumerate(rows, 1)])


READERS = {".tsv": _read_tsv, ".csv": _read_csv, ".jsonl": _read_json, ".ndjson": _read_json, ".json": _read_json,
           ".parquet": _read_parquet}

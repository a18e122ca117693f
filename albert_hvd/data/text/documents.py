"""Raw documents out of text, JSON, tables, subtitles and WikiExtractor's output, compressed or in archives.

What a file is, is seen by its content; its ending decides only whether it is a table. Memory is bounded.
"""

import csv
import os
import re

from albert_hvd.data.text import content, json_documents, parquet, streams, subtitles
from albert_hvd.data.text.json_documents import MAX_VALUE_CHARACTERS, READ_CHARACTERS, as_document
from albert_hvd.errors import InputError
from albert_hvd.runtime.files import check_readable, expand_input_files, split_patterns, walk_once

COMPRESSED = (".gz", ".xz", ".bz2", ".zst")
FORMATS = (".txt", ".json", ".jsonl", ".csv", ".tsv")
# What is taken out of a folder: these, and names without an ending (wiki_00).
FOLDER_FORMATS = (*FORMATS, ".text", ".ndjson", ".nested", ".srt", ".vtt", ".ttml", ".dfxp", ".parquet", ".zip", ".tar",
                  ".tgz", ".tbz2", ".txz")
# A text file without blank lines is one document; beyond this size it is cut into several.
MAX_DOCUMENT_CHARACTERS = 1 << 20
_ARTICLE = re.compile(r"\s*<doc\s[^<>\n]*(?:id|title)=[^<>\n]*>\s*$")


def expand_with_folders(pattern, left_out=None):
    """Like `expand_input_files`; a folder stands for the files of known formats in it and below it, sorted.

    Links to folders are followed, once each. `left_out`: a list that gets the paths of the other files.
    """
    paths = []
    for part in split_patterns(pattern):
        if not os.path.isdir(part):
            paths += expand_input_files(part, pipes=True)
            continue
        files = sorted(os.path.join(folder, name) for folder, names in walk_once(part) for name in names
                       if not streams.is_hidden(name))
        found = [path for path in files if _is_taken(os.path.basename(path))]
        if left_out is not None:
            left_out += [path for path in files if path not in set(found)]
        if not found:
            raise InputError(f"no file in this folder ends in {', '.join(FOLDER_FORMATS)} (or one of these and "
                             f"{', '.join(COMPRESSED)})", name="input_file", value=part)
        for path in found:
            check_readable(path, "input_file")
        paths += found
    return paths or expand_input_files(pattern)


def _is_taken(name):
    ending = streams.ending(name)
    return ending in FOLDER_FORMATS or not ending or ending[1:].isdigit()


def read_documents(path, text_field="text", encoding="utf-8", bad_lines=None, span=None):
    """Yield the documents of a file: lists of raw lines (str), none of them empty.

    A text file has blank lines between documents. In JSON (one array, one object, or a value a line), Parquet and
    CSV a document is what `text_field` names: a key or column, `a.b` for a key inside another, or a comma list of
    these, of which the first that is there is taken; in JSON strings stand for themselves, and a list of strings is
    the document's lines. A file of subtitles is a document, and an article of WikiExtractor's output.

    Args:
      encoding: of files without a byte order mark.
      bad_lines: a Counter that counts the lines of JSON Lines that are no JSON; None: such a line is an error.
      span: (start, end), the bytes to read of a plain text file in UTF-8; None: all.
    Raises: InputError for a damaged file, for one that is no text, or when nothing has `text_field`.
    """
    for source in streams.open_sources(path):
        with streams.damage(source.name):
            if span:
                streams.text_of(source, encoding)  # refuses what is no text
                yield from _read_text(streams.text_between(path, *span), False)
                continue
            yield from _documents(source, text_field, encoding, bad_lines)


def _documents(source, text_field, encoding, bad_lines):
    fields = [field.strip() for field in text_field.split(",") if field.strip()]
    fields = [text_field, *fields] if fields != [text_field] else fields  # a key may have a comma in it
    if content.archive(source.head) == "parquet":
        yield from parquet.read(source, fields)
        return
    file, head = streams.text_of(source, encoding)
    kind = kind_of_text(head, source.ending)
    if kind == "JSON":
        yield from json_documents.read(file, source, head, fields, bad_lines)
    elif kind == "a table":
        yield from _read_table(file, source, head, fields)
    elif kind == "subtitles":
        yield from subtitles.read(file, head)
    else:
        yield from _read_text(file, kind == "WikiExtractor's output")


def kind_of_text(head, ending):
    """"JSON", "a table", "subtitles", "WikiExtractor's output", or "text"; by the first characters and the ending."""
    if ending in json_documents.ENDINGS or json_documents.is_json(head):
        return "JSON"
    if subtitles.is_subtitles(head):
        return "subtitles"
    if _ARTICLE.match(head.lstrip().partition("\n")[0]):
        return "WikiExtractor's output"
    return "a table" if ending in (".csv", ".tsv") else "text"


def _lines(file):
    """The lines of a text stream without white space at their ends; of an endless one parts, cut at a space."""
    rest = ""
    while line := rest + file.readline(READ_CHARACTERS):
        rest = ""
        if len(line) >= READ_CHARACTERS and not line.endswith(("\n", "\r")):  # a part of a line: cut it at a space
            head, _, tail = line.rpartition(" ")
            line, rest = (head + " ", tail) if head.strip() else (line, "")
        yield (line.replace("\ufeff", "") if "\ufeff" in line else line).strip()


def _read_text(file, articles):
    """Documents between blank lines, or with `articles` between the lines <doc ...> and </doc>."""
    lines, size = [], 0
    for line in _lines(file):
        ends = not line
        if articles:
            ends = line == "</doc>" or bool(line.startswith("<doc ") and _ARTICLE.match(line))
            line = "" if ends else line
        if line:
            lines.append(line)
            size += len(line)
        if lines and (ends or size >= MAX_DOCUMENT_CHARACTERS):
            yield lines
            lines, size = [], 0
    if lines:
        yield lines


def _read_table(file, source, head, fields):
    csv.field_size_limit(MAX_VALUE_CHARACTERS)
    cleaned = _table_lines(file, source.name)
    if source.ending == ".tsv":
        rows = csv.DictReader(cleaned, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        rows = csv.DictReader(cleaned, delimiter=_delimiter(head, fields))
    try:
        columns = rows.fieldnames or []
        there = [field for field in fields if field in columns]
        if columns and not there:
            raise InputError(f"{source.name} has no such column", f"its columns are {', '.join(columns)[:200]}",
                             name="text_field", value=fields[0])
        for row in rows:
            yield from as_document(next(filter(None, map(row.get, there)), None))
    except csv.Error as error:
        raise InputError(f"line {rows.line_num}: not a table ({error})", name="input_file", value=source.name) from None


def _delimiter(head, fields):
    """What separates the columns: the comma, unless the column is there with a semicolon or a tab."""
    first = head.lstrip("\r\n").splitlines()[:1]
    return next((sign for sign in ",;\t" if any(
        field in columns for columns in csv.reader(first, delimiter=sign) for field in fields)), ",")


def _table_lines(file, path):
    while line := file.readline(MAX_VALUE_CHARACTERS):
        if len(line) == MAX_VALUE_CHARACTERS:
            raise InputError(f"a line of {len(line)} or more characters", "fix the file", name="input_file", value=path)
        yield line.replace("\0", " ")

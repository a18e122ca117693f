"""Raw documents out of text, JSON, JSON Lines, CSV and TSV files, compressed or not, in bounded memory."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import zlib

from albert_hvd.errors import InputError
from albert_hvd.runtime.files import expand_input_files

COMPRESSED = (".gz", ".xz", ".bz2", ".zst")
FORMATS = (".txt", ".json", ".jsonl", ".csv", ".tsv")
READ_CHARACTERS = 1 << 20
# A text file without blank lines is one document; beyond this size it is cut into several.
MAX_DOCUMENT_CHARACTERS = 1 << 20
# What must be in memory as a whole, which a small compressed file can hold far too much of.
MAX_VALUE_CHARACTERS = 1 << 28


def expand_with_folders(pattern):
    """Like `expand_input_files`; a folder stands for all files of known formats in it, sorted."""
    paths = []
    for part in filter(None, (part.strip() for part in (pattern or "").split(","))):
        if not os.path.isdir(part):
            paths += expand_input_files(part)
            continue
        found = sorted(os.path.join(folder, name) for folder, _, names in os.walk(part) for name in names
                       if _format(name) and not name.startswith("."))
        if not found:
            raise InputError(f"no file in this folder ends in {', '.join(FORMATS)} (or one of these and "
                             f"{', '.join(COMPRESSED)})", name="input_file", value=part)
        paths += found
    return paths or expand_input_files(pattern)


def _format(path):
    """The format by the name's ending, compression left out; None when unknown."""
    stem, ending = os.path.splitext(path.lower())
    ending = os.path.splitext(stem)[1] if ending in COMPRESSED else ending
    return ending if ending in FORMATS else None


def read_documents(path, text_field="text", encoding="utf-8"):
    """Yield the documents of a file: lists of raw lines (str), none of them empty.

    A text file has blank lines between documents. In JSON (one array, one object, or a value a line)
    and in CSV a document is what `text_field` names: a key or column, `a.b` for a key inside another; in
    JSON strings stand for themselves, and a list of strings is the document's lines.
    Raises: InputError for a damaged file, or when nothing has `text_field`.
    """
    readers = {".json": _read_json, ".jsonl": _read_json, ".csv": _read_table, ".tsv": _read_table}
    with _open(path, encoding) as file:
        try:
            yield from readers.get(_format(path), _read_text)(file, path, text_field)
        except (EOFError, lzma.LZMAError, zlib.error, OSError, UnicodeError,
                *_zstandard_errors(path)) as error:
            raise InputError(f"damaged or not of the format that its name says ({error})", name="input_file",
                             value=path) from None


def _open(path, encoding):
    """A text stream; invalid bytes become U+FFFD and a byte order mark is left out."""
    ending = os.path.splitext(path.lower())[1]
    if ending == ".zst":
        try:
            import zstandard
        except ImportError:
            raise InputError("reading .zst needs the package zstandard",
                             "install it or decompress the file", name="input_file", value=path) from None
        binary = zstandard.ZstdDecompressor().stream_reader(open(path, "rb"), closefd=True)
    else:
        opener = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}.get(ending, open)
        binary = opener(path, "rb")
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        encoding = "utf-8-sig"
    try:
        "".encode(encoding)  # some that Python knows raise only when they are used
        return io.TextIOWrapper(binary, encoding=encoding, errors="replace", newline="")
    except (LookupError, ValueError):
        raise InputError("unknown encoding", "try utf-8 or cp1252", name="encoding", value=encoding) from None


def _zstandard_errors(path):
    """The package's own exception, where it was needed to open the file."""
    if not path.lower().endswith(".zst"):
        return ()
    import zstandard

    return (zstandard.ZstdError,)


def _read_text(file, path, text_field):
    lines, size, rest = [], 0, ""
    while line := rest + file.readline(READ_CHARACTERS):
        rest = ""
        if len(line) >= READ_CHARACTERS and not line.endswith(("\n", "\r")):  # a part of a line: cut it at a space
            head, _, tail = line.rpartition(" ")
            line, rest = (head + " ", tail) if head.strip() else (line, "")
        line = line.strip()
        if line:
            lines.append(line)
            size += len(line)
        if lines and (not line or size >= MAX_DOCUMENT_CHARACTERS):
            yield lines
            lines, size = [], 0
    if lines:
        yield lines


def _read_table(file, path, text_field):
    csv.field_size_limit(MAX_VALUE_CHARACTERS)
    cleaned = _table_lines(file, path)
    if _format(path) == ".tsv":
        rows = csv.DictReader(cleaned, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        rows = csv.DictReader(cleaned)
    try:
        if rows.fieldnames is not None and text_field not in rows.fieldnames:
            raise InputError(f"{path} has no such column", f"its columns are {', '.join(rows.fieldnames)[:200]}",
                             name="text_field", value=text_field)
        for row in rows:
            yield from _as_document(row[text_field])
    except csv.Error as error:
        raise InputError(f"line {rows.line_num}: not a table ({error})", name="input_file", value=path) from None


def _table_lines(file, path):
    while line := file.readline(MAX_VALUE_CHARACTERS):
        if len(line) == MAX_VALUE_CHARACTERS:
            raise InputError(f"a line of {len(line)} or more characters", "fix the file", name="input_file", value=path)
        yield line.replace("\0", " ")


def _read_json(file, path, text_field):
    keys, found = set(), False
    for value, alone in _json_values(file, path):
        text = value
        if isinstance(value, dict):
            keys.update(value)
            for key in text_field.split("."):
                text = text.get(key) if isinstance(text, dict) else None
        found = found or text is not None
        # {"text": ["...", "..."]}: one object of columns holds many documents.
        many = isinstance(value, dict) and isinstance(text, list) and alone
        for item in text if many else [text]:
            yield from _as_document(item)
    if keys and not found:
        raise InputError(f"nothing in {path} has it", f"its keys are {', '.join(sorted(keys))[:200]}",
                         name="text_field", value=text_field)


def _as_document(value):
    """The document of a JSON value or table cell, in a list; an empty list when it has no text."""
    parts = value if isinstance(value, list) else [value]
    lines = [line.strip() for part in parts if isinstance(part, str) for line in part.split("\n")]
    lines = [line for line in lines if line]
    return [lines] if lines else []


def _json_values(file, path):
    """Yield the elements of one top-level array, or the top-level values one after the other.

    With each comes whether it stands alone: a top-level value of a .json file, not in an array.
    """
    # In JSON Lines a list is a document, not the list of all documents.
    outside = False if _format(path) == ".jsonl" else None
    decoder, buffer, place, ended, in_array = json.JSONDecoder(), "", 0, False, outside
    while True:
        while place < len(buffer) and (buffer[place].isspace() or buffer[place] == "," and in_array):
            place += 1
        if place < len(buffer) and in_array is None:
            in_array = buffer[place] == "["
            place += in_array
            continue
        if in_array and buffer[place:place + 1] == "]":
            in_array, place = outside, place + 1
            continue
        try:
            value, end = decoder.raw_decode(buffer, place) if place < len(buffer) else (None, None)
        except (ValueError, RecursionError) as error:
            # Only what is cut off can become valid; a number of thousands of digits, or hundreds of brackets, cannot.
            if ended or not isinstance(error, json.JSONDecodeError):
                raise InputError(f"not valid JSON near {buffer[place:place + 40]!r} "
                                 f"({getattr(error, 'msg', error)})",
                                 "fix the file", name="input_file", value=path) from None
            end = None
        # A number at the end of the buffer may go on in the next part of the file.
        if end is not None and (end < len(buffer) or ended):
            place = end
            yield value, outside is None and not in_array
            continue
        if ended:
            if in_array:
                raise InputError("the JSON array is cut short", "fix the file", name="input_file", value=path)
            return
        if len(buffer) - place > MAX_VALUE_CHARACTERS:
            raise InputError(f"a JSON value of more than {MAX_VALUE_CHARACTERS} characters",
                             "make JSON Lines of it, one value a line", name="input_file", value=path)
        # Read twice as much after each miss, so that one huge value is not parsed over and over.
        more = file.read(max(READ_CHARACTERS, len(buffer) - place))
        buffer, place, ended = buffer[place:] + more, 0, not more

"""Documents out of JSON: one value, an array, or a value a line; texts found by the keys of nested objects."""

import json
import re

from albert_hvd.errors import InputError, parameter

READ_CHARACTERS = 1 << 20
# What must be in memory as a whole, which a small compressed file can hold far too much of.
MAX_VALUE_CHARACTERS = 1 << 28

ENDINGS = (".json", ".jsonl", ".ndjson", ".nested")
_LINES = (".jsonl", ".ndjson")
_STRING = r'"(?:[^"\\\n]|\\.)*"'
# An object with a key, or an array of objects, strings or arrays; "[Gambar] ..." is none.
_BEGINNING = re.compile(rf'\s*(?:\{{\s*(?:{_STRING}\s*:|\}})|\[\s*(?:\{{\s*["}}]|\[\s*["\[{{]|{_STRING}\s*[,\]]))')
# What Twitter writes before the array in the files of an archive.
_ASSIGNMENT = re.compile(r"\s*(?:window|var|const|let)\b[\w.\s]{1,80}=\s*(?=[\[{])")
_MOST_KEYS = 12


def is_json(head):
    """Whether text that begins so is JSON: by its first value, which may be cut, as `head` or as a line of many."""
    assignment = _ASSIGNMENT.match(head)
    start = assignment.end() if assignment else 0
    if not _BEGINNING.match(head, start):
        return False
    return head[start:].lstrip()[0] == "{" or _first_value(head, start)[0] != "invalid"


def read(file, source, head, fields, bad_lines=None):
    """Yield the documents, lists of lines, of a JSON text stream whose first characters are `head`.

    A document is what the first of `fields` that a value has names: see `texts`. Strings stand for themselves, and a
    list of strings is the lines of a document.

    Args:
      source: a `streams.Source`.
      bad_lines: a Counter that counts lines that are no JSON, in a file of a value a line; None: they are errors.
    Raises: InputError for what is no JSON, or when nothing has any of the fields.
    """
    assignment = _ASSIGNMENT.match(head)
    file.read(assignment.end() if assignment else 0)
    lines = _is_lines(head, source.ending)
    values = _values_of_lines(file, source.name, bad_lines) if lines else _values(file, source)
    keys, found = {}, False
    for value, alone in values:
        if isinstance(value, dict) and len(keys) < _MOST_KEYS:
            keys.update(dict.fromkeys(_paths(value)))
        documents = texts(value, fields, alone)
        for document in documents or ():
            yield from as_document(document)
        found = found or documents is not None
    if keys and not found:
        raise InputError(f"nothing in {source.name} has it", f"its keys are {', '.join(sorted(keys))[:200]}",
                         name="text_field", value=fields[0])


def texts(value, fields, alone=False):
    """The texts of a JSON value, each a str or a list of lines; None when it is an object without any of the fields.

    A field is a key, or `a.b` for a key inside another. A list on the way stands for each of its elements:
    `data.text` of {"data": [{"text": ...}, {"text": ...}]} are two texts. The first field with a text is taken, in
    such a list for each element.

    Args:
      alone: the value is all of the file: {"text": ["...", "..."]} is a column of many texts.
    """
    if isinstance(value, dict):
        found = _first(value, fields)
        is_column = alone and found is not None and len(found) == 1 and isinstance(found[0], list)
        return found[0] if is_column else found
    if not isinstance(value, list) or any(isinstance(one, str) for one in value) or not any(
            isinstance(one, (dict, list)) for one in value):
        return [value]
    found = [texts(one, fields) for one in value if isinstance(one, (dict, list))]
    found = [part for part in found if part is not None]
    return [text for part in found for text in part] if found else None


def _first(value, fields):
    """The values of the first of some fields that has a text in an object, else of the first that is there; or None."""
    there = (found for found in (_at(value, field, fields) for field in fields) if found is not None)
    empty = None
    for found in there:
        if any(map(as_document, found)):
            return found
        empty = found if empty is None else empty
    return empty


def _at(value, field, fields):
    """The values that a field names in an object, a list of them for each list on the way; None without.

    Behind a list, an element that lacks the field gives what the others of `fields` that lead there name.
    """
    found = value.get(field)
    if found is not None:
        if not _holds_objects(found):
            return [found]
        # Telegram cuts a text where its type changes: ["Lihat ", {"type": "bold", "text": "ini"}, "!"].
        parts = [part.get("text") if isinstance(part, dict) else part for part in found]
        return ["".join(part for part in parts if isinstance(part, str))] if any(
            isinstance(part, str) for part in found) else None
    key, dot, rest = field.partition(".")
    while dot:
        below = value.get(key)
        rests = [other[len(key) + 1:] for other in fields if other.startswith(f"{key}.")]
        if isinstance(below, dict):
            return _at(below, rest, rests)
        if _holds_objects(below):
            found = [_first(one, rests) for one in below if isinstance(one, dict)]
            found = [text for part in found if part is not None for text in part]
            return found or None
        more, dot, rest = rest.partition(".")
        key = f"{key}.{more}"
    return None


def _holds_objects(value):
    return isinstance(value, list) and any(isinstance(one, dict) for one in value)


def _paths(value, before=""):
    """The fields that a user could name: a.b for nested keys, three deep."""
    for key, below in value.items():
        path = f"{before}{key}"
        one = next((one for one in below if isinstance(one, dict)), None) if isinstance(below, list) else below
        if isinstance(one, dict) and one and path.count(".") < 2:
            yield from _paths(one, f"{path}.")
        else:
            yield path


def as_document(value):
    """The document of a JSON value or table cell, in a list; an empty list when it has no text."""
    parts = value if isinstance(value, list) else [value]
    lines = [line.strip() for part in parts if isinstance(part, str)
             for line in part.replace("\ufeff", "").split("\n")]
    lines = [line for line in lines if line]
    return [lines] if lines else []


def _first_value(head, start=0):
    """(state, end) of the first value: "complete", "cut" at the end of `head`, or "invalid"; its end when complete."""
    text = head[start:].lstrip()
    try:
        return "complete", len(head) - len(text) + json.JSONDecoder().raw_decode(text)[1]
    except json.JSONDecodeError as error:
        at_end = error.msg.startswith("Unterminated string") or error.pos >= len(text.rstrip())
        return "cut" if at_end else "invalid", None
    except (ValueError, RecursionError):
        return "invalid", None


def _is_lines(head, ending):
    """Whether each line is a value of its own; in the other case a value may take many lines."""
    begin = len(head) - len(head.lstrip())
    state, end = _first_value(head)
    if state == "complete":
        rest, _, below = head[end:].partition("\n")
        may_be = ending in _LINES or below.lstrip()[:1] == head[begin] and (head[begin] == "{" or ending != ".json")
        return may_be and "\n" not in head[begin:end] and not rest.strip()
    _, _, below = head[begin:].partition("\n")
    if state == "cut":
        return ending in _LINES and not below  # by the end of `head`, within the first line
    # The first line is cut, if others are whole.
    return head.startswith("{", begin) and any(line.startswith("{") and _first_value(line)[0] == "complete"
                                               for line in below.split("\n"))


def _values_of_lines(file, name, bad_lines):
    decoder, number = json.JSONDecoder(), 0
    while line := file.readline(MAX_VALUE_CHARACTERS):
        number += 1
        if len(line) == MAX_VALUE_CHARACTERS:
            raise InputError(f"line {number}: of {len(line)} or more characters", "fix the file", name="input_file",
                             value=name)
        line, place, values = line.strip("\ufeff \t\r\n"), 0, []
        try:
            while place < len(line):
                value, place = decoder.raw_decode(line, place)
                values.append((value, False))
                while place < len(line) and line[place].isspace():
                    place += 1
        except (ValueError, RecursionError) as error:
            if bad_lines is None:
                place = getattr(error, "pos", place)
                raise InputError(f"line {number}: not valid JSON near {line[place:place + 40]!r} "
                                 f"({getattr(error, 'msg', error)})",
                                 f"fix it or leave such lines out with {parameter('skip_bad_lines')}",
                                 name="input_file", value=name) from None
            bad_lines["bad_lines"] += 1
            continue
        yield from values


def _values(file, source):
    """Yield the elements of one top-level array, or the top-level values one after the other.

    With each comes whether it stands alone: a top-level value that is no line and in no array.
    """
    # In JSON Lines a list is a document, not the list of all documents.
    outside = False if source.ending in _LINES else None
    decoder, buffer, place, ended, in_array, line = json.JSONDecoder(), "", 0, False, outside, 1
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
                line += buffer.count("\n", 0, place)
                raise InputError(f"line {line}: not valid JSON near {buffer[place:place + 40]!r} "
                                 f"({getattr(error, 'msg', error)})",
                                 "fix the file", name="input_file", value=source.name) from None
            end = None
        # A number at the end of the buffer may go on in the next part of the file.
        if end is not None and (end < len(buffer) or ended):
            place = end
            yield value, outside is None and not in_array
            continue
        if ended:
            if in_array:
                raise InputError("the JSON array is cut short", "fix the file", name="input_file", value=source.name)
            return
        if len(buffer) - place > MAX_VALUE_CHARACTERS:
            raise InputError(f"a JSON value of more than {MAX_VALUE_CHARACTERS} characters",
                             "make JSON Lines of it, one value a line", name="input_file", value=source.name)
        # Read twice as much after each miss, so that one huge value is not parsed over and over.
        more = file.read(max(READ_CHARACTERS, len(buffer) - place))
        line += buffer.count("\n", 0, place)
        buffer, place, ended = buffer[place:] + more, 0, not more

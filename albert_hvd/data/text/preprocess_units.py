"""Units: what bin/preprocess reads and cleans at a time, and how the clean text lies on disk until it is written.

A unit is some files, or a part of a large one. It becomes three files: the text of its clean documents, each with a
blank line after it; an entry for each of them (`ENTRY_DTYPE`); and the signatures of those that have one, uint16 (64,).
"""

import codecs
import collections
import os
import re
from typing import NamedTuple

import numpy as np

from albert_hvd.data.text import content, streams
from albert_hvd.data.text.documents import kind_of_text
from albert_hvd.data.text.duplicates import NUM_PERMUTATIONS
from albert_hvd.runtime.files import is_pipe, load_note, save_note, whole_file

UNIT_BYTES = 32 << 20
LEAST_UNIT_BYTES = 1 << 20
FEWEST_UNITS = 64  # of a corpus that is large enough
READ_BYTES = 1 << 20
_BLANK_LINE = re.compile(rb"\n[ \t\r\f\v]*\n")
_LONGEST_BLANK = 4096  # bytes that are looked at again in the next window

ENTRY_DTYPE = np.dtype([("key", "<u8", 2), ("num_bytes", "<i8"), ("num_sentences", "<i4"), ("has_signature", "?")],
                       align=True)


class Part(NamedTuple):
    """A file, or with `end` its bytes [start, end), which begin and end between two documents."""

    path: str
    start: int = 0
    end: int | None = None


def size_of(part):
    """Bytes of a part; 0 of a pipe."""
    return part.end - part.start if part.end is not None else 0 if is_pipe(part.path) else os.path.getsize(part.path)


def plan_units(paths, encoding):
    """All of the files as units, lists of `Part`, in their order. It depends on the files alone."""
    enough = min(max(sum(size_of(Part(path)) for path in paths) // FEWEST_UNITS, LEAST_UNIT_BYTES), UNIT_BYTES)
    units, filled = [[]], 0
    for path in paths:
        if is_pipe(path):
            units += [[Part(path)], []]
            filled = 0
            continue
        for part in _parts(path, enough, encoding):
            units[-1].append(part)
            filled += size_of(part)
            if filled >= enough:
                units.append([])
                filled = 0
    return [unit for unit in units if unit]


def _parts(path, enough, encoding):
    size = size_of(Part(path))
    if size < 2 * enough or not _can_be_cut(path, encoding):
        return [Part(path)]
    cuts = [0]
    with open(path, "rb") as file:
        while cuts[-1] + enough < size:
            cuts.append(_after_blank_line(file, cuts[-1] + enough, size))
    cuts += [size] if cuts[-1] < size else []
    return [Part(path, start, end) for start, end in zip(cuts, cuts[1:])]


def _can_be_cut(path, encoding):
    """Whether blank lines separate the documents of a file, so that any process may begin behind one."""
    head = streams.read_head(path)
    marked, length = content.marked_encoding(head)
    if content.compression(head) or content.archive(head) or marked not in (None, "utf-8"):
        return False
    try:
        is_utf8 = codecs.lookup(encoding).name == "utf-8"
    except (LookupError, ValueError):
        return False
    return is_utf8 and kind_of_text(head[length:].decode("utf-8", "replace"), streams.ending(path)) == "text"


def _after_blank_line(file, offset, size):
    """The end of the first blank line after `offset`, or of the file."""
    while offset < size:
        file.seek(offset)
        window = file.read(READ_BYTES)
        blank = _BLANK_LINE.search(window)
        if blank:
            return offset + blank.end()
        offset += len(window) if offset + len(window) >= size else max(len(window) - _LONGEST_BLANK, 1)
    return size


def write_unit(path, cleaned_batches, counts):
    """Write a unit.

    Args:
      cleaned_batches: iterable of what `preprocess.clean_batch` returns.
      counts: Counter of what was read, to which the batches' are added.
    """
    counts.update(documents_clean=0, signatures=0)
    with whole_file(path + ".text") as text, whole_file(path + ".docs") as entries, \
            whole_file(path + ".signatures") as signatures:
        for cleaned, batch_counts in cleaned_batches:
            counts.update(batch_counts)
            rows = np.zeros(len(cleaned), ENTRY_DTYPE)
            rows["key"] = np.frombuffer(b"".join(key for _, key, _ in cleaned), "<u8").reshape(-1, 2)
            texts = ["\n".join(sentences).encode("utf-8") + b"\n\n" for sentences, _, _ in cleaned]
            text.write(b"".join(texts))
            rows["num_bytes"] = list(map(len, texts))
            rows["num_sentences"] = [len(sentences) for sentences, _, _ in cleaned]
            rows["has_signature"] = [values is not None for _, _, values in cleaned]
            signatures.write(b"".join(values.astype("<u2").tobytes() for _, _, values in cleaned if values is not None))
            entries.write(rows.tobytes())
            counts.update(documents_clean=len(rows), signatures=int(rows["has_signature"].sum()))
    save_note(path + ".json", counts)


def unit_counts(path):
    """What `write_unit` counted, a Counter; None for a unit that is not finished."""
    counts = load_note(path + ".json")
    return counts if counts is None else collections.Counter(counts)


def read_entries(path):
    """The entries of a unit, (n,) of `ENTRY_DTYPE`."""
    return np.fromfile(path + ".docs", ENTRY_DTYPE)


def read_signatures(path):
    """The signatures of a unit, uint16 (m, 64), in the order of the entries that have one."""
    return np.fromfile(path + ".signatures", "<u2").reshape(-1, NUM_PERMUTATIONS)

"""Text corpora in the form that bin/preprocess writes: a sentence per line, a blank line between documents.

A file is cut into blocks of about `BLOCK_BYTES` at document boundaries that depend on the bytes alone,
so that any process can read any block without reading what comes before it. Files of any size are
read in the memory of one block.
"""

import os
import re
from typing import NamedTuple

from albert_hvd.data.text import content, streams
from albert_hvd.data.text.documents import kind_of_text
from albert_hvd.errors import InputError

BLOCK_BYTES = 2 << 20
# A document that runs on for longer than this past its block is cut at a line, else at a space.
MAX_OVERRUN_BYTES = 1 << 20
BLANK_LINE = re.compile(rb"\n[ \t\r\f\v]*\n")
COMPRESSED = (".gz", ".xz", ".zst", ".bz2", ".zip")


class Block(NamedTuple):
    """Bytes [start, end) of `path`, before `end_of_document` moves both to document boundaries."""

    path: str
    start: int
    end: int


def plan_blocks(paths, block_bytes=BLOCK_BYTES, option="input_file"):
    """The blocks of all files, in order; InputError for what is no plain text, such as a compressed file."""
    blocks = []
    for path in paths:
        check_is_plain(path, option)
        size = os.path.getsize(path)
        blocks += [Block(path, start, min(start + block_bytes, size)) for start in range(0, size, block_bytes)]
    return blocks


def check_is_plain(path, option="input_file", called=None):
    """InputError unless the file, by its first bytes and its ending, is plain text in UTF-8.

    Args:
      called: what messages call it, where that is not its path.
    """
    head = streams.read_head(path)
    kind = _other_kind(head, path, option, called or path)
    if kind:
        raise InputError(kind, "run bin/preprocess on it first (it reads many formats and writes plain text)",
                         name=option, value=called or path)


def _other_kind(head, path, option, called):
    """What a file is that bin/preprocess can read; None for plain text. InputError for what nothing can read."""
    marked, length = content.marked_encoding(head)
    if content.compression(head) or path.endswith(COMPRESSED):
        return "compressed"
    if content.archive(head) or marked not in (None, "utf-8"):
        return f"a {content.archive(head)} file" if content.archive(head) else f"{marked} text"
    text = head[length:].decode("utf-8", "replace")
    what, fix, encoding = content.binary(head[length:]) or (None, None, None)
    if encoding:
        return what
    if what or content.marked_up(text):
        raise streams.no_text(called, *((what, fix) if what else content.marked_up(text)), option)
    kind = kind_of_text(text, streams.ending(path))
    return kind if kind != "text" else None


def read_block(block):
    """The documents whose text begins in a block: list of lists of lines; and the number of invalid bytes.

    Invalid UTF-8 becomes U+FFFD, NUL bytes become spaces; lines are stripped, empty ones separate
    documents.
    """
    with open(block.path, "rb") as file:
        start = _end_of_document(file, block.start)
        data = _read(file, start, _end_of_document(file, block.end) - start)
    text = data.decode("utf-8", errors="replace")
    num_invalid = text.count("\ufffd") - data.count(b"\xef\xbf\xbd")
    documents, lines = [], []
    # Not splitlines(): it also cuts at U+2028, form feeds and other characters inside a line.
    for line in text.replace("\0", " ").replace("\ufeff", "").replace("\r\n", "\n").split("\n"):
        line = line.strip()
        if line:
            lines.append(line)
        elif lines:
            documents.append(lines)
            lines = []
    return (documents + [lines] if lines else documents), num_invalid


def _end_of_document(file, offset):
    """The first document boundary at or after `offset`: the end of a blank line, or of the file.

    Both neighbours of a boundary call this with the same offset, so no byte is lost or read twice.
    """
    if offset == 0:
        return 0
    window = _read(file, offset, MAX_OVERRUN_BYTES)
    blank = BLANK_LINE.search(window)
    if blank:
        return offset + blank.end()
    if len(window) < MAX_OVERRUN_BYTES:
        return offset + len(window)
    for separator in (b"\n", b" "):
        if separator in window:
            return offset + window.index(separator) + 1
    # No space in a megabyte: the next character boundary (UTF-8 continuation bytes are 10xxxxxx).
    return offset + next((i for i, byte in enumerate(window[:8]) if byte & 0xC0 != 0x80), 0)


def _read(file, offset, size):
    file.seek(offset)
    return file.read(size)


def read_lines(paths, max_line_bytes=1 << 20):
    """Yield the lines of plain-text files without their ends, blank ones left out, longer ones in parts."""
    for path in paths:
        with open(path, "rb") as file:
            while line := file.readline(max_line_bytes):
                line = line.decode("utf-8", errors="replace").replace("\ufeff", "").strip()
                if line:
                    yield line

"""Text corpora in the form that bin/preprocess writes: a sentence per line, a blank line between documents.

A file is cut into blocks of about `BLOCK_BYTES` at document boundaries that depend on the bytes alone,
so that any process can read any block without reading what comes before it. Files of any size are
read in the memory of one block.
"""

import os
import re
from typing import NamedTuple

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
    """The blocks of all files, in order; InputError for a compressed file (it cannot be cut)."""
    blocks = []
    for path in paths:
        check_is_plain(path, option)
        size = os.path.getsize(path)
        blocks += [Block(path, start, min(start + block_bytes, size)) for start in range(0, size, block_bytes)]
    return blocks


def check_is_plain(path, option="input_file"):
    """InputError when the file's name says that it is compressed."""
    if path.endswith(COMPRESSED):
        raise InputError("compressed",
                         "run bin/preprocess on it first (it reads .gz, .xz, .bz2 and .zst and writes plain text)",
                         name=option, value=path)


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
    for line in text.replace("\0", " ").replace("\r\n", "\n").split("\n"):
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
                line = line.decode("utf-8", errors="replace").strip()
                if line:
                    yield line

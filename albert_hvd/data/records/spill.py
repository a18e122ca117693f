"""Runs: what stage 1 of a build leaves on disk for stage 2, instances sorted by bucket.

A run is a file of segments, each the instances of some neighbouring blocks as they fit into memory. A segment has a
table, int64 (num_buckets + 1, 2): the byte where each bucket begins, and the number of rows before it. In a bucket
stand its rows (`ROW_DTYPE`), then their tokens, both in the order of the blocks. At the end of the file stand the
segments' first bytes and their number, int64.

So a bucket is read with two reads a segment, of two rows of the table and of what lies between, and a process opens
each run once.
"""

import os

import numpy as np

from albert_hvd.errors import InputError

ROW_DTYPE = np.dtype([("first_length", "<u2"), ("second_length", "<u2"), ("label", "<u2")])
_TABLE_DTYPE = np.dtype("<i8")
_ENTRY_BYTES = 2 * _TABLE_DTYPE.itemsize


class RunWriter:
    """Writes the segments of a run to an open file; `finish` after the last."""

    def __init__(self, file):
        self._file, self._starts = file, []

    def write_segment(self, blocks):
        """Args: `blocks`, what `build_stages.sort_block` returned of each: rows, tokens, starts."""
        starts = np.stack([starts for _, _, starts in blocks])  # (blocks, num_buckets + 1, 2)
        num_rows, num_tokens = starts.sum(axis=0).T
        self._starts.append(self._file.tell())
        begin = self._starts[-1] + len(num_rows) * _ENTRY_BYTES
        offsets = begin + num_rows * ROW_DTYPE.itemsize + num_tokens * blocks[0][1].itemsize
        self._file.write(np.stack([offsets, num_rows], axis=1).astype(_TABLE_DTYPE).tobytes())
        for bucket in range(len(num_rows) - 1):
            for part in (0, 1):  # rows, tokens
                for block, (start, end) in zip(blocks, starts[:, bucket:bucket + 2, part].tolist()):
                    if start < end:
                        self._file.write(block[part][start:end])

    def finish(self):
        """Write where the segments begin."""
        self._file.write(np.array([*self._starts, len(self._starts)], _TABLE_DTYPE).tobytes())


class RunReader:
    """Reads buckets from all runs of a build; it keeps the files open until `close`."""

    def __init__(self, paths, token_dtype):
        self._token_dtype, self._files, self._segments = token_dtype, [], []
        for path in paths:
            file = os.open(path, os.O_RDONLY)
            self._files.append(file)
            size, word = os.fstat(file).st_size, _TABLE_DTYPE.itemsize
            count, = np.frombuffer(_pread(file, word, size - word), _TABLE_DTYPE).tolist()
            starts = np.frombuffer(_pread(file, word * count, size - word * (count + 1)), _TABLE_DTYPE)
            self._segments += [(file, start) for start in starts.tolist()]

    def read(self, bucket):
        """The rows (`ROW_DTYPE`) and the tokens of a bucket, in the order of the blocks."""
        spans = []
        for file, start in self._segments:
            entries = _pread(file, 2 * _ENTRY_BYTES, start + bucket * _ENTRY_BYTES)
            (begin, row), (end, row_end) = np.frombuffer(entries, _TABLE_DTYPE).reshape(2, 2).tolist()
            spans.append((file, begin, row_end - row, end - begin))
        num_rows = sum(rows for *_, rows, _ in spans)
        token_bytes = sum(size for *_, size in spans) - num_rows * ROW_DTYPE.itemsize
        # Into place: a second copy of a bucket of a large corpus would be some hundred megabytes.
        rows, tokens = np.empty(num_rows, ROW_DTYPE), np.empty(token_bytes // self._token_dtype.itemsize,
                                                               self._token_dtype)
        row_bytes, token_bytes = (memoryview(part.view(np.uint8)) for part in (rows, tokens))
        row_at = token_at = 0
        for file, begin, num_rows, size in spans:
            row_end = row_at + num_rows * ROW_DTYPE.itemsize
            token_end = token_at + size - num_rows * ROW_DTYPE.itemsize
            if os.preadv(file, [row_bytes[row_at:row_end], token_bytes[token_at:token_end]], begin) != size:
                raise _damaged()
            row_at, token_at = row_end, token_end
        return rows, tokens

    def close(self):
        """Close the files."""
        while self._files:
            os.close(self._files.pop())


def _pread(file, size, offset):
    data = os.pread(file, size, offset) if offset >= 0 else b""
    if len(data) != size:
        raise _damaged()
    return data


def _damaged():
    return InputError("a file of the unfinished build beside it is cut short", "delete the folder .NAME.building there, "
                      "then run the same command again", name="output_file")

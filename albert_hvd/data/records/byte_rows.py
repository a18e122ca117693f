"""The bytes of many records, put together at once: each part of all of them is copied to its places in one buffer.

NumPy copies elements of any size from and to any byte (`_at_every_byte`). So a part takes one call for all records and
some nanoseconds for each, where slicing and joining bytes objects takes some hundred.
"""

import numpy as np


class ByteRows:
    """Rows of bytes, of which the parts are given one after the other.

    Attributes:
      lengths: int64 (N,), bytes of each row so far.
    """

    def __init__(self, num_rows):
        self.lengths = np.zeros(num_rows, np.int64)
        self._parts, self._columns = [], []

    def add(self, columns):
        """Add as many bytes to each row: uint8 (N, k), or bytes that are the same in all rows."""
        if isinstance(columns, bytes):
            columns = np.broadcast_to(np.frombuffer(columns, np.uint8), (len(self.lengths), len(columns)))
        self._columns.append(columns)  # parts of fixed lengths that follow one another become one

    def add_ragged(self, data, starts, lengths):
        """Add `data[start:start + length]` to each row: uint8 (bytes,); int64 (N,), int64 (N,)."""
        self._join_columns()
        longest = int(lengths.max(initial=0))
        data = np.concatenate([data, np.zeros(longest, np.uint8)])  # as many bytes can be read at each start
        self._parts.append((data, starts, lengths))
        self.lengths += lengths

    def add_rows(self, rows):
        """Add the bytes of as many other rows."""
        self._join_columns()
        self._parts += rows.finish()._parts
        self.lengths += rows.lengths

    def _join_columns(self):
        if self._columns:
            joined = np.concatenate(self._columns, axis=1)
            self._parts.append((joined, None, None))
            self.lengths += joined.shape[1]
            self._columns = []

    def finish(self):
        """Call it after the last part."""
        self._join_columns()
        return self

    def copy_to(self, buffer, places):
        """Write the rows into `buffer`, uint8 (bytes,), each beginning at its place, int64 (N,); they do not overlap."""
        ends, at = places + self.lengths, places
        for data, starts, lengths in self._parts:
            if starts is None:
                copy_rows(data, buffer, at)
                at = at + data.shape[1]
                continue
            longest = int(lengths.max(initial=0))
            if (at + longest <= ends).all():
                # Too many bytes of the shorter ones do no harm: parts that follow stand there.
                _copy(data, starts, buffer, at, longest)
            else:
                for length in np.unique(lengths).tolist():
                    rows = np.flatnonzero(lengths == length)
                    _copy(data, starts[rows], buffer, at[rows], length)
            at = at + lengths


def copy_rows(rows, buffer, places):
    """Write rows of one length, uint8 (N, k), into `buffer`, uint8 (bytes,), each beginning at its place, int64 (N,)."""
    width = rows.shape[1]
    if width:
        _at_every_byte(buffer, width)[places] = np.ascontiguousarray(rows).view(f"V{width}")[:, 0]


def _copy(data, starts, buffer, places, width):
    if width:
        _at_every_byte(buffer, width)[places] = _at_every_byte(data, width)[starts]


def _at_every_byte(buffer, width):
    """A view of the `width` bytes that begin at each byte of a buffer."""
    return np.ndarray((max(len(buffer) - width + 1, 0),), f"V{width}", buffer, strides=(1,))

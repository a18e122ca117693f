"""Where each record of a list of shards lies, without holding it: the index files are read in blocks, as records are asked for.

An index has 16 bytes a record, 8 GB for 500 million. A block comes out of the page cache, which the ranks of a node share;
a rank keeps the last ones. The files are read, not mapped: a map of a file on a server that fails kills the process, a
read is tried again, and a map of each of a thousand shards would keep a thousand files open.

An index that is missing (files of the old project have none) is made by going through the shard once, and kept beside it
where that folder can be written. What it cannot tell without reading the records, their tokens and predictions, is -1 in
it until `set_rows` gives it.
"""

import collections
import errno
import os
import struct

import numpy as np

from albert_hvd.data.records.tfrecord import INDEX_DTYPE, could_fit, index_path, scan_shard
from albert_hvd.errors import InputError
from albert_hvd.runtime.files import whole_file

BLOCK = 256  # records
CACHED_BLOCKS = 16384  # 64 MB: what 4096 chunks read side by side need, several times over
_ROW = struct.Struct("<qiiq")  # offset, num_tokens, num_predictions, and the offset of the next record
_PIECE = 1 << 16  # rows of a pass over a whole index

# shard: number in the list of paths; offset, end: bytes in it; num_tokens, num_predictions: -1 when not known.
Place = collections.namedtuple("Place", ["shard", "offset", "end", "num_tokens", "num_predictions"])


class RecordIndex:
    """The places of records, numbered from 0 in the order of the shards. Not thread-safe.

    Args:
      paths: of the shards.
      files: their `ShardFiles`.
      skip_corrupt: leave out what follows damage in a shard without index.
      warn: called with a line when it does.

    Attributes:
      firsts: int64 (shards + 1,), the number of the first record of each shard, and of all.

    Raises:
      InputError: a shard without index is damaged.
    """

    def __init__(self, paths, files, skip_corrupt=False, warn=None):
        self._paths, self._files = paths, files
        self._sizes = [os.path.getsize(path) for path in paths]
        self._rows = {}  # shard: all its rows, where no file has them
        self._blocks = collections.OrderedDict()  # (shard, block): bytes, the least recently used first
        self._counts = [0] * len(paths)
        for shard in range(len(paths)):
            if not self._use_file(shard):
                self._scan(shard, skip_corrupt, warn)
        self.firsts = np.cumsum([0, *self._counts])
        self._shard_starts = self.firsts[:-1]

    def places(self, numbers):
        """A list of the `Place` of each record. Raises InputError when an index does not fit its shard."""
        numbers = np.asarray(numbers, np.int64)
        shards = np.searchsorted(self._shard_starts, numbers, side="right") - 1
        found = []
        for shard, row in zip(shards.tolist(), (numbers - self._shard_starts[shards]).tolist()):
            offset, tokens, predictions, end = _ROW.unpack_from(self._block(shard, row // BLOCK),
                                                                row % BLOCK * INDEX_DTYPE.itemsize)
            found.append(Place(shard, offset, end, tokens, predictions))
        return found

    def num_bytes(self, shard):
        """Bytes of the records of a shard."""
        return int(self.rows(shard, self._counts[shard], self._counts[shard] + 1)["offset"][0])

    def rows(self, shard, start, end):
        """Entries start ... end - 1 of the index of a shard, the one of its end included: (end - start,) of INDEX_DTYPE."""
        if shard in self._rows:
            return self._rows[shard][start:end]
        width = INDEX_DTYPE.itemsize
        return self._checked(shard, self._files.read_index(shard, start * width, end * width), end - start)

    def pieces(self, shard):
        """Yield the entries of a whole index, without that of its end, some ten thousand at a time."""
        for start in range(0, self._counts[shard], _PIECE):
            yield self.rows(shard, start, min(start + _PIECE, self._counts[shard]))

    def knows_counts(self, shard):
        """Whether the index of a shard says how many tokens and predictions its records have."""
        return not self._counts[shard] or self.rows(shard, 0, 1)["num_tokens"][0] >= 0

    def set_rows(self, shard, rows, keep=True):
        """Replace the index of a shard by `rows` (n + 1,); with `keep` in its file too, where that can be written."""
        for block in [key for key in self._blocks if key[0] == shard]:
            del self._blocks[block]
        self._rows[shard], self._counts[shard] = rows, len(rows) - 1
        if not keep or not _is_writable(os.path.dirname(os.path.abspath(self._paths[shard]))):
            return
        try:
            with whole_file(index_path(self._paths[shard])) as file:
                rows.tofile(file)
        except InputError:
            return
        self._files.forget_index(shard)
        del self._rows[shard]
        if not self._use_file(shard):
            self._rows[shard] = rows

    def _use_file(self, shard):
        """Whether the index file of a shard fits, as far as its first and last block tell."""
        size, width = self._sizes[shard], INDEX_DTYPE.itemsize
        try:
            count = os.path.getsize(index_path(self._paths[shard])) // width - 1
            if count < 0:
                return False
            ends = [_rows_of(self._files.read_index(shard, start * width, end * width))
                    for start, end in ((0, min(BLOCK, count) + 1), (max(0, count - BLOCK), count + 1))]
        except (OSError, InputError):
            return False
        fits = (all(len(rows) and could_fit(rows, size) for rows in ends)
                and ends[0]["offset"][0] == 0 and ends[1]["offset"][-1] == size)
        if fits:
            self._counts[shard] = count
            for block in {0, max(0, count - 1) // BLOCK}:
                self._block(shard, block)
        return fits

    def _scan(self, shard, skip_corrupt, warn):
        path = self._paths[shard]
        rows = scan_shard(path, skip_corrupt, warn)
        is_whole = rows["offset"][-1] == self._sizes[shard]
        self.set_rows(shard, rows, keep=is_whole and len(rows) > 1 and _is_missing(index_path(path)))

    def _block(self, shard, block):
        """The bytes of a block of entries and of the offset after them."""
        key = shard, block
        data = self._blocks.get(key)
        if data is not None:
            self._blocks.move_to_end(key)
            return data
        start = block * BLOCK
        data = self.rows(shard, start, min(start + BLOCK, self._counts[shard]) + 1).tobytes()
        self._blocks[key] = data
        if len(self._blocks) > CACHED_BLOCKS:
            self._blocks.popitem(last=False)
        return data

    def _checked(self, shard, data, num_rows):
        rows = _rows_of(data)
        if len(rows) < num_rows or not could_fit(rows, self._sizes[shard]):
            raise InputError(f"its index {index_path(self._paths[shard])} does not fit",
                             "delete the index, which then is made again", value=self._paths[shard])
        return rows


def _rows_of(data):
    return np.frombuffer(data[:len(data) // INDEX_DTYPE.itemsize * INDEX_DTYPE.itemsize], INDEX_DTYPE)


def _is_writable(folder):
    """Whether files may be added; a folder that nobody may write to is left alone by the superuser too."""
    return os.access(folder, os.W_OK) and bool(os.stat(folder).st_mode & 0o222)


def _is_missing(path):
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ENOENT
    return False

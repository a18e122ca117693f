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

import numpy as np

from albert_hvd.data.records.tfrecord import INDEX_DTYPE, could_fit, index_path, scan_shard
from albert_hvd.errors import InputError
from albert_hvd.runtime.files import whole_file

BLOCK = 256  # records
CACHED_BLOCKS = 16384  # 64 MB: what 4096 chunks read side by side need, several times over
_PIECE = 1 << 16  # rows of a pass over a whole index

# Where records lie, and what the index says of them, arrays (n,): the number of the shard, the bytes from `offset` to `end`
# in it; num_tokens and num_predictions are -1 when not known.
Places = collections.namedtuple("Places", ["shard", "offset", "end", "num_tokens", "num_predictions"])


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
        self._counts = [0] * len(paths)
        for shard in range(len(paths)):
            if not self._use_file(shard):
                self._scan(shard, skip_corrupt, warn)
        self.firsts = np.cumsum([0, *self._counts])
        self._shard_starts = self.firsts[:-1]
        # Blocks of all shards, counted from 0; each shard begins one.
        self._first_blocks = np.cumsum([0, *(-(-count // BLOCK) for count in self._counts)])
        capacity = min(CACHED_BLOCKS, int(self._first_blocks[-1]))
        self._cache = np.empty((capacity, BLOCK + 1), INDEX_DTYPE)
        self._slots = np.full(int(self._first_blocks[-1]), -1, np.int32)  # of each block in the cache
        self._owners, self._next_slot = np.full(capacity, -1), 0

    def places(self, numbers):
        """The `Places` of records. Raises InputError when an index does not fit its shard, IndexError for no such record."""
        numbers = np.asarray(numbers, np.int64)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < self.firsts[-1]:
            raise IndexError(f"records {numbers.min()} to {numbers.max()} of {self.firsts[-1]}")
        shards = np.searchsorted(self._shard_starts, numbers, side="right") - 1
        blocks, rows = np.divmod(numbers - self._shard_starts[shards], BLOCK)
        blocks += self._first_blocks[shards]
        found, ends = np.empty(len(numbers), INDEX_DTYPE), np.empty(len(numbers), np.int64)
        is_missing = self._slots[blocks] < 0
        self._look_up(blocks, rows, ~is_missing, found, ends)
        missing = np.unique(blocks[is_missing])
        for start in range(0, len(missing), len(self._cache)):
            group = missing[start:start + len(self._cache)]
            for block in group.tolist():
                self._load(block)
            self._look_up(blocks, rows, np.isin(blocks, group), found, ends)
        return Places(shards, found["offset"], ends, found["num_tokens"], found["num_predictions"])

    def _look_up(self, blocks, rows, which, found, ends):
        slots, rows = self._slots[blocks[which]], rows[which]
        found[which], ends[which] = self._cache[slots, rows], self._cache["offset"][slots, rows + 1]

    def _load(self, block):
        """Read a block of entries, with the offset after them, into the cache, in the place of the one read longest ago."""
        shard = int(np.searchsorted(self._first_blocks, block, side="right")) - 1
        start = (block - int(self._first_blocks[shard])) * BLOCK
        rows = self.rows(shard, start, min(start + BLOCK, self._counts[shard]) + 1)
        slot = self._next_slot
        if self._owners[slot] >= 0:
            self._slots[self._owners[slot]] = -1
        self._cache[slot, :len(rows)] = rows
        self._slots[block], self._owners[slot], self._next_slot = slot, block, (slot + 1) % len(self._cache)

    def _forget(self, shard):
        """Blocks of a shard are read again."""
        own = slice(*self._first_blocks[shard:shard + 2].tolist())
        slots = self._slots[own]
        self._owners[slots[slots >= 0]] = -1
        self._slots[own] = -1

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
        """Replace the index of a shard by other `rows` (n + 1,) of the same records; with `keep` in its file too, where that can be written."""
        self._forget(shard)
        self._keep(shard, rows, keep)

    def _keep(self, shard, rows, keep):
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
        return fits

    def _scan(self, shard, skip_corrupt, warn):
        path = self._paths[shard]
        rows = scan_shard(path, skip_corrupt, warn)
        is_whole = rows["offset"][-1] == self._sizes[shard]
        self._keep(shard, rows, keep=is_whole and len(rows) > 1 and _is_missing(index_path(path)))

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

"""TFRecord shards of pre-training examples: framing, indexes, and the writer.

A shard is an ordinary TFRecord file. Beside `train.tfrecord` lies `.train.tfrecord.index`: the byte
offset, the number of tokens and the number of predictions of every record (`INDEX_DTYPE`, one after the
other), and a last entry whose offset is the size of the shard. So any record is found at once, and packing
can be planned without reading the text. The dot keeps it out of the user's globs. See index.py for how it is
read, and for shards without one.
What all shards of a folder are, says its manifest: see manifest.py.
"""

import array
import contextlib
import functools
import hashlib
import mmap
import os
import struct

import google_crc32c
import numpy as np

from albert_hvd.data.records.byte_rows import copy_rows
from albert_hvd.data.records.example import FIELDS, encode_rows
from albert_hvd.errors import InputError, parameter
from albert_hvd.runtime.files import whole_file

INDEX_DTYPE = np.dtype([("offset", "<i8"), ("num_tokens", "<i4"), ("num_predictions", "<i4")])
HEADER_BYTES, FOOTER_BYTES = 12, 4  # length and its CRC before the data, the data's CRC after it
COPY_BYTES = 1 << 20


def masked_crc(data):
    """TFRecord's CRC-32C of `data`, rotated and offset so that CRCs of CRCs keep their strength."""
    return _masked(google_crc32c.value(data))


def _masked(crc):
    """Of an int, or of uint64 (N,)."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.lru_cache(maxsize=65536)
def _frame_header(length):
    packed = struct.pack("<Q", length)
    return packed + struct.pack("<I", masked_crc(packed))


def frame(data):
    """One serialized record as it stands in a TFRecord file."""
    return b"".join((_frame_header(len(data)), data, struct.pack("<I", masked_crc(data))))


def index_path(path):
    """The path of a shard's index."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.index")


def join_frames(groups, num_records):
    """Records as they stand in a TFRecord file, one after the other.

    Args:
      groups: list of (`ByteRows` of serialized records, their places in the file from 0, int64 (n,)), which together
        fill all places.
      num_records: of all groups.
    Returns: uint8 (bytes,); and where each record begins, int64 (num_records,).
    """
    if not num_records:
        return np.empty(0, np.uint8), np.empty(0, np.int64)
    lengths = np.empty(num_records, np.int64)
    for rows, places in groups:
        lengths[places] = rows.lengths
    ends = np.cumsum(lengths + HEADER_BYTES + FOOTER_BYTES)
    data, starts = np.empty(int(ends[-1]), np.uint8), ends - lengths - FOOTER_BYTES
    for rows, places in groups:
        rows.copy_to(data, starts[places])
    different, of_record = np.unique(lengths, return_inverse=True)
    headers = np.frombuffer(b"".join(map(_frame_header, different.tolist())), np.uint8).reshape(-1, HEADER_BYTES)
    crcs = [google_crc32c.value(data[start:start + length])
            for start, length in zip(starts.tolist(), lengths.tolist())]
    footers = _masked(np.array(crcs, np.uint64)).astype("<u4").view(np.uint8).reshape(-1, FOOTER_BYTES)
    copy_rows(headers[of_record], data, starts - HEADER_BYTES)
    copy_rows(footers, data, ends - FOOTER_BYTES)
    return data, starts - HEADER_BYTES


def index_rows(offsets, num_tokens, num_predictions):
    """The index entries of records that begin at `offsets`."""
    rows = np.empty(len(offsets), INDEX_DTYPE)
    rows["offset"], rows["num_tokens"], rows["num_predictions"] = offsets, num_tokens, num_predictions
    return rows


class RecordWriter:
    """Writes a shard; it appears under its name, with its index, when the `with` block ends well.

    Args: `with_digest`, whether to compute `sha256`, which takes a third of the time of writing.
    Attributes: `num_bytes`; `sha256`, the hexadecimal digest of what was written.
    """

    def __init__(self, path, with_digest=True):
        self.num_bytes, self._digest = 0, hashlib.sha256() if with_digest else None
        self._path = path
        self._files = contextlib.ExitStack()

    def __enter__(self):
        # On leaving, the index gets its name first: a new shard never stands beside an older one's.
        self._file = self._files.enter_context(whole_file(self._path))
        self._index = self._files.enter_context(whole_file(index_path(self._path)))
        return self

    def __exit__(self, *error):
        if error[0] is None:
            self._append_rows(np.zeros(1, INDEX_DTYPE))
        return self._files.__exit__(*error)

    @property
    def sha256(self):
        """The hexadecimal digest of what was written so far."""
        return self._digest.hexdigest()

    def write(self, record):
        """Append one record: a dict of the seven fields as 1-D arrays."""
        self.write_batch({field: np.asarray(record[field])[None] for field in FIELDS})

    def write_batch(self, batch):
        """Append N records: a dict of the seven fields as arrays (N, length)."""
        examples = encode_rows(batch)
        data, offsets = join_frames([(examples, np.arange(len(examples.lengths)))], len(examples.lengths))
        self.append(data, index_rows(offsets, np.asarray(batch["input_mask"]).sum(axis=1),
                                     (np.asarray(batch["masked_lm_weights"]) > 0).sum(axis=1)))

    def append(self, data, rows):
        """Append framed records: their bytes, uint8 (bytes,), and their index entries with offsets from 0."""
        self._append_rows(rows.copy())
        self._append_bytes(data)

    def append_shard(self, path):
        """Append all records of another shard, which has an index."""
        self._append_rows(load_index(path)[:-1])
        with open(path, "rb") as file:
            while data := file.read(COPY_BYTES):
                self._append_bytes(data)

    def _append_rows(self, rows):
        rows["offset"] += self.num_bytes
        self._index.write(rows.tobytes())

    def _append_bytes(self, data):
        self._file.write(data)
        if self._digest:
            self._digest.update(data)
        self.num_bytes += len(data)


def load_index(path):
    """The whole index of a shard, (n + 1,) of INDEX_DTYPE: from the file beside it, else by scanning it."""
    size = os.path.getsize(path)
    try:
        rows = np.fromfile(index_path(path), INDEX_DTYPE)
        if len(rows) and rows["offset"][0] == 0 and rows["offset"][-1] == size and could_fit(rows, size):
            return rows
    except OSError:
        pass
    return scan_shard(path)


def scan_shard(path, skip_corrupt=False, warn=None):
    """The index of a shard, (n + 1,) of INDEX_DTYPE, by going through its frames; tokens and predictions are -1.

    Raises InputError for damage; with `skip_corrupt`, `warn` is called with a line and the index ends there.
    """
    offsets, problem = _scan(path, os.path.getsize(path))
    if problem and not skip_corrupt:
        raise InputError(problem,
                         f"make the file again, or pass {parameter('skip_corrupt')} to leave such records out",
                         value=path)
    if problem:
        warn(f"{path}: {problem}; what follows in this file is left out")
    rows = np.full(len(offsets), -1, INDEX_DTYPE)
    rows["offset"] = offsets
    return rows


def could_fit(rows, size):
    """Whether records of a shard of `size` bytes can lie where entries of its index say, which follow one another.

    What is there instead is found by the records' checksums. Tokens and predictions of -1 are not known.
    """
    offsets = rows["offset"]
    # Offsets within the shard first: differences of others could overflow.
    if not np.all((offsets >= 0) & (offsets <= size)):
        return False
    num_bytes = np.diff(offsets)
    counts = np.stack([rows["num_tokens"][:-1], rows["num_predictions"][:-1]])
    return bool(np.all(num_bytes >= HEADER_BYTES + FOOTER_BYTES) and np.all((counts >= -1) & (counts <= num_bytes)))


def _scan(path, size):
    """Offsets of all records and of the end, following the frames; and what is wrong, or None."""
    offsets, position = array.array("q", [0]), 0
    if size == 0:
        return offsets, None
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while position < size:
            if position + HEADER_BYTES > size:
                return offsets, f"truncated in the record that begins at byte {position}"
            length, crc = struct.unpack_from("<QI", data, position)
            if crc != masked_crc(data[position:position + 8]):
                return offsets, (f"wrong length CRC at byte {position}: damaged, or not an uncompressed "
                                 f"TFRecord file")
            end = position + HEADER_BYTES + length + FOOTER_BYTES
            if end > size:
                return offsets, f"truncated in the record that begins at byte {position}"
            offsets.append(end)
            position = end
    return offsets, None

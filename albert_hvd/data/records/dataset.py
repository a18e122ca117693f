"""Reading pre-training records by number, in any order, with every checksum verified.

A training batch is a handful of reads at known offsets (see tfrecord.py) and one decoding pass of
TensorFlow's (see example.py).
"""

import bisect
import contextlib
import errno
import functools
import hashlib
import os
import struct
import sys
import threading
import time

import numpy as np

from albert_hvd.data.records.example import LABEL_FIELD, PREDICTION_FIELDS, SEQUENCE_FIELDS, FieldError, decode_examples
from albert_hvd.data.records.manifest import builds_of, read_manifest
from albert_hvd.data.records.tfrecord import FOOTER_BYTES, HEADER_BYTES, index_path, load_index, masked_crc
from albert_hvd.errors import InputError, RunFailed, parameter
from albert_hvd.runtime.files import expand_input_files

MAX_OPEN_FILES = 256

# A file server that is restarted fails meanwhile (EIO, ESTALE). For so long a read is tried again.
RETRY_SEC = 60.0
_FIRST_PAUSE_SEC, _LONGEST_PAUSE_SEC = 0.5, 10.0
# What waiting does not change.
_FINAL_ERRORS = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)

_TWO_VALUED = ("input_mask", "segment_ids", LABEL_FIELD)
_LARGEST_WEIGHT = 3.4e38  # what float32 holds
_CHANGED = "changed since this run began"


def open_records(pattern, option, options, vocab_size, warn=None):
    """The `RecordDataset` of an option's files.

    Args:
      pattern: the value of the option, a comma list of paths and globs.
      option: its name, such as "eval_input_file", for messages.
      options: anything with `max_seq_length` and `max_predictions_per_seq`, and perhaps `skip_corrupt`.
      vocab_size: the model's.
      warn: called with a line for what `skip_corrupt` leaves out; default: writes it to stderr.

    Raises:
      InputError: a file is missing, damaged, or does not fit the flags or the vocabulary.
    """
    return RecordDataset(expand_input_files(pattern, option), options.max_seq_length,
                         options.max_predictions_per_seq, vocab_size, getattr(options, "skip_corrupt", False),
                         warn or (lambda line: sys.stderr.write(f"warning: {line}\n")))


class RecordDataset:
    """The records of a list of shards, numbered from 0 in the order of `paths`, read by number.

    Attributes: `paths`; `num_records`; `num_skipped`, damaged records found so far, which are given as rows
    of weight 0 (only with `skip_corrupt`); each is counted, and warned of, once; `warn`, called with a line.
    """

    def __init__(self, paths, max_seq_length, max_predictions_per_seq, vocab_size=None,
                 skip_corrupt=False, warn=print):
        """Args: `vocab_size`, the model's (ids at or above it are refused)."""
        self.paths = list(paths)
        self.max_seq_length, self.max_predictions_per_seq = max_seq_length, max_predictions_per_seq
        self._vocab_size, self._skip_corrupt, self.warn = vocab_size, skip_corrupt, warn
        self._versions = [_version(os.stat(path)) for path in self.paths]
        self._indexes = [load_index(path, skip_corrupt, warn) for path in self.paths]
        self._firsts = np.cumsum([0, *(len(rows) - 1 for rows in self._indexes)])
        self.num_records = int(self._firsts[-1])
        self._skipped = set()
        self._files, self._lock = {}, threading.Lock()
        if self.num_records == 0:
            raise InputError("no record in it", "make it again with bin/create_pretraining_data",
                             value=",".join(self.paths))
        self._check_manifest()
        self._builds = builds_of(self.paths)
        self._pad_id = self._find_pad_id()
        try:
            self.read(np.zeros(1, np.int64))  # a wrong --max_seq_length shows here, before any training
            self._check_lengths()  # and here, where the first record has no padding
        except (InputError, RunFailed):
            self.close()
            raise

    @property
    def num_skipped(self):
        return len(self._skipped)

    @functools.cached_property
    def fingerprint(self):
        """Sixteen hexadecimal digits that other records, or the same in another order, do not have.

        Of where every record lies in its shard, and of the checksums of each shard's first and last one.
        Raises InputError for a shard that is not as it was when it was indexed.
        """
        digest = hashlib.sha256()
        for shard, rows in enumerate(self._indexes):
            digest.update(rows["offset"].tobytes())
            for end in rows["offset"][1:][[0, -1]].tolist() if len(rows) > 1 else ():
                with self._lock:
                    data, has_changed = self._read_from(shard, end - FOOTER_BYTES, end)
                    digest.update(data)
                    if has_changed:
                        raise InputError(_CHANGED, "put it back as it was, then run the same command again",
                                         value=self.paths[shard])
        return digest.hexdigest()[:16]

    def _check_manifest(self):
        manifests = {folder: read_manifest(folder).get("shards", {})
                     for folder in {os.path.dirname(path) for path in self.paths}}
        for path, rows in zip(self.paths, self._indexes):
            entry = manifests[os.path.dirname(path)].get(os.path.basename(path))
            if not entry or self._skip_corrupt:
                continue
            for key, what, found in (("num_records", "records", len(rows) - 1),
                                     ("num_bytes", "bytes", int(rows["offset"][-1]))):
                if entry.get(key, found) != found:
                    raise InputError(f"{found} {what}, but manifest.json beside it says {entry[key]}",
                                     "build the records again or delete the manifest", value=path)

    def _find_pad_id(self):
        """What fills up records without padding: what their vocabulary pads with, as far as a manifest says so."""
        entries = [build.get("tokenizer") for build in self._builds]
        found = [entry.get("pad_id") for entry in entries if isinstance(entry, dict)]
        return next((pad_id for pad_id in found if isinstance(pad_id, int) and 0 <= pad_id < 2**31), 0)

    def _check_lengths(self):
        """InputError when a manifest says that records have, or may have, more or fewer positions."""
        for options in (build.get("options") for build in self._builds):
            built = options.get("max_seq_length", self.max_seq_length) if isinstance(options, dict) else None
            if not isinstance(built, int):
                continue
            if built > self.max_seq_length or built < self.max_seq_length and options.get("padding", True):
                raise InputError(f"the records have {built} positions, says manifest.json beside them",
                                 f"set {parameter('max_seq_length')}={built} or make the records again",
                                 name="max_seq_length", value=self.max_seq_length)

    def lengths(self):
        """Tokens and predictions of every record: two int32 arrays (num_records,).

        From the indexes; shards without one are read through once.
        """
        rows = [rows[:-1] for rows in self._indexes]
        for shard, part in enumerate(rows):
            for start in range(0, len(part) if len(part) and part["num_tokens"][0] < 0 else 0, 1024):
                block = part[start:start + 1024]
                batch = self.read(self._firsts[shard] + start + np.arange(len(block)))
                block["num_tokens"] = batch["input_mask"].sum(axis=1)
                block["num_predictions"] = (batch["masked_lm_weights"] > 0).sum(axis=1)
            self._check_counts(self.paths[shard], part)
        rows = np.concatenate(rows)
        return rows["num_tokens"].astype(np.int32), rows["num_predictions"].astype(np.int32)

    def _check_counts(self, path, rows):
        for name, most in (("num_tokens", self.max_seq_length), ("num_predictions", self.max_predictions_per_seq)):
            if len(rows) and rows[name].max() > most:
                raise InputError(f"says {name} = {rows[name].max()} of a record that has room for {most}",
                                 "delete this file, which then is made again", value=index_path(path))

    def read(self, record_numbers):
        """Read a batch by random access; thread-safe.

        Args: `record_numbers`, int64 (B,).
        Returns: dict of int32 `input_ids input_mask segment_ids` (B, max_seq_length),
          `masked_lm_positions masked_lm_ids` (B, max_predictions_per_seq), `next_sentence_labels` (B, 1),
          and float32 `masked_lm_weights` (B, max_predictions_per_seq), `sentence_weights` (B, 1): ones,
          or 0 for a damaged record that was skipped (whose masked_lm_weights are 0 too).
        Raises: InputError naming file and byte offset of a damaged record, or the flag that does not
          fit the file; RunFailed when the system has failed to read it for `RETRY_SEC`.
        """
        record_numbers = np.asarray(record_numbers, np.int64)
        with self._lock:
            records = [self._read_bytes(number) for number in record_numbers.tolist()]
        intact = [i for i, record in enumerate(records) if record is not None]
        batch = self._empty_batch(len(records))
        if intact:
            try:
                decoded = decode_examples([records[i] for i in intact], self.max_seq_length,
                                          self.max_predictions_per_seq, self._pad_id)
            except FieldError as error:
                raise self._misfit(error, record_numbers[intact]) from None
            self._check_ranges(decoded, record_numbers[intact])
            for field, values in decoded.items():
                batch[field][intact] = values
            batch["sentence_weights"][intact] = 1.0
        return batch

    def _empty_batch(self, num_rows):
        lengths = {**dict.fromkeys(SEQUENCE_FIELDS, self.max_seq_length),
                   **dict.fromkeys(PREDICTION_FIELDS, self.max_predictions_per_seq),
                   LABEL_FIELD: 1, "sentence_weights": 1}
        return {field: np.zeros((num_rows, length), np.float32 if "weights" in field else np.int32)
                for field, length in lengths.items()}

    def _locate(self, number):
        """(shard, offset, end) of a record."""
        shard = bisect.bisect_right(self._firsts, number) - 1
        row = number - self._firsts[shard]
        offset, end = self._indexes[shard]["offset"][row:row + 2].tolist()
        return shard, offset, end

    def _read_bytes(self, number):
        shard, offset, end = self._locate(number)
        data, has_changed = self._read_from(shard, offset, end)
        problem, record = "truncated", data[HEADER_BYTES:-FOOTER_BYTES]
        if has_changed:  # another file may have its records at the same places
            problem = f"{_CHANGED}, seen"
        elif len(data) == end - offset:
            if (struct.unpack_from("<Q", data)[0] == len(record)
                    and struct.unpack_from("<I", data, len(data) - FOOTER_BYTES)[0] == masked_crc(record)):
                return record
            problem = "wrong data CRC"
        problem = f"{self.paths[shard]}: {problem} in the record at byte {offset}"
        if not self._skip_corrupt:
            raise InputError(problem,
                             "make the file again or put a sound copy in its place, or pass "
                             f"{parameter('skip_corrupt')} to leave such records out")
        if number not in self._skipped:  # it comes again in every epoch
            self._skipped.add(number)
            self.warn(f"{problem}: left out ({self.num_skipped} so far)")
        return None

    def _read_from(self, shard, offset, end):
        """(bytes from `offset` to `end`, whether the file has changed), tried again when the system fails."""
        began, pause = time.monotonic(), _FIRST_PAUSE_SEC
        while True:
            try:
                file = self._open(shard)
                return os.pread(file, end - offset, offset), self._has_changed(shard, file)
            except OSError as error:
                problem = f"{self.paths[shard]}: {error.strerror} when reading at byte {offset}"
            if time.monotonic() - began >= RETRY_SEC:
                raise RunFailed(f"{problem}, for {RETRY_SEC:g} seconds: see to the disk or the file server, then run the "
                                "same command again")
            if pause == _FIRST_PAUSE_SEC:
                self.warn(f"{problem}: trying again for {RETRY_SEC:g} seconds")
            self._forget(shard)  # as a file server does that was restarted
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SEC)

    def _forget(self, shard):
        """Close a shard if it is open; what fails then has failed before."""
        if shard in self._files:
            with contextlib.suppress(OSError):
                os.close(self._files.pop(shard))

    def _open(self, shard):
        """The descriptor of a shard. Raises InputError when it is gone, OSError when trying again may help."""
        if shard not in self._files:
            if len(self._files) >= MAX_OPEN_FILES:
                os.close(self._files.pop(next(iter(self._files))))
            try:
                self._files[shard] = os.open(self.paths[shard], os.O_RDONLY)
            except OSError as error:
                if error.errno not in _FINAL_ERRORS:
                    raise
                raise InputError(f"cannot be opened any more ({error.strerror})",
                                 "put it back, then run the same command again", value=self.paths[shard]) from None
        return self._files[shard]

    def _has_changed(self, shard, file):
        return _version(os.fstat(file)) != self._versions[shard]

    def close(self):
        """Close the files."""
        with self._lock:
            while self._files:
                os.close(self._files.popitem()[1])

    def _place(self, number):
        shard, offset, _ = self._locate(int(number))
        return f"{self.paths[shard]} (record at byte {offset})"

    def _misfit(self, error, numbers):
        place = self._place(numbers[error.index])
        for fields, option, value in ((SEQUENCE_FIELDS, "max_seq_length", self.max_seq_length),
                                      (PREDICTION_FIELDS, "max_predictions_per_seq", self.max_predictions_per_seq)):
            if error.field in fields and error.found:
                return InputError(f"{place} {error}",
                                  f"set {parameter(option)}={error.found} or make the records again", name=option,
                                  value=value)
        return InputError(f"{place} {error}", "give TFRecords made by bin/create_pretraining_data", name="input_file")

    def _check_ranges(self, batch, numbers):
        limits = {"masked_lm_positions": (self.max_seq_length, "max_seq_length", "the sequence length"),
                  **dict.fromkeys(_TWO_VALUED, (2, "input_file", "the number of values that there are")),
                  "masked_lm_weights": (_LARGEST_WEIGHT, "input_file", "the upper end of weights")}
        if self._vocab_size is not None:
            limits["input_ids"] = limits["masked_lm_ids"] = (
                self._vocab_size, "bert_config_file", "the config's vocab_size")
        for field, (limit, option, what) in limits.items():
            values = batch[field]
            outside = ~((values >= 0) & (values < limit))  # a weight that is no number is outside too
            if outside.any():
                row, column = np.argwhere(outside)[0]
                raise InputError(f"{self._place(numbers[row])} has {values[row, column]} in {field}, but {what} is "
                                 f"{limit}",
                                 "give the config or the records that belong together", name=option)


def _version(status):
    """What differs once a file has been written to or replaced."""
    return status.st_size, status.st_mtime_ns

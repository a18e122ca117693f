"""Reading pre-training records by number, in any order, with every checksum verified.

A training batch is a handful of reads at known offsets (see tfrecord.py) and one decoding pass of
TensorFlow's (see example.py).
"""

import functools
import hashlib
import os
import struct
import sys
import threading

import numpy as np

from albert_hvd.data.records.example import LABEL_FIELD, PREDICTION_FIELDS, SEQUENCE_FIELDS, FieldError, decode_examples
from albert_hvd.data.records.index import BLOCK, RecordIndex
from albert_hvd.data.records.manifest import builds_of, read_manifest
from albert_hvd.data.records.shard_files import CHANGED, ShardFiles
from albert_hvd.data.records.sources import make_sources, parse_sources
from albert_hvd.data.records.tfrecord import FOOTER_BYTES, HEADER_BYTES, index_path, masked_crc
from albert_hvd.errors import InputError, RunFailed, parameter
from albert_hvd.runtime.files import expand_input_files

_TWO_VALUED = ("input_mask", "segment_ids", LABEL_FIELD)
_LARGEST_WEIGHT = 3.4e38  # what float32 holds
_OLD_FINGERPRINT = 16  # characters


def open_records(pattern, option, options, vocab_size, warn=None, mixed=False):
    """The `RecordDataset` of an option's files.

    Args:
      pattern: the value of the option, a comma list of paths and globs.
      option: its name, such as "eval_input_file", for messages.
      options: anything with `max_seq_length` and `max_predictions_per_seq`, and perhaps `skip_corrupt`.
      vocab_size: the model's.
      warn: called with a line for what `skip_corrupt` leaves out; default: writes it to stderr.
      mixed: parts of the list may have weights, see `parse_sources`.

    Raises:
      InputError: a file is missing, damaged, or does not fit the flags or the vocabulary.
    """
    parsed = parse_sources(pattern, option) if mixed else []
    paths = [path for *_, files in parsed for path in files] or expand_input_files(pattern, option)
    dataset = RecordDataset(paths, options.max_seq_length, options.max_predictions_per_seq, vocab_size,
                            getattr(options, "skip_corrupt", False),
                            warn or (lambda line: sys.stderr.write(f"warning: {line}\n")))
    dataset.mix(parsed, option)
    return dataset


class RecordDataset:
    """The records of a list of shards, numbered from 0 in the order of `paths`, read by number.

    Attributes: `paths`; `num_records`; `num_skipped`, damaged records found so far, which are given as rows
    of weight 0 (only with `skip_corrupt`); each is counted, and warned of, once; `warn`, called with a line;
    `sources`, a tuple of `Source` for records that are mixed, else empty.
    """

    def __init__(self, paths, max_seq_length, max_predictions_per_seq, vocab_size=None,
                 skip_corrupt=False, warn=print):
        """Args: `vocab_size`, the model's (ids at or above it are refused)."""
        self.paths = list(paths)
        self.max_seq_length, self.max_predictions_per_seq = max_seq_length, max_predictions_per_seq
        self._vocab_size, self._skip_corrupt, self.warn = vocab_size, skip_corrupt, warn
        self._files, self._lock = ShardFiles(self.paths, lambda line: self.warn(line)), threading.Lock()
        self._skipped, self._reads_stretches, self.sources = set(), False, ()
        try:
            self._index = RecordIndex(self.paths, self._files, skip_corrupt, warn)
            self._firsts = self._index.firsts
            self.num_records = int(self._firsts[-1])
            if self.num_records == 0:
                raise InputError("no record in it", "make it again with bin/create_pretraining_data",
                                 value=",".join(self.paths))
            self._check_manifest()
            self._builds = builds_of(self.paths)
            self._pad_id = self._find_pad_id()
            self.read(np.zeros(1, np.int64))  # a wrong --max_seq_length shows here, before any training
            self._check_lengths()  # and here, where the first record has no padding
        except (InputError, RunFailed):
            self.close()
            raise

    def mix(self, parsed, option="input_file"):
        """Take the files for those of the corpora that `parse_sources` gives, in that order; none: they are one corpus."""
        self.sources = make_sources(parsed, np.diff(self._firsts).tolist(), option) if parsed else ()

    @property
    def records_per_epoch(self):
        """Records that an epoch of training reads: each once, unless the sources of a mixture have other weights."""
        return sum(source.per_epoch for source in self.sources) or self.num_records

    @property
    def num_skipped(self):
        return len(self._skipped)

    @functools.cached_property
    def fingerprint(self):
        """Eighteen characters that other records, or the same in another order, do not have.

        Of few bytes, so that every rank can find it at every start: of each shard the number of records, its size, where
        256 records at its beginning, middle and end lie, and the checksums of the first and last of each 256. So it tells
        other shards, other text, and another order of shards. It does not tell a shard of as many records and bytes of
        which only records between those places differ; a damaged record is found by its own checksum.

        Raises InputError for a shard that is not as it was when it was indexed.
        """
        digest = hashlib.sha256()
        for shard, count in enumerate(np.diff(self._firsts).tolist()):
            with self._lock:
                digest.update(f"{count} {self._index.num_bytes(shard)}\n".encode())
                for start in sorted({0, max(0, count // 2 - BLOCK // 2), max(0, count - BLOCK)} if count else ()):
                    offsets = self._index.rows(shard, start, min(start + BLOCK, count) + 1)["offset"]
                    digest.update(offsets.tobytes())
                    self._add_checksums(digest, shard, offsets)
        return f"2-{digest.hexdigest()[:16]}"

    def is_described_by(self, fingerprint):
        """Whether a fingerprint is that of these records; also takes those of before version 2, which need a whole index."""
        if len(fingerprint) != _OLD_FINGERPRINT:
            return fingerprint == self.fingerprint
        digest = hashlib.sha256()
        for shard, count in enumerate(np.diff(self._firsts).tolist()):
            with self._lock:
                for rows in self._index.pieces(shard):
                    digest.update(rows["offset"].tobytes())
                offsets = self._index.rows(shard, count, count + 1)["offset"]
                digest.update(offsets.tobytes())
                if count:
                    self._add_checksums(digest, shard, [*self._index.rows(shard, 0, 2)["offset"], *offsets])
        return fingerprint == digest.hexdigest()[:_OLD_FINGERPRINT]

    def _add_checksums(self, digest, shard, offsets):
        """Add the checksums of the first and last of some records; `offsets` are theirs and that of the end."""
        for end in (int(offsets[1]), int(offsets[-1])):
            data, has_changed = self._files.read(shard, end - FOOTER_BYTES, end)
            digest.update(data)
            if has_changed:
                raise InputError(CHANGED, "put it back as it was, then run the same command again",
                                 value=self.paths[shard])

    def _check_manifest(self):
        manifests = {folder: read_manifest(folder).get("shards", {})
                     for folder in {os.path.dirname(path) for path in self.paths}}
        for shard, path in enumerate(self.paths):
            entry = manifests[os.path.dirname(path)].get(os.path.basename(path))
            if not entry or self._skip_corrupt:
                continue
            for key, what, found in (("num_records", "records", int(np.diff(self._firsts)[shard])),
                                     ("num_bytes", "bytes", self._index.num_bytes(shard))):
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
        """Tokens and predictions of every record: two int32 arrays (num_records,); see `counts` for those of a few."""
        self.count_tokens()
        pieces = [rows for shard in range(len(self.paths)) for rows in self.counted_pieces(shard)]
        return tuple(np.concatenate([rows[name] for rows in pieces]).astype(np.int32)
                     for name in ("num_tokens", "num_predictions"))

    def counts(self, record_numbers):
        """Tokens and predictions of some records, int32 (B,) each, from the indexes; `count_tokens` first."""
        with self._lock:
            places = self._index.places(record_numbers)
        for name in ("num_tokens", "num_predictions"):
            values = getattr(places, name)
            wrong = self._wrong_counts(name, values)
            if wrong.any():
                raise self._miscounted(places.shard[wrong][0], name, int(values[wrong][0]))
        return places.num_tokens, places.num_predictions

    def counted_pieces(self, shard):
        """Yield all entries of the index of a shard, some ten thousand at a time, with their tokens and predictions."""
        for rows in self._index.pieces(shard):
            for name in ("num_tokens", "num_predictions"):
                wrong = self._wrong_counts(name, rows[name])
                if wrong.any():
                    raise self._miscounted(shard, name, int(rows[name][wrong][0]))
            yield rows

    def count_tokens(self):
        """Read shards through whose index does not tell how many tokens and predictions their records have.

        The index keeps it, where it can be written: the next process, and the other ranks, need not.
        """
        for shard, first in enumerate(self._firsts[:-1].tolist()):
            if self._index.knows_counts(shard):
                continue
            count, skipped = int(self._firsts[shard + 1]) - first, self.num_skipped
            rows = np.array(self._index.rows(shard, 0, count + 1))
            for start in range(0, count, 1024):
                block = rows[start:min(start + 1024, count)]
                batch = self.read(first + start + np.arange(len(block)))
                block["num_tokens"] = batch["input_mask"].sum(axis=1)
                block["num_predictions"] = (batch["masked_lm_weights"] > 0).sum(axis=1)
            # A damaged record may be whole again tomorrow.
            self._index.set_rows(shard, rows, keep=self.num_skipped == skipped and rows["offset"][-1] == os.path.getsize(
                self.paths[shard]))

    def _wrong_counts(self, name, values):
        most = self.max_seq_length if name == "num_tokens" else self.max_predictions_per_seq
        return (values < 0) | (values > most)

    def _miscounted(self, shard, name, value):
        most = self.max_seq_length if name == "num_tokens" else self.max_predictions_per_seq
        return InputError(f"says {name} = {value} of a record that has room for {most}",
                          "delete this file, which then is made again", value=index_path(self.paths[shard]))

    def read_stretches(self):
        """From now on, read what lies around a record ahead: the records after it will be asked for soon."""
        self._reads_stretches = True

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
            places = self._index.places(record_numbers)
            if self._reads_stretches:
                self._files.read_ahead(places.shard, places.offset)
            records = list(map(self._read_bytes, record_numbers.tolist(), places.shard.tolist(),
                               places.offset.tolist(), places.end.tolist()))
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

    def _read_bytes(self, number, shard, offset, end):
        data, has_changed = self._files.read(shard, offset, end)
        problem, record = "truncated", data[HEADER_BYTES:-FOOTER_BYTES]
        if has_changed:  # another file may have its records at the same places
            problem = f"{CHANGED}, seen"
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

    def close(self):
        """Close the files."""
        with self._lock:
            self._files.close()

    def _place(self, number):
        with self._lock:
            place = self._index.places([number])
        return f"{self.paths[place.shard[0]]} (record at byte {place.offset[0]})"

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

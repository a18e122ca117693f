"""`tf.train.Example` messages of the pre-training schema, to and from NumPy arrays, a batch at once.

The schema is the old project's (see `FIELDS`). Encoding needs no TensorFlow: one vectorised pass per field, and
none over the records. The bytes are an ordinary serialized Example, its map entries sorted by name. Decoding is
TensorFlow's.

A record may also be stored without padding: its three sequence fields then have one value a token, all of input_mask 1.
Read, it is padded like any other.
"""

import functools

import numpy as np

from albert_hvd.data.records.byte_rows import ByteRows

SEQUENCE_FIELDS = ("input_ids", "input_mask", "segment_ids")  # (max_seq_length,)
PREDICTION_FIELDS = ("masked_lm_positions", "masked_lm_ids", "masked_lm_weights")  # (max_predictions,)
LABEL_FIELD = "next_sentence_labels"  # (1,)
_FLOAT_FIELD = "masked_lm_weights"  # the others are integers
FIELDS = tuple(sorted((*SEQUENCE_FIELDS, *PREDICTION_FIELDS, LABEL_FIELD)))

_FLOAT_LIST, _INT64_LIST = 0x12, 0x1A  # the tags of a Feature's float_list and int64_list


class FieldError(ValueError):
    """A record that does not fit the schema: `index` in the batch, `field`, `found` number of values."""

    def __init__(self, index, field, found, message):
        super().__init__(message)
        self.index, self.field, self.found = index, field, found


def encode_rows(batch, num_padding=0, pad_id=0):
    """Serialize a batch: `ByteRows`, each an Example.

    Args: as for `encode_examples`.
    """
    num_rows = len(batch[LABEL_FIELD])
    body = ByteRows(num_rows)
    for field in FIELDS:
        values = np.asarray(batch[field])
        if field == _FLOAT_FIELD:
            values = np.ascontiguousarray(values, "<f4").view(np.uint8)
            body.add(_field_head(field, _FLOAT_LIST, values.shape[1]))
            body.add(values)
            continue
        tail = _varint(pad_id if field == "input_ids" else 0) * num_padding if field in SEQUENCE_FIELDS else b""
        if values.max(initial=0) < 128:
            body.add(_field_head(field, _INT64_LIST, values.shape[1] + len(tail)))
            body.add(values.astype(np.uint8))
        else:
            data, lengths = _varint_rows(values)
            _add_each(body, functools.partial(_field_head, field, _INT64_LIST), lengths + len(tail))
            body.add_ragged(data, np.cumsum(lengths) - lengths, lengths)
        body.add(tail)
    examples = ByteRows(num_rows)
    _add_each(examples, _example_head, body.finish().lengths)
    examples.add_rows(body)
    return examples


def encode_examples(batch, num_padding=0, pad_id=0):
    """Serialize a batch.

    Args:
      batch: the seven `FIELDS` as arrays (N, length), integers of 0 to 2**21 - 1 except
        `masked_lm_weights`.
      num_padding: positions to add at the end of each sequence field, `pad_id` in input_ids and 0 in
        the others (so that the caller need not lay out rows that are mostly padding).
    Returns: list of N bytes objects.
    """
    rows = encode_rows(batch, num_padding, pad_id)
    ends = np.cumsum(rows.lengths)
    buffer = np.empty(int(rows.lengths.sum()), np.uint8)
    rows.copy_to(buffer, ends - rows.lengths)
    return [buffer[start:end].tobytes() for start, end in zip([0, *ends.tolist()], ends.tolist())]


def _add_each(rows, bytes_of, numbers):
    """Add `bytes_of(number)` to each row, of its number; these are near one another."""
    if not len(numbers):
        return
    least = int(numbers.min())
    texts = [bytes_of(number) for number in range(least, int(numbers.max()) + 1)]
    lengths, which = np.array([len(text) for text in texts]), numbers - least
    rows.add_ragged(np.frombuffer(b"".join(texts), np.uint8), (np.cumsum(lengths) - lengths)[which], lengths[which])


def _varint_rows(values):
    """The packed varints of each row: uint8 (bytes,), one row after the other, and the rows' lengths, int64 (N,)."""
    spread, used, num_bytes = _varint_table(1 << int(values.max()).bit_length())
    indices = values.astype(np.intp)  # NumPy would convert them at each use
    return spread[indices].view(np.uint8)[used[indices].view(bool)], num_bytes[indices].sum(axis=1, dtype=np.int64)


@functools.lru_cache(maxsize=4)
def _varint_table(size):
    """Varints of 0 ... size - 1: the bytes and a mask of those in use, each four in a uint32; the lengths."""
    values = np.arange(size, dtype=np.uint32)
    num_bytes = 1 + (values >= 1 << 7).astype(np.uint8) + (values >= 1 << 14)
    continued = np.array([0, 0, 0x80, 0x8080], np.uint32)[num_bytes]  # the "more follows" bits
    spread = (values & 127) | (values & 0x3F80) << 1 | (values & 0x1FC000) << 2 | continued
    used = np.array([0, 0x1, 0x101, 0x10101], np.uint32)[num_bytes]
    return spread.astype("<u4"), used.astype("<u4"), num_bytes


@functools.lru_cache(maxsize=65536)
def _field_head(field, tag, num_bytes):
    """What stands before a field's packed values: the map entry, its key, and the nested lengths."""
    packed = b"\x0a" + _varint(num_bytes)
    feature = bytes([tag]) + _varint(len(packed) + num_bytes) + packed
    value = b"\x12" + _varint(len(feature) + num_bytes) + feature
    key = b"\x0a" + _varint(len(field)) + field.encode("ascii")
    return b"\x0a" + _varint(len(key) + len(value) + num_bytes) + key + value


@functools.lru_cache(maxsize=65536)
def _example_head(num_bytes):
    """What stands before the fields, which have as many bytes."""
    return b"\x0a" + _varint(num_bytes)


@functools.lru_cache(maxsize=65536)
def _varint(value):
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_examples(records, max_seq_length, max_predictions_per_seq, pad_id=0):
    """Parse a batch of serialized Examples, of one record or more.

    Args:
      pad_id: what fills up `input_ids` of records that are stored without padding.
    Returns: dict of the seven fields: int64 arrays (N, length) and float32 `masked_lm_weights`.
    Raises: FieldError naming the first record that lacks a field or has another number of values.
    """
    lengths = {**dict.fromkeys(SEQUENCE_FIELDS, max_seq_length),
               **dict.fromkeys(PREDICTION_FIELDS, max_predictions_per_seq), LABEL_FIELD: 1}
    # A field of zeros and ones of this length begins so, and nothing of another length does.
    padded = _field_head("input_mask", _INT64_LIST, max_seq_length)
    short = np.array([padded not in record for record in records])
    if not short.any():
        return _decode(records, lengths, pad_id, False)
    batch = {field: np.zeros((len(records), length), np.float32 if field == _FLOAT_FIELD else np.int64)
             for field, length in lengths.items()}
    for is_short in (False, True):
        rows = np.flatnonzero(short == is_short)
        if len(rows):
            try:
                part = _decode([records[row] for row in rows.tolist()], lengths, pad_id, is_short)
            except FieldError as error:
                error.index = int(rows[error.index])
                raise
            for field, values in part.items():
                batch[field][rows] = values
    return batch


def _decode(records, lengths, pad_id, is_short):
    """`decode_examples` of records that all fill the sequence fields, or of any."""
    import tensorflow as tf  # whoever reads records has it; they are built without it

    try:
        batch = _parse(records, lengths, is_short)
    except (tf.errors.InvalidArgumentError, UnicodeDecodeError):  # its message quotes the record, which is no text
        if len(records) > 1:
            for index, record in enumerate(records):
                try:
                    _decode([record], lengths, pad_id, is_short)
                except FieldError as error:
                    error.index = index
                    raise
        _check_fields(0, records[0], lengths)
        raise FieldError(0, "", 0, "is not a tf.train.Example (the values of a field are not in one list)") from None
    num_tokens = np.full(len(records), lengths["input_mask"])
    if is_short:
        num_tokens = np.count_nonzero(batch["input_mask"] == 1, axis=1)
    # TensorFlow stops at a field's last value and does not see what may follow it.
    for index, (record, size) in enumerate(zip(records, _plain_sizes(batch, num_tokens), strict=True)):
        if len(record) != size or not 0 < num_tokens[index] <= lengths["input_mask"]:
            num_tokens[index] = _check_fields(index, record, lengths)
    if is_short:
        _widen(batch, lengths["input_ids"], num_tokens, pad_id)
    return batch


def _widen(batch, max_seq_length, num_tokens, pad_id):
    """Pad the sequence fields of a batch, of which each row has `num_tokens` values."""
    for field in SEQUENCE_FIELDS:
        missing = max_seq_length - batch[field].shape[1]
        batch[field] = np.pad(batch[field], ((0, 0), (0, missing)))
    batch["input_ids"][np.arange(max_seq_length) >= num_tokens[:, None]] = pad_id


def _parse(records, lengths, is_short):
    """`tf.io.parse_example` without its preparations, which take longer than a small batch.

    With `is_short` the sequence fields are as long as the longest row's, filled up with zeros.
    """
    import tensorflow as tf

    names, defaults, zero = _constants()
    open_ended = SEQUENCE_FIELDS if is_short else ()
    parsed = tf.raw_ops.ParseExampleV2(
        serialized=tf.constant(records), names=names, sparse_keys=names, dense_keys=list(FIELDS), ragged_keys=names,
        dense_defaults=[zero if field in open_ended else default for field, default in zip(FIELDS, defaults)],
        num_sparse=0, sparse_types=[], ragged_value_types=[], ragged_split_types=[],
        dense_shapes=[[None if field in open_ended else lengths[field]] for field in FIELDS])
    return {field: values.numpy() for field, values in zip(FIELDS, parsed.dense_values, strict=True)}


@functools.cache
def _constants():
    """No name at all, for each field that it has no default, and what fills up fields of any length."""
    import tensorflow as tf

    with tf.device("CPU"):  # where they are wanted, GPU or not
        defaults = [tf.zeros([0], tf.float32 if field == _FLOAT_FIELD else tf.int64) for field in FIELDS]
        return tf.constant([], tf.string), defaults, tf.zeros([1], tf.int64)


def _plain_sizes(batch, num_tokens):
    """How many bytes the Example of each row has when nothing else is in it: list of N.

    Of integers that `encode_examples` does not write, it is too low.

    Args:
      num_tokens: int (N,), values in each sequence field; those behind them are 0.
    """
    bodies = np.zeros(len(num_tokens), np.int64)
    for field, values in batch.items():
        tag, sizes = _INT64_LIST, num_tokens if field in SEQUENCE_FIELDS else np.full(len(values), values.shape[1])
        if field == _FLOAT_FIELD:
            sizes, tag = 4 * sizes, _FLOAT_LIST
        elif values.max(initial=0) >= 1 << 7:
            sizes = sizes + sum(np.count_nonzero(values >= 1 << bits, axis=1) for bits in (7, 14))
        different, of_row = np.unique(sizes, return_inverse=True)
        bodies += np.array([size + len(_field_head(field, tag, size)) for size in different.tolist()])[of_row]
    return [1 + len(_varint(size)) + size for size in bodies.tolist()]


def _check_fields(index, record, lengths):
    """Raise the FieldError of a record that does not fit the schema as protobuf, which takes longer, reads it.

    Returns: how many values its sequence fields have.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.train import Example

    try:
        features = Example.FromString(record).features.feature
    except DecodeError:
        raise FieldError(index, "", 0, "is not a tf.train.Example") from None
    lengths = {**lengths, **_without_padding(features, lengths["input_mask"])}
    for field in FIELDS:
        if field not in features:
            raise FieldError(index, field, 0, f"has no field {field}")
        kind = features[field].WhichOneof("kind")
        if kind not in (None, "float_list" if field == _FLOAT_FIELD else "int64_list"):
            raise FieldError(index, field, 0, f"has a field {field} of another type")
        found = len(getattr(features[field], kind).value) if kind else 0
        if found != lengths[field]:
            raise FieldError(index, field, found, f"has {found} values in {field}")
    return lengths["input_mask"]


def _without_padding(features, max_seq_length):
    """{field: its length} of the sequence fields of a record that is stored without padding, {} for others."""
    mask = features["input_mask"].int64_list.value if "input_mask" in features else ()
    is_short = 0 < len(mask) < max_seq_length and set(mask) == {1}
    return dict.fromkeys(SEQUENCE_FIELDS, len(mask)) if is_short else {}

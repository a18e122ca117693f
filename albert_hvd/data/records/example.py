"""`tf.train.Example` messages of the pre-training schema, to and from NumPy arrays, without TensorFlow.

The schema is the old project's (see `FIELDS`). Encoding and decoding work on a whole batch of records
at once: one vectorised pass per field, and per record only the cutting and joining of bytes. The bytes
are an ordinary serialized Example, its map entries sorted by name (`tf.io.parse_single_example` reads
them; a reader of protobuf maps may not rely on their order, and neither does `decode_examples`).
"""

import functools

import numpy as np

SEQUENCE_FIELDS = ("input_ids", "input_mask", "segment_ids")  # (max_seq_length,)
PREDICTION_FIELDS = ("masked_lm_positions", "masked_lm_ids", "masked_lm_weights")  # (max_predictions,)
LABEL_FIELD = "next_sentence_labels"  # (1,)
FIELDS = tuple(sorted((*SEQUENCE_FIELDS, *PREDICTION_FIELDS, LABEL_FIELD)))

FLOAT_LIST, INT64_LIST = 0x12, 0x1A  # the tags of a Feature's float_list and int64_list
KEY, VALUE = 0x0A, 0x12  # the tags of a map entry
_ONLY_FIELD, _ENTRY_FIELDS, _LISTS = b"\x0a", b"\x0a\x12", b"\x0a\x12\x1a"  # the tags that a message may have
_MOST_VARINT_BYTES = 10  # of 64 bits
_CUT_SHORT = "the record's message is cut short"


class FieldError(ValueError):
    """A record that does not fit the schema: `index` in the batch, `field`, `found` number of values."""

    def __init__(self, index, field, found, message):
        super().__init__(message)
        self.index, self.field, self.found = index, field, found


def encode_examples(batch, num_padding=0, pad_id=0):
    """Serialize a batch.

    Args:
      batch: the seven `FIELDS` as arrays (N, length), integers of 0 to 2**21 - 1 except
        `masked_lm_weights`.
      num_padding: positions to add at the end of each sequence field, `pad_id` in input_ids and 0 in
        the others (so that the caller need not lay out rows that are mostly padding).
    Returns: list of N bytes objects.
    """
    columns = []
    for field in FIELDS:
        values = np.asarray(batch[field])
        if field == "masked_lm_weights":
            columns.append(_fixed_rows(field, FLOAT_LIST, np.ascontiguousarray(values, "<f4").view(np.uint8)))
            continue
        tail = _varint(pad_id if field == "input_ids" else 0) * num_padding if field in SEQUENCE_FIELDS else b""
        if values.max(initial=0) < 128:
            columns.append(_fixed_rows(field, INT64_LIST, values.astype(np.uint8), tail))
        else:
            chunks = _varint_rows(values, tail)
            columns += [[_field_head(field, INT64_LIST, len(chunk)) for chunk in chunks], chunks]
    examples = []
    for parts in zip(*columns):
        body = b"".join(parts)
        examples.append(b"\x0a" + _varint(len(body)) + body)
    return examples


def _fixed_rows(field, tag, array, tail=b""):
    """Each row of a uint8 array (N, length), and `tail`, as one field: list of N bytes objects."""
    head = _field_head(field, tag, array.shape[1] + len(tail))
    around = [np.broadcast_to(np.frombuffer(part, np.uint8), (len(array), len(part))) for part in (head, tail)]
    array = np.concatenate([around[0], array, around[1]], axis=1)
    data, length = array.tobytes(), array.shape[1]
    return [data[start:start + length] for start in range(0, len(data), length)]


def _varint_rows(values, tail):
    """The packed varints of each row, and `tail`: list of N bytes objects."""
    spread, used, num_bytes = _varint_table(1 << int(values.max()).bit_length())
    indices = values.astype(np.intp)  # NumPy would convert them at each use
    data = spread[indices].view(np.uint8)[used[indices].view(bool)].tobytes()
    ends = np.cumsum(num_bytes[indices].sum(axis=1)).tolist()
    return [data[start:end] + tail for start, end in zip([0, *ends], ends)]


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
def _varint(value):
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_examples(records, max_seq_length, max_predictions_per_seq):
    """Parse a batch of serialized Examples.

    Returns: dict of the seven fields: int64 arrays (N, length) and float32 `masked_lm_weights`.
    Raises: FieldError naming the first record that lacks a field or has another number of values.
    """
    parsed = [_field_slices(record, index) for index, record in enumerate(records)]
    batch = {}
    for field in FIELDS:
        length = (1 if field == LABEL_FIELD
                  else max_seq_length if field in SEQUENCE_FIELDS else max_predictions_per_seq)
        chunks = []
        for index, slices in enumerate(parsed):
            if field not in slices:
                raise FieldError(index, field, 0, f"has no field {field}")
            tag, chunk = slices[field]
            if (tag == FLOAT_LIST) != (field == "masked_lm_weights"):
                raise FieldError(index, field, 0, f"has a field {field} of another type")
            chunks.append(chunk)
        decode = _decode_floats if field == "masked_lm_weights" else _decode_varints
        batch[field] = decode(chunks, length, field)
    return batch


def _decode_floats(chunks, length, field):
    for index, chunk in enumerate(chunks):
        if len(chunk) != 4 * length:
            raise FieldError(index, field, len(chunk) // 4, f"has {len(chunk) // 4} values in {field}")
    return np.frombuffer(b"".join(chunks), "<f4").reshape(len(chunks), length).astype(np.float32)


def _decode_varints(chunks, length, field):
    data = np.frombuffer(b"".join(chunks), np.uint8)
    last = data < 128  # the last byte of each value
    ends = np.flatnonzero(last)
    bounds = np.cumsum([0, *map(len, chunks)])
    counts = np.diff(np.searchsorted(ends, bounds))
    wrong = np.flatnonzero(counts != length)
    if wrong.size:
        index = int(wrong[0])
        raise FieldError(index, field, int(counts[index]), f"has {counts[index]} values in {field}")
    if len(ends) == len(data):
        return data.astype(np.int64).reshape(len(chunks), length)
    starts = np.concatenate([[0], ends[:-1] + 1])
    num_bytes = ends - starts + 1
    broken = np.flatnonzero(~last[bounds[1:] - 1] | (num_bytes.reshape(-1, length).max(axis=1) > _MOST_VARINT_BYTES))
    if broken.size:
        raise FieldError(int(broken[0]), field, 0, f"has a broken value in {field}")
    values = (data[starts] & 127).astype(np.int64)
    for k in range(1, int(num_bytes.max())):
        longer = np.flatnonzero(num_bytes > k)
        values[longer] |= (data[starts[longer] + k].astype(np.int64) & 127) << (7 * k)
    return values.reshape(len(chunks), length)


def _field_slices(record, index):
    """Where the packed values of each feature lie in one Example: {name: (list tag, bytes)}."""
    slices = {}
    try:
        for _, features in _messages(record, 0, len(record), _ONLY_FIELD):
            for _, entry in _messages(record, *features, _ONLY_FIELD):
                parts = _once(_messages(record, *entry, _ENTRY_FIELDS))
                name = record[slice(*parts.get(KEY, (0, 0)))].decode("utf-8")
                if VALUE in parts:
                    slices[name] = _packed_values(record, *parts[VALUE])
    except IndexError:
        raise FieldError(index, "", 0, f"is not a tf.train.Example ({_CUT_SHORT})") from None
    except ValueError as error:
        raise FieldError(index, "", 0, f"is not a tf.train.Example ({error})") from None
    return slices


def _once(fields):
    """A dict of (tag, place) pairs; ValueError when a tag comes twice, which protobuf would merge."""
    fields = list(fields)
    places = dict(fields)
    if len(places) < len(fields):
        raise ValueError("a field comes twice")
    return places


def _packed_values(record, start, end):
    """(list tag, bytes) of a Feature."""
    for tag, place in _once(_messages(record, start, end, _LISTS)).items():
        for values in _once(_messages(record, *place, _ONLY_FIELD)).values():
            return tag, record[slice(*values)]
        return tag, b""
    return INT64_LIST, b""


def _messages(record, start, end, tags):
    """Yield (tag, (start, end)) of the length-delimited fields of record[start:end], which has no others."""
    while start < end:
        tag = record[start]
        if tag not in tags:
            raise ValueError(f"unexpected field tag {tag}")
        size, shift, start = 0, 0, start + 1
        while True:
            byte = record[start]
            size |= (byte & 127) << shift
            shift, start = shift + 7, start + 1
            if byte < 128:
                break
            if shift == 7 * _MOST_VARINT_BYTES:
                raise ValueError(f"a length of more than {_MOST_VARINT_BYTES} bytes")
        if start + size > end:
            raise ValueError(_CUT_SHORT)
        yield tag, (start, start + size)
        start += size

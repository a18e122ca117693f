"""The bytes of a record: written and read, with padding and without, and refused for what is wrong with them."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_records import PREDICTIONS, SEQ, make_batch, make_example

from albert_hvd.data.records import example
from albert_hvd.data.records.example import (FIELDS, SEQUENCE_FIELDS, FieldError, decode_examples,
                                             encode_examples)
from conftest import ROOT


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.integers(1, 5), st.sampled_from([2, 127, 128, 16384, 2**21 - 1]), st.integers(0, 9), st.integers(0, 99))
def test_encoding_and_decoding_agree(num_rows, largest, padding, seed):
    batch = make_batch(num_rows, seed, largest)
    examples = encode_examples(batch, padding, pad_id=min(300, largest))
    decoded = decode_examples(examples, SEQ + padding, PREDICTIONS)
    # Such records need no second look.
    assert example._plain_sizes(decoded, np.full(num_rows, SEQ + padding)) == [len(serialized) for serialized in examples]
    for field in FIELDS:
        values = np.asarray(batch[field])
        assert (decoded[field][:, :values.shape[1]] == values).all()
    assert (decoded["input_ids"][:, SEQ:] == min(300, largest)).all() and not decoded["segment_ids"][:, SEQ:].any()


def with_feature(field, feature):
    """A serialized Example one of whose fields is made of these bytes."""
    entry = b"\x0a" + bytes([len(field)]) + field.encode() + b"\x12" + bytes([len(feature)]) + feature
    others = make_example(make_batch(1), 0, **{field: None}).features.SerializeToString()
    body = others + b"\x0a" + bytes([len(entry)]) + entry
    return b"\x0a" + bytes([len(body) & 127 | 128, len(body) >> 7]) + body


def test_a_foreign_record_is_refused_for_what_is_wrong_with_it():
    import tensorflow as tf

    batch = make_batch(3)
    numbers, text = tf.train.Int64List(value=[1, 2, 3]), tf.train.BytesList(value=[b"\xec"] * SEQ)
    for changes, (field, found, message) in (
            ({"segment_ids": None}, ("segment_ids", 0, "has no field segment_ids")),
            ({"segment_ids": tf.train.Feature()}, ("segment_ids", 0, "has 0 values in segment_ids")),
            ({"masked_lm_ids": tf.train.Feature(int64_list=numbers)},
             ("masked_lm_ids", 3, "has 3 values in masked_lm_ids")),
            ({"input_ids": tf.train.Feature(bytes_list=text)},
             ("input_ids", 0, "has a field input_ids of another type")),
            ({"masked_lm_weights": tf.train.Feature(int64_list=tf.train.Int64List(value=[1] * PREDICTIONS))},
             ("masked_lm_weights", 0, "has a field masked_lm_weights of another type"))):
        records = [make_example(batch, row, **(changes if row == 1 else {})).SerializeToString() for row in range(3)]
        with pytest.raises(FieldError) as error:
            decode_examples(records, SEQ, PREDICTIONS)
        assert (error.value.index, error.value.field, error.value.found, str(error.value)) == (1, field, found, message)


def test_a_foreign_record_with_more_in_it_is_read():
    import tensorflow as tf

    batch = make_batch(2)
    more = {"id": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"a"]))}
    records = [make_example(batch, row, **more).SerializeToString() for row in range(2)]
    decoded = decode_examples(records, SEQ, PREDICTIONS)
    assert list(decoded) == sorted(FIELDS) and all((decoded[field] == batch[field]).all() for field in FIELDS)


def without_padding(batch):
    """The serialized rows of a batch, the sequence fields cut to the tokens that there are."""
    return [encode_examples({field: batch[field][row:row + 1, :length if field in SEQUENCE_FIELDS else None]
                             for field in FIELDS})[0] for row, length in enumerate(batch["input_mask"].sum(axis=1))]


@pytest.mark.parametrize("largest", [100, 40_000])
def test_records_without_padding_are_read_as_with_it(largest):
    batch = make_batch(30, largest=largest)
    full, short = encode_examples(batch), without_padding(batch)
    expected = decode_examples(full, SEQ, PREDICTIONS)
    mixed = [records[row] for row, records in enumerate([full, short, short] * 10)]
    for records in (short, mixed):
        decoded = decode_examples(records, SEQ, PREDICTIONS)
        assert all((decoded[field] == expected[field]).all() and decoded[field].dtype == expected[field].dtype
                   for field in FIELDS)
    padded = decode_examples(mixed, SEQ, PREDICTIONS, pad_id=300)["input_ids"]
    is_padding = batch["input_mask"] == 0
    is_padding[::3] = False  # those had their own
    assert (padded == np.where(is_padding, 300, batch["input_ids"])).all() and is_padding.any()
    # Twice as many positions: the same tokens.
    wide = decode_examples(short, 2 * SEQ, PREDICTIONS)
    assert all((wide[field][:, :SEQ] == expected[field][:, :SEQ]).all() for field in FIELDS)
    assert not wide["input_mask"][:, SEQ:].any()


def test_short_records_that_need_no_second_look_get_none(monkeypatch):
    monkeypatch.setattr(example, "_check_fields", None)
    decode_examples(without_padding(make_batch(30)), SEQ, PREDICTIONS)


def test_a_record_of_other_lengths_is_not_taken_for_one_without_padding():
    batch = make_batch(6)
    lengths = batch["input_mask"].sum(axis=1)
    assert lengths[2] < SEQ and lengths[2] > 5
    for changes, field in (({"segment_ids": lengths[2] - 1}, "input_ids"), ({"input_ids": lengths[2] - 1}, "input_ids"),
                           ({"input_ids": SEQ + 1, "input_mask": SEQ + 1, "segment_ids": SEQ + 1}, "input_ids"),
                           (dict.fromkeys(SEQUENCE_FIELDS, SEQ - 1), "input_ids"), ({"input_mask": 0}, "input_ids")):
        sizes = {**dict.fromkeys(SEQUENCE_FIELDS, lengths[2]), **changes}
        row = {field: np.resize(batch[field][2], sizes[field])[None] if field in sizes else batch[field][2:3]
               for field in FIELDS}
        bad, = encode_examples(row)
        records = without_padding(batch)
        records[2] = bad
        with pytest.raises(FieldError, match=f"values in {field}|values in segment_ids") as error:
            decode_examples(records, SEQ, PREDICTIONS)
        assert error.value.index == 2


def test_values_after_the_last_one_are_noticed():
    more = b"\x1a\x06\x0a\x01\x01\x0a\x01\x01"  # a second list, which TensorFlow's parser does not look at
    records = encode_examples(make_batch(2))
    records[1] = with_feature("next_sentence_labels", more)
    with pytest.raises(FieldError, match="has 2 values in next_sentence_labels") as error:
        decode_examples(records, SEQ, PREDICTIONS)
    assert error.value.index == 1


def test_values_in_two_lists_are_refused():
    """Protobuf would put them together, TensorFlow's parser does not."""
    first, second = (make_example(make_batch(1), 0, **dict.fromkeys(set(FIELDS) - {"segment_ids"})) for _ in range(2))
    for part, half in ((first, slice(0, SEQ // 2)), (second, slice(SEQ // 2, SEQ))):
        values = part.features.feature["segment_ids"].int64_list.value
        values[:] = values[half]
    feature = b"".join(part.features.feature["segment_ids"].SerializeToString() for part in (first, second))
    records = [*encode_examples(make_batch(1)), with_feature("segment_ids", feature)]
    with pytest.raises(FieldError, match="values of a field are not in one list") as error:
        decode_examples(records, SEQ, PREDICTIONS)
    assert error.value.index == 1


def test_encoding_needs_no_tensorflow():
    code = "import sys; sys.modules['tensorflow'] = None\nfrom albert_hvd.data.records.example import *\n" \
           "import numpy as np\nprint(len(encode_examples({field: np.zeros((2, 3), int) for field in FIELDS})))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "2\n"

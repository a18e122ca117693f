"""Targets that read pre-training records and text corpora."""

import functools
import os
import pathlib

import numpy as np
from fuzz_target import Target
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from json_targets import small_shard, write_file
from small_corpus import make_documents

from albert_hvd.data.records.dataset import RecordDataset
from albert_hvd.data.records.example import FIELDS, LABEL_FIELD, SEQUENCE_FIELDS, FieldError, decode_examples
from albert_hvd.data.records.tfrecord import FOOTER_BYTES, HEADER_BYTES, INDEX_DTYPE, frame, index_path, load_index
from albert_hvd.data.text.corpus import plan_blocks, read_block, read_lines

_LENGTHS = 16, 3
_FIELD_LENGTHS = [16 if field in SEQUENCE_FIELDS else 1 if field == LABEL_FIELD else 3 for field in FIELDS]


def _read_all(path):
    for skip_corrupt in (True, False):
        dataset = RecordDataset([path], *_LENGTHS, 50, skip_corrupt, warn=lambda line: None)
        try:
            tokens, predictions = dataset.lengths()
            batch = dataset.read(np.arange(min(dataset.num_records, 100)))
        finally:
            dataset.close()
        # What training counts on.
        assert ((0 <= batch["input_ids"]) & (batch["input_ids"] < 50)).all()
        assert ((0 <= tokens) & (tokens <= 16) & (0 <= predictions) & (predictions <= 3)).all()
        for name in ("input_mask", "segment_ids", "next_sentence_labels"):
            assert np.isin(batch[name], (0, 1)).all(), name
        assert np.isfinite(batch["masked_lm_weights"]).all() and (batch["masked_lm_weights"] >= 0).all()


def _tfrecord(data, folder):
    _read_all(write_file(folder, "b.tfrecord", data))


def _tfrecord_index(data, folder):
    path = small_shard(folder)
    pathlib.Path(index_path(path)).write_bytes(data)
    _read_all(path)


def _example_record(data, folder):
    _read_all(write_file(folder, "c.tfrecord", frame(data)))


def _example(data, folder):
    """What protobuf reads is read the same, or refused for what is wrong with it.

    TensorFlow's parser also takes some bytes that are no message; a record's checksum comes before it.
    """
    try:
        features = example_class().FromString(data).features.feature
        theirs = {field: list((features[field].float_list if field == "masked_lm_weights"
                               else features[field].int64_list).value) for field in FIELDS}
    except DecodeError:
        theirs = None
    try:
        ours = decode_examples([data, data], *_LENGTHS)
    except FieldError as error:
        assert theirs is None or "in one list" in str(error) or any(
            len(values) != length for values, length in zip(theirs.values(), _FIELD_LENGTHS, strict=True)), error
        raise
    for field, length in zip(FIELDS, _FIELD_LENGTHS, strict=True):
        assert ours[field].shape == (2, length)
        if theirs is not None and field in SEQUENCE_FIELDS and set(theirs["input_mask"]) == {1}:  # without padding
            theirs[field] += [0] * (length - len(theirs[field]))
        if theirs is not None:
            np.testing.assert_array_equal(ours[field], np.array([theirs[field]] * 2, ours[field].dtype))


@functools.cache
def example_class():
    """The class of `tf.train.Example`, without TensorFlow."""
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="fuzz", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in (
            ("FloatList", [("value", 1, kinds.TYPE_FLOAT, "")]), ("Int64List", [("value", 1, kinds.TYPE_INT64, "")]),
            ("BytesList", [("value", 1, kinds.TYPE_BYTES, "")]),
            ("Feature", [("bytes_list", 1, kinds.TYPE_MESSAGE, "BytesList"),
                         ("float_list", 2, kinds.TYPE_MESSAGE, "FloatList"),
                         ("int64_list", 3, kinds.TYPE_MESSAGE, "Int64List")]),
            ("Features", [("feature", 1, kinds.TYPE_MESSAGE, "Features.FeatureEntry")]),
            ("Example", [("features", 1, kinds.TYPE_MESSAGE, "Features")])):
        message = file.message_type.add(name=name)
        for field, number, kind, of in fields:
            repeated = field == "value" or name == "Features"
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, type=kind, label=label)
            if of:
                added.type_name = f".fuzz.{of}"
        if name == "Feature":
            message.oneof_decl.add(name="kind")
            for field in message.field:
                field.oneof_index = 0
        if name == "Features":
            entry = message.nested_type.add(name="FeatureEntry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
            entry.field.add(name="value", number=2, type=kinds.TYPE_MESSAGE, label=kinds.LABEL_OPTIONAL,
                            type_name=".fuzz.Feature")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("fuzz.Example"))


def _messages(folder):
    data, offsets = pathlib.Path(small_shard(folder)).read_bytes(), load_index(small_shard(folder))["offset"].tolist()
    return [data[start + HEADER_BYTES:end - FOOTER_BYTES] for start, end in zip(offsets, offsets[1:])]


def _index_seeds(folder):
    rows = load_index(small_shard(folder))
    return [rows.tobytes(), np.array([(0, 16, 3), (2**60, 1, 1), (2**62, 1, 1)], INDEX_DTYPE).tobytes()]


def _corpus(data, folder):
    """However small the blocks, all words come once and in their order."""
    path = write_file(folder, "a.txt", data)
    whole, small = ([line for block in plan_blocks([path], size) for document in read_block(block)[0]
                     for line in document] for size in (1 << 20, max(len(data) // 5, 7)))
    assert small == whole
    assert os.path.getsize(path) or not whole
    list(read_lines([path], 100))


_TEXT = "\n\n".join("\n".join(document) for document in make_documents(4)).encode()

TARGETS = (
    Target("tfrecord", _tfrecord, lambda folder: [pathlib.Path(small_shard(folder)).read_bytes()], share=0.03),
    Target("tfrecord_index", _tfrecord_index, _index_seeds, share=0.02),
    Target("example_record", _example_record, _messages, share=0.2),
    Target("example", _example, _messages, errors=(FieldError,), share=4),
    Target("corpus", _corpus, lambda folder: [b"a b\n\nc\n", _TEXT], share=0.5),
)
